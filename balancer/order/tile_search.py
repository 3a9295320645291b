"""Channel order for tiles of output channels: search and proof.

1. **Alternate**: from the better of the sorted and the natural order, best loads for
   the tiles and best tiles for the loads in turn, until nothing changes.
2. **Bound**: prices from `tile_bound`.
3. **Prove**: with few tiles, all splits of the budget whose bound is above what is
   kept, best bound first, each with its optimal tiles. When they are used up, or the
   next bound is not above what is kept, the answer is optimal.
4. **Improve**, where there are too many splits: move slices between two tiles, best
   bound first, each move with its optimal tiles.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import IntArray
from balancer.order.assignment import assign
from balancer.order.clock import SearchClock
from balancer.order.tile_bound import TileBound
from balancer.order.tile_program import TileProgram, Tiling
from balancer.program.rounding import ROUNDING, is_reached

BOUND_STEPS = 400
MOVES = (1, 2, 4, 8, 16)


class TileSearch:
    """Search for the best tiling of one program.

    Parameters
    ----------
    program : TileProgram
        The program.
    clock : SearchClock
        Limits of the search.

    Attributes
    ----------
    best : Tiling or None
        The best answer so far.
    bound : float
        Total score that no tiling exceeds.
    """

    def __init__(self, program: TileProgram, clock: SearchClock) -> None:
        self.program, self._clock = program, clock
        self.best: Tiling | None = None
        self.bound = program.bound
        self._slack = 0.0  # of all assignments

    def begin(self, order: IntArray) -> None:
        """Take the natural loads of an order as an answer, if it has any."""
        self._offer(self.program.with_best_loads(self.program.tiles_of(order)))

    def run(self) -> None:
        """Improve the answers that `begin` was given, and bound them.

        Raises
        ------
        SolverUnavailableError
            OR-Tools is missing.
        """
        assert self.best is not None
        if not self._clock.interrupted:
            self._alternate(self.best.loads)
        if self._done():
            return
        lagrangian = TileBound(self.program, self.best)
        while True:
            lagrangian.descend(self.best.kept, BOUND_STEPS, self._clock)
            self.bound = min(self.bound, lagrangian.bound)
            if self._done():
                return
            splits = lagrangian.splits_above(self.best.kept)
            if splits is not None:
                self._prove(splits, lagrangian)
                return
            if not self._improve(lagrangian):
                return

    def _offer(self, tiling: Tiling | None) -> bool:
        """Keep a tiling if it is better than all before."""
        if tiling is None or (self.best and is_reached(self.best.kept, tiling.kept)):
            return False
        self.best = tiling
        self._clock.report(tiling.kept, self.bound)
        return True

    def _done(self) -> bool:
        assert self.best is not None
        clock = self._clock
        return bool(clock.interrupted) or clock.near_enough(self.best.kept, self.bound)

    def _assigned(self, loads: IntArray) -> Tiling:
        """Tiles that are optimal for the loads."""
        program = self.program
        tile, slack = assign(program.totals, loads, program.sizes)
        self._slack = max(self._slack, slack)
        self._clock.spend(program.totals.shape[0] * len(loads))
        return Tiling(tile, loads, program.value(tile, loads))

    def _alternate(self, loads: IntArray) -> bool:
        """Take tiles for loads and loads for tiles in turn while it helps.

        Returns
        -------
        bool
            Whether an answer was better than all before.
        """
        tiling = self._assigned(loads)
        improved = self._offer(tiling)
        while not self._done():
            better = self.program.with_best_loads(tiling.tile)
            if better is None or not self._offer(better):
                break
            improved = True
            tiling = self._assigned(better.loads)
            self._offer(tiling)
        return improved

    def _prove(self, splits: IntArray, lagrangian: TileBound) -> None:
        """Look at all splits that may be better, best bound first."""
        bounds = lagrangian.split_bound(splits)
        for loads, bound in zip(splits, bounds.tolist(), strict=True):
            assert self.best is not None
            self.bound = min(self.bound, max(bound, self.best.kept + self._slack))
            if self._done():
                return
            self._offer(self._assigned(loads))
        assert self.best is not None
        self.bound = self.best.kept + self._slack

    def _improve(self, lagrangian: TileBound) -> bool:
        """Move slices between tiles while it helps; False if no move did."""
        improved = False
        while self.best is not None:
            splits = self._neighbours(self.best.loads)
            bounds = lagrangian.split_bound(splits)
            order = np.argsort(-bounds, kind="stable")
            least_gain = self.best.kept * (1 + ROUNDING)
            for number in order[bounds[order] > least_gain]:
                if self._done():
                    return improved
                if self._alternate(splits[number]):
                    improved = True
                    break
            else:
                break
        return improved

    def _neighbours(self, loads: IntArray) -> IntArray:
        """List splits that move slices from a tile to another, [splits, tiles]."""
        program, tiles = self.program, len(loads)
        # Of tiles with equal load, size and bounds one stands for all; two, where
        # slices move between them.
        kind = np.stack([loads, program.sizes, program.lower, program.upper])
        _, givers = np.unique(kind, axis=1, return_index=True)
        _, takers = np.unique(kind[:, ::-1], axis=1, return_index=True)
        pairs = np.array(
            [(a, b) for a in givers for b in tiles - 1 - takers if a != b], dtype=int
        )
        splits = np.repeat(loads[None], len(pairs) * len(MOVES), axis=0)
        row = np.arange(len(splits))
        givers, takers = np.repeat(pairs.reshape(-1, 2), len(MOVES), axis=0).T
        steps = np.tile(MOVES, len(pairs))
        splits[row, givers] -= steps
        splits[row, takers] += steps * program.sizes[givers] // program.sizes[takers]
        fits = (splits >= program.lower).all(axis=1)
        fits &= (splits <= program.upper).all(axis=1)
        fits &= splits @ program.sizes <= program.budget
        return splits[fits]
