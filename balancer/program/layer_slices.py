"""Slices: what collapses the program over weights to a small one over groups.

For a given load k_g a PE keeps its k_g best weights. **Slice** j of group g is the j-th
best weight of each of its P_g PEs; its value v_g(j) is the sum of their scores, and no
slice is worth more than the one before it. So the binary program over all weights
equals a program over slices, in which a group takes its first k_g slices at a cost of
P_g non-zeros each (see `slice_program`).

Only the best few weights of every cell matter at high sparsity, so cells are ranked
down to a depth, and deeper only where a solution might reach further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.program.problem import RetentionProblem
from balancer.program.ranking import Ranking
from balancer.program.rounding import total_score
from balancer.program.slice_program import SliceAllocator, SliceProgram
from balancer.program.slice_sums import SliceSums
from balancer.program.window import SliceWindow

# First depth of a ranking, in average loads: deep enough that few layers are ranked
# twice, shallow enough that sorting the best costs little beside finding them.
DEPTH_IN_MEAN_LOADS = 4
LEAST_DEPTH = 16
DEEPENING = 4
# A window of slices that proves too narrow is opened by so much.
WIDENING = 8.0


class LayerSlices:
    """The slices of one layer, ranked as deep as its solution needs.

    Parameters
    ----------
    problem : RetentionProblem
        The layer.
    mean_load : float, optional
        About how many non-zeros a cell will have; default: what the problem's own
        budget leaves to it.
    read : callable, optional
        Gives the problem once more when the weights have to be looked at again, so that
        they need not stay in memory; default: they stay.
    forget : bool
        Keep the sums over the slices alone, and rank anew for the mask.

    Attributes
    ----------
    lower, upper : ndarray of int64 [groups]
        Least and greatest load of each group.
    group_sizes : ndarray of int64 [groups]
        PEs of each group that hold weights: the non-zeros of a slice.
    """

    def __init__(
        self,
        problem: RetentionProblem,
        mean_load: float | None = None,
        read: Callable[[], RetentionProblem] | None = None,
        forget: bool = False,
    ) -> None:
        self._read = read or (lambda: problem)
        self.lower, self.upper = problem.lower, problem.upper
        self._budget = problem.budget
        self.group_sizes = problem.pe_map.group_sizes()
        self._must_keep_value = 0.0
        if problem.must_keep is not None:
            self._must_keep_value = total_score(problem.scores, problem.must_keep)
        if mean_load is None:
            mean_load = problem.budget / max(1, problem.pe_map.n_cells)
        guess = max(LEAST_DEPTH, int(DEPTH_IN_MEAN_LOADS * mean_load) + 1)
        depth = max(guess, int(self.lower.max(initial=0)))
        depth = min(depth, int(self.upper.max(initial=0)))
        keys, pe_map = _keys(problem), problem.pe_map
        self._ranking: Ranking | SliceSums = (
            SliceSums(keys, pe_map, depth, self.upper)
            if forget
            else Ranking(keys, pe_map, depth)
        )

    def deepen(self, groups: BoolArray) -> None:
        """Rank several times as many weights in the marked groups."""
        depth = np.minimum(self._ranking.depth * DEEPENING, self.upper)
        self._ranking.deepen(_keys(self._read()), groups, depth)

    def program(self) -> SliceProgram:
        """State the program over the slices ranked so far."""
        known = np.minimum(self.upper, self._ranking.depth)
        values, base = self._ranking.slice_sums(known), self._must_keep_value
        if self.lower.any():
            base += self._ranking.finite_sum(self.lower)
            first = np.cumsum(known) - known
            position = np.arange(len(values)) - np.repeat(first, known)
            values = values[position >= np.repeat(self.lower, known)]
        return SliceProgram(
            values=values,
            counts=known - self.lower,
            cost=self.group_sizes[:, None],
            lower=self.lower,
            complete=known == self.upper,
            budget=np.array([self._budget]),
            base=base,
        )

    def first_of_each_size(self) -> list[int]:
        """List the groups that a layer which may not be empty needs to choose from.

        For every number of PEs, the group whose first slice is worth most: a mask that
        keeps a slice of another group of that size, and none of this one, can exchange
        its last for this first one at the same cost, and lose nothing.
        """
        able = np.flatnonzero((self.upper > 0) & (self.group_sizes > 0))
        values = self._ranking.slice_sums(np.minimum(self.upper, 1))
        worth = np.zeros(self.groups)
        worth[self.upper > 0] = values
        sizes = self.group_sizes[able]
        found = []
        for size in np.unique(sizes):
            alike = able[sizes == size]
            found.append(int(alike[np.argmax(worth[alike])]))
        return found

    def keeping(self, group: int) -> LayerSlices:
        """Return these slices with the first one of a group taken in any case."""
        other = copy(self)
        other.lower = self.lower.copy()
        other.lower[group] = max(1, int(self.lower[group]))
        return other

    def mask(self, loads: IntArray, problem: RetentionProblem) -> BoolArray:
        """Mask in which every PE of group g keeps its ``loads[g]`` best weights."""
        cell_loads = loads[problem.pe_map.cell_group]
        return self._ranking.mask(_keys(problem), cell_loads)

    def bound(self, problem: RetentionProblem) -> float:
        """Total score that no mask within this layer's own budget exceeds."""
        return settle([self], problem.budget).greedy.bound

    @property
    def groups(self) -> int:
        """Lock-step groups of the layer."""
        return len(self.group_sizes)

    @property
    def least(self) -> int:
        """Least non-zeros that the bounds allow."""
        return self.nonzeros(self.lower)

    def nonzeros(self, loads: IntArray) -> int:
        """Non-zeros of the mask with these loads."""
        return int(self.group_sizes @ loads)


def _keys(problem: RetentionProblem) -> AnyArray:
    """Return what weights are ranked by, down to the greatest loads.

    Where the mask prunes what is zero and nothing else, as of most tickets, the scores
    rank all that may be kept before the others: they need no copy with marks.
    """
    if problem.must_keep is None and problem.prunes_zeros:
        return problem.scores
    return problem.keys()


def settle(
    slices: Sequence[LayerSlices],
    budget: int | IntArray,
    further_cost: IntArray | None = None,
) -> SliceAllocator:
    """Presolve the joint program of some layers, ranked as deep as its answer needs.

    Parameters
    ----------
    slices : sequence of LayerSlices
        Those of layers under the same budgets; some may be deepened.
    budget : int or ndarray of int64 [budgets]
        Most non-zeros of all layers together, and what else they may take.
    further_cost : ndarray of int64 [groups of all layers, budgets - 1], optional
        What a slice takes from the budgets after the first.
    """
    limits, width = np.atleast_1d(budget), 1.0
    while True:
        programs = [own.program() for own in slices]
        window = None
        if len(limits) == 1:
            window = SliceWindow.of(programs, int(limits[0]), width)
            if not window.fits(int(limits[0])):
                width *= WIDENING
                continue
            programs = [*window.programs]
        joint = SliceProgram.join(programs, limits, further_cost)
        allocator = SliceAllocator(joint.affordable())
        if window is not None and not window.holds(allocator):
            width *= WIDENING
            continue
        exhausted = allocator.greedy.exhausted
        if not exhausted.any():
            return allocator
        first = 0
        for own, program in zip(slices, programs, strict=True):
            groups = exhausted[first : first + len(program.counts)]
            if groups.any():
                own.deepen(groups)
            first += len(groups)
