"""Many layers at once: each under its own budget, or all under one.

Layers are read when their turn comes and forgotten afterwards; what stays of a layer is
its mask and a few numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from math import prod
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from balancer.allocation import ROUNDING
from balancer.budgets import BUDGETS, LayerCost, Resource, Tradeoff
from balancer.errors import BalancerError, VerificationError
from balancer.layers import (
    Floors,
    Job,
    Layer,
    MapMaker,
    as_layers,
    map_maker,
    naming,
)
from balancer.metrics import LoadMetrics, top_k, top_k_sum
from balancer.problem import Order, RetentionProblem
from balancer.results import LayerResult, NetworkSolution
from balancer.search import Cancellation, Search
from balancer.shared import RankedNetwork
from balancer.solution import Answer, Solution, Termination, conclude, rounded_bound
from balancer.solve import solve
from balancer.ticket import LayerArrays, Ticket

Result = TypeVar("Result")

# Below this many weights a second thread costs more than it saves.
WEIGHTS_WORTH_A_THREAD = 2_000_000


def balance_network(
    layers: Mapping[str, npt.ArrayLike] | Iterable[Layer] | Ticket,
    *,
    budget: int | Mapping[str, int] | None = None,
    sparsity: float | None = None,
    scope: Literal["layer", "global"] = "layer",
    pe_map: str | MapMaker = "output_channel",
    pes: int = 16,
    channel_floor: int | Mapping[str, int] = 0,
    min_load: int | Mapping[str, int] = 0,
    nested: bool = False,
    order: Order = "fixed",
    nonzero_budget: int | None = None,
    latency_budget: float | None = None,
    energy_budget: float | None = None,
    costs: Mapping[str, LayerCost] | None = None,
    solver: str = "auto",
    time_limit: float = 30.0,
    work_limit: float | None = None,
    gap_limit: float = 0.0,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[LayerResult], None] | None = None,
    cancellation: Cancellation | None = None,
) -> NetworkSolution:
    """Balance all layers of a network.

    Parameters
    ----------
    layers : mapping of str to array_like, Ticket, or iterable of Layer
        Scores by name, or anything that can read the arrays of its layers.
    budget : int or mapping of str to int, optional
        Non-zeros: of each layer (one number, or one by name), or with the global scope
        of all layers together. Default: as many as the masks that are read have.
    sparsity : float, optional
        Instead of `budget`: least fraction of weights to prune, in each layer or, with
        the global scope, in the network.
    scope : {"layer", "global"}
        One program for each layer, or one over the slices of all layers.
    pe_map : str or callable
        A text for `PEMap.parse`, or a function from a weight shape to a PE map.
    pes : int
        PEs of the array, where `pe_map` is a text that does not say it.
    channel_floor : int or mapping of str to int
        Least number of weights that every output channel keeps: of all layers, or of
        those named.
    min_load : int or mapping of str to int
        Least load of every group, likewise.
    nested : bool
        Keep only weights of the masks that are read.
    order : {"fixed", "sorted", "optimized"}
        Order of the channels, as in `RetentionProblem`; the global scope takes only
        ``"fixed"``.
    nonzero_budget : int, optional
        Another name of `budget` beside the next two.
    latency_budget, energy_budget : float, optional
        Most cycles and energy of the network by `costs`, with the global scope: up to 1
        a fraction of what the layer-wise solution takes, above 1 in absolute terms.
    costs : mapping of str to LayerCost, optional
        What the masks of each layer take from the hardware. These budgets need them;
        without a budget, cycles and energy are only reported.
    solver, time_limit, work_limit, gap_limit, seed, cancellation
        As in `solve`, for each program.
    workers : int, optional
        Layers that are solved at the same time, in threads. The masks do not depend on
        it. Default: the processors, if the network is large enough to be worth it.
    progress : callable, optional
        Called with each layer's result as it comes.

    Returns
    -------
    NetworkSolution
        Results in the order of `layers`. After Ctrl-C they are complete all the same:
        slice-greedy answers what is left. A second Ctrl-C gives up.

    Raises
    ------
    BalancerError
        As `RetentionProblem` and `solve` do, naming the layer.
    InfeasibleError
        No masks satisfy the constraints; for a budget the message says the least
        possible value and which floors need it.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import balance_network
    >>> rng = np.random.default_rng(0)
    >>> scores = {"a": rng.random((16, 8, 3, 3)), "b": rng.random((16, 8, 3, 3)) ** 2}
    >>> own = balance_network(scores, sparsity=0.5)
    >>> shared = balance_network(scores, sparsity=0.5, scope="global")
    >>> [layer.solution.nonzeros for layer in own.layers]
    [576, 576]
    >>> [layer.solution.nonzeros for layer in shared.layers]
    [736, 416]
    >>> shared.kept > own.kept
    True
    """
    begun = time.perf_counter()
    chosen = as_layers(layers)
    if nonzero_budget is not None:
        if budget is not None:
            raise BalancerError(
                "`budget` and `nonzero_budget` say the same thing; give one"
            )
        budget = nonzero_budget
    search = Search(
        time_limit, work_limit, seed, None, cancellation or Cancellation(), gap_limit
    )
    floors = Floors(channel_floor, min_load)
    make_map = map_maker(pe_map, pes)
    job = Job(budget, sparsity, make_map, floors, nested, solver, search, costs, order)
    job.check([layer.name for layer in chosen], scope)
    limits = given_limits(latency_budget, energy_budget)
    if limits and (scope != "global" or costs is None):
        raise BalancerError(
            f"`{BUDGETS[next(iter(limits))]}` is shared by the layers: it needs "
            "scope='global' and the `costs` of all layers"
        )
    report = progress or (lambda result: None)
    if scope == "layer":
        if workers is None:
            weights = sum(prod(layer.shape) for layer in chosen)
            many = weights >= WEIGHTS_WORTH_A_THREAD
            workers = min(os.cpu_count() or 1, len(chosen)) if many else 1
        tasks = [partial(_balance_layer, job, layer) for layer in chosen]
        results = _run(tasks, workers, search.cancellation, report)
        totals = _Totals.of(results)
    else:
        task = partial(_balance_globally, job, chosen, limits, report)
        [(results, totals)] = _run([task], 1, search.cancellation, lambda whole: None)
    cycles, energy = _spent(results, costs)
    for resource, limit in totals.limits.items():
        spent = cycles if resource == "cycles" else energy
        if spent is None or spent > limit * (1 + ROUNDING):
            raise VerificationError(f"{spent} {resource} exceed the limit of {limit}")
    return NetworkSolution(
        scope,
        tuple(results),
        *totals,
        cycles=cycles,
        energy=energy,
        seconds=time.perf_counter() - begun,
    )


def given_limits(
    latency_budget: float | None, energy_budget: float | None
) -> dict[Resource, float]:
    """Collect the budgets that are given."""
    given: dict[Resource, float | None] = {
        "cycles": latency_budget,
        "energy": energy_budget,
    }
    return {name: limit for name, limit in given.items() if limit is not None}


def _spent(
    results: Sequence[LayerResult], costs: Mapping[str, LayerCost] | None
) -> tuple[float | None, float | None]:
    """Cycles and energy of masks, from the loads counted in them."""
    if costs is None:
        return None, None
    pairs = [(costs[result.name], result.solution) for result in results]
    slices = [int(mine.loads.max(axis=1, initial=0).sum()) for _, mine in pairs]
    cycles = sum(c.cycles(s) for (c, _), s in zip(pairs, slices, strict=True))
    energy = sum(
        c.energy(s, mine.nonzeros) for (c, mine), s in zip(pairs, slices, strict=True)
    )
    return cycles, energy


class _Totals(NamedTuple):
    """What `NetworkSolution` adds to the results of the layers."""

    budget: int
    kept_unstructured: float
    bound: float
    limits: Mapping[Resource, float] = MappingProxyType({})
    alternatives: Mapping[str, Tradeoff] = MappingProxyType({})

    @classmethod
    def of(cls, results: Sequence[LayerResult]) -> _Totals:
        """Add up layers with budgets of their own."""
        return cls(
            sum(r.solution.nonzeros + r.solution.remainder for r in results),
            float(sum(r.kept_unstructured for r in results)),
            float(sum(r.solution.bound for r in results)),
        )


def _balance_layer(job: Job, layer: Layer) -> LayerResult:
    """Balance one layer under its own budget."""
    with naming(layer):
        arrays = layer.read()
        budget = job.own_budget(layer.name, arrays)
        problem = job.problem(layer.name, arrays, budget)
        search = job.search
        solution = solve(
            problem,
            job.solver,
            time_limit=search.time_limit,
            work_limit=search.work_limit,
            gap_limit=search.gap_limit,
            seed=search.seed,
            cancellation=search.cancellation,
        )
        return _result(layer, arrays, problem, solution)


def _balance_globally(
    job: Job,
    layers: Sequence[Layer],
    given: Mapping[Resource, float],
    report: Callable[[LayerResult], None],
) -> tuple[list[LayerResult], _Totals]:
    """Balance all layers under shared budgets: one program over all their slices."""
    network = RankedNetwork.of(job, layers)
    limits, alternatives = network.limits(given), {}
    if job.costs is not None:
        alternatives["layer-wise"] = network.program.tradeoff(network.layer_wise)
    if limits:
        unlimited, *_ = network.answer({})
        alternatives["non-zeros only"] = network.program.tradeoff(unlimited)
    allocation, termination, solver, reason = network.answer(limits)
    if reason is not None and job.search.cancellation.cancelled:
        termination = Termination.CANCELLED
    nonzeros = network.program.tradeoff(allocation).nonzeros
    results, best = [], np.empty(0)
    of_layers = network.program.of_layers(allocation.loads)
    for layer, own, loads in zip(layers, network.slices, of_layers, strict=True):
        begun = time.perf_counter()
        with naming(layer):
            arrays = layer.read()
            problem = job.problem(layer.name, arrays, own.nonzeros(loads))
            solution = conclude(
                problem,
                Answer(own.mask(loads, problem), own.bound(problem), termination),
                solver=solver,
                fallback_reason=reason,
                begun=begun,
            )
            results.append(_result(layer, arrays, problem, solution))
            report(results[-1])
            of_layer = top_k(problem.allowed_scores(), nonzeros)
            best = top_k(np.concatenate([best, of_layer]), nonzeros)
    kept = float(sum(result.solution.kept for result in results))
    unstructured = float(best.sum(dtype=np.float64))
    bound = rounded_bound(allocation.bound, kept)
    totals = _Totals(network.budget, unstructured, bound, limits, alternatives)
    return results, totals


def _result(
    layer: Layer, arrays: LayerArrays, problem: RetentionProblem, solution: Solution
) -> LayerResult:
    scheduled = problem.in_schedule(solution.mask, solution.order)
    return LayerResult(
        name=layer.name,
        shape=layer.shape,
        before=LoadMetrics.of(arrays.mask, problem.pe_map),
        after=LoadMetrics.of(scheduled, problem.pe_map),
        revived=int(np.count_nonzero(solution.mask & ~arrays.mask)),
        kept_unstructured=top_k_sum(problem.allowed_scores(), solution.nonzeros),
        solution=solution,
    )


def _run(
    tasks: Sequence[Callable[[], Result]],
    workers: int,
    cancellation: Cancellation,
    done: Callable[[Result], None],
) -> list[Result]:
    """Run tasks in threads; the first Ctrl-C cancels their searches, the second all."""
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures = [pool.submit(task) for task in tasks]
        waiting = list(futures)
        while waiting:
            try:
                wait(waiting, return_when=FIRST_COMPLETED)
                for future in [future for future in waiting if future.done()]:
                    waiting.remove(future)
                    done(future.result())
            except KeyboardInterrupt:
                if cancellation.cancelled:
                    raise
                cancellation.cancel()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)
