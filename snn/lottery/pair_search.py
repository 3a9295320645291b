"""Neighbouring layers of pruned masks, solved jointly where that is small enough.

Loads, budgets and orders of all layers stay; what changes is which channels between two
layers are used, by both. Answers of a pair are proven for the other layers as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from balancer import PairProblem, PEMap, RetentionProblem, Schedule, solve_pair
from balancer.array_types import BoolArray
from snn.array_types import Masks
from snn.lottery.pruning import Neighbours, Pruned, Pruning

# Weights that two layers may keep, together. A thousand take a fraction of a second, as
# many as these several; see `benchmarks/bench_paths.py`.
MOST_WEIGHTS = 20_000
# CP-SAT's deterministic time for a pair, so that runs can be repeated.
WORK = 1.0
# The first sweep over the layers finds most; what changes in it may help their others.
SWEEPS = 2


def jointly(pruning: Pruning, pruned: Pruned) -> Pruned:
    """Improve masks pair by pair.

    Parameters
    ----------
    pruning : Pruning
        The question, with `live` and `neighbours`.
    pruned : Pruned
        Its answer so far.

    Returns
    -------
    Pruned
        With larger scores on paths, no fewer weights on them, and in no layer more
        weights or slices; or the same.
    """
    pairs = [one for one in pruning.neighbours if _is_small(pruning, one)]
    if pruning.live is None or not pairs:
        return pruned
    best = _State.of(pruning, pruned)
    if all(
        best.live[name][candidates].all()
        for name, candidates in pruning.candidates().items()
    ):
        return pruned  # all channels are awake: every layer has what is best for it
    for _ in range(SWEEPS):
        before = best
        for pair in pairs:
            best = _improved(best, pair)
        if best is before:
            break
    return best.pruned


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """Masks, and what of them works."""

    pruning: Pruning
    pruned: Pruned
    live: Masks
    effective: int
    score: float

    @classmethod
    def of(cls, pruning: Pruning, pruned: Pruned) -> _State:
        assert pruning.live is not None
        live = pruning.live(pruned.masks)
        works = {name: mask & live[name] for name, mask in pruned.masks.items()}
        return cls(
            pruning,
            pruned,
            live,
            sum(int(np.count_nonzero(mask)) for mask in works.values()),
            sum(
                float(pruning.scores[name][mask].sum(dtype=np.float64))
                for name, mask in works.items()
            ),
        )

    def with_masks(self, changed: Masks) -> _State:
        masks = {**self.pruned.masks, **changed}
        return _State.of(self.pruning, Pruned(masks, masks, self.pruned.schedules))


def _improved(state: _State, pair: Neighbours) -> _State:
    """Solve a pair, and take the answer if it is better for the whole network."""
    names = pair.writer, pair.reader
    hint = tuple(state.pruned.masks[name] for name in names)
    solution = solve_pair(
        _problem(state, pair),
        hint=(hint[0], hint[1]),
        work_limit=WORK,
        seed=state.pruning.seed,
    )
    found = state.with_masks({names[0]: solution.first, names[1]: solution.second})
    better = found.score > state.score and found.effective >= state.effective
    slices = (_slices(one, names) for one in (found, state))
    fits = all(new <= old for new, old in zip(*slices, strict=True))
    return found if better and fits else state


def _is_small(pruning: Pruning, pair: Neighbours) -> bool:
    names, candidates = {pair.writer, pair.reader}, pruning.candidates()
    weights = sum(int(np.count_nonzero(candidates[name])) for name in names)
    maps = map(pruning.map_of, names)
    given = any(one.fixed_load is not None for one in maps)
    return len(names) == 2 and weights <= MOST_WEIGHTS and not given


def _problem(state: _State, pair: Neighbours) -> PairProblem:
    """State the program of a pair, the other layers as they are."""
    pruning, masks = state.pruning, dict(state.pruned.masks)
    names = pair.writer, pair.reader
    assert pruning.live is not None
    dense = {name: np.ones_like(masks[name]) for name in names}
    live = pruning.live({**masks, **dense})
    without = [
        pruning.live({**masks, **dense, name: np.zeros_like(masks[name])})
        for name in names
    ]
    channels = masks[pair.writer].shape[0]
    inputs = np.arange(masks[pair.reader].shape[1]) // pair.inner
    reads = without[0][pair.reader]
    asked = np.moveaxis(reads, 1, 0).reshape(len(inputs), -1).any(axis=1)
    return PairProblem(
        *(_layer(state, name) for name in names),
        source=inputs.reshape(-1, *[1] * (reads.ndim - 2)),
        reached=live[pair.writer],
        read=live[pair.reader],
        reached_anyway=np.bincount(inputs[asked], minlength=channels) > 0,
        read_anyway=without[1][pair.writer].reshape(channels, -1).any(axis=1),
    )


def _layer(state: _State, name: str) -> RetentionProblem:
    """State the program of one layer, at the weights and in the order that it has."""
    pruning, mask = state.pruning, state.pruned.masks[name]
    return RetentionProblem(
        pruning.scores[name],
        _in_order(pruning.map_of(name), state.pruned.schedules[name]),
        int(np.count_nonzero(mask)),
        previous_mask=pruning.candidates()[name],
    )


def _in_order(pe_map: PEMap, schedule: Schedule) -> PEMap:
    """Return the map of weights whose channels the PEs take in an order."""
    group, pe = (np.broadcast_to(one, pe_map.shape) for one in pe_map.labels())
    return PEMap.from_labels(schedule.invert(group), schedule.invert(pe))


def _slices(state: _State, names: tuple[str, str]) -> Iterator[int]:
    for name in names:
        pe_map = state.pruning.map_of(name)
        mask: BoolArray = state.pruned.masks[name]
        loads = pe_map.cell_loads(state.pruned.schedules[name].apply(mask))
        yield int(pe_map.largest_of_group(loads).sum())
