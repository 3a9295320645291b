r"""The slice program: how many slices each group takes from one budget.

With slice values $v_g(1) \ge v_g(2) \ge \dots$ of groups of $P_g$ PEs,

$$\max_k \sum_g \sum_{j \le k_g} v_g(j) \quad\text{s.t.}\quad \sum_g P_g k_g \le K,\;
  \ell_g \le k_g \le u_g .$$

This is resource allocation with separable concave returns (Fox 1966,
10.1287/opre.14.2.266; Frederickson & Johnson 1982, 10.1016/0022-0000(82)90053-1):

* Taking the slices in the order of their value per non-zero, until the next one does
not
  fit, solves the linear relaxation and the Lagrangian dual; the fraction of the slice
  that breaks the budget gives the **bound**, its value per non-zero the **price** of a
  non-zero.
* If all groups have the same size nothing breaks, and the answer is optimal. Otherwise
it
  is a knapsack. Groups of one size are interchangeable: only *how many* slices of each
  size are taken matters, the best ones first.
* With the price, every deviation from the relaxation costs a known amount. What costs
  more than the gap between bound and answer is fixed; the rest is the **core**.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.blocks import BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]

# Sums of the same numbers in another order differ by rounding; a deviation that costs
# this much less than the gap is kept in the core all the same.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class SliceProgram:
    """Values and costs of the slices that may be taken beyond the lower bounds.

    Attributes
    ----------
    values : ndarray of float64 [slices]
        Values of the known free slices, group after group, best first.
    counts : ndarray of int64 [groups]
        Known free slices of each group.
    cost : ndarray of int64 [groups]
        Non-zeros of a slice, P_g.
    lower : ndarray of int64 [groups]
        Slices that are taken in any case.
    complete : ndarray of bool [groups]
        Whether all slices of a group are known.
    budget : int
        Most non-zeros, those below `lower` included.
    base : float
        Total score of what is taken in any case.
    """

    values: FloatArray
    counts: IntArray
    cost: IntArray
    lower: IntArray
    complete: BoolArray
    budget: int
    base: float

    @classmethod
    def join(cls, programs: Sequence[SliceProgram], budget: int) -> SliceProgram:
        """Put the groups of several layers under one budget."""
        return cls(
            values=np.concatenate([p.values for p in programs] or [np.empty(0)]),
            counts=_join_counts([p.counts for p in programs]),
            cost=_join_counts([p.cost for p in programs]),
            lower=_join_counts([p.lower for p in programs]),
            complete=np.concatenate(
                [p.complete for p in programs] or [np.empty(0, bool)]
            ),
            budget=budget,
            base=float(sum(p.base for p in programs)),
        )

    @property
    def least(self) -> int:
        """Non-zeros that are taken in any case."""
        return int(self.cost @ self.lower)


def _join_counts(parts: Sequence[IntArray]) -> IntArray:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


@dataclass(frozen=True, slots=True, eq=False)
class CostClass:
    """The core slices of all groups of one size, best first.

    Attributes
    ----------
    cost : int
        Non-zeros of each slice.
    sure : int
        Slices of this size, best first, that every better answer takes.
    values : ndarray of float64
        The slices that come next and are open; those after them are out.
    """

    cost: int
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
    """

    def __init__(self, program: SliceProgram) -> None:
        self.program = program
        groups = len(program.counts)
        self._group = np.repeat(np.arange(groups), program.counts)
        self._cost = program.cost[self._group]
        self._density = program.values / self._cost
        # Stable: equal slices in the order of their groups, a group's in its own order.
        self._order = np.argsort(-self._density, kind="stable")
        self.free_budget = program.budget - program.least
        """Non-zeros that the budget leaves beyond the lower bounds."""
        self.greedy = self._allocate()

    def _allocate(self) -> Allocation:
        program, order = self.program, self._order
        spent = np.cumsum(self._cost[order])
        fitting = int(np.searchsorted(spent, self.free_budget, side="right"))
        room = self.free_budget - (int(spent[fitting - 1]) if fitting else 0)
        relaxed = program.base + float(program.values[order[:fitting]].sum())
        # Every mask's non-zeros beyond `lower` are a multiple of the sizes' common
        # divisor, so only that much of the room can be used.
        usable = room - self.free_budget % self._common_cost()
        breaks = fitting < len(order)
        self._price = float(self._density[order[fitting]]) if breaks else 0.0
        bound = relaxed + usable * self._price
        taken = np.concatenate([order[:fitting], self._fitting(order[fitting:], room)])
        answer = self._answer(taken, bound)
        gap = max(0.0, bound - answer.kept)
        exhausted = answer.exhausted | self._worth_knowing(gap, breaks)
        return Allocation(answer.loads, answer.kept, bound, exhausted)

    def _common_cost(self) -> int:
        free = self.program.cost[(self.program.counts > 0) | ~self.program.complete]
        return int(np.gcd.reduce(free)) if free.size else 1

    def _fitting(self, slices: IntArray, room: int) -> IntArray:
        """Choose slices in the given order until no other fits the room.

        All slices of a group cost the same, so skipping those that are too large never
        takes a slice before a better one of its group.
        """
        chosen = []
        while (slices := slices[self._cost[slices] <= room]).size:
            spent = np.cumsum(self._cost[slices])
            fitting = int(np.searchsorted(spent, room, side="right"))
            chosen.append(slices[:fitting])
            room -= int(spent[fitting - 1])
            slices = slices[fitting:]
        return np.concatenate([np.empty(0, dtype=np.int64), *chosen])

    def _answer(self, taken: IntArray, bound: float) -> Allocation:
        """Sum up the taken slices; exhausted are groups that still had room."""
        program = self.program
        counts = np.bincount(self._group[taken], minlength=len(program.counts))
        kept = program.base + float(program.values[taken].sum())
        room = self.free_budget - int(program.cost @ counts)
        starved = (program.cost <= room) & ~program.complete
        return Allocation(program.lower + counts, kept, bound, starved)

    def _worth_knowing(self, gap: float, breaks: bool) -> BoolArray:
        """Find groups whose unknown slices may be worth their price, up to the gap."""
        program = self.program
        unknown = ~program.complete
        if not breaks or not unknown.any():
            return unknown
        last = np.cumsum(program.counts) - 1
        known = program.counts > 0
        density = np.full(len(known), np.inf)
        density[known] = self._density[last[known]]
        if gap == 0.0:
            return unknown & (density > self._price)
        return unknown & ((self._price - density) * program.cost <= gap)

    def core(self) -> list[CostClass]:
        """List what the presolve leaves open, by size of the groups."""
        gap = max(0.0, self.greedy.bound - self.greedy.kept)
        gap += ROUNDING * abs(self.greedy.bound)
        classes = []
        for cost in np.unique(self._cost):
            values = self.program.values[self._of_cost(int(cost))]
            surplus = values - self._price * cost  # descending
            relaxed = int(np.searchsorted(-surplus, 0.0, side="left"))
            above = np.cumsum(surplus[:relaxed][::-1])  # lost by taking one, two … less
            below = np.cumsum(-surplus[relaxed:])  # lost by taking one, two … more
            sure = relaxed - int(np.searchsorted(above, gap, side="right"))
            last = relaxed + int(np.searchsorted(below, gap, side="right"))
            classes.append(CostClass(int(cost), sure, values[sure:last]))
        return classes

    def take(self, number: dict[int, int], fill: bool = True) -> Allocation:
        """Allocate the best ``number[cost]`` slices of each size, and no others.

        With `fill`, the densest of the others follow until none fits. The bound is the
        relaxation's.
        """
        left = np.ones(len(self._order), dtype=bool)
        for cost, wanted in number.items():
            left[self._of_cost(cost)[:wanted]] = False
        taken = np.flatnonzero(~left)
        if fill:
            room = self.free_budget - int(self._cost[taken].sum())
            rest = self._fitting(self._order[left[self._order]], room)
            taken = np.concatenate([taken, rest])
        return self._answer(taken, self.greedy.bound)

    def nonzeros(self, allocation: Allocation) -> int:
        """Non-zeros of an allocation."""
        return int(self.program.cost @ allocation.loads)

    def hint(self, core: Sequence[CostClass]) -> list[int]:
        """Count the open slices of each size that the greedy answer takes."""
        taken = self.greedy.loads - self.program.lower
        return [int(taken[self.program.cost == c.cost].sum()) - c.sure for c in core]

    def _of_cost(self, cost: int) -> IntArray:
        """Slices of one size, best first."""
        mine: BoolArray = self._cost[self._order] == cost
        return np.compress(mine, self._order)
