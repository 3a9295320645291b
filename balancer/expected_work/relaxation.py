"""The linear relaxation of expected work, for one price of a non-zero at a time."""

from __future__ import annotations

import numpy as np

from balancer.array_types import FloatArray, IntArray
from balancer.errors import SolverUnavailableError
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import ROUNDING

# Halvings of an interval of loads or prices: the result is exact to twelve digits.
HALVINGS = 40
HUGE = 1e300  # the slope of a PE that has no weights left


class Relaxation:
    """The linear relaxation, solved for one price of a non-zero at a time."""

    def __init__(self, problem: RetentionProblem, work: FloatArray) -> None:
        pe_map = problem.pe_map
        self.budget = problem.budget
        self.groups, self.group = pe_map.groups, pe_map.cell_group
        self.cell = pe_map.cell_labels().reshape(-1)
        self.score = problem.scores.reshape(-1).astype(np.float64)
        self.work = work.reshape(-1)
        self.sizes = pe_map.cell_sizes()
        self.total = np.bincount(self.cell, self.work, minlength=pe_map.n_cells)

    def search(self, tolerance: float) -> tuple[float, PricedRelaxation]:
        """Find the price of a non-zero.

        Returns
        -------
        bound : float
            Total score that no mask within the tolerance exceeds.
        answer : PricedRelaxation
            The relaxation's answer at the least price that keeps to the budget.
        """
        low, high = 0.0, float(self.score.max(initial=0.0))
        answer = PricedRelaxation(self, low, tolerance)
        bound = answer.value
        if answer.nonzeros <= self.budget:
            return bound, answer
        answer = PricedRelaxation(self, high, tolerance)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            tried = PricedRelaxation(self, middle, tolerance)
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


class PricedRelaxation:
    """The relaxation's answer at one price of a non-zero.

    Attributes
    ----------
    value : float
        The Lagrangian: total score that no mask exceeds.
    count : ndarray of int64 [cells]
        Weights that each PE takes as a whole, by `slope`.
    """

    def __init__(self, relaxation: Relaxation, price: float, tolerance: float) -> None:
        self._tolerance = tolerance
        self._rank(relaxation, relaxation.score - price)
        low, high = self._best_limits(relaxation)
        self.value = self._bound(relaxation, low, high) + price * relaxation.budget
        self.count, _, _ = self._at(high[relaxation.group])

    @property
    def nonzeros(self) -> int:
        """Weights that the PEs take as a whole."""
        return int(self.count.sum())

    def _rank(self, relaxation: Relaxation, gain: FloatArray) -> None:
        """Sort the weights of each PE by what they gain for their work."""
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = gain / relaxation.work
        free = relaxation.work == 0  # taken if they gain, never otherwise
        slope[free] = np.where(gain[free] > 0, np.inf, -np.inf)
        self._order = np.lexsort((-slope, relaxation.cell))
        self._cell = relaxation.cell[self._order]
        self._first = np.cumsum(relaxation.sizes) - relaxation.sizes
        slope = slope[self._order]
        self._slope = np.append(slope, -np.inf)
        self._work = _sums(relaxation.work[self._order])
        self._gain = _sums(gain[self._order])
        cells = len(relaxation.sizes)
        self._usable = np.bincount(self._cell[slope > -np.inf], minlength=cells)
        wanted = np.bincount(self._cell[slope > 0], minlength=cells)
        self._wanted = self._of(self._work, wanted)

    def _best_limits(self, relaxation: Relaxation) -> tuple[FloatArray, FloatArray]:
        """Enclose the best largest load of each group, [groups], by bisection.

        The value of a group is concave in its largest load, so the best lies where the
        slopes of its PEs stop adding up to a rise.
        """
        group, groups = relaxation.group, relaxation.groups
        low, high = np.zeros(groups), np.full(groups, np.inf)
        np.minimum.at(high, group, relaxation.total + self._tolerance)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            _, slopes, _ = self._at(middle[group])
            rising = np.bincount(group, slopes, minlength=groups) > 0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        return low, high

    def _bound(
        self, relaxation: Relaxation, low: FloatArray, high: FloatArray
    ) -> float:
        """Bound the total gain of largest loads between two limits, [groups].

        The gain is concave, so nothing between them is worth more than an end and what
        its slope promises; a PE without weights left for the upper end says nothing.
        """
        group, groups = relaxation.group, relaxation.groups
        promised = []
        for end, sign in ((low, 1), (high, -1)):
            _, slopes, gains = self._at(end[group])
            rise = sign * np.bincount(group, slopes, minlength=groups)
            gain = np.bincount(group, gains, minlength=groups)
            best = gain + np.maximum(rise, 0.0) * (high - low)
            promised.append(np.where(rise < HUGE / 2, best, np.inf))
        return float(np.minimum(*promised).sum())

    def chosen(self) -> IntArray:
        """Positions of the weights that the PEs take as a whole."""
        place = np.arange(len(self._order)) - self._first[self._cell]
        return self._order[place < self.count[self._cell]]

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
