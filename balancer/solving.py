"""One entry to all solvers: pick, answer, fall back, verify."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, Unpack

import numpy as np

from balancer.errors import InfeasibleError, SolverUnavailableError
from balancer.order.optimize import ORDER_SOLVER, start_schedule, unstructured_bound
from balancer.order.optimize import optimize as optimize_order
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import is_reached, total_score
from balancer.solvers import DEFAULT, FALLBACK, Solver, get_solver
from balancer.solvers.limits import (
    Cancellation,
    GivenLimits,
    ProgressCallback,
    Search,
    SearchLimits,
    combined_limits,
)
from balancer.solvers.solution import Answer, Solution, Termination, conclude

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


def solve(
    problem: RetentionProblem,
    solver: str = "auto",
    *,
    limits: SearchLimits | None = None,
    progress: ProgressCallback | None = None,
    cancellation: Cancellation | None = None,
    **given: Unpack[GivenLimits],
) -> Solution:
    """Find the mask of largest score that a problem allows, and prove how good it is.

    Parameters
    ----------
    problem : RetentionProblem
        The program of one layer.
    solver : str
        ``"auto"`` (``"cp-sat"``), ``"cp-sat"``, ``"greedy"``, ``"binary"``, or a name
        from `balancer.solvers.register_solver`. An optimized order has a search of its
        own (``"assignment"``), whichever is asked.
    limits : SearchLimits, optional
        Time, work, gap, and the seed. The same seed gives the same answer if the search
        ends with a proof or by its work limit; the clock is not repeatable.
    progress : callable, optional
        Called with a `Progress` for every better answer or bound; it may be called from
        another thread.
    cancellation : Cancellation, optional
        Lets another thread stop the search. Ctrl-C does so too, and the best answer so
        far is returned with the termination reason ``cancelled``.
    **given
        Fields of `SearchLimits`, as ``time_limit=5.0``; they go before those of
        `limits`.

    Returns
    -------
    Solution
        Verified. If the solver had no answer, or had a worse one when it was cut short,
        slice-greedy's, with `fallback_reason`.

    Raises
    ------
    BalancerError
        An unknown solver or a senseless limit or seed.
    InfeasibleError
        No mask satisfies the problem, or none in the sorted and the natural order.
    SolverUnavailableError
        Neither the solver nor slice-greedy has an answer. Only floors of channels that
        cross the cells of a labelled map lead here.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem, solve
    >>> scores = np.array([[9.0, 8.0, 7.0], [3.0, 2.0, 1.0]])
    >>> pe_map = PEMap.output_channel(scores.shape, pes=2)
    >>> solution = solve(RetentionProblem(scores, pe_map, budget=5))
    >>> solution.mask.astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    >>> solution.kept, solution.bound, solution.remainder
    (22.0, 22.0, 1)
    """
    begun = time.perf_counter()
    search = Search(
        combined_limits(limits, given), progress, cancellation or Cancellation()
    )
    answers = {"fixed": _in_order, "sorted": _sorted, "optimized": _optimized}
    answer, name, reason = answers[problem.order](problem, solver, search)
    return conclude(problem, answer, solver=name, fallback_reason=reason, begun=begun)


def _in_order(
    problem: RetentionProblem, solver: str, search: Search
) -> tuple[Answer, str, str | None]:
    """Answer a problem whose order is fixed.

    Returns answer, solver and reason of the fallback as `ask` does.
    """
    answer, name, reason = ask(
        solver, search, lambda chosen: chosen.solve(problem, search)
    )
    if reason is not None and search.cancellation.cancelled:
        answer = replace(answer, termination=Termination.CANCELLED)
    if answer.termination in (Termination.TIME_LIMIT, Termination.CANCELLED):
        greedy = _greedy_if_better(problem, answer, search)
        if greedy is not None:
            reason = reason or f"{name} kept less, cut short by: {answer.termination}"
            answer, name = greedy, FALLBACK
    return answer, name, reason


def _sorted(
    problem: RetentionProblem, solver: str, search: Search
) -> tuple[Answer, str, str | None]:
    """Answer a problem in its sorted order."""
    schedule = start_schedule(problem)
    answer, name, reason = _in_order(problem.scheduled(schedule), solver, search)
    mask = schedule.invert(answer.mask)
    return replace(answer, mask=mask, schedule=schedule), name, reason


def _optimized(
    problem: RetentionProblem, solver: str, search: Search
) -> tuple[Answer, str, str | None]:
    """Answer a problem in the best order that is found."""
    get_solver(solver)
    begun = time.perf_counter()
    try:
        answer = optimize_order(problem, search)
        left = search.after(time.perf_counter() - begun, 0.0)
        return _or_natural(problem, answer, solver, left), ORDER_SOLVER, None
    except SolverUnavailableError as error:
        reason = str(error)
    except KeyboardInterrupt:
        search.cancellation.cancel()
        reason = "cancelled"
    logger.warning("no optimized order (%s); the sorted one is taken", reason)
    why_not = search.why_not()
    answer, name, _ = _sorted(problem, FALLBACK, search)
    # The sorted order's bound and proof say nothing about the others.
    bound = unstructured_bound(problem)
    if search.cancellation.cancelled:
        ending = Termination.CANCELLED
    elif is_reached(total_score(problem.scores, answer.mask), bound):
        ending = Termination.PROVED
    else:
        ending = Termination.COMPLETED if why_not is None else Termination.TIME_LIMIT
    return replace(answer, bound=bound, termination=ending), name, reason


def _or_natural(
    problem: RetentionProblem, answer: Answer, solver: str, search: Search
) -> Answer:
    """Return the mask of the natural order, if that keeps more than an optimized one.

    The search allocates the budget to tiles of unequal size greedily, which may cost
    more than the best order gains.
    """
    sizes, pe_map = problem.pe_map.group_sizes(), problem.pe_map
    equal = pe_map.order_kind == "blocks" and pe_map.exchange is None
    ragged = len(np.unique(sizes)) > 1 and not equal
    if not ragged or answer.termination is not Termination.COMPLETED:
        return answer
    try:
        natural = problem.scheduled(problem.pe_map.schedule())
        found, _, _ = _in_order(natural, solver, search)
    except (InfeasibleError, SolverUnavailableError):
        return answer
    if total_score(problem.scores, found.mask) <= total_score(
        problem.scores, answer.mask
    ):
        return answer
    return replace(answer, mask=found.mask, schedule=problem.pe_map.schedule())


def _greedy_if_better(
    problem: RetentionProblem, cut_short: Answer, search: Search
) -> Answer | None:
    """Return slice-greedy's mask, with the better bound, if it beats an answer."""
    try:
        greedy = get_solver(FALLBACK).solve(problem, search)
    except SolverUnavailableError:
        return None
    kept, greedy_kept = (
        total_score(problem.scores, answer.mask) for answer in (cut_short, greedy)
    )
    if greedy_kept <= kept:
        return None
    bound = min(cut_short.bound, greedy.bound)
    return Answer(greedy.mask, bound, cut_short.termination)


def ask(
    solver: str, search: Search, question: Callable[[Solver], Result]
) -> tuple[Result, str, str | None]:
    """Put a question to a solver and, if it has no answer, to the fallback.

    Returns
    -------
    result : object
        The answer.
    solver : str
        Whose answer it is.
    reason : str or None
        Why it is not the answer of the solver that was asked.

    Raises
    ------
    SolverUnavailableError
        Neither has an answer.
    """
    name = DEFAULT if solver == "auto" else solver
    chosen = get_solver(name)
    try:
        return question(chosen), name, None
    except SolverUnavailableError as error:
        if name == FALLBACK:
            raise
        reason = str(error)
    except KeyboardInterrupt:
        search.cancellation.cancel()
        reason = "cancelled"
    logger.warning("%s has no answer (%s); slice-greedy answers", name, reason)
    try:
        return question(get_solver(FALLBACK)), FALLBACK, reason
    except SolverUnavailableError as error:
        raise SolverUnavailableError(f"{name}: {reason}; {error}") from error
