"""The masks of a ticket, by any method that needs no training."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import escape

import numpy as np

from balancer import (
    LayerArrays,
    LoadMetrics,
    Schedule,
    Ticket,
    TicketLayer,
    balance_ticket,
    lth_mask,
    lth_sorted_schedule,
    top_k_per_pe_mask,
    top_k_sum,
    u_ticket_mask,
)
from balancer.array_types import AnyArray, BoolArray
from balancer.errors import naming
from balancer.maps.pe_map import PEMap
from balancer.network.job import Job
from balancer.network.own_budgets import with_own_budgets
from balancer.network.request import BalanceRequest
from balancer.program.keys import mark
from balancer.program.rounding import total_score
from hwmodel.sweeps.points import SweepPoint


@dataclass(frozen=True, slots=True, eq=False)
class MaskedLayer:
    """The mask of a layer, and what it keeps.

    Attributes
    ----------
    name : str
        The layer.
    mask : ndarray of bool
        In the shape of the weights, in their natural order.
    schedules : tuple of Schedule
        In which orders the PEs take the channels.
    metrics : LoadMetrics
        Use of the array.
    kept, kept_unstructured, scores : float
        Score that is kept, that as many non-zeros could keep, and of all weights.
    status : str
        ``optimal`` or ``feasible``; empty for methods that prove nothing.
    kept_anywhere : float or None
        With one program of all layers: score that as many non-zeros as all of them
        have could keep, wherever they are.
    """

    name: str
    mask: BoolArray
    schedules: tuple[Schedule, ...]
    metrics: LoadMetrics
    kept: float
    kept_unstructured: float
    scores: float
    status: str = ""
    kept_anywhere: float | None = None


def make_masks(
    ticket: Ticket, point: SweepPoint, layer: str | None = None
) -> Iterator[MaskedLayer]:
    """Make the masks of a point.

    Parameters
    ----------
    ticket : Ticket
        All layers of the network.
    point : SweepPoint
        Which layers take part, and how their masks are made.
    layer : str, optional
        This layer alone.

    Raises
    ------
    BalancerError
        As `balancer.balance_ticket` does.
    """
    method = point.settings.method
    patterns = (point.settings.layers, point.settings.skip)
    if layer is not None:
        patterns = (escape(layer), None)
    chosen = ticket.select(*patterns).layers
    if point.training is not None or method == "unchanged":
        for one in chosen:
            yield _as_it_is(one, point)
    elif method == "optimal":
        yield from _balanced(ticket, chosen, point, patterns)
    else:
        yield from _pruned(ticket, chosen, point)


def _as_it_is(layer: TicketLayer, point: SweepPoint) -> MaskedLayer:
    with naming(f"layer {layer.name}"):
        arrays = layer.read()
        pe_map = PEMap.parse(point.array.pe_map, layer.shape, point.array.pes)
        metrics = LoadMetrics.of(arrays.scheduled_mask(), pe_map)
        return _measured(
            layer.name, arrays, arrays.mask, arrays.schedules, metrics, arrays.scores
        )


def _balanced(
    ticket: Ticket,
    chosen: Sequence[TicketLayer],
    point: SweepPoint,
    patterns: tuple[str | None, str | None],
) -> Iterator[MaskedLayer]:
    report = balance_ticket(
        ticket,
        point.request,
        point.array.hardware if point.settings.needs_costs else None,
        limits=point.limits,
        solver=point.settings.solver,
        layers=patterns[0],
        skip=patterns[1],
        reorder=False,
    )
    if report.solution.cancelled:  # Ctrl-C: what is left was not searched for
        raise KeyboardInterrupt
    network = report.solution if point.settings.scope == "global" else None
    of_name = {layer.name: layer for layer in chosen}
    for result in report.layers:
        scores = of_name[result.name].read().scores
        yield MaskedLayer(
            result.name,
            result.solution.mask,
            (result.solution.schedule,),
            result.after,
            result.solution.kept,
            result.kept_unstructured,
            float(scores.sum(dtype=np.float64)),
            (network or result.solution).status.value,
            None if network is None else network.kept_unstructured,
        )


def _pruned(
    ticket: Ticket, chosen: Sequence[TicketLayer], point: SweepPoint
) -> Iterator[MaskedLayer]:
    request = _with_budgets(ticket, chosen, point)
    for layer in chosen:
        with naming(f"layer {layer.name}"):
            yield _by_rule(layer, request, point)


def _with_budgets(
    ticket: Ticket, chosen: Sequence[TicketLayer], point: SweepPoint
) -> BalanceRequest:
    """Settle what each layer keeps, as `optimal` would."""
    costs = None
    if point.settings.needs_costs and point.array.hardware is not None:
        shapes = {layer.name: layer.shape for layer in ticket.layers}
        on = point.array.hardware.layers(shapes, ticket.about)
        costs = {layer.name: on.slice_cost(layer.name) for layer in chosen}
    job = Job.of(
        point.request,
        point.limits,
        {"order": "fixed"},
        solver=point.settings.solver,
        costs=costs,
        cancellation=None,
    )
    return with_own_budgets(job, chosen).request


def _by_rule(
    layer: TicketLayer, request: BalanceRequest, point: SweepPoint
) -> MaskedLayer:
    """Prune a layer as others do, from the weights that balance may keep."""
    arrays = layer.read()
    budget = request.own_budget(layer.name, arrays)
    problem = request.problem(layer.name, arrays, budget)
    pe_map, candidates = problem.pe_map, problem.previous_mask
    scores = mark(problem.scores, candidates, None)
    most = scores.size if candidates is None else int(np.count_nonzero(candidates))
    budget = min(problem.budget, most)
    mask = _mask(scores, pe_map, budget, point, layer.name)
    revives = point.settings.method.startswith("u-ticket")
    if candidates is not None and not revives:
        mask &= candidates
    schedule = pe_map.schedule()
    if point.settings.order == "sorted":
        schedule = lth_sorted_schedule(mask, pe_map)
    metrics = LoadMetrics.of(schedule.apply(mask), pe_map)
    allowed = problem.scores if revives else problem.allowed_scores()
    return _measured(layer.name, arrays, mask, (schedule,), metrics, allowed)


def _mask(
    scores: AnyArray, pe_map: PEMap, budget: int, point: SweepPoint, name: str
) -> BoolArray:
    method = point.settings.method
    if method == "topk-per-pe":
        return top_k_per_pe_mask(scores, pe_map, budget)
    mask = lth_mask(scores, budget)
    if method == "lth":
        return mask
    # Of the name and not of the place, so that a layer by itself draws the same.
    state = np.random.SeedSequence([point.settings.seed, zlib.crc32(name.encode())])
    seed = int(state.generate_state(1)[0])
    made = u_ticket_mask(mask, pe_map, "paper", seed)
    if method == "u-ticket-ceil" or (mask.any() and not made.any()):
        made = u_ticket_mask(mask, pe_map, "ceil", seed)
    return made


def _measured(
    name: str,
    arrays: LayerArrays,
    mask: BoolArray,
    schedules: tuple[Schedule, ...],
    metrics: LoadMetrics,
    allowed: AnyArray,
) -> MaskedLayer:
    return MaskedLayer(
        name,
        mask,
        schedules,
        metrics,
        total_score(arrays.scores, mask),
        top_k_sum(allowed, metrics.nonzeros),
        float(arrays.scores.sum(dtype=np.float64)),
    )
