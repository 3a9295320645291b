r"""The linear relaxation of expected work, for one price of a non-zero at a time.

Any price $\lambda \ge 0$ of a non-zero and any prices $\mu_p$ of the work of the PEs
bound the score of every mask. With $C_g$ the most that a group's largest load can be,

$$K \lambda + \sum_i \max(0, s_i - \lambda - \mu_{p(i)} w_i)
  + \tau \sum_p \max(0, -\mu_p) + \sum_g C_g \max(0, \sum_{p \in g} \mu_p).$$

No term is negative, so what rounding may have taken from them is easily added: the
bound holds whatever the numbers are, and however roughly the prices were found.
"""

from __future__ import annotations

import math

import numpy as np

from balancer.array_types import AnyArray, FloatArray, IntArray
from balancer.errors import SolverUnavailableError
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import ROUNDING

# Halvings of an interval of loads or prices: the result is exact to twelve digits.
HALVINGS = 40
HUGE = 1e150  # the slope of a PE that has no weights left
# More than what a few operations, or a sum of any length, lose by rounding.
FEW_ROUNDINGS = 2.0**-50
SUM_ROUNDING = 2.0**-44
LEAST_NUMBER = 2.0**-1074


class Relaxation:
    """The linear relaxation, solved for one price of a non-zero at a time.

    Scores and work are in units of powers of two that bring the largest near 1.

    Parameters
    ----------
    problem : RetentionProblem
        Scores, PE map and budget.
    work : ndarray of float64
        Work of each weight, in the shape of the weights.
    """

    def __init__(self, problem: RetentionProblem, work: FloatArray) -> None:
        pe_map = problem.pe_map
        self.budget = problem.budget
        self.groups, self.group = pe_map.groups, pe_map.cell_group
        self.cell = pe_map.cell_labels().reshape(-1)
        self.sizes = pe_map.cell_sizes()
        self.score, self._score_unit = _in_units(problem.scores)
        self.work, self._work_unit = _in_units(work)
        self.total = np.bincount(self.cell, self.work, minlength=pe_map.n_cells)

    def search(self, tolerance: float) -> tuple[float, PricedRelaxation]:
        """Find the price of a non-zero.

        Parameters
        ----------
        tolerance : float
            By how much loads of a group may differ, in the unit of the work.

        Returns
        -------
        bound : float
            Total score that no mask within the tolerance exceeds.
        answer : PricedRelaxation
            The relaxation's answer at the least price that keeps to the budget.
        """
        # Loads never differ by more than a PE's whole work. Both are rounded up.
        most = float(self.total.max(initial=0.0)) * (1 + SUM_ROUNDING)
        tolerance = min(math.ldexp(tolerance, -self._work_unit), most)
        tolerance = math.nextafter(tolerance, math.inf)
        low, high = 0.0, float(self.score.max(initial=0.0))
        answer = PricedRelaxation(self, low, tolerance)
        bound = answer.bound
        if answer.nonzeros > self.budget:
            answer = PricedRelaxation(self, high, tolerance)
            answer.keep_to(self.budget)
            bound = min(bound, answer.bound)
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                tried = PricedRelaxation(self, middle, tolerance)
                bound = min(bound, tried.bound)
                if tried.nonzeros > self.budget:
                    low = middle
                else:
                    high, answer = middle, tried
        real = math.ldexp(bound, self._score_unit)
        return math.nextafter(real, math.inf), answer

    def bound(self, price: float, of_work: FloatArray, tolerance: float) -> float:
        """Bound the total score of every mask within budget and tolerance.

        Parameters
        ----------
        price : float
            Of a non-zero, lambda.
        of_work : ndarray of float64 [cells]
            Price of the work of each PE, mu, of any sign.
        tolerance : float
            In units of work.
        """
        cost = of_work[self.cell] * self.work
        gain = self.score - price - cost
        lost = FEW_ROUNDINGS * (self.score + price + np.abs(cost))
        lost += LEAST_NUMBER * (2 + np.abs(of_work))[self.cell]  # units cut off
        total = float(np.maximum(gain + lost, 0.0).sum()) + price * self.budget
        total += tolerance * float(np.maximum(-of_work, 0.0).sum())
        excess = np.bincount(self.group, of_work, minlength=self.groups)
        size = np.bincount(self.group, np.abs(of_work), minlength=self.groups)
        excess = np.maximum(excess + SUM_ROUNDING * size, 0.0)
        total += float(excess @ self.most(tolerance))
        return total * (1 + SUM_ROUNDING)

    def most(self, tolerance: float) -> FloatArray:
        """Bound the largest load of each group by what its PEs can reach, [groups]."""
        most = np.full(self.groups, np.inf)
        np.minimum.at(most, self.group, self.total + tolerance)
        return most * (1 + SUM_ROUNDING)

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
        # Half of the rounding that a solution may have: it adds up in another order.
        least = most * (1 - ROUNDING / 2) - math.ldexp(tolerance, -self._work_unit)
        for cell in np.flatnonzero(load < least):
            mine = np.flatnonzero(self.cell == cell)
            while load[cell] < least[cell]:
                out, back = mine[kept[mine]], mine[~kept[mine]]
                after = _without_each(self.work[out])[:, None] + self.work[back]
                loss = self.score[out][:, None] - self.score[back]
                nearer = (after > load[cell]) & (after <= most[cell])
                if not nearer.any():
                    raise SolverUnavailableError(
                        f"no mask found in which all loads of group {self.group[cell]} "
                        f"lie within {tolerance:g}; raise `tolerance`, up to "
                        f"{math.ldexp(self.work.max(), self._work_unit):g}, which can "
                        "always be reached"
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
    bound : float
        Total score that no mask exceeds, in units of the relaxation.
    count : ndarray of int64 [cells]
        Weights that each PE takes as a whole, by `slope`.
    """

    def __init__(self, relaxation: Relaxation, price: float, tolerance: float) -> None:
        self._tolerance = tolerance
        self._rank(relaxation, relaxation.score - price)
        group = relaxation.group
        self._low, high = self._best_limits(relaxation)
        self._group = group
        _, rising = self._at(self._low[group])
        self.count, falling = self._at(high[group])
        of_work = _level(rising, falling, group, relaxation.groups)
        self.bound = relaxation.bound(price, of_work, tolerance)

    @property
    def nonzeros(self) -> int:
        """Weights that the PEs take as a whole."""
        return int(self.count.sum())

    def keep_to(self, budget: int) -> None:
        """Take the lower end of the largest loads where the upper one exceeds it."""
        if self.nonzeros > budget:
            self.count, _ = self._at(self._low[self._group])

    def _rank(self, relaxation: Relaxation, gain: FloatArray) -> None:
        """Sort the weights of each PE by what they gain for their work."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = np.clip(gain / relaxation.work, -HUGE, HUGE)
        free = relaxation.work == 0  # taken if they gain, never otherwise
        slope[free] = np.where(gain[free] > 0, np.inf, -np.inf)
        self._order = np.lexsort((-slope, relaxation.cell))
        self._cell = relaxation.cell[self._order]
        self._first = np.cumsum(relaxation.sizes) - relaxation.sizes
        slope = slope[self._order]
        self._slope = np.append(slope, -np.inf)
        self._work = _running_sums(relaxation.work[self._order], relaxation.sizes)
        cells = len(relaxation.sizes)
        self._usable = np.bincount(self._cell[slope > -np.inf], minlength=cells)
        wanted = np.bincount(self._cell[slope > 0], minlength=cells)
        self._wanted = self._of(wanted)

    def _best_limits(self, relaxation: Relaxation) -> tuple[FloatArray, FloatArray]:
        """Enclose the best largest load of each group, [groups], by bisection.

        The value of a group is concave in its largest load, so the best lies where the
        slopes of its PEs stop adding up to a rise.
        """
        group, groups = relaxation.group, relaxation.groups
        low, high = np.zeros(groups), relaxation.most(self._tolerance)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            _, slopes = self._at(middle[group])
            rising = np.bincount(group, slopes, minlength=groups) > 0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        return low, high

    def chosen(self) -> IntArray:
        """Positions of the weights that the PEs take as a whole."""
        place = np.arange(len(self._order)) - self._first[self._cell]
        return self._order[place < self.count[self._cell]]

    def _at(self, limit: FloatArray) -> tuple[IntArray, FloatArray]:
        """Whole weights and slope of each PE, for a largest load [cells].

        A PE takes what it wants, but no more than the limit and no less than the limit
        less the tolerance; the slope is what more of the limit would bring it.
        """
        least = np.maximum(limit - self._tolerance, 0.0)
        count = self._fitting(np.clip(self._wanted, least, limit))
        slope = np.clip(self._slope[self._first + count], -HUGE, HUGE)
        slope[count == self._usable] = -HUGE
        pressed = (self._wanted > limit) | (self._wanted < least)
        return count, np.where(pressed, slope, 0.0)

    def _fitting(self, load: FloatArray) -> IntArray:
        """Count each cell's first usable weights whose work fits a load [cells]."""
        low, high = np.zeros(len(load), dtype=np.int64), self._usable.copy()
        while (low < high).any():
            middle = (low + high + 1) // 2
            fits = self._of(middle) <= load
            low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
        return low

    def _of(self, count: IntArray) -> FloatArray:
        """Work of the first `count` weights of each cell."""
        work: FloatArray = self._work[self._first + np.arange(len(count)) + count]
        return work


def _in_units(values: AnyArray) -> tuple[FloatArray, int]:
    """Return flat values, the largest near 1, and the exponent of their unit."""
    flat = values.reshape(-1).astype(np.float64)
    unit = math.frexp(float(flat.max(initial=0.0)))[1]
    return np.ldexp(flat, -unit), unit


def _running_sums(values: FloatArray, sizes: IntArray) -> FloatArray:
    """Add up the first 0, 1, 2, ... values of each cell, one cell after the other.

    Each cell is added up by itself: a large value of one costs the others no digits.
    """
    first = np.cumsum(sizes) - sizes
    sums = np.zeros(len(values) + len(sizes))
    for size in np.unique(sizes).tolist():
        cells = np.flatnonzero(sizes == size)[:, None]
        place = first[cells] + np.arange(size)
        sums[place + cells + 1] = np.cumsum(values[place], axis=1)
    return sums


def _level(
    rising: FloatArray, falling: FloatArray, group: AnyArray, groups: int
) -> FloatArray:
    """Mix the slopes on both sides of a group's best load so that they add up to 0.

    Where they fall on both sides (the load is 0), the slopes of the first.
    """
    rise = np.bincount(group, rising, minlength=groups)
    fall = np.bincount(group, falling, minlength=groups)
    between = (rise > 0) & (fall <= 0)
    share = np.where(between, rise, 0.0) / np.where(between, rise - fall, 1.0)
    return rising + share[group] * (falling - rising)


def _without_each(work: FloatArray) -> FloatArray:
    """Sum of all others, for each, without taking a sum and subtracting."""
    before = np.cumsum(np.append(0.0, work[:-1]))
    after = np.cumsum(np.append(0.0, work[:0:-1]))[::-1]
    others: FloatArray = before[: len(work)] + after[: len(work)]
    return others
