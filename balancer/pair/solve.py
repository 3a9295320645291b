"""Solving pairs: by turns, then the program, verified."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from balancer.array_types import BoolArray
from balancer.errors import BalancerError, SolverUnavailableError, VerificationError
from balancer.pair.alternation import alternate
from balancer.pair.problem import Masks, PairProblem
from balancer.pair.program import search_pair
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import is_reached, rounded_bound
from balancer.solvers.limits import Cancellation, Search, SearchLimits
from balancer.solvers.solution import (
    MaskCheck,
    ProvenSolution,
    Termination,
    proven,
)

SOLVERS = ("cp-sat", "alternation")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class PairSolution(ProvenSolution):
    """Verified masks of two neighbouring layers.

    Attributes
    ----------
    first, second : ndarray of bool
        Weights to keep, in the shape of each layer's weights.
    kept : float
        Total score of the kept weights *that work*, of both layers.
    idle : int
        Kept weights that do not work: fillers, which keep loads equal.
    solver : str
        Solver that gave the answer.
    fallback_reason : str or None
        Why it was not the solver that was asked.
    """

    first: BoolArray
    second: BoolArray
    idle: int
    solver: str
    fallback_reason: str | None

    def verify(self, problem: PairProblem) -> None:
        """Recompute loads, budgets and value from the masks.

        Raises
        ------
        VerificationError
            A constraint or claim that does not hold.
        """
        _check(problem.first, self.first)
        _check(problem.second, self.second)
        masks = self.first, self.second
        if self.idle != _idle(problem, masks):
            raise VerificationError(
                f"`idle` is {self.idle}, the masks have {_idle(problem, masks)}"
            )
        self._verify_claims(problem.value(masks))

    def __repr__(self) -> str:
        kept = np.count_nonzero(self.first) + np.count_nonzero(self.second)
        return (
            f"PairSolution({kept} weights kept, {self.idle} idle, "
            f"{self.status.value} by {self.solver}, gap {self.gap:.2g})"
        )


def solve_pair(
    problem: PairProblem,
    solver: str = "auto",
    *,
    hint: Masks | None = None,
    time_limit: float | None = None,
    work_limit: float | None = None,
    seed: int = 0,
    cancellation: Cancellation | None = None,
) -> PairSolution:
    """Find the masks of two neighbouring layers whose working weights score most.

    Parameters
    ----------
    problem : PairProblem
        The pair.
    solver : str
        ``"cp-sat"`` (``"auto"``): the program, from the answer of turns; exact if it
        ends. ``"alternation"``: turns alone, with the bound of the layers alone; what
        stands in where OR-Tools or time is missing.
    hint : two ndarray of bool, optional
        Balanced masks within the budgets, to begin with.
    time_limit, work_limit, seed : float, float, int
        As in `SearchLimits`, for the program; turns take as long as some greedy
        solutions of each layer.
    cancellation : Cancellation, optional
        Lets another thread stop the search, which then answers with its best.

    Returns
    -------
    PairSolution
        Verified; deterministic unless a time limit or a cancellation ended it.

    Raises
    ------
    BalancerError
        An unknown solver, or a hint that breaks the constraints.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, PairProblem, RetentionProblem, solve_pair
    >>> rng = np.random.default_rng(0)
    >>> layers = [
    ...     RetentionProblem(rng.random(shape), PEMap.output_channel(shape, 4), 16)
    ...     for shape in ((8, 4), (8, 8))
    ... ]
    >>> solution = solve_pair(PairProblem(*layers))
    >>> solution.status.value, solution.idle
    ('optimal', 0)
    """
    begun = time.perf_counter()
    name = "cp-sat" if solver == "auto" else solver
    if name not in SOLVERS:
        raise BalancerError(
            f"unknown solver {solver!r}; accepted: auto, {', '.join(SOLVERS)}"
        )
    if hint is not None:
        for layer, mask in zip((problem.first, problem.second), hint, strict=True):
            try:
                _check(layer, mask)
            except VerificationError as error:
                raise BalancerError(f"`hint`: {error}") from error
    limits = SearchLimits(time_limit, work_limit, seed=seed)
    search = Search(limits, None, cancellation or Cancellation())
    masks, bound = alternate(problem, search, hint)
    value, reason = problem.value(masks), None
    termination = Termination.COMPLETED
    if is_reached(value, bound):
        termination = Termination.PROVED
    elif name == "cp-sat":
        try:
            left = search.after(time.perf_counter() - begun, 0.0)
            masks, most, termination = search_pair(problem, left, masks)
            bound = min(bound, most)
        except SolverUnavailableError as error:
            name, reason = "alternation", str(error)
    value = problem.value(masks)
    bound = max(bound, value)
    solution = PairSolution(
        first=masks[0],
        second=masks[1],
        kept=value,
        bound=rounded_bound(bound, value),
        termination=proven(termination, value, bound),
        idle=_idle(problem, masks),
        solver=name,
        fallback_reason=reason,
        seconds=time.perf_counter() - begun,
    )
    solution.verify(problem)
    return solution


def _idle(problem: PairProblem, masks: Masks) -> int:
    working = problem.working(masks)
    return sum(
        int(np.count_nonzero(mask)) - int(np.count_nonzero(works))
        for mask, works in zip(masks, working, strict=True)
    )


def _check(layer: RetentionProblem, mask: BoolArray) -> None:
    """Raise `VerificationError` if a mask breaks a layer's constraints."""
    pe_map = layer.pe_map
    if mask.shape != pe_map.shape or mask.dtype != np.bool_:
        raise VerificationError(
            f"the mask is {mask.dtype}{list(mask.shape)}; bool{list(pe_map.shape)} is "
            "needed"
        )
    MaskCheck(mask, layer, pe_map.schedule()).constraints()
