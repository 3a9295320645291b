"""Ground truth by trying every mask or order, straight from the formulation."""

from functools import cache
from itertools import combinations

import numpy as np
from cases import Case


def best_kept(case: Case) -> float | None:
    """Largest kept score over all masks that satisfy the case; None if none does."""
    size = case.pe_map.weights
    masks = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1
    group, pe = (labels.reshape(-1) for labels in case.pe_map.labels())
    options = case.options
    feasible = np.ones(len(masks), dtype=bool)
    fixed = case.pe_map.fixed_load
    for g in np.unique(group):
        loads = [
            masks[:, (group == g) & (pe == p)].sum(axis=1)
            for p in np.unique(pe[group == g])
        ]
        for load in loads:
            feasible &= load == loads[0]
        feasible &= loads[0] >= options.get("min_load", 0)
        feasible &= loads[0] <= options.get("max_load", size)
        if fixed is not None:
            feasible &= loads[0] == fixed[g]
    kept = masks.sum(axis=1)
    if "budget" in options:
        feasible &= kept <= options["budget"]
    floors = options.get("channel_floor", np.zeros(case.pe_map.channels, dtype=int))
    fan_in = size // max(1, case.pe_map.channels)
    for channel, floor in enumerate(floors):
        mine = masks[:, channel * fan_in : (channel + 1) * fan_in]
        feasible &= mine.sum(axis=1) >= floor
    if "previous_mask" in options:
        feasible &= ~(masks & ~options["previous_mask"].reshape(-1)).any(axis=1)
    if "forced" in options:
        feasible &= ~(~masks & options["forced"].reshape(-1)).any(axis=1)
    if not feasible.any():
        return None
    return float((masks[feasible] @ case.scores.reshape(-1).astype(float)).max())


@cache
def partitions(channels: int, sizes: tuple[int, ...]) -> np.ndarray:
    """Every way to fill sets of given sizes with channels, [ways, channels].

    Sets follow each other; those of equal size are interchangeable, so the first
    channel that is left goes into the first of its size.
    """

    def fill(left: tuple[int, ...], sizes: tuple[int, ...]):
        if not sizes:
            yield ()
            return
        alike = len(set(sizes)) == 1
        for chosen in combinations(left, sizes[0]):
            if alike and chosen[:1] != left[:1]:
                return
            rest = tuple(c for c in left if c not in chosen)
            for others in fill(rest, sizes[1:]):
                yield chosen + others

    return np.array(list(fill(tuple(range(channels)), sizes)), dtype=int)


def best_tiling(scores: np.ndarray, sizes: tuple[int, ...], budget: int) -> float:
    """Largest score over all tiles of these sizes and all loads within the budget.

    `scores` is [channels, weights]; every channel of a tile keeps its best weights.
    """
    ordered = -np.sort(-scores.astype(float), axis=1)
    totals = np.hstack([np.zeros((len(scores), 1)), np.cumsum(ordered, axis=1)])
    ways = partitions(len(scores), sizes)
    best = np.zeros((len(ways), budget + 1))
    first = 0
    for size in sizes:
        tile = totals[ways[:, first : first + size]].sum(axis=1)  # [ways, loads]
        first += size
        grown = np.full_like(best, -np.inf)
        for load in range(min(budget // size, scores.shape[1]) + 1):
            cost = load * size
            moved = best[:, : budget + 1 - cost] + tile[:, load, None]
            grown[:, cost:] = np.maximum(grown[:, cost:], moved)
        best = grown
    return float(best.max())


def best_blocks(scores: np.ndarray, sizes: tuple[int, ...], loads: list[int]) -> float:
    """Largest score over all blocks of input channels, for given loads of the rows.

    `scores` is [rows, channels]; every row keeps its best ``loads[row]`` weights of
    each block, or all of a block with fewer.
    """
    ways = partitions(scores.shape[1], sizes)
    total = np.zeros(len(ways))
    first = 0
    for size in sizes:
        mine = scores.astype(float)[:, ways[:, first : first + size]]
        first += size
        ordered = -np.sort(-mine, axis=2)  # [rows, ways, size]
        for row, load in zip(ordered, loads, strict=True):
            total += row[:, :load].sum(axis=1)
    return float(total.max())
