"""Loads that are expected work: balanced masks for arrays that skip zero spikes.

A weight costs a cycle only when its input spikes, so a PE's load is the expected work
of its weights: the sum of the spike rates of their input channels (or of their numbers
of bits, or any other cost). Real loads cannot be equal to the last digit; they are
balanced if they lie within a tolerance below the largest load of their group. Keep at
most K weights of the largest total score such that all PEs of a group expect the same
work, up to the tolerance. In LaTeX: "Expected work" in ``docs/programs.md``.

With a price of a non-zero, each PE's part of the linear relaxation is a knapsack that
takes weights by score, less the price, per work, so its value is a concave function of
its load; the best largest load balances the slopes of a group's PEs, and the price is
found by bisection. These are prices of the Lagrangian dual, hence the **bound** (see
`relaxation`). The **mask** leaves out the one weight of each PE that the relaxation
takes in part, fills what the budget has left, and exchanges weights where a load is
still too small. It is a heuristic with a gap, not a proof of optimality.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.array_types import BoolArray, FloatArray
from balancer.errors import BalancerError, VerificationError
from balancer.expected_work.relaxation import Relaxation
from balancer.maps.pe_map import PEMap
from balancer.metrics import top_k_sum
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import ROUNDING, total_score
from balancer.solvers.solution import ProvenSolution, Termination


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class WorkSolution(ProvenSolution):
    """A verified mask whose PEs expect the same work.

    Attributes
    ----------
    mask : ndarray of bool
        Weights to keep, in the shape of the weights.
    work : ndarray of float64
        Expected work of every weight, in the shape of the weights.
    loads : ndarray of float64 [groups, pes]
        Expected work of each PE in each group; 0 where a PE holds no weights.
    tolerance : float
        By how much the loads of a group may differ.
    remainder : int
        Budget that was left over, in non-zeros.
    """

    mask: BoolArray
    work: FloatArray
    loads: FloatArray
    tolerance: float
    remainder: int

    @property
    def nonzeros(self) -> int:
        """Number of kept weights."""
        return int(np.count_nonzero(self.mask))

    def verify(
        self, problem: RetentionProblem, work: npt.ArrayLike | None = None
    ) -> None:
        """Recompute loads, budget and objective from the mask.

        Parameters
        ----------
        problem : RetentionProblem
            What was asked.
        work : array_like of float, optional
            Expected work to count with; default: that it was balanced for.

        Raises
        ------
        VerificationError
            The first claim that the mask contradicts.
        """
        pe_map = problem.pe_map
        of_weight = self.work if work is None else _checked_work(work, pe_map)
        loads = _loads(self.mask, of_weight, pe_map)
        largest = loads.max(axis=1, initial=0)
        least = np.where(pe_map.present(), loads, np.inf).min(axis=1, initial=np.inf)
        slack = self.tolerance + ROUNDING * largest
        if (least < largest - slack).any():
            group = int(np.argmax(largest - least))
            raise VerificationError(
                f"loads of group {group} differ by {largest[group] - least[group]:g}, "
                f"more than the tolerance of {self.tolerance:g}"
            )
        if self.nonzeros > problem.budget:
            raise VerificationError(
                f"{self.nonzeros} non-zeros exceed the budget of {problem.budget}"
            )
        self._verify_claims(total_score(problem.scores, self.mask))
        if not np.allclose(loads, self.loads, rtol=ROUNDING, atol=0):
            raise VerificationError("`loads` are not the loads of the mask")

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.mask.shape))
        return (
            f"WorkSolution({self.nonzeros} of {shape} weights kept, loads within "
            f"{self.tolerance:g}, gap {self.gap:.2g})"
        )


def balance_expected_work(
    problem: RetentionProblem, work: npt.ArrayLike, tolerance: float | None = None
) -> WorkSolution:
    """Keep the largest total score such that PEs expect the same work.

    Parameters
    ----------
    problem : RetentionProblem
        Scores, PE map and budget; it may have no other constraints.
    work : array_like of float
        Expected work of each weight, in any unit, finite and at least 0; broadcast to
        the shape of the weights, as spike rates of shape [1, inputs, 1, 1].
    tolerance : float, optional
        By how much loads of a group may differ, in the unit of `work`. Default: the
        largest work of a single weight, which can always be reached.

    Returns
    -------
    WorkSolution
        Verified, with a bound on what any such mask keeps.

    Raises
    ------
    BalancerError
        Work of a wrong shape or sign, a negative tolerance, or a problem with other
        constraints.
    SolverUnavailableError
        No mask was found within a tolerance below a single weight's work.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem, balance_expected_work
    >>> rng = np.random.default_rng(0)
    >>> scores, rates = rng.random((16, 32, 3, 3)), rng.random((1, 32, 1, 1))
    >>> pe_map = PEMap.output_channel(scores.shape, pes=16)
    >>> problem = RetentionProblem(scores, pe_map, sparsity=0.9)
    >>> solution = balance_expected_work(problem, rates, tolerance=0.5)
    >>> bool(np.ptp(solution.loads) <= 0.5), solution.gap < 0.01
    (True, True)
    """
    begun = time.perf_counter()
    pe_map = problem.pe_map
    of_weight = _checked_work(work, pe_map)
    _only_a_budget(problem)
    single = float(of_weight.max(initial=0.0))
    if tolerance is None:
        tolerance = single
    if not tolerance >= 0:
        raise BalancerError(f"`tolerance` is {tolerance!r}; the least is 0")
    relaxation = Relaxation(problem, of_weight)
    bound, _ = relaxation.search(tolerance)
    unstructured = top_k_sum(problem.scores, problem.budget) * (1 + ROUNDING)
    bound = min(bound, unstructured)
    # Rounding down costs a PE less than one weight's work.
    _, answer = relaxation.search(max(0.0, tolerance - single))
    chosen = relaxation.fill(answer.chosen())
    chosen = relaxation.exchange(chosen, tolerance)
    mask = np.zeros(pe_map.weights, dtype=bool)
    mask[chosen] = True
    mask = mask.reshape(pe_map.shape)
    kept = total_score(problem.scores, mask)
    solution = WorkSolution(
        mask=mask,
        work=of_weight,
        loads=_loads(mask, of_weight, pe_map),
        tolerance=tolerance,
        kept=kept,
        bound=max(kept, bound),
        termination=Termination.COMPLETED,
        remainder=problem.budget - len(chosen),
        seconds=time.perf_counter() - begun,
    )
    solution.verify(problem)
    return solution


def _checked_work(work: npt.ArrayLike, pe_map: PEMap) -> FloatArray:
    array = np.asarray(work)
    if array.dtype.kind not in "fiub":
        raise BalancerError(f"`work` is {array.dtype}; real numbers are needed")
    try:
        spread = np.broadcast_to(array, pe_map.shape).astype(np.float64)
    except ValueError:
        raise BalancerError(
            f"`work` has shape {array.shape}; it must broadcast to {pe_map.shape}"
        ) from None
    if spread.size and not (spread.min() >= 0 and spread.max() < np.inf):
        raise BalancerError("`work` holds values below 0, infinite or NaN")
    return spread


def _only_a_budget(problem: RetentionProblem) -> None:
    weights = problem.pe_map.weights
    if (
        problem.least
        or (problem.max_load < weights).any()
        or problem.previous_mask is not None
        or problem.pe_map.fixed_load is not None
    ):
        raise BalancerError(
            "expected work is balanced under a budget alone; leave out bounds on "
            "loads, floors, masks and n:m maps"
        )


def _loads(mask: BoolArray, work: FloatArray, pe_map: PEMap) -> FloatArray:
    """Add up the work of each PE in each group, [groups, pes]."""
    kept = mask.reshape(-1)
    cell = pe_map.cell_labels().reshape(-1)[kept]
    of_cell = np.bincount(cell, work.reshape(-1)[kept], minlength=pe_map.n_cells)
    table: FloatArray = pe_map.by_pe(of_cell.astype(np.float64))
    return table
