r"""Two-way balance: given loads in two PE maps at once.

Every weight i lies in a cell a(i) of a first PE map and in a cell b(i) of a second one:
rows and columns of a matrix, the forward and the backward pass on one array. With loads
$r_a$ and $c_b$,

$$
\begin{aligned}
\max_x\quad & \sum_i s_i x_i \\
\text{s.t.}\quad
& \sum_{i : a(i) = a} x_i = r_a && \forall a && \text{(loads of the first map)} \\
& \sum_{i : b(i) = b} x_i = c_b && \forall b && \text{(loads of the second map)} \\
& x_i \in \{0, 1\}.
\end{aligned}
$$

In words: keep the weights with the largest total score such that every PE has its load
in both maps. This is a transportation problem, totally unimodular, so a min-cost flow
solves it exactly. A **transposable n:m** mask has n weights in every row and in every
column of each m x m block (Hubara et al. 2021, arXiv 2102.08124): every block is a
small program of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from balancer.blocks import Array, BoolArray, IntArray
from balancer.errors import (
    BalancerError,
    InfeasibleError,
    SolverUnavailableError,
    VerificationError,
)
from balancer.pe_map import PEMap
from balancer.problem import checked_scores
from balancer.search import Cancellation, Search
from balancer.solution import PROOF_TOLERANCE, Status, Termination, rounded_bound
from balancer.solvers import cycles, flow

# Blocks are solved in pieces of about this many weights: large enough for NumPy, small
# enough for the cache and for a deadline.
PIECE_WEIGHTS = 2**16

BlockSolver = Callable[
    [npt.NDArray[np.float64], int, float], tuple[BoolArray, float, bool]
]


@dataclass(frozen=True, eq=False, init=False)
class TwoWayProblem:
    """Weights with given loads in two PE maps; see the module for the formulation.

    Parameters
    ----------
    scores : array_like of float, in the shape of the PE maps
        Non-negative saliency of every weight.
    first, second : PEMap
        Two maps of the same layer.
    first_loads, second_loads : int or array_like of int [groups], optional
        Load of every PE of each group; n:m maps imply theirs.

    Raises
    ------
    BalancerError
        Maps of different shapes, or loads of a wrong type or number.
    InfeasibleError
        A load that exceeds a cell, or maps whose loads add up differently.
    """

    scores: Array
    first: PEMap
    second: PEMap
    first_loads: IntArray
    second_loads: IntArray

    def __init__(
        self,
        scores: npt.ArrayLike,
        first: PEMap,
        second: PEMap,
        first_loads: npt.ArrayLike | None = None,
        second_loads: npt.ArrayLike | None = None,
    ) -> None:
        if first.shape != second.shape:
            raise BalancerError(
                f"the first PE map has shape {first.shape}, the second {second.shape}; "
                "they must be maps of the same layer"
            )
        # A frozen dataclass sets its fields through its dictionary.
        self.__dict__.update(
            scores=checked_scores(scores, first.shape),
            first=first,
            second=second,
            first_loads=_loads("first_loads", first_loads, first),
            second_loads=_loads("second_loads", second_loads, second),
        )
        total, other = (int(loads.sum()) for loads in self.cell_loads())
        if total != other:
            raise InfeasibleError(
                f"`first_loads` add up to {total} weights, `second_loads` to {other}; "
                "both maps need the same number"
            )

    def cell_loads(self) -> tuple[IntArray, IntArray]:
        """Load of every cell of the first and of the second map."""
        return (
            self.first_loads[self.first.cell_group],
            self.second_loads[self.second.cell_group],
        )

    def check(self, mask: BoolArray) -> None:
        """Raise `VerificationError` if a mask does not have the loads."""
        pairs = zip((self.first, self.second), self.cell_loads(), strict=True)
        for name, (layer, loads) in zip(("first", "second"), pairs, strict=True):
            if not np.array_equal(layer.cell_loads(mask), loads):
                raise VerificationError(f"the mask breaks the loads of the {name} map")


@dataclass(frozen=True, eq=False, init=False)
class TransposableProblem:
    """Transposable n:m: n weights in every row and column of each m x m block.

    Blocks lie on consecutive output and input channels, for each kernel position.

    Parameters
    ----------
    scores : array_like of float, output channels x input channels (x kernel positions)
        Non-negative saliency of every weight; both channels multiples of `m`.
    n, m : int
        The pattern, ``1 <= n <= m``.

    Raises
    ------
    BalancerError
        Scores or a pattern that do not fit.
    """

    scores: Array
    n: int
    m: int

    def __init__(self, scores: npt.ArrayLike, n: int, m: int) -> None:
        shape = np.shape(scores)
        for value in (n, m):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise BalancerError(f"n:m pattern {n!r}:{m!r}: whole numbers needed")
        if not 1 <= n <= m:
            raise BalancerError(f"n:m pattern {n}:{m}: 1 <= n <= m is needed")
        if len(shape) < 2 or shape[0] % m or shape[1] % m:
            raise BalancerError(
                f"scores have shape {shape}; a transposable {n}:{m} mask needs output "
                f"and input channels that are multiples of {m} (pad them)"
            )
        checked = checked_scores(scores, shape)
        self.__dict__.update(scores=checked, n=int(n), m=int(m))

    def pieces(self) -> Iterator[slice]:
        """Yield ranges of output channels that hold whole blocks."""
        outputs = self.scores.shape[0]
        weights = self.scores.size // max(1, outputs) * self.m
        step = self.m * max(1, PIECE_WEIGHTS // max(1, weights))
        for start in range(0, outputs, step):
            yield slice(start, min(outputs, start + step))

    def blocks(self, array: Array) -> Array:
        """View some output channels as blocks [row, column, position, m, m]."""
        outputs, inputs, m = len(array), array.shape[1], self.m
        positions = prod(array.shape[2:])
        split = array.reshape(outputs // m, m, inputs // m, m, positions)
        return split.transpose(0, 2, 4, 1, 3)

    def check(self, mask: BoolArray) -> None:
        """Raise `VerificationError` if a mask does not have the pattern."""
        blocks = self.blocks(mask)
        for axis, name in ((3, "column"), (4, "row")):
            if (np.count_nonzero(blocks, axis=axis) != self.n).any():
                raise VerificationError(f"a {name} of a block does not keep {self.n}")


@dataclass(frozen=True, slots=True, eq=False)
class TwoWaySolution:
    """A verified mask.

    Attributes
    ----------
    mask : ndarray of bool
        Weights to keep, in the shape of the weights.
    kept, bound : float
        Total score of the kept weights, and one that no mask exceeds.
    termination : Termination
        Why the search ended.
    solver : str
        Solver that gave the answer.
    fallback_reason : str or None
        Why it was not the solver that was asked.
    seconds : float
        Wall-clock time of the whole call, verification included.
    """

    mask: BoolArray
    kept: float
    bound: float
    termination: Termination
    solver: str
    fallback_reason: str | None
    seconds: float

    @property
    def gap(self) -> float:
        """``(bound - kept) / bound``; 0 if nothing can be kept."""
        return (self.bound - self.kept) / self.bound if self.bound > 0 else 0.0

    @property
    def status(self) -> Status:
        """Optimal if the gap is zero, up to integer scaling."""
        return Status.OPTIMAL if self.gap <= PROOF_TOLERANCE else Status.FEASIBLE


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
    """
    begun = time.perf_counter()
    search = Search(time_limit, cancellation=cancellation or Cancellation())
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
    problem.check(mask)
    kept = float(problem.scores[mask].sum(dtype=np.float64))
    return TwoWaySolution(
        mask=mask,
        kept=kept,
        bound=rounded_bound(bound, kept),
        termination=termination,
        solver=name,
        fallback_reason=reason,
        seconds=time.perf_counter() - begun,
    )


def _by_flow(problem: TwoWayProblem) -> tuple[BoolArray, float]:
    """Solve two PE maps as one flow."""
    first, second = problem.cell_loads()
    tails = problem.first.cell_labels().reshape(-1)
    heads = problem.second.cell_labels().reshape(-1) + len(first)
    scores = problem.scores.reshape(-1)
    supplies = np.concatenate([first, -second])
    chosen, rounding = flow.transport(scores, tails, heads, supplies)
    bound = float(scores[chosen].sum(dtype=np.float64)) + rounding
    return chosen.reshape(problem.scores.shape), bound


def _by_blocks(
    problem: TransposableProblem, solver: str, search: Search, begun: float
) -> tuple[BoolArray, float, Termination]:
    """Solve the blocks piece by piece, by greedy after the deadline."""
    deadline = begun + search.time_limit
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
    scores: npt.NDArray[np.float64], n: int, deadline: float
) -> tuple[BoolArray, float, bool]:
    mask, bound = flow.block_masks(scores, n)
    return mask, bound, True


def _blocks_by_cycles(
    scores: npt.NDArray[np.float64], n: int, deadline: float
) -> tuple[BoolArray, float, bool]:
    mask = cycles.greedy_masks(scores, n)
    potentials, done = cycles.cancel_cycles(scores, mask, deadline)
    return mask, float(cycles.dual_bound(scores, n, potentials).sum()), done


def _blocks_by_greedy(
    scores: npt.NDArray[np.float64], n: int, deadline: float
) -> tuple[BoolArray, float, bool]:
    bound = cycles.dual_bound(scores, n, np.zeros(scores.shape[:2]))
    return cycles.greedy_masks(scores, n), float(bound.sum()), True


_BLOCK_SOLVERS: dict[str, BlockSolver] = {
    "flow": _blocks_by_flow,
    "cycles": _blocks_by_cycles,
    "greedy": _blocks_by_greedy,
}


def _loads(name: str, loads: npt.ArrayLike | None, layer: PEMap) -> IntArray:
    if loads is None:
        if layer.fixed_load is None:
            raise BalancerError(f"`{name}` is needed; only an n:m map implies it")
        loads = layer.fixed_load
    array = np.asarray(loads)
    if array.dtype.kind not in "iu" or array.shape not in ((), (layer.groups,)):
        raise BalancerError(
            f"`{name}` is {array.dtype} {array.shape}; one whole number, or one for "
            f"each of the {layer.groups} groups, is needed"
        )
    given = np.broadcast_to(array.astype(np.int64), (layer.groups,))
    capacity = layer.least_of_group(layer.cell_sizes())
    wrong = np.flatnonzero((given < 0) | (given > capacity))
    if wrong.size:
        group = int(wrong[0])
        raise InfeasibleError(
            f"`{name}` of group {group} is {given[group]}; its smallest PE takes "
            f"0..{capacity[group]}"
        )
    return given
