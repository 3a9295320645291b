"""Balance a ticket: the masks, and everything there is to know about them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import isinf
from typing import Any, Unpack

from balancer.baselines import BaselineRow, compare_baselines
from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from balancer.errors import BalancerError
from balancer.files.given_scores import Scores
from balancer.files.mask_files import MaskPlace
from balancer.files.ticket import Ticket, open_ticket
from balancer.files.ticket_layer import LayerArrays
from balancer.hardware import HardwareModel, LayerCost
from balancer.metrics import top_k_sum
from balancer.network.balance import run_job
from balancer.network.frontier import check_points, frontier_of
from balancer.network.job import Given, Job
from balancer.network.network_solution import LayerResult
from balancer.network.own_budgets import with_own_budgets
from balancer.network.ranked_network import RankedNetwork
from balancer.network.request import BalanceRequest
from balancer.program.problem import RetentionProblem
from balancer.report.accuracy_meter import AccuracyMeter, EffectiveCounter
from balancer.report.balance_files import BalanceFiles
from balancer.report.balance_report import BalanceReport, Reordered, mask_metadata
from balancer.report.hardware_use import NO_HARDWARE, HardwareMeter, HardwareUse
from balancer.report.streamed_layers import streamed
from balancer.solvers.limits import Cancellation, SearchLimits
from balancer.solving import solve

# How far the search goes that only says what another order would keep.
QUICK_GAP, QUICK_SECONDS = 0.02, 1.0
# Above, beginning that search takes longer, and more memory, than all the rest.
MOST_REORDERED = 2**23


def balance_ticket(
    ticket: Ticket | str | os.PathLike[str],
    request: BalanceRequest | None = None,
    hardware: HardwareModel | None = None,
    *,
    limits: SearchLimits | None = None,
    solver: str = "auto",
    layers: str | None = None,
    skip: str | None = None,
    scores: Scores | None = None,
    compare: bool = False,
    reorder: bool = True,
    frontier: int | None = None,
    accuracy: AccuracyMeter | None = None,
    effective: EffectiveCounter | None = None,
    progress: Callable[[LayerResult], None] | None = None,
    ranking: Callable[[str], None] | None = None,
    cancellation: Cancellation | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    **given: Unpack[Given],
) -> BalanceReport:
    """Balance the layers of a ticket, and report what it changes.

    Every layer is read once for each pass over the network: one pass for layers with
    their own budgets, two for a shared one, be it shared by a program or by a rule.

    Parameters
    ----------
    ticket : Ticket, str or path
        Weights, masks and scores, or the file that holds them.
    request : BalanceRequest, optional
        What to keep. PE map and PEs that it leaves open are those of the hardware.
    hardware : HardwareModel, optional
        What tells cycles and energy before and after, as `hwmodel.Hardware`; budgets
        of them and the frontier need it.
    limits : SearchLimits, optional
        How far the search may go in each program.
    solver : str
        As in `solve`, for each program.
    layers, skip : str, optional
        Names of the layers to balance and to leave out, as patterns of a shell.
    scores : mapping of str to array_like, str or path, optional
        What ranks the weights of these layers, instead of the ticket's own scores; see
        `Ticket.with_scores`.
    compare : bool
        Also tell what other methods keep.
    reorder : bool
        Also tell what the layers would keep in a better order of their channels, by a
        short search, if each has its own budget and a fixed order, and none more than
        8 million weights.
    frontier : int, optional
        With the global scope: also find so many points of the magnitude that can be
        kept in fewer cycles.
    accuracy : AccuracyMeter, optional
        Tells how accurate the network is with masks, or with None as it is, and how
        many weights are effective: `snn.TicketAccuracy` for tickets of lottery runs.
    effective : callable, optional
        Tells that alone, in the same way: `hwmodel.effective.count_effective`.
        Default: what the meter of the accuracy tells.
    progress : callable, optional
        Called with each layer's result as it comes.
    ranking : callable, optional
        Called, with the global scope, with the name of each layer as its weights are
        ranked, which is half of the work; from another thread.
    cancellation : Cancellation, optional
        Lets another thread stop the searches.
    out : str or path, optional
        Write masks and report there, as `BalanceReport.save` does, but each mask as
        soon as it is found. The masks of the report are read from that file when they
        are looked at, so a network of any size takes the memory of its largest layer.
    resume : bool
        With `out`: leave what is done in a folder beside it if this process ends
        before its time, and go on from there. Layers that are done are checked again,
        and not solved again.
    **given
        Fields of `BalanceRequest` and `SearchLimits`, as ``sparsity=0.98, seed=1``;
        they go before those of `request` and `limits`.

    Returns
    -------
    BalanceReport
        Complete even after Ctrl-C, see `balance_network`.

    Raises
    ------
    BalancerError
        As `balance_network` does; a budget of cycles without hardware, or hardware with
        another PE map than asked for; `out` that another process works on.
    TicketError
        `out` that was read for this, or that no balancing has written.
    WriteError
        `out` that cannot be written.

    Examples
    --------
    >>> from balancer import balance_ticket, open_ticket, shipped_ticket
    >>> report = balance_ticket(shipped_ticket(), sparsity=0.98)
    >>> report.solution.status.value, round(report.solution.kept_fraction, 3)
    ('optimal', 0.99)

    A checkpoint that does not fit into memory:

    >>> report = balance_ticket(shipped_ticket(), sparsity=0.98, out="balanced")
    >>> len(open_ticket("balanced/masks.safetensors").layers)
    4
    """
    if not isinstance(ticket, Ticket):
        ticket = open_ticket(ticket)
    job = Job.of(
        request, limits, given, solver=solver, costs=None, cancellation=cancellation
    )
    if hardware is not None:
        settled = job.request.on(hardware.pe_map, hardware.pes)
        job = replace(job, request=settled)
    chosen = ticket.select(layers, skip)
    if scores is not None:
        chosen = chosen.with_scores(scores)
    shapes = {layer.name: layer.shape for layer in ticket.layers}
    meter = None
    if hardware is not None:
        meter = HardwareMeter.of(hardware, shapes, ticket.about)
    asked = job.request
    if asked.limits or frontier is not None or asked.budgets == "cycles":
        job = replace(job, costs=_costs(meter, chosen))
    ranked = None
    if frontier is not None:
        _check_frontier(job.request, frontier)
        job.check([layer.name for layer in chosen.layers])
        ranked = RankedNetwork.of(job, chosen.layers, ranking)
    job = with_own_budgets(job, chosen.layers)
    if effective is None and accuracy is not None:
        effective = accuracy.effective
    settings = _settings(asked, job, hardware)
    settings |= {"layers": layers, "skip": skip, "scores": _source(scores)}
    names = [layer.name for layer in chosen.layers]
    watch = _Watch(job, meter, compare, reorder)
    with ExitStack() as stack:
        store, document, files = None, None, None
        if out is not None:
            files = BalanceFiles.of(out)
            files.refuse_to_replace(chosen.paths)
            store, document = stack.enter_context(
                streamed(
                    files,
                    _places(chosen, job.request),
                    mask_metadata(ticket.source, settings, ticket.about),
                    resume,
                )
            )
        solution = run_job(
            job, chosen.layers, progress, watch.see, ranked, store, ranking
        )
        use = None if meter is None else meter.use(names)
        report = BalanceReport(
            solution=solution,
            request=asked,
            limits=job.search.limits,
            settings=settings,
            source=ticket.source,
            inputs=chosen.paths,
            ranked_by=chosen.ranked_by,
            axes=chosen.axes,
            about=ticket.about,
            ticket_notes=ticket.notes,
            hardware=use,
            hardware_note=_hardware_note(meter, use),
            baselines={name: watch.baselines[name] for name in names if compare},
            reordered=watch.if_reordered(names),
            frontier=None if ranked is None else (*frontier_of(ranked, frontier or 1),),
            accuracy_before=None if accuracy is None else accuracy(None),
            accuracy=None if accuracy is None else accuracy(solution.masks),
            effective_before=None if effective is None else effective(None),
            effective=None if effective is None else effective(solution.masks),
        )
        if files is not None and document is not None:
            report.write_document(document, files)
    return report


def _places(chosen: Ticket, request: BalanceRequest) -> dict[str, MaskPlace]:
    """Say what is known of the masks before they are found."""
    axes, fixed = chosen.axes, request.order == "fixed"
    return {
        layer.name: MaskPlace(
            layer.shape,
            None if fixed else request.make_map(layer.shape).order_axis or 0,
            axes.get(layer.name),
        )
        for layer in chosen.layers
    }


def _hardware_note(meter: HardwareMeter | None, use: HardwareUse | None) -> str | None:
    if meter is None:
        return NO_HARDWARE
    return meter.note if use is None else use.assumption


def _costs(meter: HardwareMeter | None, chosen: Ticket) -> dict[str, LayerCost]:
    """Say what a slice of each layer costs.

    Raises
    ------
    BalancerError
        There is no hardware, or the layers cannot run on it.
    """
    if meter is None or meter.layers is None:
        why = NO_HARDWARE if meter is None else meter.note
        raise BalancerError(
            "budgets of cycles or energy, those by cycles, and the frontier need "
            f"hardware: {why}"
        )
    return {layer.name: meter.layers.slice_cost(layer.name) for layer in chosen.layers}


def _check_frontier(request: BalanceRequest, points: int) -> None:
    check_points(points)
    if request.scope != "global":
        raise BalancerError(
            "the frontier shares one budget among the layers; it needs scope='global'"
        )


def _source(scores: Scores | None) -> str | None:
    """Say where scores come from, as JSON holds it."""
    if scores is None or isinstance(scores, Mapping):
        return None if scores is None else "in memory"
    return os.fspath(scores)


def _settings(
    request: BalanceRequest, job: Job, hardware: HardwareModel | None
) -> dict[str, Any]:
    """List what the result depends on, beside the layers."""
    limits = job.search.limits
    return {
        "scope": request.scope,
        "budgets": request.budgets,
        "pes": DEFAULT_PES if request.pes is None else request.pes,
        "map": getattr(request.pe_map, "__name__", request.pe_map) or DEFAULT_MAP,
        "sparsity": request.sparsity,
        "budget": request.budget,
        "latency_budget": request.latency_budget,
        "energy_budget": request.energy_budget,
        "channel_floor": request.channel_floor,
        "min_load": request.min_load,
        "nested": request.nested,
        "order": request.order,
        "allow_empty": request.allow_empty,
        "gap_limit": limits.gap_limit,
        "solver": job.solver,
        "time_limit": None if isinf(limits.seconds) else limits.seconds,
        "work_limit": limits.work_limit,
        "seed": limits.seed,
        "accelerator": None if hardware is None else hardware.name,
    }


@dataclass(slots=True)
class _Watch:
    """Looks at every layer while its arrays are in memory, so that none is read again.

    Layers come from several threads; each writes its own entries.
    """

    job: Job
    meter: HardwareMeter | None
    compare: bool
    reorder: bool
    baselines: dict[str, tuple[BaselineRow, ...]] = field(default_factory=dict)
    reordered: dict[str, Reordered] = field(default_factory=dict)

    def see(
        self, result: LayerResult, arrays: LayerArrays, problem: RetentionProblem
    ) -> None:
        """Evaluate, compare and reorder one layer."""
        name, solution = result.name, result.solution
        if self.meter is not None:
            self.meter.see(name, arrays, solution.mask, solution.schedule)
        if self.compare:
            budget = result.nonzeros + solution.remainder
            seed = self.job.search.limits.seed
            rows = compare_baselines(problem.scores, problem.pe_map, budget, seed)
            self.baselines[name] = tuple(rows)
        request = self.job.request
        fixed = request.order == "fixed" and request.scope == "layer"
        if self.reorder and fixed and result.weights <= MOST_REORDERED:
            self._reorder(name, arrays, problem.budget)

    def _reorder(self, name: str, arrays: LayerArrays, budget: int) -> None:
        """Search for a better order for a moment; none where the map has no other."""
        search = self.job.search
        if search.cancellation.cancelled:
            return
        quick = replace(
            search.limits,
            gap_limit=QUICK_GAP,
            time_limit=min(search.limits.seconds, QUICK_SECONDS),
            work_limit=None,
        )
        try:
            problem = self.job.request.problem(name, arrays, budget, "optimized")
            found = solve(problem, limits=quick, cancellation=search.cancellation)
        except BalancerError:
            return
        best = top_k_sum(problem.allowed_scores(), found.nonzeros)
        self.reordered[name] = Reordered(found.kept, best, found.nonzeros)

    def if_reordered(self, names: list[str]) -> Reordered | None:
        """Add up the reordered layers; None if any of them is missing."""
        if not all(name in self.reordered for name in names):
            return None
        found = [self.reordered[name] for name in names]
        return Reordered(
            float(sum(one.kept for one in found)),
            float(sum(one.kept_unstructured for one in found)),
            sum(one.nonzeros for one in found),
        )
