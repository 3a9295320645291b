"""Slices: what collapses the program over weights to a small one over groups.

For a given load k_g a PE keeps its k_g best weights. **Slice** j of group g is the j-th
best weight of each of its P_g PEs; its value v_g(j) is the sum of their scores, and no
slice is worth more than the one before it. So the binary program over all weights
equals a program over slices, in which a group takes its first k_g slices at a cost of
P_g non-zeros each (see `allocation`).

Only the best few weights of every cell matter at high sparsity, so cells are ranked
down to a depth, and deeper only where a solution might reach further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from balancer.allocation import SliceAllocator, SliceProgram
from balancer.blocks import BoolArray, IntArray
from balancer.problem import RetentionProblem
from balancer.ranking import Ranking

# First depth of a ranking, in average loads: deep enough that few layers are ranked
# twice, shallow enough that sorting the best costs little beside finding them.
DEPTH_IN_MEAN_LOADS = 4
LEAST_DEPTH = 16
DEEPENING = 4


@dataclass(slots=True)
class LayerSlices:
    """The slices of one problem, ranked as deep as its solution needs.

    Attributes
    ----------
    problem : RetentionProblem
        The layer; only its shape and its bounds are used after the ranking.
    ranking : Ranking
        What every PE would keep first.
    forced_value : float
        Total score of the weights that must be kept.
    """

    problem: RetentionProblem
    ranking: Ranking
    forced_value: float

    @classmethod
    def of(
        cls, problem: RetentionProblem, mean_load: float | None = None
    ) -> LayerSlices:
        """Rank the weights of `problem`, for about `mean_load` non-zeros in each cell.

        The default is what the problem's own budget leaves to a cell.
        """
        if mean_load is None:
            mean_load = problem.budget / max(1, problem.pe_map.cells)
        guess = max(LEAST_DEPTH, int(DEPTH_IN_MEAN_LOADS * mean_load) + 1)
        depth = max(guess, int(problem.lower.max(initial=0)))
        depth = min(depth, int(problem.upper.max(initial=0)))
        forced = problem.must_keep
        value = 0.0
        if forced is not None:
            value = float(problem.scores[forced].sum(dtype=np.float64))
        return cls(problem, Ranking.of(problem.keys(), problem.pe_map, depth), value)

    def deepen(self) -> None:
        """Rank several times as many weights of every cell."""
        depth = min(self.ranking.depth * DEEPENING, int(self.problem.upper.max()))
        self.ranking = Ranking.of(self.problem.keys(), self.problem.pe_map, depth)

    def program(self) -> SliceProgram:
        """State the program over the slices ranked so far."""
        problem, depth = self.problem, self.ranking.depth
        sums = self.ranking.slice_sums(depth)
        position = np.arange(depth)
        known = np.minimum(problem.upper, depth)
        free = (position >= problem.lower[:, None]) & (position < known[:, None])
        base = self.forced_value
        if problem.lower.any():
            base += self._value_below(problem.lower)
        return SliceProgram(
            values=sums[free],
            counts=known - problem.lower,
            cost=problem.pe_map.group_sizes(),
            lower=problem.lower,
            complete=known == problem.upper,
            budget=problem.budget,
            base=base,
        )

    def _value_below(self, loads: IntArray) -> float:
        """Total score of the best weights of each cell, without those forced."""
        total = 0.0
        for (cells, _), best in zip(
            self.ranking.pe_map.numbered_blocks(), self.ranking.best, strict=True
        ):
            cell_loads = loads[self.ranking.pe_map.cell_group[cells]]
            taken = np.arange(best.shape[1]) < cell_loads[:, None]
            total += float(best[taken & np.isfinite(best)].sum(dtype=np.float64))
        return total

    def mask(self, loads: IntArray) -> BoolArray:
        """Mask in which every PE of group g keeps its ``loads[g]`` best weights."""
        return self.ranking.mask(
            self.problem.keys(), loads[self.problem.pe_map.cell_group]
        )


def settle(layers: Sequence[LayerSlices], budget: int) -> SliceAllocator:
    """Presolve the joint program of `layers`, ranked as deep as its answer needs.

    Parameters
    ----------
    layers : sequence of LayerSlices
        Layers under one budget; some may be deepened.
    budget : int
        Most non-zeros of all layers together.
    """
    while True:
        programs = [layer.program() for layer in layers]
        allocator = SliceAllocator(SliceProgram.join(programs, budget))
        exhausted = allocator.greedy.exhausted
        if not exhausted.any():
            return allocator
        first = 0
        for layer, program in zip(layers, programs, strict=True):
            if exhausted[first : first + len(program.counts)].any():
                layer.deepen()
            first += len(program.counts)
