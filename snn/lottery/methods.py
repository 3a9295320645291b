"""The methods that prune a network between two rounds, by name.

Every method answers the same question: which weights go on, given the last non-zero
magnitude of each and the masks so far. Unstructured magnitude pruning says how many
weights each layer keeps; the methods differ in which, and in the order of the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from balancer import PEMap, balance_network
from balancer.baselines import (
    lth_mask,
    lth_sorted_order,
    top_k_per_pe_mask,
    u_ticket_mask,
)
from balancer.blocks import Array, BoolArray
from balancer.budgets import LayerCost
from balancer.errors import BalancerError
from balancer.metrics import fraction, top_k_sum
from balancer.problem import budget_of_sparsity
from balancer.ranking import mark
from balancer.ticket import LayerArrays

Masks = Mapping[str, BoolArray]
Orders = Mapping[str, npt.NDArray[np.int32]]
Scope = Literal["global", "layer"]

# The search for an order stops here: further work has not paid in training.
ORDER_GAP = 0.002
# In CP-SAT's deterministic time, so that a run can be repeated on a busy machine.
ORDER_WORK = 2.0


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
    seed : int
        Seed of everything random.
    costs : mapping of str to LayerCost
        Cycles and energy of a slice of each layer, for ``latency``.
    latency_budget : float
        Most cycles for ``latency``, relative to ``optimal``.
    """

    scores: Mapping[str, Array]
    masks: Masks
    carried: Masks
    sparsity: float
    step: float
    scope: Scope = "global"
    pe_map: str = "output_channel"
    pes: int = 16
    revive: bool = False
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
    orders : mapping of str to ndarray of int32 [channels]
        Schedule position -> channel, of the axis that the PE map permutes.
    """

    masks: Masks
    carried: Masks
    orders: Orders


Method = Callable[[Pruning], Pruned]

# Methods that order channels: of which axes, and what to use for other maps. Blocks of
# input channels could only be reordered if masks were not nested.
_ORDERED_AXES: dict[str, tuple[tuple[int, ...], str]] = {
    "lth-sorted": ((0, 1), "lth"),
    "optimal-order": ((0,), "optimal"),
}


def get_method(name: str) -> Method:
    """Look up a method.

    Raises
    ------
    BalancerError
        An unknown name.
    """
    if name not in METHODS:
        raise BalancerError(
            f"`method` is {name!r}; accepted: {', '.join(sorted(METHODS))}"
        )
    return METHODS[name]


def check_map(method: str, pe_map: str) -> None:
    """Check that a method can prune for a PE map.

    Raises
    ------
    BalancerError
        A text that names no map, or a map whose channels the method cannot order.
    """
    axis = PEMap.parse(pe_map, (1, 1)).order_axis
    axes, instead = _ORDERED_AXES.get(method, ((axis,), ""))
    if axis not in axes:
        raise BalancerError(
            f"`method` is {method!r}, which cannot order the channels of the PE map "
            f"{pe_map}; use {instead!r}"
        )


def natural_orders(layers: Mapping[str, Array], pe_map: str) -> Orders:
    """Order the channels of layers of given weights or masks as they are."""
    orders = {}
    for name, array in layers.items():
        axis = PEMap.parse(pe_map, array.shape).order_axis or 0
        orders[name] = np.arange(array.shape[axis], dtype=np.int32)
    return orders


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


def layer_budgets(pruning: Pruning, masks: Masks) -> dict[str, int]:
    """Round the non-zeros of unstructured masks to what balanced layers can have.

    A balanced layer keeps whole slices, so each is rounded to the nearest number of
    them, but never from some to none. What that adds up to is made good where it
    matters least, in the layer with the most non-zeros, so that the network keeps its
    budget but for less than a slice.
    """
    candidates = pruning.candidates()
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    most = {name: int(np.count_nonzero(candidates[name])) for name in masks}
    units = {name: _slice(pruning.map_of(name)) for name in masks}
    floors = {
        name: _smallest_slice(pruning.map_of(name)) if kept[name] else 0
        for name in masks
    }
    budgets = {
        name: min(most[name], max(round(kept[name] / unit) * unit, floors[name]))
        for name, unit in units.items()
    }
    owed = sum(kept.values()) - sum(budgets.values())
    for name in sorted(kept, key=lambda name: -kept[name]):
        unit = units[name]
        least = min(budgets[name], floors[name])
        whole = (budgets[name] + owed) // unit * unit
        whole = min(max(whole, least), most[name])
        owed += budgets[name] - whole
        budgets[name] = whole
        if owed >= 0:
            break
    return budgets


def _slice(pe_map: PEMap) -> int:
    """Weights of which every balanced mask keeps a multiple."""
    sizes = pe_map.group_sizes()
    return int(np.gcd.reduce(sizes[sizes > 0], initial=0)) or 1


def _smallest_slice(pe_map: PEMap) -> int:
    """Least weights that a balanced mask keeps, if it keeps any."""
    sizes = pe_map.group_sizes()
    return int(sizes[sizes > 0].min(initial=pe_map.weights))


@dataclass(frozen=True, slots=True, eq=False)
class _ScoredLayer:
    """A layer of `balance_network` in memory."""

    name: str
    scores: Array
    mask: BoolArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.scores.shape

    def read(self) -> LayerArrays:
        return LayerArrays(self.scores, self.mask)


def _layers(pruning: Pruning) -> list[_ScoredLayer]:
    candidates = pruning.candidates()
    return [_ScoredLayer(n, s, candidates[n]) for n, s in pruning.scores.items()]


def _in_natural_order(pruning: Pruning, masks: Masks) -> Pruned:
    return Pruned(masks, masks, natural_orders(pruning.scores, pruning.pe_map))


def lth(pruning: Pruning) -> Pruned:
    """Magnitude pruning of the lottery-ticket hypothesis: balance does not matter."""
    return _in_natural_order(pruning, unstructured(pruning))


def lth_sorted(pruning: Pruning) -> Pruned:
    """Prune as ``lth`` does, and sort the channels by their non-zeros."""
    masks = unstructured(pruning)
    orders = {
        name: lth_sorted_order(mask, pruning.map_of(name)).astype(np.int32)
        for name, mask in masks.items()
    }
    return Pruned(masks, masks, orders)


def u_ticket(pruning: Pruning) -> Pruned:
    """Random recovery and removal (arXiv 2302.06746, Algorithm 1), carried on.

    Recovery revives pruned weights, whatever `revive` says. Means are rounded to the
    nearest number, or up in a layer that this would empty.
    """
    seeds = _seeds(pruning)
    masks = {}
    for name, mask in unstructured(pruning).items():
        pe_map = pruning.map_of(name)
        masks[name] = u_ticket_mask(mask, pe_map, "paper", seeds[name])
        if mask.any() and not masks[name].any():
            masks[name] = u_ticket_mask(mask, pe_map, "ceil", seeds[name])
    return _in_natural_order(pruning, masks)


def u_ticket_code(pruning: Pruning) -> Pruned:
    """u-Ticket as its released code does it.

    Each round prunes its fraction of the weights that are still there, targets are
    rounded up, the first layer and linear layers stay as they are, and the unbalanced
    mask is carried on: recovered weights die at the next pruning, and so do removed
    ones, because training has left them at zero. So it ends sparser than planned.
    """
    alive = {
        name: pruning.carried[name] & pruning.masks[name] for name in pruning.masks
    }
    weights = sum(mask.size for mask in alive.values())
    left = sum(int(np.count_nonzero(mask)) for mask in alive.values())
    sparsity = 1 - left * (1 - pruning.step) / weights
    carried = unstructured(
        replace(pruning, carried=alive, sparsity=sparsity, revive=False)
    )
    seeds = _seeds(pruning)
    masks = {
        name: u_ticket_mask(mask, pruning.map_of(name), "ceil", seeds[name])
        if position > 0 and mask.ndim == 4
        else mask
        for position, (name, mask) in enumerate(carried.items())
    }
    return Pruned(masks, carried, natural_orders(pruning.scores, pruning.pe_map))


def top_k_per_pe(pruning: Pruning) -> Pruned:
    """Every PE keeps its best, all PEs of a layer equally many."""
    masks = {}
    candidates = pruning.candidates()
    for name, mask in unstructured(pruning).items():
        pe_map = pruning.map_of(name)
        kept = int(np.count_nonzero(mask))
        share = max(round(kept / max(1, pe_map.cells)), 1 if kept else 0)
        # What may not be kept comes last, and no PE is asked for more than all have.
        usable = mark(pruning.scores[name], candidates[name], None)
        least = int(pe_map.cell_loads(candidates[name]).min(initial=mask.size))
        masks[name] = top_k_per_pe_mask(
            usable, pe_map, min(share, least) * pe_map.cells
        )
    return _in_natural_order(pruning, masks)


def optimal(pruning: Pruning) -> Pruned:
    """Equal loads at the largest magnitude, channels in their natural order."""
    solved = balance_network(
        _layers(pruning),
        budget=layer_budgets(pruning, unstructured(pruning)),
        pe_map=pruning.pe_map,
        pes=pruning.pes,
        nested=True,
        seed=pruning.seed,
    )
    masks = {layer.name: layer.solution.mask for layer in solved.layers}
    return _in_natural_order(pruning, masks)


def optimal_order(pruning: Pruning) -> Pruned:
    """Equal loads at the largest magnitude, channels in the order that keeps most."""
    solved = balance_network(
        _layers(pruning),
        budget=layer_budgets(pruning, unstructured(pruning)),
        pe_map=pruning.pe_map,
        pes=pruning.pes,
        nested=True,
        order="optimized",
        gap_limit=ORDER_GAP,
        work_limit=ORDER_WORK,
        seed=pruning.seed,
    )
    masks = {layer.name: layer.solution.mask for layer in solved.layers}
    orders = {layer.name: layer.solution.order for layer in solved.layers}
    return Pruned(masks, masks, orders)


def latency(pruning: Pruning) -> Pruned:
    """Equal loads, the budget shared among the layers, within a budget of cycles.

    The cycles are a fraction of those that ``optimal`` takes if all weights take part:
    of the weights that earlier rounds left, the fraction would shrink with every round.
    Every PE that can keeps at least one weight, since a network without one of its
    layers computes nothing; where these weights alone take more cycles or non-zeros,
    they are all that is kept.
    """
    if pruning.costs is None:
        raise BalancerError(
            "`method` is 'latency', but what a slice costs is not known (`costs`)"
        )
    weights = sum(scores.size for scores in pruning.scores.values())
    floors = {
        name: min(1, int(pruning.map_of(name).cell_loads(mask).min(initial=1)))
        for name, mask in pruning.candidates().items()
    }
    least = sum(
        cost.cycles(floors[name] * pruning.map_of(name).groups)
        for name, cost in pruning.costs.items()
    )
    everything = optimal(replace(pruning, revive=True))
    layer_wise = sum(
        pruning.costs[name].cycles(_slices(mask, pruning.map_of(name)))
        for name, mask in everything.masks.items()
    )
    needed = sum(floors[name] * pruning.map_of(name).cells for name in floors)
    solved = balance_network(
        _layers(pruning),
        budget=max(budget_of_sparsity(pruning.sparsity, weights), needed),
        scope="global",
        # Up to 1 it would be a fraction of what `balance_network` calls layer-wise.
        latency_budget=max(pruning.latency_budget * layer_wise, least, 1 + 1e-9),
        min_load=floors,
        costs=pruning.costs,
        pe_map=pruning.pe_map,
        pes=pruning.pes,
        nested=True,
        seed=pruning.seed,
    )
    masks = {layer.name: layer.solution.mask for layer in solved.layers}
    return _in_natural_order(pruning, masks)


def _slices(mask: BoolArray, pe_map: PEMap) -> int:
    """Largest load of every group, added up."""
    return int(pe_map.largest_of_group(pe_map.cell_loads(mask)).sum())


def kept_magnitude(scores: Mapping[str, Array], masks: Masks) -> float:
    """Kept score relative to unstructured pruning of the same layers.

    Each layer is compared at its own number of non-zeros; without weights it is 1.
    """
    kept, best = 0.0, 0.0
    for name, mask in masks.items():
        kept += float(scores[name][mask].sum(dtype=np.float64))
        best += top_k_sum(scores[name], int(np.count_nonzero(mask)))
    return fraction(kept, best)


def _seeds(pruning: Pruning) -> dict[str, int]:
    """Return independent seeds for the layers."""
    drawn = np.random.SeedSequence(pruning.seed).generate_state(len(pruning.scores))
    return {name: int(one) for name, one in zip(pruning.scores, drawn, strict=True)}


METHODS: dict[str, Method] = {
    "lth": lth,
    "lth-sorted": lth_sorted,
    "u-ticket": u_ticket,
    "u-ticket-code": u_ticket_code,
    "topk-per-pe": top_k_per_pe,
    "optimal": optimal,
    "optimal-order": optimal_order,
    "latency": latency,
}
