"""Solutions: a mask, what is proven about it, and how it came about.

`Status` says how good the answer is, `Termination` why the search for it ended; the two
are independent. No solution leaves this package before `Solution.verify` has recomputed
its loads, its constraints and its objective from the mask alone.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.array_types import BoolArray, IntArray
from balancer.errors import VerificationError
from balancer.maps.cell_arrays import true_positions
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import (
    PROOF_TOLERANCE,
    relative_gap,
    rounded_bound,
    same_sum,
    total_at,
)

# Masks are looked at in pieces of about so many weights: positions of what a large one
# keeps would take more memory than the layer.
PIECE_WEIGHTS = 2**22


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


def proven(termination: Termination, kept: float, bound: float) -> Termination:
    """Say why a search ended that may have proven less than it was asked."""
    proved = termination is Termination.PROVED
    if proved and relative_gap(kept, bound) > PROOF_TOLERANCE:
        return Termination.COMPLETED
    return termination


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
    schedule : Schedule or None
        In which order the PEs take the channels; None is the natural one.
    """

    mask: BoolArray
    bound: float
    termination: Termination
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProvenSolution:
    """What all solutions say of themselves, of one layer, of two maps or of a network.

    Attributes
    ----------
    kept : float
        Total score of the kept weights.
    bound : float
        Total score that nothing within the constraints exceeds.
    termination : Termination
        Why the search ended.
    seconds : float
        Wall-clock time of the whole call, verification included.
    """

    kept: float
    bound: float
    termination: Termination
    seconds: float

    @property
    def gap(self) -> float:
        """``(bound - kept) / bound``; 0 if nothing can be kept."""
        return relative_gap(self.kept, self.bound)

    @property
    def status(self) -> Status:
        """Optimal if the gap is zero, up to the integer scaling of the scores."""
        return Status.OPTIMAL if self.gap <= PROOF_TOLERANCE else Status.FEASIBLE

    @abstractmethod
    def verify(self, problem: Any) -> None:
        """Recompute every claim from the mask and the problem it answers.

        Raises
        ------
        VerificationError
            The first claim or constraint that does not hold.
        """

    def _verify_claims(self, kept: float) -> None:
        """Hold `kept` and `bound` against the score that the mask really has."""
        if not same_sum(kept, self.kept):
            raise VerificationError(f"`kept` is {self.kept!r}, the mask's is {kept!r}")
        if self.bound < self.kept:
            raise VerificationError(
                f"the bound {self.bound!r} is below `kept` {self.kept!r}"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Solution(ProvenSolution):
    """A verified mask of one layer.

    Attributes
    ----------
    mask : ndarray of bool
        Weights to keep, in the shape of the weights.
    loads : ndarray of int64 [groups, pes], read-only
        Non-zeros of each PE in each group of the schedule; 0 where a PE holds no
        weights.
    schedule : Schedule
        The PE map applies to the weights in this order; natural if the order is fixed.
        The bound holds for this order or, if it was optimized, for all of them.
    solver : str
        Solver that gave the answer.
    fallback_reason : str or None
        Why it was not the solver that was asked.
    remainder : int
        Budget that no further slice fits into, in non-zeros.
    dead_channels : int
        Output channels without a kept weight.
    """

    mask: BoolArray
    loads: IntArray
    schedule: Schedule
    solver: str
    fallback_reason: str | None
    remainder: int
    dead_channels: int

    @property
    def order(self) -> npt.NDArray[np.int32]:
        """Schedule position -> channel, along ``schedule.axis``."""
        return self.schedule.order

    @property
    def nonzeros(self) -> int:
        """Number of kept weights."""
        return int(np.count_nonzero(self.mask))

    def verify(self, problem: RetentionProblem) -> None:
        """Recompute everything from the mask.

        Raises
        ------
        VerificationError
            The first constraint of `problem` that the mask breaks, or the first field
            of this solution that the mask contradicts.
        """
        check = MaskCheck(self.mask, problem, self.schedule)
        check.constraints()
        if not np.array_equal(self.loads, check.loads):
            raise VerificationError("`loads` are not the loads of the mask")
        self._verify_claims(check.kept)
        if self.remainder != problem.budget - check.nonzeros:
            raise VerificationError(
                f"`remainder` is {self.remainder}, not the mask's part of the budget"
            )
        if self.dead_channels != check.dead_channels:
            raise VerificationError(
                f"`dead_channels` is {self.dead_channels}, not {check.dead_channels}"
            )

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.mask.shape))
        return (
            f"Solution({self.nonzeros} of {shape} weights kept, {self.status.value} by "
            f"{self.solver}, gap {self.gap:.2g}, {self.termination.value} after "
            f"{self.seconds:.3g} s)"
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
    schedule = answer.schedule or problem.pe_map.schedule()
    check = MaskCheck(answer.mask, problem, schedule)
    check.constraints()
    return Solution(
        mask=answer.mask,
        loads=_once_a_group(check.loads, problem.pe_map),
        schedule=schedule,
        kept=check.kept,
        bound=rounded_bound(answer.bound, check.kept),
        termination=answer.termination,
        solver=solver,
        fallback_reason=fallback_reason,
        seconds=time.perf_counter() - begun,
        remainder=problem.budget - check.nonzeros,
        dead_channels=check.dead_channels,
    )


def _once_a_group(loads: IntArray, pe_map: PEMap) -> IntArray:
    """Store equal loads once, as under n:m they take more memory than the mask."""
    if pe_map.copies * pe_map.n_cells == loads.size:  # every PE holds weights
        loads = np.broadcast_to(loads[:, :1].copy(), loads.shape)
    loads.flags.writeable = False
    return loads


class MaskCheck:
    """What a mask is worth and which constraints it breaks, from mask and schedule."""

    def __init__(
        self, mask: BoolArray, problem: RetentionProblem, schedule: Schedule
    ) -> None:
        self.mask, self.problem = mask, problem
        pe_map = problem.pe_map
        natural = pe_map.schedule()
        fits = schedule.axis == natural.axis
        fits &= len(schedule.order) == len(natural.order)
        if not fits or (problem.order == "fixed" and not schedule.is_natural):
            kind = "the natural order" if problem.order == "fixed" else "a permutation"
            raise VerificationError(
                f"`schedule` is not {kind} of {len(natural.order)} channels along axis "
                f"{natural.axis}"
            )
        self.loads = pe_map.loads(schedule.apply(mask))
        self.kept, self.per_channel = self._kept()
        self.nonzeros = int(self.per_channel.sum())
        self.dead_channels = int(np.count_nonzero(self.per_channel == 0))

    def _kept(self) -> tuple[float, IntArray]:
        """Total score, and how many weights of each output channel, are kept."""
        channels = self.problem.pe_map.channels
        fan_in = self.mask.size // max(1, channels)
        scores, mask = self.problem.scores.reshape(-1), self.mask.reshape(-1)
        kept, per_channel = 0.0, np.zeros(channels, dtype=np.int64)
        step = max(1, PIECE_WEIGHTS // max(1, fan_in))
        for first in range(0, channels, step):
            counts = per_channel[first : first + step]
            piece = slice(first * fan_in, (first + len(counts)) * fan_in)
            positions = true_positions(mask[piece])
            kept += total_at(scores[piece], positions)
            starts = np.arange(len(counts) + 1) * fan_in
            counts[:] = np.diff(np.searchsorted(positions, starts))
        return kept, per_channel

    def constraints(self) -> None:
        """Raise `VerificationError` at the first constraint that is broken."""
        problem, pe_map = self.problem, self.problem.pe_map
        held = self.loads[pe_map.cell_group, pe_map.cell_pe]
        least, largest = pe_map.least_of_group(held), pe_map.largest_of_group(held)
        self._require(least == largest, "group", "has unequal loads")
        self._require(least >= problem.min_load, "group", "is below `min_load`")
        self._require(largest <= problem.max_load, "group", "is above `max_load`")
        if pe_map.fixed_load is not None:
            self._require(
                least == pe_map.fixed_load, "group", f"breaks the {pe_map.name} pattern"
            )
        self._require(
            self.per_channel >= problem.channel_floor,
            "output channel",
            "is below its `channel_floor`",
        )
        if self.nonzeros > problem.budget:
            raise VerificationError(
                f"{self.nonzeros} non-zeros exceed the budget of {problem.budget}"
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
