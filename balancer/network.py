"""Many layers at once: each under its own budget, or all under one.

Layers are read when their turn comes and forgotten afterwards; what stays of a layer is
its mask and a few numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from balancer.blocks import Array
from balancer.errors import BalancerError, InfeasibleError
from balancer.metrics import LoadMetrics, top_k, top_k_sum
from balancer.pe_map import PEMap
from balancer.problem import Order, RetentionProblem, budget_of_sparsity
from balancer.results import LayerResult, NetworkSolution
from balancer.search import Cancellation, Search
from balancer.slices import LayerSlices, settle
from balancer.solution import Answer, Solution, Termination, conclude, rounded_bound
from balancer.solve import ask, solve
from balancer.solvers import SliceSolver, get_solver
from balancer.ticket import LayerArrays, Ticket

MapMaker: TypeAlias = Callable[[tuple[int, ...]], PEMap]
Result = TypeVar("Result")

# Below this many weights a second thread costs more than it saves.
WEIGHTS_WORTH_A_THREAD = 2_000_000


class Layer(Protocol):
    """A named layer whose arrays can be read, as often as needed."""

    @property
    def name(self) -> str:
        """Name in reports and mask files."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""

    def read(self) -> LayerArrays:
        """Load scores and mask."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLayer:
    """A layer of which only the scores are known.

    Attributes
    ----------
    name : str
        Name in reports and mask files.
    scores : ndarray of float
        Non-negative saliency; what is zero counts as pruned so far.
    """

    name: str
    scores: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.scores.shape

    def read(self) -> LayerArrays:
        """Return scores and mask."""
        return LayerArrays(self.scores, self.scores != 0)


def balance_network(
    layers: Mapping[str, npt.ArrayLike] | Iterable[Layer] | Ticket,
    *,
    budget: int | Mapping[str, int] | None = None,
    sparsity: float | None = None,
    scope: Literal["layer", "global"] = "layer",
    pe_map: str | MapMaker = "output_channel",
    pes: int = 16,
    channel_floor: int = 0,
    nested: bool = False,
    order: Order = "fixed",
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
    channel_floor : int
        Least number of weights that every output channel keeps.
    nested : bool
        Keep only weights of the masks that are read.
    order : {"fixed", "sorted", "optimized"}
        Order of the channels, as in `RetentionProblem`; the global scope takes only
        ``"fixed"``.
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
        No masks satisfy the constraints.
    """
    begun = time.perf_counter()
    if isinstance(layers, Ticket):
        chosen: Sequence[Layer] = layers.layers
    elif isinstance(layers, Mapping):
        chosen = [ArrayLayer(name, np.asarray(s)) for name, s in layers.items()]
    else:
        chosen = list(layers)
    search = Search(
        time_limit, work_limit, seed, None, cancellation or Cancellation(), gap_limit
    )
    make_map = _map_maker(pe_map, pes)
    job = _Job(budget, sparsity, make_map, channel_floor, nested, order, solver, search)
    job.check([layer.name for layer in chosen], scope)
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
        task = partial(_balance_globally, job, chosen, report)
        [(results, totals)] = _run([task], 1, search.cancellation, lambda whole: None)
    return NetworkSolution(
        scope, tuple(results), *totals, seconds=time.perf_counter() - begun
    )


class _Totals(NamedTuple):
    """What `NetworkSolution` adds to the results of the layers."""

    budget: int
    kept_unstructured: float
    bound: float

    @classmethod
    def of(cls, results: Sequence[LayerResult]) -> _Totals:
        """Add up layers with budgets of their own."""
        return cls(
            sum(r.solution.nonzeros + r.solution.remainder for r in results),
            float(sum(r.kept_unstructured for r in results)),
            float(sum(r.solution.bound for r in results)),
        )


@dataclass(frozen=True, slots=True)
class _Job:
    """What to do with every layer: the parameters of `balance_network`."""

    budget: int | Mapping[str, int] | None
    sparsity: float | None
    make_map: MapMaker
    channel_floor: int
    nested: bool
    order: Order
    solver: str
    search: Search

    def check(self, names: Sequence[str], scope: str) -> None:
        """Refuse what is wrong before any work is done."""
        solver = get_solver(self.solver)
        if scope not in ("layer", "global"):
            raise BalancerError(f"`scope` is {scope!r}; accepted: layer, global")
        if scope == "global" and self.order != "fixed":
            raise BalancerError(
                f"`order` is {self.order!r}; the global scope takes only 'fixed'"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BalancerError(f"layers named twice: {', '.join(twice)}")
        if self.budget is not None and self.sparsity is not None:
            raise BalancerError("`budget` and `sparsity` say the same thing; give one")
        if scope == "global" and isinstance(self.budget, Mapping):
            raise BalancerError(
                "with the global scope `budget` is one number for all layers"
            )
        if scope == "global" and not isinstance(solver, SliceSolver):
            raise BalancerError(
                f"the solver {self.solver} answers one layer at a time; with the "
                "global scope use cp-sat or greedy"
            )
        if isinstance(self.budget, Mapping) and not set(self.budget) <= set(names):
            unknown = sorted(set(self.budget) - set(names))
            raise BalancerError(
                f"`budget` names {', '.join(unknown)}; accepted: {', '.join(names)}"
            )

    def problem(self, arrays: LayerArrays, budget: int | None) -> RetentionProblem:
        """State the program of one layer; None is the budget that its map implies."""
        return RetentionProblem(
            arrays.scores,
            self.make_map(arrays.scores.shape),
            budget,
            channel_floor=self.channel_floor,
            previous_mask=arrays.mask if self.nested else None,
            order=self.order,
        )

    def own_budget(self, name: str, arrays: LayerArrays) -> int | None:
        """Budget of one layer by itself; None if its map implies it."""
        if isinstance(self.budget, Mapping):
            if name in self.budget:
                return self.budget[name]
        elif self.budget is not None:
            return self.budget
        if self.sparsity is not None:
            return budget_of_sparsity(self.sparsity, arrays.scores.size)
        if self.make_map(arrays.scores.shape).fixed_load is not None:
            return None
        return int(np.count_nonzero(arrays.mask))


def _balance_layer(job: _Job, layer: Layer) -> LayerResult:
    """Balance one layer under its own budget."""
    with _naming(layer):
        arrays = layer.read()
        problem = job.problem(arrays, job.own_budget(layer.name, arrays))
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
    job: _Job, layers: Sequence[Layer], report: Callable[[LayerResult], None]
) -> tuple[list[LayerResult], _Totals]:
    """Balance all layers under one budget: one program over all their slices."""
    slices, budget = _rank_all(job, layers)
    allocator = settle(slices, budget)
    (allocation, termination), solver, reason = ask(
        job.solver,
        job.search,
        lambda chosen: cast("SliceSolver", chosen).allocate(allocator, job.search),
    )
    if reason is not None and job.search.cancellation.cancelled:
        termination = Termination.CANCELLED
    nonzeros = allocator.nonzeros(allocation)
    results, best, first = [], np.empty(0), 0
    for layer, own in zip(layers, slices, strict=True):
        begun = time.perf_counter()
        loads = allocation.loads[first : first + own.groups]
        first += own.groups
        with _naming(layer):
            arrays = layer.read()
            problem = job.problem(arrays, own.nonzeros(loads))
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
    return results, _Totals(budget, unstructured, rounded_bound(allocation.bound, kept))


def _rank_all(job: _Job, layers: Sequence[Layer]) -> tuple[list[LayerSlices], int]:
    """Rank the weights of every layer, and find the budget of all together."""
    weights = sum(prod(layer.shape) for layer in layers)
    budget = cast("int | None", job.budget)
    if job.sparsity is not None:
        budget = budget_of_sparsity(job.sparsity, weights)

    def read(layer: Layer) -> RetentionProblem:
        return job.problem(layer.read(), prod(layer.shape))

    slices, own_budgets = [], 0
    for layer in layers:
        with _naming(layer):
            arrays = layer.read()
            problem = job.problem(arrays, arrays.scores.size)
            if budget is None:
                own = job.own_budget(layer.name, arrays)
                share = problem.least if own is None else own
                own_budgets += share
            else:
                share = budget * arrays.scores.size // max(1, weights)
            mean_load = share / max(1, problem.pe_map.cells)
            slices.append(LayerSlices(problem, mean_load, partial(read, layer)))
    budget = own_budgets if budget is None else budget
    least = sum(own.least for own in slices)
    if not least <= budget <= weights:
        raise InfeasibleError(
            f"`budget` is {budget} for all layers; their bounds and floors need at "
            f"least {least}, and they have {weights} weights"
        )
    return slices, budget


def _result(
    layer: Layer, arrays: LayerArrays, problem: RetentionProblem, solution: Solution
) -> LayerResult:
    scheduled = problem.in_schedule(solution.mask, solution.order)
    return LayerResult(
        name=layer.name,
        shape=layer.shape,
        before=LoadMetrics.of(arrays.mask, problem.pe_map),
        after=LoadMetrics.of(scheduled, problem.pe_map),
        kept_unstructured=top_k_sum(problem.allowed_scores(), solution.nonzeros),
        solution=solution,
    )


@contextmanager
def _naming(layer: Layer) -> Iterator[None]:
    """Say in an error which layer it is about."""
    try:
        yield
    except BalancerError as error:
        text = str(error)
        if text.startswith(f"layer {layer.name}"):
            raise
        raise type(error)(f"layer {layer.name}: {text}") from error


def _map_maker(pe_map: str | MapMaker, pes: int) -> MapMaker:
    if not isinstance(pe_map, str):
        return pe_map
    PEMap.parse(pe_map, (1, 1), pes)  # a wrong text fails now, not at the first layer
    return lambda shape: PEMap.parse(pe_map, shape, pes)


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
