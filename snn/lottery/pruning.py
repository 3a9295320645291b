"""What is pruned between two rounds: the question, the answer, and how many weights.

Every method answers the same question: which weights go on, given the last non-zero
magnitude of each and the masks so far. Unstructured magnitude pruning says how many
weights each layer keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from balancer import (
    LayerCost,
    PEMap,
    Schedule,
    budget_of_sparsity,
    lth_mask,
    top_k_sum,
)
from balancer.array_types import AnyArray, BoolArray
from balancer.metrics import fraction
from balancer.network.guard import (
    refuse_hopeless,
    refuse_too_little,
    share_out,
    smallest_slice,
)
from balancer.program.rounding import total_score
from snn.array_types import Masks

Schedules = Mapping[str, Schedule]
Scope = Literal["global", "layer"]


@dataclass(frozen=True, slots=True, eq=False)
class Pruning:
    """What a method decides from.

    Attributes
    ----------
    scores : mapping of str to ndarray of float
        Last non-zero magnitude of every weight of every layer.
    masks : mapping of str to ndarray of bool
        Weights that the last round was trained with.
    carried : mapping of str to ndarray of bool
        Weights that the last round handed on: `masks`, but for ``u-ticket-code``.
    sparsity : float
        Fraction of all weights to prune by now.
    step : float
        Fraction of the weights so far that this round prunes.
    scope : {"global", "layer"}
        Rank the weights of all layers together, or of each layer by itself.
    pe_map, pes : str, int
        The array, as in `PEMap.parse`.
    revive : bool
        Pruned weights take part again, with their last non-zero magnitude.
    allow_empty : bool
        Balanced methods may take the last slice of a layer.
    seed : int
        Seed of everything random.
    costs : mapping of str to LayerCost
        Cycles and energy of a slice of each layer, for ``latency``.
    latency_budget : float
        Most cycles for ``latency``, relative to ``optimal``.
    """

    scores: Mapping[str, AnyArray]
    masks: Masks
    carried: Masks
    sparsity: float
    step: float
    scope: Scope = "global"
    pe_map: str = "output_channel"
    pes: int = 16
    revive: bool = False
    allow_empty: bool = False
    seed: int = 0
    costs: Mapping[str, LayerCost] | None = None
    latency_budget: float = 1.0

    def map_of(self, name: str) -> PEMap:
        """PE map of a layer."""
        return PEMap.parse(self.pe_map, self.scores[name].shape, self.pes)

    def candidates(self) -> Masks:
        """Weights that may be kept."""
        if not self.revive:
            return self.carried
        return {name: np.ones(s.shape, np.bool_) for name, s in self.scores.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """What a method decided.

    Attributes
    ----------
    masks : mapping of str to ndarray of bool
        Weights that the next round trains and the ticket holds.
    carried : mapping of str to ndarray of bool
        Weights that the round after it starts from; the same but for ``u-ticket-code``.
    schedules : mapping of str to Schedule
        In which order the PEs take the channels.
    """

    masks: Masks
    carried: Masks
    schedules: Schedules


def natural_schedules(layers: Mapping[str, AnyArray], pe_map: str) -> Schedules:
    """Take the channels of layers of given weights or masks as they are."""
    return {
        name: PEMap.parse(pe_map, array.shape).schedule()
        for name, array in layers.items()
    }


def unstructured(pruning: Pruning) -> dict[str, BoolArray]:
    """Keep the largest scores, of all layers together or of each layer by itself.

    With the global scope exactly ``(1 - sparsity) * weights`` are kept, rounded down
    (or all candidates, if they are fewer); of equal scores, those of the first layers.
    """
    candidates = pruning.candidates()
    if pruning.scope == "global":
        groups = [list(pruning.scores)]
    else:
        groups = [[name] for name in pruning.scores]
    masks = {}
    for names in groups:
        chosen = [candidates[name] for name in names]
        scores = [pruning.scores[n][c] for n, c in zip(names, chosen, strict=True)]
        flat = np.concatenate(scores)
        weights = sum(candidate.size for candidate in chosen)
        budget = min(budget_of_sparsity(pruning.sparsity, weights), flat.size)
        kept = lth_mask(flat, budget)
        ends = np.cumsum([len(score) for score in scores])[:-1]
        for name, candidate, part in zip(
            names, chosen, np.split(kept, ends), strict=True
        ):
            masks[name] = np.zeros(candidate.shape, np.bool_)
            masks[name][candidate] = part
    return masks


def layer_budgets(
    pruning: Pruning, masks: Masks, in_order: bool = True
) -> dict[str, int]:
    """Round the non-zeros of unstructured masks to what balanced layers can have.

    A balanced layer keeps whole slices, so each is rounded to the nearest number of
    them, but no layer loses its last one unless the pruning allows it; see
    `balancer.network.guard.share_out`.

    Parameters
    ----------
    pruning : Pruning
        The question.
    masks : mapping of str to ndarray of bool
        Unstructured masks.
    in_order : bool
        The channels stay in their natural order.

    Raises
    ------
    InfeasibleError
        A network whose layers have no room for a slice each, or a layer that every
        balanced mask of its candidates empties.
    """
    candidates = pruning.candidates()
    maps = {name: pruning.map_of(name) for name in masks}
    least = {name: least_kept(pruning, name, in_order) for name in masks}
    return share_out(
        {name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
        least,
        {name: int(np.count_nonzero(candidates[name])) for name in masks},
        units={name: _slice(pe_map) for name, pe_map in maps.items()},
    )


def least_kept(pruning: Pruning, name: str, in_order: bool = True) -> int:
    """Least non-zeros of a balanced mask of a layer; 0 if it may be emptied.

    Raises
    ------
    InfeasibleError
        Every balanced mask of its candidates is empty.
    """
    pe_map, candidates = pruning.map_of(name), pruning.candidates()[name]
    if pruning.allow_empty or not candidates.any():
        return 0
    offered = pe_map.cell_loads(candidates) if in_order else pe_map.cell_sizes()
    least = smallest_slice(pe_map, pe_map.least_of_group(offered))
    refuse_hopeless([] if least else [name])
    return least


def check_room(last: Pruning) -> None:
    """Refuse a last pruning without room for a slice of every layer.

    Raises
    ------
    InfeasibleError
        The message says which layers need how much.
    """
    least = {name: least_kept(last, name) for name in last.scores}
    kept = sum(int(np.count_nonzero(mask)) for mask in unstructured(last).values())
    refuse_too_little(kept, least)


def _slice(pe_map: PEMap) -> int:
    """Weights of which every balanced mask keeps a multiple."""
    sizes = pe_map.group_sizes()
    return int(np.gcd.reduce(sizes[sizes > 0], initial=0)) or 1


def kept_magnitude(scores: Mapping[str, AnyArray], masks: Masks) -> float | None:
    """Kept score relative to unstructured pruning of the same layers.

    Each layer is compared at its own number of non-zeros; without any it is None.
    """
    kept, best = 0.0, 0.0
    for name, mask in masks.items():
        kept += total_score(scores[name], mask)
        best += top_k_sum(scores[name], int(np.count_nonzero(mask)))
    return fraction(kept, best)
