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
found by bisection. That solves the Lagrangian dual of the relaxation, hence the
**bound**. The **mask** leaves out the one weight of each PE that the relaxation takes
in part, fills what the budget has left, and exchanges weights where a load is still too
small. It is a heuristic with a gap, not a proof of optimality.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.allocation import ROUNDING
from balancer.blocks import BoolArray, IntArray
from balancer.errors import (
    BalancerError,
    SolverUnavailableError,
    VerificationError,
)
from balancer.pe_map import PEMap
from balancer.problem import RetentionProblem

FloatArray = npt.NDArray[np.float64]

# Halvings of an interval of loads or prices: the result is exact to twelve digits.
HALVINGS = 40
HUGE = 1e300  # the slope of a PE that has no weights left


@dataclass(frozen=True, slots=True, eq=False)
class WorkSolution:
    """A verified mask whose PEs expect the same work.

    Attributes
    ----------
    mask : ndarray of bool
        Weights to keep, in the shape of the weights.
    loads : ndarray of float64 [groups, pes]
        Expected work of each PE in each group; 0 where a PE holds no weights.
    tolerance : float
        By how much the loads of a group may differ.
    kept, bound : float
        Total score of the kept weights, and one that no such mask exceeds.
    gap : float
        ``(bound - kept) / bound``; 0 if nothing can be kept.
    remainder : int
        Budget that was left over, in non-zeros.
    seconds : float
        Wall-clock time, verification included.
    """

    mask: BoolArray
    loads: FloatArray
    tolerance: float
    kept: float
    bound: float
    gap: float
    remainder: int
    seconds: float

    @property
    def nonzeros(self) -> int:
        """Number of kept weights."""
        return int(np.count_nonzero(self.mask))

    def verify(self, problem: RetentionProblem, work: npt.ArrayLike) -> None:
        """Recompute loads, budget and objective from the mask.

        Raises
        ------
        VerificationError
            The first claim that the mask contradicts.
        """
        pe_map = problem.pe_map
        loads = _loads(self.mask, _checked_work(work, pe_map), pe_map)
        present = pe_map.present()
        largest = loads.max(axis=1, initial=0)
        least = np.where(present, loads, np.inf).min(axis=1, initial=np.inf)
        slack = self.tolerance + ROUNDING * (1 + largest)
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
        kept = float(problem.scores[self.mask].sum(dtype=np.float64))
        if not np.isclose(kept, self.kept, rtol=ROUNDING, atol=0):
            raise VerificationError(f"`kept` is {self.kept!r}, the mask's is {kept!r}")
        if not np.allclose(loads, self.loads, rtol=ROUNDING, atol=ROUNDING):
            raise VerificationError("`loads` are not the loads of the mask")


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
    relaxation = _Relaxation(problem, of_weight)
    bound, _ = relaxation.search(tolerance)
    # Rounding down costs a PE less than one weight's work.
    _, answer = relaxation.search(max(0.0, tolerance - single))
    chosen = relaxation.fill(answer.chosen())
    chosen = relaxation.exchange(chosen, tolerance)
    mask = np.zeros(pe_map.weights, dtype=bool)
    mask[chosen] = True
    mask = mask.reshape(pe_map.shape)
    kept = float(problem.scores[mask].sum(dtype=np.float64))
    bound = max(kept, bound)
    solution = WorkSolution(
        mask=mask,
        loads=_loads(mask, of_weight, pe_map),
        tolerance=tolerance,
        kept=kept,
        bound=bound,
        gap=(bound - kept) / bound if bound > 0 else 0.0,
        remainder=problem.budget - len(chosen),
        seconds=time.perf_counter() - begun,
    )
    solution.verify(problem, of_weight)
    return solution


class _Relaxation:
    """The linear relaxation, solved for one price of a non-zero at a time."""

    def __init__(self, problem: RetentionProblem, work: FloatArray) -> None:
        pe_map = problem.pe_map
        self.budget = problem.budget
        self.groups, self.group = pe_map.groups, pe_map.cell_group
        self.cell = pe_map.cell_labels().reshape(-1)
        self.score = problem.scores.reshape(-1).astype(np.float64)
        self.work = work.reshape(-1)
        self.sizes = pe_map.cell_sizes()
        self.total = np.bincount(self.cell, self.work, minlength=pe_map.cells)

    def search(self, tolerance: float) -> tuple[float, _Priced]:
        """Find the price of a non-zero.

        Returns
        -------
        bound : float
            Total score that no mask within the tolerance exceeds.
        answer : _Priced
            The relaxation's answer at the least price that keeps to the budget.
        """
        low, high = 0.0, float(self.score.max(initial=0.0))
        answer = _Priced(self, low, tolerance)
        bound = answer.value
        if answer.nonzeros <= self.budget:
            return bound, answer
        answer = _Priced(self, high, tolerance)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            tried = _Priced(self, middle, tolerance)
            bound = min(bound, tried.value)
            if tried.nonzeros > self.budget:
                low = middle
            else:
                high, answer = middle, tried
        return bound, answer

    def fill(self, chosen: IntArray) -> IntArray:
        """Add the best weights that raise no group's largest load, up to the budget."""
        room = self.budget - len(chosen)
        load, limit = self._loads(chosen)
        left = np.ones(len(self.cell), dtype=bool)
        left[chosen] = False
        others = np.flatnonzero(left)
        fits = load[self.cell[others]] + self.work[others] <= limit[self.cell[others]]
        others = others[fits]
        added: list[int] = []
        for i in others[np.argsort(-self.score[others], kind="stable")].tolist():
            if len(added) == room:
                break
            cell = self.cell[i]
            if load[cell] + self.work[i] <= limit[cell]:
                load[cell] += self.work[i]
                added.append(i)
        return np.concatenate([chosen, np.array(added, dtype=np.int64)])

    def exchange(self, chosen: IntArray, tolerance: float) -> IntArray:
        """Exchange weights of every PE whose load is below the tolerance.

        Each exchange takes the cheapest pair that brings the load into the tolerance,
        or else the pair that brings it nearest, until it is there.

        Raises
        ------
        SolverUnavailableError
            A PE has no pair of weights that brings it nearer.
        """
        kept = np.zeros(len(self.cell), dtype=bool)
        kept[chosen] = True
        load, most = self._loads(chosen)
        least = most - tolerance - ROUNDING * (1 + most)
        for cell in np.flatnonzero(load < least):
            mine = np.flatnonzero(self.cell == cell)
            while load[cell] < least[cell]:
                out, back = mine[kept[mine]], mine[~kept[mine]]
                after = load[cell] - self.work[out][:, None] + self.work[back]
                loss = self.score[out][:, None] - self.score[back]
                nearer = (after > load[cell]) & (after <= most[cell])
                if not nearer.any():
                    raise SolverUnavailableError(
                        f"no mask found in which all loads of group {self.group[cell]} "
                        f"lie within {tolerance:g}; raise `tolerance`, up to "
                        f"{self.work.max():g}, which can always be reached"
                    )
                there = nearer & (after >= least[cell])
                rank = np.where(there, loss, np.inf) if there.any() else -after
                rank = np.where(nearer, rank, np.inf)
                leaving, coming = np.unravel_index(int(np.argmin(rank)), rank.shape)
                load[cell] = after[leaving, coming]
                kept[out[leaving]], kept[back[coming]] = False, True
        return np.flatnonzero(kept)

    def _loads(self, chosen: IntArray) -> tuple[FloatArray, FloatArray]:
        """Load of each cell, and the largest of its group."""
        work, cell = self.work[chosen], self.cell[chosen]
        load = np.bincount(cell, work, minlength=len(self.total)).astype(np.float64)
        largest = np.zeros(self.groups)
        np.maximum.at(largest, self.group, load)
        return load, largest[self.group]


class _Priced:
    """The relaxation's answer at one price of a non-zero.

    Attributes
    ----------
    value : float
        The Lagrangian: total score that no mask exceeds.
    nonzeros : int
        Weights that the PEs take as a whole.
    """

    def __init__(self, relaxation: _Relaxation, price: float, tolerance: float) -> None:
        gain = relaxation.score - price
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = gain / relaxation.work
        free = relaxation.work == 0  # taken if they gain, never otherwise
        slope[free] = np.where(gain[free] > 0, np.inf, -np.inf)
        self._order = np.lexsort((-slope, relaxation.cell))
        self._cell = relaxation.cell[self._order]
        cells = len(relaxation.sizes)
        self._first = np.cumsum(relaxation.sizes) - relaxation.sizes
        slope = slope[self._order]
        self._slope = np.append(slope, -np.inf)
        self._work = _sums(relaxation.work[self._order])
        self._gain = _sums(gain[self._order])
        self._usable = np.bincount(self._cell[slope > -np.inf], minlength=cells)
        wanted = np.bincount(self._cell[slope > 0], minlength=cells)
        self._wanted = self._of(self._work, wanted)
        self._tolerance = tolerance

        group, groups = relaxation.group, relaxation.groups
        low, high = np.zeros(groups), np.full(groups, np.inf)
        np.minimum.at(high, group, relaxation.total + tolerance)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            slopes = self._at(middle[group])[1]
            rising = np.bincount(group, slopes, minlength=groups) > 0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        # The best limit lies between the two. The value is concave, so none there is
        # worth more than an end and what its slope promises; a PE that has no weights
        # left for the upper end says nothing.
        promised = []
        for end, sign in ((low, 1), (high, -1)):
            self._count, slopes, gains = self._at(end[group])
            rise = sign * np.bincount(group, slopes, minlength=groups)
            value = np.bincount(group, gains, minlength=groups)
            best = value + np.maximum(rise, 0.0) * (high - low)
            promised.append(np.where(rise < HUGE / 2, best, np.inf))
        self.value = float(np.minimum(*promised).sum()) + price * relaxation.budget
        self.nonzeros = int(self._count.sum())

    def chosen(self) -> IntArray:
        """Positions of the weights that the PEs take as a whole."""
        place = np.arange(len(self._order)) - self._first[self._cell]
        return self._order[place < self._count[self._cell]]

    def _at(self, limit: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Whole weights, slope and gain of each PE, for a largest load [cells].

        A PE takes what it wants, but no more than the limit and no less than the limit
        less the tolerance; the slope is what more of the limit would bring it.
        """
        least = np.maximum(limit - self._tolerance, 0.0)
        load = np.clip(self._wanted, least, limit)
        count = self._fitting(load)
        slope = np.maximum(self._slope[self._first + count], -HUGE)
        slope[count == self._usable] = -HUGE
        part = load - self._of(self._work, count)
        gain = self._of(self._gain, count) + np.where(part > 0, slope * part, 0.0)
        pressed = (self._wanted > limit) | (self._wanted < least)
        return count, np.where(pressed, slope, 0.0), gain

    def _fitting(self, load: FloatArray) -> IntArray:
        """Count each cell's first usable weights whose work fits a load [cells]."""
        low, high = np.zeros(len(load), dtype=np.int64), self._usable.copy()
        while (low < high).any():
            middle = (low + high + 1) // 2
            fits = self._of(self._work, middle) <= load
            low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
        return low

    def _of(self, sums: FloatArray, count: IntArray) -> FloatArray:
        """Sum over the first `count` weights of each cell."""
        difference: FloatArray = sums[self._first + count] - sums[self._first]
        return difference


def _sums(values: FloatArray) -> FloatArray:
    """Sum of the first 0, 1, 2, ... values."""
    return np.concatenate([np.zeros(1), np.cumsum(values)])


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
    table = np.zeros((pe_map.groups, pe_map.pes))
    table[pe_map.cell_group, pe_map.cell_pe] = np.bincount(
        cell, work.reshape(-1)[kept], minlength=pe_map.cells
    )
    return table
