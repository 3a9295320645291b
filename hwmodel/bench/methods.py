"""Who prunes the layers of a benchmark: our programs and solvers, baselines, others.

A method makes the call that is timed, from weights to a mask; what one needs before
that (a PE map for those that do not make their own, packages) is no part of it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from balancer import (
    Cancellation,
    SearchLimits,
    TransposableProblem,
    balance_expected_work,
    balance_network,
    lth_mask,
    solve,
    solve_two_way,
    top_k_per_pe_mask,
    u_ticket_mask,
)
from balancer.array_types import AnyArray, BoolArray
from balancer.maps.registry import find_kind
from balancer.program.validation import budget_of_sparsity
from hwmodel.bench.bench_case import BenchCase
from hwmodel.bench.milp import solve_by_milp
from hwmodel.bench.settings import BenchError

# How far the order of the channels is searched: this near to the bound, or so much.
ORDER_GAP, ORDER_WORK = 0.02, 0.2
GLOBAL_LAYERS = 4  # that share a budget; together they are the layer


class BenchMask(NamedTuple):
    """What a method returns.

    Attributes
    ----------
    mask : ndarray of bool or None
        Weights to keep; None if none was found in time.
    bound : float or None
        Total score that no mask within its constraints exceeds, where it proves one.
    """

    mask: BoolArray | None
    bound: float | None = None


Call = Callable[[], BenchMask]


@dataclass(frozen=True, slots=True)
class BenchMethod:
    """One way to prune a layer.

    Attributes
    ----------
    help : str
        What it is, in a few words.
    prepare : callable
        ``prepare(case, scores, seconds)`` makes the call that is timed; `seconds` is a
        limit for those that take one.
    needs_map : bool
        Whether it prunes for PEs; the others are timed once for all maps.
    fits : callable
        Whether it can answer a case.
    packages : tuple of str
        What has to be installed.
    traced : bool
        Whether all its memory is seen: that of NumPy and Python is, that of OR-Tools,
        HiGHS and torch is not.
    """

    help: str
    prepare: Callable[[BenchCase, AnyArray, float], Call]
    needs_map: bool = True
    fits: Callable[[BenchCase], bool] = lambda case: True
    packages: tuple[str, ...] = ()
    traced: bool = True


@contextmanager
def _stopping() -> Iterator[Cancellation]:
    """Let Ctrl-C end the benchmark: searches take it for the end of themselves."""
    cancellation = Cancellation()
    yield cancellation
    if cancellation.cancelled:
        raise KeyboardInterrupt


def _solver(name: str, **more: str) -> Callable[[BenchCase, AnyArray, float], Call]:
    def prepare(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
        def call() -> BenchMask:
            problem, limits = case.problem(scores, **more), SearchLimits(seconds)
            with _stopping() as stop:
                found = solve(problem, name, limits=limits, cancellation=stop)
            return BenchMask(found.mask, found.bound)

        return call

    return prepare


def _optimized(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    def call() -> BenchMask:
        problem = case.problem(scores, order="optimized")
        limits = SearchLimits(seconds, ORDER_WORK, ORDER_GAP)
        with _stopping() as stop:
            found = solve(problem, limits=limits, cancellation=stop)
        return BenchMask(found.mask, found.bound)

    return call


def _global(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    """Cut the layer into some of a quarter of its output channels each."""
    quarters = {str(n): s for n, s in enumerate(np.array_split(scores, GLOBAL_LAYERS))}

    def call() -> BenchMask:
        with _stopping() as stop:
            found = balance_network(
                quarters,
                pe_map=case.map,
                pes=case.pes,
                sparsity=case.sparsity,
                scope="global",
                allow_empty=True,
                time_limit=seconds,
                workers=1,
                cancellation=stop,
            )
        masks = [layer.solution.mask for layer in found.layers]
        return BenchMask(np.concatenate(masks), found.bound)

    return call


def _expected_work(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    inputs = (1, scores.shape[1], 1, 1)
    work = np.random.default_rng(0).lognormal(0.0, 1.0, inputs)

    def call() -> BenchMask:
        found = balance_expected_work(case.problem(scores), work)
        return BenchMask(found.mask, found.bound)

    return call


def _two_way(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    _, pattern = find_kind(case.map or "")

    def call() -> BenchMask:
        problem = TransposableProblem(scores, pattern["n"], pattern["m"])
        with _stopping() as stop:
            found = solve_two_way(problem, time_limit=seconds, cancellation=stop)
        return BenchMask(found.mask, found.bound)

    return call


def _top_k_per_pe(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    pe_map, budget = case.pe_map(), case.problem(scores).budget
    return lambda: BenchMask(top_k_per_pe_mask(scores, pe_map, budget))


def _u_ticket(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    pe_map, unbalanced = case.pe_map(), lth_mask(scores, case.problem(scores).budget)
    return lambda: BenchMask(u_ticket_mask(unbalanced, pe_map))


def _unstructured(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    budget = budget_of_sparsity(case.sparsity or 0.0, scores.size)
    return lambda: BenchMask(lth_mask(scores, budget))


def _torch_top_k(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    import torch

    rows = torch.from_numpy(scores.reshape(len(scores), -1))
    share = budget_of_sparsity(case.sparsity or 0.0, scores.size) // len(scores)

    def call() -> BenchMask:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            best = torch.topk(rows, share, dim=1, sorted=False).indices
            mask = torch.zeros(rows.shape, dtype=torch.bool).scatter_(1, best, True)
        finally:
            torch.set_num_threads(before)
        return BenchMask(mask.numpy().reshape(scores.shape))

    return call


def _milp(case: BenchCase, scores: AnyArray, seconds: float) -> Call:
    return lambda: BenchMask(*solve_by_milp(case.problem(scores), seconds))


def _has_order(case: BenchCase) -> bool:
    return case.kind is not None and case.kind.order_axis is not None


def _is_pattern(case: BenchCase) -> bool:
    return case.kind is not None and case.kind.prescribes_loads


def _has_budget(case: BenchCase) -> bool:
    return not _is_pattern(case)


METHODS: dict[str, BenchMethod] = {
    "lth": BenchMethod(
        "unstructured pruning, without checks", _unstructured, needs_map=False
    ),
    "torch-topk": BenchMethod(
        "torch.topk of every output channel, and the mask of it",
        _torch_top_k,
        needs_map=False,
        packages=("torch",),
        traced=False,
    ),
    "topk-per-pe": BenchMethod(
        "as many of the best for every PE, without checks",
        _top_k_per_pe,
    ),
    "u-ticket": BenchMethod(
        "u-Ticket's random rule, from an unstructured mask", _u_ticket, fits=_has_budget
    ),
    "greedy": BenchMethod("the program of a layer, slice-greedy", _solver("greedy")),
    "cp-sat": BenchMethod(
        "the program of a layer, proven and verified", _solver("cp-sat")
    ),
    "sorted": BenchMethod(
        "the same, channels sorted", _solver("cp-sat", order="sorted"), fits=_has_order
    ),
    "optimized": BenchMethod(
        f"the same, their order optimized to a gap of {ORDER_GAP:.0%} or by a work "
        f"limit of {ORDER_WORK:g}",
        _optimized,
        fits=_has_order,
    ),
    "global": BenchMethod(
        f"{GLOBAL_LAYERS} layers under one budget", _global, fits=_has_budget
    ),
    "two-way": BenchMethod(
        "transposable n:m, by minimum-cost flow", _two_way, fits=_is_pattern
    ),
    "expected-work": BenchMethod(
        "loads of log-normal work, as equal as one weight allows",
        _expected_work,
        fits=_has_budget,
    ),
    "literal": BenchMethod(
        "one boolean for each weight, in OR-Tools CP-SAT",
        _solver("binary"),
        traced=False,
    ),
    "milp": BenchMethod("the same in SciPy's milp (HiGHS)", _milp, traced=False),
}


def chosen_methods(names: Sequence[str] | None) -> dict[str, BenchMethod]:
    """Choose methods by name; by default all whose packages are installed.

    Raises
    ------
    BenchError
        An unknown name, or a package that is missing.
    """
    if names is None:
        return {n: one for n, one in METHODS.items() if not _missing(one)}
    for name in names:
        if name not in METHODS:
            raise BenchError(f"method {name!r}; accepted: {', '.join(METHODS)}")
        if _missing(METHODS[name]):
            raise BenchError(f"method {name} needs {_missing(METHODS[name])}")
    return {name: METHODS[name] for name in dict.fromkeys(names)}


def missing_methods() -> dict[str, str]:
    """Name the methods that cannot run here, and the packages they need."""
    return {name: _missing(one) for name, one in METHODS.items() if _missing(one)}


def _missing(method: BenchMethod) -> str:
    return ", ".join(p for p in method.packages if importlib.util.find_spec(p) is None)
