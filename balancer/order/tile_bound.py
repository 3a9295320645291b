r"""What no tiling can exceed: the Lagrangian bound of the channel order.

The budget has a price $\lambda \ge 0$ and every channel one of its own, $u_c$, free in
sign; that each channel lies in exactly one tile is relaxed. What remains falls apart
into tiles, and a tile takes the channels that are worth most at its load, after prices.
Any prices bound all orders, and every single **split** of the budget into loads;
splits whose bound is not above what is kept already need no look. The formulas are
those of step 2 and 3 of "Tiles of output channels" in ``docs/programs.md``.

The least bound is that of the linear program whose columns are all possible tiles
(Dantzig & Wolfe 1960, 10.1287/opre.8.1.101); subgradient steps of Polyak's length
(1969, 10.1016/0041-5553(69)90061-5) come near it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import FloatArray, IntArray
from balancer.order.clock import SearchClock
from balancer.order.tile_program import TileProgram, Tiling

# Bounds without progress before the steps are halved and start again from the best.
PATIENCE = 20
LEAST_STEP = 1e-3

# Partial splits that are held at once: about a hundred megabytes.
MOST_SPLITS = 2**20


@dataclass(frozen=True, slots=True)
class TileClass:
    """Tiles that are interchangeable.

    Attributes
    ----------
    tiles : ndarray of int64
        Their numbers.
    size : int
        Channels of each.
    lower, upper : int
        Bounds on their loads.
    """

    tiles: IntArray
    size: int
    lower: int
    upper: int

    @classmethod
    def all_of(cls, program: TileProgram) -> list[TileClass]:
        """Sort the tiles of a program into classes."""
        kinds = np.stack([program.sizes, program.lower, program.upper], axis=1)
        distinct, kind = np.unique(kinds, axis=0, return_inverse=True)
        return [
            cls(np.flatnonzero(kind.reshape(-1) == number), *row)
            for number, row in enumerate(distinct.tolist())
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Prices and the bound they prove.

    Attributes
    ----------
    of_slice : float
        Price of one slice of the budget, lambda.
    of_channel : ndarray of float64 [channels]
        Price of each channel, u.
    bound : float
        L(lambda, u).
    worth : list of ndarray of float64
        w(k) of each class, for its loads from `lower` to `upper`.
    excess : ndarray of float64 [channels]
        Subgradient: 1 - number of tiles that take the channel.
    slack : float
        Subgradient: budget that these tiles leave.
    """

    of_slice: float
    of_channel: FloatArray
    bound: float
    worth: list[FloatArray]
    excess: FloatArray
    slack: float


class TileBound:
    """Finds the prices of the least bound.

    Parameters
    ----------
    program : TileProgram
        The program.
    start : Tiling
        An answer, from which the prices begin.
    """

    def __init__(self, program: TileProgram, start: Tiling) -> None:
        self.program = program
        self.classes = TileClass.all_of(program)
        self._totals = np.ascontiguousarray(program.totals.T)
        load = start.loads[start.tile]
        self._spread = float(1.0 + load.std())
        price = max(program.price, program.floor_price)
        own = program.totals[np.arange(len(load)), load] - price * load
        self.best = self._evaluate(price, own)

    @property
    def bound(self) -> float:
        """Total score that no tiling exceeds."""
        return min(self.best.bound, self.program.bound)

    def descend(self, kept: float, steps: int, clock: SearchClock) -> None:
        """Lower the bound towards `kept`, the score of an answer."""
        program, prices = self.program, self.best
        step, stalled = 1.0, 0
        for _ in range(steps):
            if clock.interrupted or clock.near_enough(kept, self.bound):
                return
            # Slices are counted in units of their spread over the channels: both
            # kinds of prices then have gradients of like size.
            scale = 1.0 / (len(prices.excess) * self._spread**2)
            norm = prices.excess @ prices.excess + scale * prices.slack**2
            if norm == 0 or step < LEAST_STEP:
                return
            length = step * (prices.bound - kept) / norm
            of_slice = float(prices.of_slice - length * scale * prices.slack)
            of_channel = prices.of_channel - length * prices.excess
            prices = self._evaluate(max(program.floor_price, of_slice), of_channel)
            clock.spend(program.totals.size)
            if prices.bound < self.best.bound:
                self.best, stalled = prices, 0
                clock.report(kept, self.bound)
            else:
                stalled += 1
            if stalled > PATIENCE:
                prices, step, stalled = self.best, step / 2, 0

    def _evaluate(self, of_slice: float, of_channel: FloatArray) -> Prices:
        program = self.program
        channels = len(of_channel)
        load = np.arange(len(self._totals))
        gain = self._totals - (of_slice * load)[:, None]
        gain -= of_channel
        excess, slack = np.ones(channels), float(program.budget)
        bound = of_slice * program.budget + float(of_channel.sum())
        worth = []
        for tiles in self.classes:
            mine = gain[tiles.lower : tiles.upper + 1]
            rest = channels - tiles.size
            best = np.partition(mine, rest, axis=1)[:, rest:] if rest else mine
            w = best.sum(axis=1)
            k, number = int(w.argmax()), len(tiles.tiles)
            bound += number * float(w[k])
            excess[np.argsort(mine[k], kind="stable")[rest:]] -= number
            slack -= number * tiles.size * (tiles.lower + k)
            worth.append(w)
        return Prices(of_slice, of_channel, bound, worth, excess, slack)

    def split_bound(self, loads: IntArray) -> FloatArray:
        """Bound the score of tilings with given loads.

        Parameters
        ----------
        loads : ndarray of int64 [splits, tiles]
            Within the bounds of the tiles and the budget.

        Returns
        -------
        ndarray of float64 [splits]
        """
        bound = np.full(len(loads), self.best.bound)
        for tiles, loss in zip(self.classes, self._losses(), strict=True):
            bound -= loss[loads[:, tiles.tiles] - tiles.lower].sum(axis=1)
        room = self.program.budget - loads @ self.program.sizes
        bound -= self.best.of_slice * room
        return bound

    def _losses(self) -> list[FloatArray]:
        """For each class, list what every load of a tile takes off the bound."""
        return [worth.max() - worth for worth in self.best.worth]

    def splits_above(self, kept: float) -> IntArray | None:
        """List all splits that may be worth more than `kept`, best bound first.

        Returns
        -------
        ndarray of int64 [splits, tiles] or None
            None if there are too many to list, or loads beyond the ranked depth.
        """
        if not self.program.complete:
            return None
        splits = self._affordable_splits(self.best.bound - kept)
        if splits is None:
            return None
        splits = self._without_room(splits)
        bounds = self.split_bound(splits)
        order = np.argsort(-bounds, kind="stable")
        order = order[bounds[order] > kept]
        return splits[order]

    def _affordable_splits(self, gap: float) -> IntArray | None:
        """List splits within the budget by whose loads the bound loses at most `gap`.

        Breadth first: the loads of one tile after the other are chosen, in all partial
        splits at once, and every array has an entry for each of these. Of splits that
        differ only in an exchange of interchangeable tiles the one whose loads descend
        stands for all. None if there are too many.
        """
        loads = np.zeros((1, len(self.program.sizes)), dtype=np.int64)
        used, lost = np.zeros(1, dtype=np.int64), np.zeros(1)
        for tiles, loss_of_load in zip(self.classes, self._losses(), strict=True):
            choices = np.flatnonzero(loss_of_load <= gap)
            loss, choices = loss_of_load[choices], choices + tiles.lower
            highest = np.full(len(loads), tiles.upper)
            for tile in tiles.tiles:
                if len(loads) * len(choices) > MOST_SPLITS:
                    return None
                fits = used[:, None] + tiles.size * choices <= self.program.budget
                fits &= lost[:, None] + loss <= gap
                fits &= choices <= highest[:, None]
                split, choice = np.nonzero(fits)
                loads = loads[split]
                loads[:, tile] = highest = choices[choice]
                used = used[split] + tiles.size * highest
                lost = lost[split] + loss[choice]
        return loads

    def _without_room(self, splits: IntArray) -> IntArray:
        """Drop splits that leave room for a slice: they are no better than with it.

        Unless some channel cannot carry it: then all of them stay.
        """
        program = self.program
        if (program.capacity < program.upper.max()).any():
            return splits
        room = (program.budget - splits @ program.sizes)[:, None]
        another = (program.sizes <= room) & (splits < program.upper)
        return splits[~another.any(axis=1)]
