"""The methods that prune a network between two rounds, by name.

All have the same question and the same budgets (see `pruning`); they differ in which
weights they keep, and in the order of the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from balancer import (
    ArrayLayer,
    BalancerError,
    LayerCost,
    NetworkSolution,
    PEMap,
    balance_network,
    budget_of_sparsity,
    lamp_scores,
    lth_sorted_schedule,
    top_k_per_pe_mask,
    u_ticket_mask,
)
from balancer.array_types import AnyArray, BoolArray
from balancer.errors import naming
from balancer.maps.registry import find_kind
from balancer.program.keys import mark
from snn.array_types import Masks
from snn.lottery.function_names import function_name
from snn.lottery.path_search import along_live_paths
from snn.lottery.pruning import (
    Pruned,
    Pruning,
    check_pruned,
    layer_budgets,
    least_kept,
    natural_schedules,
    unstructured,
)

# The search for an order stops here: further work has not paid in training.
ORDER_GAP = 0.002
# In CP-SAT's deterministic time, so that a run can be repeated on a busy machine.
ORDER_WORK = 2.0


Method = Callable[[Pruning], Pruned]

# Methods that order channels: of which axes, and what to use for other maps. Blocks of
# input channels could only be reordered if masks were not nested.
_ORDERED_AXES: dict[str, tuple[tuple[int, ...], str]] = {
    "lth-sorted": ((0, 1), "lth"),
    "optimal-order": ((0,), "optimal"),
}

# Methods that keep a slice of every layer within the budget of the network.
ROUNDED = frozenset({"optimal", "optimal-order", "latency"})


# What the fields of a configuration are that it does not give: as validation images of
# two data sets chose (see docs/study.md). Other methods do what their papers say.
OWN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "optimal": {"score": "gradient", "budgets": "lamp", "live_paths": True},
    "optimal-order": {"score": "gradient", "budgets": "lamp", "live_paths": True},
    # Its program shares the weights among the layers itself.
    "latency": {"score": "gradient", "live_paths": True},
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


def validated_method(method: Method) -> Method:
    """Hold a method of a user's own to what all of them promise.

    Parameters
    ----------
    method : callable
        Takes a `Pruning` and returns a `Pruned`, of exactly its layers.

    Returns
    -------
    callable
        The same method, which raises `BalancerError` where it returns something else:
        masks that are not bool in the shape of the weights, or schedules of other
        channels.

    Examples
    --------
    >>> import numpy as np
    >>> from snn import METHODS, Pruning
    >>> from snn.lottery.methods import validated_method
    >>> ones = {"a": np.ones((2, 3), bool)}
    >>> asked = Pruning({"a": np.arange(6.0).reshape(2, 3)}, ones, ones, 0.5, 0.5)
    >>> validated_method(METHODS["lth"])(asked).masks["a"].tolist()
    [[False, False, False], [True, True, True]]
    """

    def checked(pruning: Pruning) -> Pruned:
        with naming(f"`method` {function_name(method)}"):
            made = method(pruning)
            if not isinstance(made, Pruned):
                raise BalancerError(
                    f"it returned {type(made).__name__}; a `snn.Pruned` is needed"
                )
            check_pruned(made, pruning)
        return made

    return checked


def check_map(method: str, pe_map: str) -> None:
    """Check that a method can prune for a PE map.

    Of maps of one's own this is known layer by layer: see `check_layer_maps`.

    Raises
    ------
    BalancerError
        A text that names no map, or a map whose channels the method cannot order.
    """
    kind = find_kind(pe_map)[0]
    axes, instead = _ORDERED_AXES.get(method, ((kind.order_axis,), ""))
    if kind.order_axis not in axes and not kind.finds_order:
        raise BalancerError(
            f"`method` is {method!r}, which cannot order the channels of the PE map "
            f"{pe_map}; use {instead!r}"
        )


def check_layer_maps(method: str, pe_maps: Mapping[str, PEMap]) -> None:
    """Check that a method can order the channels of every layer, as far as it does.

    Raises
    ------
    BalancerError
        A layer whose channels it cannot order.
    """
    if method not in _ORDERED_AXES:
        return
    axes, instead = _ORDERED_AXES[method]
    wanted = ("tiles", "blocks") if 1 in axes else ("tiles",)
    for name, pe_map in pe_maps.items():
        if pe_map.order_kind not in wanted:
            raise BalancerError(
                f"`method` is {method!r}, which cannot order the channels of layer "
                f"{name} on the PE map {pe_map.name}; use {instead!r}"
            )


def _in_natural_order(pruning: Pruning, masks: Masks) -> Pruned:
    return Pruned(
        masks, masks, natural_schedules(pruning.scores, pruning.pe_map, pruning.pes)
    )


def lth(pruning: Pruning) -> Pruned:
    """Magnitude pruning of the lottery-ticket hypothesis: balance does not matter."""
    return _in_natural_order(pruning, unstructured(pruning))


def lth_sorted(pruning: Pruning) -> Pruned:
    """Prune as ``lth`` does, and sort the channels by their non-zeros."""
    masks = unstructured(pruning)
    schedules = {
        name: lth_sorted_schedule(mask, pruning.map_of(name))
        for name, mask in masks.items()
    }
    return Pruned(masks, masks, schedules)


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
    return Pruned(
        masks, carried, natural_schedules(pruning.scores, pruning.pe_map, pruning.pes)
    )


def top_k_per_pe(pruning: Pruning) -> Pruned:
    """Every PE keeps its best, all PEs of a layer equally many, and at least one."""
    masks = {}
    candidates = pruning.candidates()
    for name, mask in unstructured(pruning).items():
        pe_map = pruning.map_of(name)
        kept = int(np.count_nonzero(mask))
        some = bool(candidates[name].any()) and not pruning.allow_empty
        share = max(round(kept / max(1, pe_map.n_cells)), some)
        # What may not be kept comes last, and no PE is asked for more than all have.
        usable = mark(pruning.scores[name], candidates[name], None)
        least = int(pe_map.cell_loads(candidates[name]).min(initial=mask.size))
        masks[name] = top_k_per_pe_mask(
            usable, pe_map, min(share, least) * pe_map.n_cells
        )
    return _in_natural_order(pruning, masks)


def optimal(pruning: Pruning) -> Pruned:
    """Equal loads at the largest score, channels in their natural order."""
    return along_live_paths(pruning, _optimal)


def _optimal(pruning: Pruning) -> Pruned:
    budgets = layer_budgets(pruning, unstructured(pruning))
    return _in_natural_order(pruning, _solved(pruning, budget=budgets).masks)


def optimal_order(pruning: Pruning) -> Pruned:
    """Equal loads at the largest score, channels in the order that keeps most."""
    return along_live_paths(pruning, _optimal_order)


def _optimal_order(pruning: Pruning) -> Pruned:
    solved = _solved(
        pruning,
        budget=layer_budgets(pruning, unstructured(pruning), in_order=False),
        order="optimized",
        gap_limit=ORDER_GAP,
        work_limit=ORDER_WORK,
    )
    return Pruned(solved.masks, solved.masks, solved.schedules)


def latency(pruning: Pruning) -> Pruned:
    """Equal loads, the budget shared among the layers, within a budget of cycles.

    Scores are layer-adaptive (`lamp_scores`). The cycles are a fraction of those that
    ``optimal`` takes with budgets by them, if all weights take part: of the weights
    that earlier rounds left, the fraction would shrink with every round.
    Every PE that can keeps at least one weight, since a network without one of its
    layers computes nothing; where these weights alone take more cycles or non-zeros,
    they are all that is kept.
    """
    if pruning.costs is None:
        raise BalancerError(
            "`method` is 'latency', but what a slice costs is not known (`costs`)"
        )
    return along_live_paths(pruning, partial(_latency, costs=pruning.costs))


def _latency(pruning: Pruning, costs: Mapping[str, LayerCost]) -> Pruned:
    weights = sum(scores.size for scores in pruning.scores.values())
    floors = {
        name: min(1, int(pruning.map_of(name).cell_loads(mask).min(initial=1)))
        for name, mask in pruning.candidates().items()
    }
    # Where not every PE can, the layer keeps a slice all the same.
    needed = {
        name: floor * pruning.map_of(name).n_cells or least_kept(pruning, name)
        for name, floor in floors.items()
    }
    least = sum(
        cost.cycles(floors[name] * pruning.map_of(name).groups or needed[name] > 0)
        for name, cost in costs.items()
    )
    everything = _optimal(replace(pruning, budgets="lamp", revive=True))
    layer_wise = sum(
        costs[name].cycles(_slices(mask, pruning.map_of(name)))
        for name, mask in everything.masks.items()
    )
    # Sums of layers are comparable then, so that no layer is given up for another.
    candidates = pruning.candidates()
    normalized = {
        name: _lamp_of(score, candidates[name])
        for name, score in pruning.scores.items()
    }
    solved = _solved(
        replace(pruning, scores=normalized),
        budget=max(budget_of_sparsity(pruning.sparsity, weights), sum(needed.values())),
        scope="global",
        # Up to 1 it would be a fraction of what `balance_network` calls layer-wise.
        latency_budget=max(pruning.latency_budget * layer_wise, least, 1 + 1e-9),
        min_load=floors,
        costs=costs,
    )
    return _in_natural_order(pruning, solved.masks)


def _lamp_of(scores: AnyArray, candidates: BoolArray) -> AnyArray:
    """LAMP scores of the candidates; the others are not kept."""
    normalized = np.zeros(scores.shape)
    normalized[candidates] = lamp_scores(scores[candidates])
    return normalized


def _solved(pruning: Pruning, **program: Any) -> NetworkSolution:
    """Solve a program of `balance_network` over the candidates."""
    candidates = pruning.candidates()
    solution = balance_network(
        [ArrayLayer(n, s, candidates[n]) for n, s in pruning.scores.items()],
        pe_map=pruning.pe_map,
        pes=pruning.pes,
        nested=True,
        allow_empty=pruning.allow_empty,
        seed=pruning.seed,
        **program,
    )
    if solution.cancelled:  # Ctrl-C: training would go on with masks that are cut short
        raise KeyboardInterrupt
    return solution


def _slices(mask: BoolArray, pe_map: PEMap) -> int:
    """Largest load of every group, added up."""
    return int(pe_map.largest_of_group(pe_map.cell_loads(mask)).sum())


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
