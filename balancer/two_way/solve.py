"""Solving two-way problems: flow, cycle canceling or greedy, in pieces, verified."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from balancer.array_types import BoolArray, FloatArray
from balancer.errors import BalancerError, SolverUnavailableError
from balancer.program.rounding import rounded_bound, total_score
from balancer.solvers.limits import Cancellation, Search, SearchLimits
from balancer.solvers.solution import ProvenSolution, Termination, proven
from balancer.two_way import cycles, flow
from balancer.two_way.problem import TransposableProblem, TwoWayProblem

BlockSolver = Callable[[FloatArray, int, float], tuple[BoolArray, float, bool]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class TwoWaySolution(ProvenSolution):
    """A verified mask.

    Attributes
    ----------
    mask : ndarray of bool
        Weights to keep, in the shape of the weights.
    solver : str
        Solver that gave the answer.
    fallback_reason : str or None
        Why it was not the solver that was asked.
    """

    mask: BoolArray
    solver: str
    fallback_reason: str | None

    def verify(self, problem: TwoWayProblem | TransposableProblem) -> None:
        """Recompute loads and objective from the mask.

        Raises
        ------
        VerificationError
            Loads that are not those of the problem, or a claim that does not hold.
        """
        problem.check(self.mask)
        self._verify_claims(total_score(problem.scores, self.mask))

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.mask.shape))
        return (
            f"TwoWaySolution({np.count_nonzero(self.mask)} of {shape} weights kept, "
            f"{self.status.value} by {self.solver}, gap {self.gap:.2g})"
        )


def solve_two_way(
    problem: TwoWayProblem | TransposableProblem,
    solver: str = "auto",
    *,
    time_limit: float = 30.0,
    cancellation: Cancellation | None = None,
) -> TwoWaySolution:
    """Find the mask of largest score with given loads in two maps.

    Parameters
    ----------
    problem : TwoWayProblem or TransposableProblem
        Two PE maps, or the blocks of a transposable n:m pattern.
    solver : str
        ``"flow"`` (``"auto"``): exact, by OR-Tools. For transposable patterns also
        ``"cycles"``: exact as well, without OR-Tools, and improving its answer until
        the time is over; and ``"greedy"``: an approximation with a bound, the fastest.
    time_limit : float
        Wall-clock seconds. Blocks that are not begun by then are answered by greedy; a
        single flow is not interrupted.
    cancellation : Cancellation, optional
        Lets another thread stop the search likewise.

    Returns
    -------
    TwoWaySolution
        Verified; deterministic unless a time limit or a cancellation ended it.

    Raises
    ------
    BalancerError
        An unknown solver, or one that cannot answer the problem.
    InfeasibleError
        No mask has these loads.
    SolverUnavailableError
        No OR-Tools, for two PE maps.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import TransposableProblem, solve_two_way
    >>> scores = np.random.default_rng(0).random((8, 8))
    >>> solution = solve_two_way(TransposableProblem(scores, n=2, m=4))
    >>> block = solution.mask[:4, :4]
    >>> block.sum(axis=0).tolist(), block.sum(axis=1).tolist()
    ([2, 2, 2, 2], [2, 2, 2, 2])
    >>> solution.status.value
    'optimal'
    """
    begun = time.perf_counter()
    search = Search(SearchLimits(time_limit), None, cancellation or Cancellation())
    name, reason = "flow" if solver == "auto" else solver, None
    if isinstance(problem, TwoWayProblem):
        if name != "flow":
            raise BalancerError(
                f"solver {solver!r} does not answer two PE maps; accepted: auto, flow"
            )
        mask, bound = _by_flow(problem)
        termination = Termination.PROVED
    else:
        if name not in _BLOCK_SOLVERS:
            raise BalancerError(
                f"unknown solver {solver!r}; accepted: auto, "
                f"{', '.join(_BLOCK_SOLVERS)}"
            )
        try:
            mask, bound, termination = _by_blocks(problem, name, search, begun)
        except SolverUnavailableError as error:
            name, reason = "cycles", str(error)
            mask, bound, termination = _by_blocks(problem, name, search, begun)
    kept = total_score(problem.scores, mask)
    solution = TwoWaySolution(
        mask=mask,
        kept=kept,
        bound=rounded_bound(bound, kept),
        termination=proven(termination, kept, bound),
        solver=name,
        fallback_reason=reason,
        seconds=time.perf_counter() - begun,
    )
    solution.verify(problem)
    return solution


def _by_flow(problem: TwoWayProblem) -> tuple[BoolArray, float]:
    """Solve two PE maps as one flow."""
    first, second = problem.cell_loads()
    tails = problem.first.cell_labels().reshape(-1)
    heads = problem.second.cell_labels().reshape(-1) + len(first)
    scores = problem.scores.reshape(-1)
    supplies = np.concatenate([first, -second])
    chosen, bound = flow.transport(scores, tails, heads, supplies)
    return chosen.reshape(problem.scores.shape), bound


def _by_blocks(
    problem: TransposableProblem, solver: str, search: Search, begun: float
) -> tuple[BoolArray, float, Termination]:
    """Solve the blocks piece by piece, by greedy after the deadline."""
    deadline = begun + search.limits.seconds
    mask = np.zeros(problem.scores.shape, dtype=bool)
    bound, in_time = 0.0, True
    for piece in problem.pieces():
        view = problem.blocks(problem.scores[piece])
        scores = view.reshape(-1, problem.m, problem.m).astype(np.float64)
        late = search.cancellation.cancelled or time.perf_counter() >= deadline
        answer = _BLOCK_SOLVERS["greedy" if late else solver]
        kept, most, done = answer(scores, problem.n, deadline)
        in_time &= done and not late
        bound += most
        problem.blocks(mask[piece])[...] = kept.reshape(view.shape)
    if search.cancellation.cancelled:
        return mask, bound, Termination.CANCELLED
    if solver == "greedy":
        return mask, bound, Termination.COMPLETED
    return mask, bound, Termination.PROVED if in_time else Termination.TIME_LIMIT


def _blocks_by_flow(
    scores: FloatArray, n: int, deadline: float
) -> tuple[BoolArray, float, bool]:
    mask, bound = flow.block_masks(scores, n)
    return mask, bound, True


def _blocks_by_cycles(
    scores: FloatArray, n: int, deadline: float
) -> tuple[BoolArray, float, bool]:
    mask = cycles.greedy_masks(scores, n)
    potentials, done = cycles.cancel_cycles(scores, mask, deadline)
    return mask, float(cycles.dual_bound(scores, n, potentials).sum()), done


def _blocks_by_greedy(
    scores: FloatArray, n: int, deadline: float
) -> tuple[BoolArray, float, bool]:
    bound = cycles.dual_bound(scores, n, np.zeros(scores.shape[:2]))
    return cycles.greedy_masks(scores, n), float(bound.sum()), True


_BLOCK_SOLVERS: dict[str, BlockSolver] = {
    "flow": _blocks_by_flow,
    "cycles": _blocks_by_cycles,
    "greedy": _blocks_by_greedy,
}
