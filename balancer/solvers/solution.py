"""Solutions: a mask, what is proven about it, and how it came about.

`Status` says how good the answer is, `Termination` why the search for it ended; the two
are independent. No solution leaves this package before `Solution.verify` has recomputed
its loads, its constraints and its objective from the mask alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.errors import VerificationError
from balancer.maps.cell_arrays import Array, BoolArray, IntArray
from balancer.program.problem import RetentionProblem
from balancer.program.slice_program import ROUNDING

# CP-SAT maximizes integers. A relative gap below this comes from scaling the scores.
PROOF_TOLERANCE = 1e-9


class Status(StrEnum):
    """How good a solution is proven to be."""

    OPTIMAL = "optimal"
    """The gap is 0, up to the integer scaling of the scores."""
    FEASIBLE = "feasible"
    """All constraints hold; a better mask may exist, by the gap at most."""


class Termination(StrEnum):
    """Why a solver stopped."""

    PROVED = "proved"
    """It had proven that its answer is optimal."""
    COMPLETED = "completed"
    """It had done all it does; a heuristic does not search for a proof."""
    GAP_LIMIT = "gap limit"
    """Its answer was proven to be as near to the optimum as it was asked to come."""
    TIME_LIMIT = "time limit"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a solver hands to `solve`.

    Attributes
    ----------
    mask : ndarray of bool
        In the shape of the weights.
    bound : float
        Total score that no mask exceeds; infinity where none is known.
    termination : Termination
        Why the solver stopped.
    order : ndarray of int or None
        Schedule position -> channel; None is the identity.
    """

    mask: BoolArray
    bound: float
    termination: Termination
    order: npt.NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A verified mask.

    Attributes
    ----------
    mask : ndarray of bool
        Weights to keep, in the shape of the weights.
    loads : ndarray of int64 [groups, pes]
        Non-zeros of each PE in each group of the schedule; 0 where a PE holds no
        weights.
    order : ndarray of int32 [channels]
        Schedule position -> channel: the PE map applies to the weights in this order.
        Output channels or, for `input_channel` and n:m maps whose order is not fixed,
        input channels (see `PEMap.order_axis`). The identity over the output channels
        if the order is fixed.
    kept : float
        Total score of the kept weights.
    bound : float
        Total score that no mask exceeds; if the order is optimized, in no order.
    gap : float
        ``(bound - kept) / bound``; 0 if nothing can be kept.
    status : Status
        How good the solution is proven to be.
    termination : Termination
        Why the search ended.
    solver : str
        Solver that gave the answer.
    fallback_reason : str or None
        Why it was not the solver that was asked.
    seconds : float
        Wall-clock time of the whole call, verification included.
    remainder : int
        Budget that no further slice fits into, in non-zeros.
    dead_channels : int
        Output channels without a kept weight.
    """

    mask: BoolArray
    loads: IntArray
    order: npt.NDArray[np.int32]
    kept: float
    bound: float
    gap: float
    status: Status
    termination: Termination
    solver: str
    fallback_reason: str | None
    seconds: float
    remainder: int
    dead_channels: int

    @property
    def nonzeros(self) -> int:
        """Number of kept weights."""
        return int(self.loads.sum())

    def verify(self, problem: RetentionProblem) -> None:
        """Recompute everything from the mask.

        Raises
        ------
        VerificationError
            The first constraint of `problem` that the mask breaks, or the first field
            of this solution that the mask contradicts.
        """
        check = _Check(self.mask, problem, self.order)
        check.constraints()
        if not np.array_equal(self.loads, check.loads):
            raise VerificationError("`loads` are not the loads of the mask")
        if not np.isclose(self.kept, check.kept, rtol=ROUNDING, atol=0):
            raise VerificationError(
                f"`kept` is {self.kept!r}, the mask's is {check.kept!r}"
            )
        if self.bound < self.kept:
            raise VerificationError(
                f"the bound {self.bound!r} is below `kept` {self.kept!r}"
            )
        if self.remainder != problem.budget - int(check.loads.sum()):
            raise VerificationError(
                f"`remainder` is {self.remainder}, not the mask's part of the budget"
            )
        if self.dead_channels != check.dead_channels:
            raise VerificationError(
                f"`dead_channels` is {self.dead_channels}, not {check.dead_channels}"
            )


def conclude(
    problem: RetentionProblem,
    answer: Answer,
    *,
    solver: str,
    fallback_reason: str | None,
    begun: float,
) -> Solution:
    """Make a solver's answer a solution whose constraints are verified.

    `begun` is the reading of `time.perf_counter` when the solver was called.

    Raises
    ------
    VerificationError
        The mask breaks a constraint: a defect of the solver.
    """
    order = answer.order
    if order is None:
        order = np.arange(problem.pe_map.channels)
    check = _Check(answer.mask, problem, order)
    check.constraints()
    kept = check.kept
    bound = rounded_bound(answer.bound, kept)
    gap = (bound - kept) / bound if bound > 0 else 0.0
    return Solution(
        mask=answer.mask,
        loads=check.loads,
        order=order.astype(np.int32),
        kept=kept,
        bound=bound,
        gap=gap,
        status=Status.OPTIMAL if gap <= PROOF_TOLERANCE else Status.FEASIBLE,
        termination=answer.termination,
        solver=solver,
        fallback_reason=fallback_reason,
        seconds=time.perf_counter() - begun,
        remainder=problem.budget - int(check.loads.sum()),
        dead_channels=check.dead_channels,
    )


def rounded_bound(bound: float, kept: float) -> float:
    """Make `bound` equal to `kept` if they only differ by the order of summation."""
    return kept if bound - kept <= ROUNDING * bound else bound


class _Check:
    """What a mask is worth and which constraints it breaks, from mask and order."""

    def __init__(
        self, mask: BoolArray, problem: RetentionProblem, order: npt.NDArray[Any]
    ) -> None:
        self.mask, self.problem = mask, problem
        layer = problem.pe_map
        fixed = problem.order == "fixed"
        natural = np.arange(layer.shape[0 if fixed else layer.order_axis or 0])
        if not np.array_equal(order if fixed else np.sort(order), natural):
            kind = "the natural order" if fixed else "a permutation"
            raise VerificationError(f"`order` is not {kind} of {len(natural)} channels")
        self.loads = layer.loads(problem.in_schedule(mask, order))
        positions = np.flatnonzero(mask)
        scores: Array = problem.scores.reshape(-1)
        self.kept = float(scores[positions].sum(dtype=np.float64))
        channels = problem.pe_map.channels
        fan_in = problem.pe_map.weights // channels if channels else 0
        self.per_channel = np.bincount(
            positions // max(1, fan_in), minlength=channels
        ).astype(np.int64)
        self.dead_channels = int(np.count_nonzero(self.per_channel == 0))

    def constraints(self) -> None:
        problem, layer = self.problem, self.problem.pe_map
        held = self.loads[layer.cell_group, layer.cell_pe]
        least, largest = layer.least_of_group(held), layer.largest_of_group(held)
        self._require(least == largest, "group", "has unequal loads")
        self._require(least >= problem.min_load, "group", "is below `min_load`")
        self._require(largest <= problem.max_load, "group", "is above `max_load`")
        if layer.fixed_load is not None:
            self._require(
                least == layer.fixed_load, "group", f"breaks the {layer.name} pattern"
            )
        self._require(
            self.per_channel >= problem.channel_floor,
            "output channel",
            "is below its `channel_floor`",
        )
        nonzeros = int(held.sum())
        if nonzeros > problem.budget:
            raise VerificationError(
                f"{nonzeros} non-zeros exceed the budget of {problem.budget}"
            )
        if (
            problem.previous_mask is not None
            and (self.mask & ~problem.previous_mask).any()
        ):
            raise VerificationError("weights outside `previous_mask` are kept")
        if problem.forced is not None and (problem.forced & ~self.mask).any():
            raise VerificationError("forced weights are missing")

    @staticmethod
    def _require(holds: BoolArray, what: str, failure: str) -> None:
        if not holds.all():
            raise VerificationError(f"{what} {int(np.argmin(holds))} {failure}")
