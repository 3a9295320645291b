"""Many layers at once: each under its own budget, or all under one.

Layers are read when their turn comes and forgotten afterwards; what stays of a layer is
its mask and a few numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from types import MappingProxyType
from typing import NamedTuple, Unpack

from balancer.errors import naming
from balancer.hardware import LayerCost, Resource
from balancer.network.budgets import Tradeoff
from balancer.network.job import Given, Job, Layer, Layers, as_layers
from balancer.network.largest_scores import largest_sum
from balancer.network.layer_store import InMemory, LayerStore
from balancer.network.layer_wise import LayerWise
from balancer.network.network_solution import LayerResult, NetworkSolution, Visitor
from balancer.network.own_budgets import with_own_budgets
from balancer.network.ranked_network import RankedNetwork
from balancer.network.request import BalanceRequest
from balancer.network.tasks import run_tasks
from balancer.program.rounding import rounded_bound
from balancer.solvers.limits import Cancellation, SearchLimits
from balancer.solvers.solution import Answer, Termination, conclude


def balance_network(
    layers: Layers,
    request: BalanceRequest | None = None,
    *,
    limits: SearchLimits | None = None,
    solver: str = "auto",
    costs: Mapping[str, LayerCost] | None = None,
    progress: Callable[[LayerResult], None] | None = None,
    cancellation: Cancellation | None = None,
    **given: Unpack[Given],
) -> NetworkSolution:
    """Balance all layers of a network.

    Parameters
    ----------
    layers : mapping of str to array_like, Ticket, or iterable of Layer
        Scores by name, or anything that can read the arrays of its layers.
    request : BalanceRequest, optional
        What to keep, and for which PEs.
    limits : SearchLimits, optional
        How far the search may go in each program, and how many layers are solved at the
        same time.
    solver : str
        As in `solve`, for each program.
    costs : mapping of str to LayerCost, optional
        What the masks of each layer take from the hardware. Budgets of cycles and
        energy need them; without these, cycles and energy are only reported.
    progress : callable, optional
        Called with each layer's result as it comes; again if the layer has to make room
        for one that would be empty.
    cancellation : Cancellation, optional
        Lets another thread stop the searches.
    **given
        Fields of `BalanceRequest` and `SearchLimits`, as ``sparsity=0.98, seed=1``;
        they go before those of `request` and `limits`.

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
        No masks satisfy the constraints, or none that keep a slice of every layer; for
        a budget the message says the least possible value and which layers need it.

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
    job = Job.of(
        request, limits, given, solver=solver, costs=costs, cancellation=cancellation
    )
    chosen = as_layers(layers)
    return run_job(with_own_budgets(job, chosen), chosen, progress)


def run_job(
    job: Job,
    layers: Sequence[Layer],
    progress: Callable[[LayerResult], None] | None = None,
    visit: Visitor | None = None,
    ranked: RankedNetwork | None = None,
    store: LayerStore | None = None,
    ranking: Callable[[str], None] | None = None,
) -> NetworkSolution:
    """Balance layers as a job says; see `balance_network`.

    Parameters
    ----------
    job : Job
        How to do it.
    layers : sequence of Layer
        Layers of different names.
    progress : callable, optional
        Called with each layer's result, from this thread.
    visit : callable, optional
        Called with each layer's result, arrays and problem, while these are in memory.
    ranked : RankedNetwork, optional
        The same layers, if they are ranked already; used by the global scope.
    store : LayerStore, optional
        Takes each layer's result, and may know it already; default: all stay in memory.
    ranking : callable, optional
        Called with the name of each layer that is ranked, by the global scope.
    """
    begun = time.perf_counter()
    job.check([layer.name for layer in layers])
    report = progress or (lambda result: None)
    store = store or InMemory()
    see = visit or (lambda result, arrays, problem: None)
    cancellation = job.search.cancellation
    if job.request.scope == "layer":
        results = LayerWise(job, see, report, store).balance(layers)
        totals = _Totals.of(results)
    else:
        task = partial(
            _balance_globally, job, layers, report, see, ranked, store, ranking
        )
        [(results, totals)] = run_tasks([task], 1, cancellation, lambda whole: None)
    cycles, energy = _spent(results, job.costs)
    network = NetworkSolution(
        scope=job.request.scope,
        layers=tuple(results),
        kept=float(sum(result.solution.kept for result in results)),
        termination=_ending([result.solution.termination for result in results]),
        cycles=cycles,
        energy=energy,
        seconds=time.perf_counter() - begun,
        **totals._asdict(),
    )
    network.verify()
    return network


def _ending(of_layers: Sequence[Termination]) -> Termination:
    """Why the search in a network ended: the worst reason of its layers."""
    order = list(Termination)  # from a proof to a cancellation
    return max(of_layers, key=order.index, default=Termination.PROVED)


def _spent(
    results: Sequence[LayerResult], costs: Mapping[str, LayerCost] | None
) -> tuple[float | None, float | None]:
    """Cycles and energy of masks, from the loads counted in them."""
    if costs is None:
        return None, None
    cycles: float = 0
    energy: float = 0
    for result in results:
        cost, solution = costs[result.name], result.solution
        slices = int(solution.loads.max(axis=1, initial=0).sum())
        cycles += cost.cycles(slices)
        energy += cost.energy(slices, result.nonzeros)
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
            sum(r.nonzeros + r.solution.remainder for r in results),
            float(sum(r.kept_unstructured for r in results)),
            float(sum(r.solution.bound for r in results)),
        )


def _balance_globally(
    job: Job,
    layers: Sequence[Layer],
    report: Callable[[LayerResult], None],
    see: Visitor,
    ranked: RankedNetwork | None,
    store: LayerStore,
    ranking: Callable[[str], None] | None,
) -> tuple[list[LayerResult], _Totals]:
    """Balance all layers under shared budgets: one program over all their slices."""
    network = ranked or RankedNetwork.of(job, layers, ranking)
    limits, alternatives = network.limits(job.request.limits), {}
    if job.costs is not None:
        alternatives["layer-wise"] = network.program.tradeoff(network.layer_wise)
    if limits:
        unlimited = network.answer({}).allocation
        alternatives["non-zeros only"] = network.program.tradeoff(unlimited)
    allocation, termination, solver, reason, unchanged = network.answer(limits)
    if reason is not None and job.search.cancellation.cancelled:
        termination = Termination.CANCELLED
    nonzeros = network.program.tradeoff(allocation).nonzeros
    results, tally = [], network.largest.tally(nonzeros)
    of_layers = network.program.of_layers(allocation.loads)
    for layer, own, loads in zip(layers, network.slices, of_layers, strict=True):
        begun = time.perf_counter()
        with naming(f"layer {layer.name}"):
            arrays = layer.read()
            problem = job.request.problem(layer.name, arrays, own.nonzeros(loads))
            solution = store.recall(layer.name, problem)
            if solution is None:
                mask = arrays.mask if unchanged else own.mask(loads, problem)
                solution = conclude(
                    problem,
                    Answer(mask, own.bound(problem), termination),
                    solver=solver,
                    fallback_reason=reason,
                    begun=begun,
                )
            result = LayerResult.of(layer.name, arrays, problem, solution)
            see(result, arrays, problem)
            results.append(store.keep(result, problem))
            report(result)
            tally.add(problem)
    kept = float(sum(result.solution.kept for result in results))
    unstructured = tally.total()
    if unstructured is None:  # by a sample, which no one has seen to mislead
        problems = (
            job.request.problem(layer.name, layer.read(), prod(layer.shape))
            for layer in layers
        )
        unstructured = largest_sum(nonzeros, problems)
    bound = rounded_bound(allocation.bound, kept)
    totals = _Totals(network.budget, unstructured, bound, limits, alternatives)
    return results, totals
