r"""The slice program: how many slices each group takes from one or more budgets.

With slice values $v_g(1) \ge v_g(2) \ge \dots$ and costs $c_{gb}$ of a slice of
group g in budget b (non-zeros: its $P_g$ PEs),

$$\max_k \sum_g \sum_{j \le k_g} v_g(j) \quad\text{s.t.}\quad
  \sum_g c_{gb} k_g \le K_b \;\; \forall b, \quad \ell_g \le k_g \le u_g .$$

This is resource allocation with separable concave returns (Fox 1966,
10.1287/mnsc.13.3.210; Frederickson & Johnson 1982, 10.1016/0022-0000(82)90053-1):

* With one budget, taking the slices in the order of their value per cost, until the
  next one does not fit, solves the linear relaxation and the Lagrangian dual; the
  fraction of the slice that breaks the budget gives the **bound**, its value per cost
  the **price**. With several, `dual` finds a price for each budget, and slices
  are taken in the order of their value per priced cost.
* If all groups cost the same nothing breaks, and the answer is optimal. Otherwise it is
  a knapsack. Groups of one cost are interchangeable: only *how many* slices of each
  cost are taken matters, the best ones first.
* With the prices, every deviation from the relaxation costs a known amount. What costs
  more than the gap between bound and answer is fixed; the rest is the **core**.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from balancer.array_types import BoolArray, FloatArray, IntArray
from balancer.program.dual import Dual
from balancer.program.rounding import ROUNDING

NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class SliceProgram:
    """Values and costs of the slices that may be taken beyond the lower bounds.

    Attributes
    ----------
    values : ndarray of float64 [slices]
        Values of the known free slices, group after group, best first.
    counts : ndarray of int64 [groups]
        Known free slices of each group.
    cost : ndarray of int64 [groups, budgets]
        What a slice takes from each budget; from the first its non-zeros, P_g.
    lower : ndarray of int64 [groups]
        Slices that are taken in any case.
    complete : ndarray of bool [groups]
        Whether all slices of a group are known.
    budget : ndarray of int64 [budgets]
        Most of each cost, those below `lower` included; the first counts non-zeros.
    base : float
        Total score of what is taken in any case.
    """

    values: FloatArray
    counts: IntArray
    cost: IntArray
    lower: IntArray
    complete: BoolArray
    budget: IntArray
    base: float

    @classmethod
    def of_table(
        cls,
        values: FloatArray,
        *,
        cost: IntArray,
        lower: IntArray,
        upper: IntArray,
        budget: int,
    ) -> SliceProgram:
        """State a program all of whose slices are known.

        Parameters
        ----------
        values : ndarray of float64 [groups, depth]
            Of each group's slices, best first.
        cost : ndarray of int64 [groups]
            Non-zeros of a slice.
        lower, upper : ndarray of int64 [groups]
            Bounds on the loads, at most the depth.
        budget : int
            Most non-zeros, those below `lower` included.
        """
        position = np.arange(values.shape[1])
        below = position < lower[:, None]
        return cls(
            values=values[~below & (position < upper[:, None])],
            counts=upper - lower,
            cost=cost[:, None],
            lower=lower,
            complete=np.ones(len(upper), dtype=bool),
            budget=np.array([budget]),
            base=float(values[below].sum()),
        )

    def affordable(self) -> SliceProgram:
        """Leave out the slices that no answer can take.

        Those are the slices with which their group alone would exceed a budget. However
        much they are worth, they must neither loosen the bound nor set a scale.
        """
        free = self.budget - self.lower @ self.cost
        most = np.where(self.cost > 0, free // np.maximum(1, self.cost), NO_LIMIT)
        largest: IntArray = most.min(axis=1, initial=NO_LIMIT)
        if (self.counts < largest).all():
            return self
        counts = np.minimum(self.counts, np.maximum(0, largest))
        first = np.cumsum(self.counts) - self.counts
        position = np.arange(len(self.values)) - np.repeat(first, self.counts)
        return replace(
            self,
            values=self.values[position < np.repeat(counts, self.counts)],
            counts=counts,
            complete=self.complete | (counts >= largest),
        )

    @classmethod
    def join(
        cls,
        programs: Sequence[SliceProgram],
        budget: IntArray,
        further_cost: IntArray | None = None,
    ) -> SliceProgram:
        """Put the groups of several layers under the same budgets.

        Parameters
        ----------
        programs : sequence of SliceProgram
            The layers.
        budget : ndarray of int64 [budgets]
            The budgets of all layers together.
        further_cost : ndarray of int64 [groups of all layers, budgets - 1], optional
            What a slice takes from the budgets after the first.
        """
        empty = np.empty((0, 1), dtype=np.int64)
        cost = np.concatenate([empty, *(p.cost[:, :1] for p in programs)])
        if further_cost is not None:
            cost = np.concatenate([cost, further_cost], axis=1)
        return cls(
            values=np.concatenate([p.values for p in programs] or [np.empty(0)]),
            counts=np.concatenate([empty[:, 0], *(p.counts for p in programs)]),
            cost=cost,
            lower=np.concatenate([empty[:, 0], *(p.lower for p in programs)]),
            complete=np.concatenate(
                [p.complete for p in programs] or [np.empty(0, bool)]
            ),
            budget=budget,
            base=float(sum(p.base for p in programs)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CostClass:
    """The core slices of all groups of one cost, best first.

    Attributes
    ----------
    cost : tuple of int [budgets]
        What each slice takes from the budgets.
    sure : int
        Slices of this cost, best first, that every better answer takes.
    values : ndarray of float64
        The slices that come next and are open; those after them are out.
    """

    cost: tuple[int, ...]
    sure: int
    values: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """An answer to a slice program, with what is proven about it.

    Attributes
    ----------
    loads : ndarray of int64 [groups]
        Slices that each group takes.
    kept, bound : float
        Total score of the answer, and one that no answer exceeds.
    exhausted : ndarray of bool [groups]
        Groups whose unknown slices might belong to a better answer: the program must be
        stated again with more slices before the bound holds.
    """

    loads: IntArray
    kept: float
    bound: float
    exhausted: BoolArray


class SliceAllocator:
    """Lagrangian presolve of one slice program.

    Parameters
    ----------
    program : SliceProgram
        The program.

    Attributes
    ----------
    free_budget : ndarray of int64 [budgets]
        What the budgets leave beyond the lower bounds, without the remainders that no
        slices add up to.
    greedy : Allocation
        The slices of most value per priced cost that fit, with the Lagrangian bound.
    """

    def __init__(self, program: SliceProgram) -> None:
        self.program = program
        self._group = np.repeat(np.arange(len(program.counts)), program.counts)
        self._cost = program.cost[self._group]
        self._classes, class_of_group = _classes(program.cost)
        self._class = class_of_group[self._group]
        free = program.budget - program.lower @ program.cost
        self.free_budget: IntArray = free - free % self._common_cost()
        relax = self._relax_one if program.cost.shape[1] == 1 else self._relax_several
        self._order, self._prices, fitting, bound = relax()
        self.greedy = self._allocate(fitting, bound)

    @property
    def prices(self) -> FloatArray:
        """What a unit of each budget is worth, [budgets]."""
        return self._prices

    def _relax_one(self) -> tuple[IntArray, FloatArray, int, float]:
        """Solve the relaxation of one budget.

        Returns the order of the slices, the price, how many of them fit, and the bound.
        """
        values, cost = self.program.values, self._cost[:, 0]
        density = values / cost
        # Stable: equal slices in the order of their groups, a group's in its own order.
        order = np.argsort(-density, kind="stable")
        spent = np.cumsum(cost[order])
        fitting = int(np.searchsorted(spent, self.free_budget[0], side="right"))
        room = int(self.free_budget[0]) - (int(spent[fitting - 1]) if fitting else 0)
        price = float(density[order[fitting]]) if fitting < len(order) else 0.0
        bound = self.program.base + float(values[order[:fitting]].sum()) + room * price
        return order, np.array([price]), fitting, bound

    def _relax_several(self) -> tuple[IntArray, FloatArray, int, float]:
        """Solve the dual of several budgets; results as `_relax_one`, none fitting."""
        values = self.program.values
        by_value = np.lexsort((-values, self._class))
        ends = np.cumsum(np.bincount(self._class, minlength=len(self._classes)))
        chains = np.split(values[by_value], ends)[:-1]
        prices, bound = Dual(chains, self._classes, self.free_budget).minimize()
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.nan_to_num(values / (self._cost @ prices), nan=0.0)
        order = np.lexsort((-values, -density))
        return order, prices, 0, self.program.base + bound

    def _allocate(self, fitting: int, bound: float) -> Allocation:
        first = self._order[:fitting]
        room = self.free_budget - self._cost[first].sum(axis=0)
        taken = np.concatenate([first, self._fitting(self._order[fitting:], room)])
        answer = self._answer(taken, bound)
        gap = max(0.0, bound - answer.kept)
        exhausted = answer.exhausted | self._worth_knowing(gap)
        return Allocation(answer.loads, answer.kept, bound, exhausted)

    def _common_cost(self) -> IntArray:
        """Largest number that divides every free slice's cost, for each budget."""
        program = self.program
        free = program.cost[(program.counts > 0) | ~program.complete]
        divisors: IntArray = np.gcd.reduce(free, axis=0, initial=0)
        return np.maximum(1, divisors)

    def _fitting(self, slices: IntArray, room: IntArray) -> IntArray:
        """Choose slices in the given order until no other fits the room.

        All slices of a group cost the same, so skipping those that are too large never
        takes a slice before a better one of its group.
        """
        chosen = [np.empty(0, dtype=np.int64)]
        while True:
            affordable = (self._classes <= room).all(axis=1)
            slices = slices[np.take(affordable, self._class[slices])]
            if not slices.size:
                return np.concatenate(chosen)
            spent = np.cumsum(self._cost[slices], axis=0)
            over = np.flatnonzero((spent > room).any(axis=1))
            fitting = int(over[0]) if over.size else len(slices)
            chosen.append(slices[:fitting])
            room = room - spent[fitting - 1]
            slices = slices[fitting:]

    def _answer(self, taken: IntArray, bound: float) -> Allocation:
        """Sum up the taken slices; exhausted are groups that still had room."""
        program = self.program
        counts = np.bincount(self._group[taken], minlength=len(program.counts))
        kept = program.base + float(program.values[taken].sum())
        room = self.free_budget - counts @ program.cost
        starved = (program.cost <= room).all(axis=1) & ~program.complete
        return Allocation(program.lower + counts, kept, bound, starved)

    def _worth_knowing(self, gap: float) -> BoolArray:
        """Find groups whose unknown slices may belong to a better answer.

        No unknown slice is worth more than the last known one of its group. Where even
        that one misses its price by more than the gap, those behind it are in no answer
        better than greedy: the same reason as in `core`.
        """
        program = self.program
        unknown = ~program.complete
        if not self._prices.any() or not unknown.any():
            return unknown
        last = np.cumsum(program.counts) - 1
        known = program.counts > 0
        value = np.full(len(known), np.inf)
        value[known] = program.values[last[known]]
        surplus = value - program.cost @ self._prices
        # Without a gap nothing is better, if the bound is one: it is not where a slice
        # that is worth more than its price is unknown.
        worth: BoolArray = surplus > 0 if gap == 0.0 else surplus >= -gap
        return unknown & worth

    def core(self) -> list[CostClass]:
        """List what the presolve leaves open, by cost of the slices.

        The relaxation takes the slices that are worth more than their price. An answer
        with fewer of one cost is below the bound by the surplus of those it leaves out,
        at least, and one with more by what the further ones miss; where that is more
        than greedy's gap, the answer is no better than greedy.
        """
        gap = max(0.0, self.greedy.bound - self.greedy.kept)
        # What costs as much as the gap but for rounding stays open all the same.
        gap += ROUNDING * abs(self.greedy.bound)
        classes = []
        for cost in self._classes:
            values = self.program.values[self._of_cost(cost)]
            first, end = _open_range(values - cost @ self._prices, gap)
            classes.append(CostClass(tuple(cost.tolist()), first, values[first:end]))
        return classes

    def take(self, number: dict[tuple[int, ...], int], fill: bool = True) -> Allocation:
        """Allocate the best ``number[cost]`` slices of each cost, and no others.

        With `fill`, the densest of the others follow until none fits. The bound is the
        relaxation's.
        """
        left = np.ones(len(self._order), dtype=bool)
        for cost, wanted in number.items():
            left[self._of_cost(np.array(cost))[:wanted]] = False
        taken = np.flatnonzero(~left)
        if fill:
            room = self.free_budget - self._cost[taken].sum(axis=0)
            rest = self._fitting(self._order[left[self._order]], room)
            taken = np.concatenate([taken, rest])
        return self._answer(taken, self.greedy.bound)

    def nonzeros(self, allocation: Allocation) -> int:
        """Non-zeros of an allocation."""
        return int(self.program.cost[:, 0] @ allocation.loads)

    def hint(self, core: Sequence[CostClass]) -> list[int]:
        """Count the open slices of each cost that the greedy answer takes."""
        taken = self.greedy.loads - self.program.lower
        return [
            int(taken[(self.program.cost == c.cost).all(axis=1)].sum()) - c.sure
            for c in core
        ]

    def _of_cost(self, cost: IntArray) -> IntArray:
        """Slices of one cost, best first."""
        mine = np.flatnonzero((self._classes == cost).all(axis=1))
        return np.compress(self._class[self._order] == mine[0], self._order)


def _classes(cost: IntArray) -> tuple[IntArray, IntArray]:
    """Distinct rows of `cost`, and which of them each row is."""
    if cost.shape[1] == 1:  # many times as fast
        classes, of_row = np.unique(cost[:, 0], return_inverse=True)
        return classes[:, None], of_row
    classes, of_row = np.unique(cost, axis=0, return_inverse=True)
    return classes, of_row.reshape(-1)


def _open_range(surplus: FloatArray, gap: float) -> tuple[int, int]:
    """Find the least and the greatest number of slices whose loss is within the gap.

    `surplus` is what the slices of one cost are worth above their price, descending. To
    take those above 0 and no others loses nothing.
    """
    relaxed = int(np.searchsorted(-surplus, 0.0, side="left"))
    loss_of_fewer = np.cumsum(surplus[:relaxed][::-1])  # of one, two ... slices fewer
    loss_of_more = np.cumsum(-surplus[relaxed:])  # of one, two ... slices more
    fewer = int(np.searchsorted(loss_of_fewer, gap, side="right"))
    more = int(np.searchsorted(loss_of_more, gap, side="right"))
    return relaxed - fewer, relaxed + more
