"""Masks that spend no weight on channels that nothing reaches or nobody reads.

Which channels are alive depends on the masks of all layers, so it is found step by
step. Within a PE and tile a weight without a path changes places with the best one that
has a path: loads and orders stay, and nothing that works stops working. Where a PE has
none, what lies on no path counts for next to nothing in a further answer. At the end
neighbouring layers are solved jointly (`pair_search`). Every answer is proven for its
own scores, and every pair for the other layers as they are; that no other sequence ends
with more weights on paths is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from balancer.array_types import BoolArray
from balancer.program.ranking import top_per_cell
from snn.array_types import Masks
from snn.lottery.pair_search import jointly
from snn.lottery.pruning import Pruned, Pruning

# How much a weight without a path counts in a further answer.
DISCOUNT = 1e-3
FURTHER_ANSWERS = 2
# So small a share of weights without a path is not worth another answer.
NEGLIGIBLE = 0.01
# Changing places is worth finding out what works then if so many of them do.
WORTH_MOVING = 0.1


def along_live_paths(pruning: Pruning, prune: Callable[[Pruning], Pruned]) -> Pruned:
    """Prune so that as many weights as possible lie on a path.

    Parameters
    ----------
    pruning : Pruning
        The question. Without `live`, it is asked once.
    prune : callable
        A method, which maximizes scores.

    Returns
    -------
    Pruned
        Of at most 1 + ``FURTHER_ANSWERS`` answers the first with most effective
        weights, after changes of places; improved pair by pair.
    """
    if pruning.live is None:
        return prune(pruning)
    best = _Settled.of(pruning, pruning.live, prune(pruning))
    for _ in range(FURTHER_ANSWERS):
        if best.dead <= NEGLIGIBLE * best.effective:
            break
        scores = {
            name: np.where(best.live[name], score, score * DISCOUNT)
            for name, score in pruning.scores.items()
        }
        asked = prune(replace(pruning, scores=scores))
        found = _Settled.of(pruning, pruning.live, asked)
        if found.effective > best.effective:
            best = found
    return jointly(pruning, best.pruned)


def effective(masks: Masks, live: Masks) -> int:
    """Count kept weights on a path."""
    return sum(int(np.count_nonzero(mask & live[name])) for name, mask in masks.items())


@dataclass(frozen=True, slots=True, eq=False)
class _Settled:
    """Masks whose weights without a path have changed places where they can."""

    pruned: Pruned
    live: Masks
    effective: int

    @classmethod
    def of(
        cls, pruning: Pruning, find_live: Callable[[Masks], Masks], pruned: Pruned
    ) -> _Settled:
        masks = dict(pruned.masks)
        live = find_live(masks)
        count = effective(masks, live)
        while True:
            moved = _moved(pruning, pruned, masks, live)
            dead = sum(map(np.count_nonzero, masks.values())) - count
            gained = effective({**masks, **moved}, live) - count
            if not moved or gained < WORTH_MOVING * dead:
                break
            masks |= moved
            live, before = find_live(masks), count
            count = effective(masks, live)
            if count == before:  # they work no better in their new places
                break
        return cls(Pruned(masks, masks, pruned.schedules), live, count)

    @property
    def dead(self) -> int:
        """Kept weights without a path."""
        masks = self.pruned.masks.values()
        return sum(int(np.count_nonzero(mask)) for mask in masks) - self.effective


def _moved(
    pruning: Pruning, pruned: Pruned, masks: Masks, live: Masks
) -> Mapping[str, BoolArray]:
    """Put weights without a path where there is one, within their PE and tile."""
    moved: dict[str, BoolArray] = {}
    candidates = pruning.candidates()
    for name, mask in masks.items():
        working = mask & live[name]
        if np.array_equal(working, mask):
            continue
        # What works stays; then what would work; then what is there.
        rank = np.where(live[name], pruning.scores[name], np.where(mask, -1.0, -2.0))
        keys = np.where(candidates[name], np.where(working, np.inf, rank), -np.inf)
        schedule, pe_map = pruned.schedules[name], pruning.map_of(name)
        loads = pe_map.cell_loads(schedule.apply(mask))
        kept = schedule.invert(top_per_cell(schedule.apply(keys), pe_map, loads))
        if not np.array_equal(kept, mask):
            moved[name] = kept
    return moved
