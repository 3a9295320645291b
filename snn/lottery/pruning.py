"""What is pruned between two rounds: the question, the answer, and how many weights.

Every method answers the same question: which weights go on, given the last non-zero
magnitude of each and the masks so far. Unstructured magnitude pruning says how many
weights each layer keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from balancer import (
    BalancerError,
    LayerCost,
    PEMap,
    Schedule,
    budget_of_sparsity,
    lth_mask,
    top_k_sum,
)
from balancer.array_types import AnyArray, BoolArray
from balancer.defaults import DEFAULT_PES
from balancer.metrics import fraction
from balancer.network.guard import (
    refuse_hopeless,
    refuse_too_little,
    smallest_slice,
)
from balancer.network.layer_counts import Budgets, guarded_counts, whole_slices
from balancer.program.rounding import total_score
from snn.array_types import Masks

Schedules = Mapping[str, Schedule]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A layer that reads what another one writes.

    Attributes
    ----------
    writer, reader : str
        The layers.
    inner : int
        Inputs of the reader in a row that are one channel of the writer: its pixels,
        where it is flattened in between.
    """

    writer: str
    reader: str
    inner: int = 1


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
    budgets : {"global", "lamp", "cycles", "layer", "erk"}
        How many weights each layer keeps; see `balancer.layer_counts`.
    pe_map, pes : str, int
        The array, as in `PEMap.parse`.
    revive : bool
        Pruned weights take part again, with their last non-zero magnitude.
    allow_empty : bool
        Balanced methods may take the last slice of a layer.
    seed : int
        Seed of everything random.
    costs : mapping of str to LayerCost
        Cycles and energy of a slice of each layer, for ``latency`` and the budgets
        ``cycles``.
    latency_budget : float
        Most cycles for ``latency``, relative to ``optimal`` with budgets by LAMP.
    live : callable, optional
        Given masks, tells which weights lie on a path, or would if they alone were
        added; see `live_paths.live_weights`. None: methods do not ask.
    neighbours : tuple of Neighbours
        Layers that may be solved jointly, along live paths.
    """

    scores: Mapping[str, AnyArray]
    masks: Masks
    carried: Masks
    sparsity: float
    step: float
    budgets: Budgets = "global"
    pe_map: str = "output_channel"
    pes: int = 16
    revive: bool = False
    allow_empty: bool = False
    seed: int = 0
    costs: Mapping[str, LayerCost] | None = None
    latency_budget: float = 1.0
    live: Callable[[Masks], Masks] | None = None
    neighbours: tuple[Neighbours, ...] = ()

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


def check_pruned(made: Pruned, pruning: Pruning) -> None:
    """Refuse an answer that does not fit its question.

    Raises
    ------
    BalancerError
        Layers that are missing or unknown, masks that are not bool in the shape of the
        weights, or schedules of other channels than the PE map orders.
    """
    fields = {"masks": made.masks, "carried": made.carried}
    for field, given in (*fields.items(), ("schedules", made.schedules)):
        if not isinstance(given, Mapping) or given.keys() != pruning.scores.keys():
            said = given if isinstance(given, Mapping) else [type(given).__name__]
            raise BalancerError(
                f"`{field}` are of {', '.join(map(str, said)) or 'no layer'}; exactly "
                f"those of {', '.join(pruning.scores)} are needed"
            )
    for name, scores in pruning.scores.items():
        for field, masks in fields.items():
            mask = np.asarray(masks[name])
            if mask.dtype != np.bool_ or mask.shape != scores.shape:
                raise BalancerError(
                    f"`{field}[{name!r}]` is {mask.dtype}{list(mask.shape)}; "
                    f"bool{list(scores.shape)} is needed"
                )
        natural, schedule = pruning.map_of(name).schedule(), made.schedules[name]
        if not isinstance(schedule, Schedule) or (
            (schedule.axis, len(schedule.order)) != (natural.axis, len(natural.order))
        ):
            raise BalancerError(
                f"`schedules[{name!r}]` is {schedule!r}; a `balancer.Schedule` of "
                f"{len(natural.order)} channels on axis {natural.axis} is needed, such "
                "as `pruning.map_of(name).schedule()`"
            )


def natural_schedules(
    layers: Mapping[str, AnyArray], pe_map: str, pes: int = DEFAULT_PES
) -> Schedules:
    """Take the channels of layers of given weights or masks as they are."""
    return {
        name: PEMap.parse(pe_map, array.shape, pes).schedule()
        for name, array in layers.items()
    }


def unstructured(pruning: Pruning) -> dict[str, BoolArray]:
    """Keep the largest scores of every layer, as many as its budget allows.

    Exactly ``(1 - sparsity) * weights`` of the network are kept, rounded down (or all
    candidates, if they are fewer). With global budgets these are the largest scores of
    all; of equal scores, those of the first layers. With the others no layer gets less
    than the smallest slice of a balanced mask, unless layers may be emptied.
    """
    candidates = pruning.candidates()
    weights = sum(candidate.size for candidate in candidates.values())
    total = budget_of_sparsity(pruning.sparsity, weights)
    counts = guarded_counts(
        pruning.budgets,
        pruning.scores,
        candidates,
        total,
        {name: pruning.map_of(name) for name in candidates},
        costs=pruning.costs,
        allow_empty=pruning.allow_empty,
    )
    masks = {}
    for name, candidate in candidates.items():
        masks[name] = np.zeros(candidate.shape, np.bool_)
        masks[name][candidate] = lth_mask(pruning.scores[name][candidate], counts[name])
    return masks


def layer_budgets(
    pruning: Pruning, masks: Masks, in_order: bool = True
) -> dict[str, int]:
    """Round the non-zeros of unstructured masks to what balanced layers can have.

    A balanced layer keeps whole slices, so each is rounded to the nearest number of
    them, but no layer loses its last one unless the pruning allows it; see
    `balancer.network.layer_counts.whole_slices`.

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
    counts = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    return whole_slices(counts, least, candidates, maps)


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
    least = smallest_slice(pe_map, pe_map.least_of_group(pe_map.cell_loads(candidates)))
    if not least and not in_order:  # some other order may have room for one
        least = smallest_slice(pe_map, pe_map.least_of_group(pe_map.cell_sizes()))
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


def kept_magnitude(scores: Mapping[str, AnyArray], masks: Masks) -> float | None:
    """Kept score relative to unstructured pruning of the same layers.

    Each layer is compared at its own number of non-zeros; without any it is None.
    """
    kept, best = 0.0, 0.0
    for name, mask in masks.items():
        kept += total_score(scores[name], mask)
        best += top_k_sum(scores[name], int(np.count_nonzero(mask)))
    return fraction(kept, best)
