"""The slices near the price: all that a program of many layers needs to look at.

Under one budget the relaxation takes the slices that are worth more than the price of a
non-zero. Slices that are worth far more are in every better answer, and those worth far
less in none; so only the others need be put in order. Where the price lies is guessed
from a sample, and what was left out is held against the answer that comes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from balancer.array_types import BoolArray, FloatArray
from balancer.program.rounding import ROUNDING
from balancer.program.slice_program import SliceAllocator, SliceProgram

# Of more slices than these a window is taken, from a sample of about so many.
WORTH_A_WINDOW, SAMPLE = 2**16, 2**16
# To both sides of the guess: standard deviations of its rank, and so many slices.
DEVIATIONS, AT_LEAST = 6, 64


@dataclass(frozen=True, slots=True)
class SliceWindow:
    """Programs of layers without the slices that are far from the price.

    Attributes
    ----------
    programs : tuple of SliceProgram
        What is worth more than the window holds belongs to their lower bounds.
    surest : ndarray of float64 [groups of all layers]
        Value of the last slice above the window; infinity where there is none.
    cut : ndarray of bool [groups of all layers]
        Whether slices of a group are below the window.
    """

    programs: tuple[SliceProgram, ...]
    surest: FloatArray
    cut: BoolArray

    @classmethod
    def of(
        cls, programs: Sequence[SliceProgram], budget: int, width: float = 1.0
    ) -> SliceWindow:
        """Guess the price under a budget, and cut out what is near to it.

        A window of twice the `width` reaches twice as far.
        """
        slices = sum(len(program.values) for program in programs)
        groups = sum(len(program.counts) for program in programs)
        if slices <= WORTH_A_WINDOW:
            nothing = np.zeros(groups, dtype=bool)
            return cls(tuple(programs), np.full(groups, np.inf), nothing)
        low, high = _range(programs, budget, slices, width)
        parts = [_part(program, low, high) for program in programs]
        return cls(
            tuple(part for part, _, _ in parts),
            np.concatenate([surest for _, surest, _ in parts]),
            np.concatenate([cut for _, _, cut in parts]),
        )

    def fits(self, budget: int) -> bool:
        """Whether the budget has room for what is above the window."""
        least = sum(int(one.lower @ one.cost[:, 0]) for one in self.programs)
        return least <= budget or not np.isfinite(self.surest).any()

    def holds(self, allocator: SliceAllocator) -> bool:
        """Whether no better answer differs from greedy's outside the window.

        An answer without a slice above it is below the bound by that slice's surplus at
        least; that must be no less than what greedy's is.
        """
        greedy, program = allocator.greedy, allocator.program
        if (greedy.exhausted & self.cut).any():
            return False
        gap = max(0.0, greedy.bound - greedy.kept) + ROUNDING * abs(greedy.bound)
        surplus = self.surest - program.cost[:, 0] * allocator.prices[0]
        return bool((surplus >= gap).all())


def _range(
    programs: Sequence[SliceProgram], budget: int, slices: int, width: float
) -> tuple[float, float]:
    """Guess between which values per non-zero the price lies."""
    step = slices // SAMPLE | 1
    values, costs, free = [], [], budget
    for program in programs:
        cost, counts = program.cost[:, 0], program.counts
        free -= int(program.lower @ cost)
        places = np.arange(0, len(program.values), step)
        group = np.searchsorted(np.cumsum(counts), places, side="right")
        values.append(program.values[places])
        costs.append(cost[group])
    cost = np.concatenate(costs)
    density = np.concatenate(values) / cost
    order = np.argsort(-density)
    rank = int(np.searchsorted(np.cumsum(cost[order]) * step, free))
    margin = int(width * (DEVIATIONS * math.sqrt(rank) + AT_LEAST))
    first, last = rank - margin, rank + margin
    high = float(density[order[first]]) if 0 <= first < len(order) else math.inf
    low = float(density[order[last]]) if last < len(order) else -math.inf
    return low, high


def _part(
    program: SliceProgram, low: float, high: float
) -> tuple[SliceProgram, FloatArray, BoolArray]:
    """Cut one program; returns what `SliceWindow` says of its groups beside it."""
    counts, values = program.counts, program.values
    cost = np.repeat(program.cost[:, 0], counts)
    sure = values > high * cost if math.isfinite(high) else np.zeros(len(cost), bool)
    inside = values >= low * cost if math.isfinite(low) else np.ones(len(cost), bool)
    inside &= ~sure
    ends = np.cumsum(counts)
    above, within = (
        np.diff(np.concatenate([[0], np.cumsum(marked)])[np.append(0, ends)])
        for marked in (sure, inside)
    )
    surest = np.full(len(counts), np.inf)
    some = above > 0
    surest[some] = values[(ends - counts + above - 1)[some]]
    cut = above + within < counts
    part = replace(
        program,
        values=values[inside],
        counts=within,
        lower=program.lower + above,
        complete=program.complete & ~cut,
        base=program.base + float(values[sure].sum()),
    )
    return part, surest, cut
