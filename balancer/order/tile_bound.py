r"""What no tiling can exceed: the Lagrangian bound of the channel order.

The budget has a price $\lambda \ge 0$ and every channel one of its own, $u_c$, free in
sign; that each channel lies in exactly one tile is relaxed. What remains falls apart
into tiles, and a tile takes the channels that are worth most at its load, after prices.
Any prices bound all orders, and every single **split** of the budget into loads;
splits whose bound is not above what is kept already need no look. The formulas are
those of step 2 and 3 of "Tiles of output channels" in ``docs/programs.md``.

The least bound is that of the linear program whose columns are all possible tiles
(Dantzig & Wolfe 1960, 10.1287/opre.8.1.101); subgradient steps of Polyak's length
(1969, 10.1016/0041-5553(69)90061-5) come near it. Near the least bound tiles of many
loads are worth almost as much as the best one, and the subgradient of one of them says
little: steps follow an average over all loads, weighted by a soft maximum (Nesterov
2005, 10.1007/s10107-004-0552-5), and part of the step before. They begin with a few
rows for all loads (`load_table`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from balancer.array_types import FloatArray, IntArray
from balancer.order.clock import SearchClock
from balancer.order.load_table import LoadTable
from balancer.order.tile_program import TileProgram, Tiling

# Bounds without progress before the steps are halved and start again from the best.
PATIENCE = 20
LEAST_STEP = 1e-3
# A load whose tiles are worth less than the best by this part of a tile's share of the
# gap has 1/e of its weight. Of 0.02 to 0.3, and of 0 to 0.9 of the last step, these
# came nearest to the linear program's bound in 60 and 400 steps on five layers.
SOFTNESS = 0.1
MOMENTUM = 0.9
# A load of less weight does not count.
LEAST_WEIGHT = 1e-3

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
        w(k) of each class, for the rows of its table.
    average : float
        L with the average of w instead of its maximum.
    excess : ndarray of float64 [channels]
        Direction: 1 - number of tiles that take the channel, on average.
    slack : float
        Direction: budget that these tiles leave, on average.
    """

    of_slice: float
    of_channel: FloatArray
    bound: float
    worth: list[FloatArray]
    average: float
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

    Attributes
    ----------
    best : Prices
        Those of the least bound so far.
    classes : list of TileClass
        The tiles.
    """

    def __init__(self, program: TileProgram, start: Tiling) -> None:
        self.program = program
        self.classes = TileClass.all_of(program)
        # Where a channel cannot carry every load its values are not concave.
        concave = bool((program.capacity == program.totals.shape[1] - 1).all())
        self._tables = self._list(LoadTable.few if concave else LoadTable.all)
        load = start.loads[start.tile]
        self._spread = float(1.0 + load.std())
        price = max(program.price, program.floor_price)
        own = program.totals[np.arange(len(load)), load] - price * load
        self._kept = start.kept
        self.best = self._evaluate(price, own, start.kept)

    def _list(
        self, table: Callable[[FloatArray, int, int], LoadTable]
    ) -> list[LoadTable]:
        totals = self.program.totals
        return [table(totals, tiles.lower, tiles.upper) for tiles in self.classes]

    @property
    def bound(self) -> float:
        """Total score that no tiling exceeds."""
        return min(self.best.bound, self.program.bound)

    def descend(self, kept: float, steps: int, clock: SearchClock) -> None:
        """Lower the bound towards `kept`, the score of an answer.

        Whatever the steps, there are as many with few loads and with all.
        """
        self._kept = kept
        self._descend(kept, steps, clock)
        if not (
            self._lists_all or clock.interrupted or clock.near_enough(kept, self.bound)
        ):
            self.list_all()
            self._descend(kept, steps, clock)

    @property
    def _lists_all(self) -> bool:
        return all(
            len(table.loads) == tiles.upper - tiles.lower + 1
            for tiles, table in zip(self.classes, self._tables, strict=True)
        )

    def list_all(self) -> None:
        """Look at all loads from now on."""
        if not self._lists_all:
            self._tables = self._list(LoadTable.all)
            best = self.best
            self.best = self._evaluate(best.of_slice, best.of_channel, self._kept)

    def _descend(self, kept: float, steps: int, clock: SearchClock) -> None:
        program = self.program
        prices = self._evaluate(self.best.of_slice, self.best.of_channel, kept)
        step, stalled = 1.0, 0
        # Slices are counted in units of their spread over the channels: both kinds of
        # prices then have gradients of like size.
        scale = 1.0 / (len(prices.excess) * self._spread**2)
        excess, slack = np.zeros_like(prices.excess), 0.0
        for _ in range(steps):
            if clock.interrupted or clock.near_enough(kept, self.bound):
                return
            excess = prices.excess + MOMENTUM * excess
            slack = prices.slack + MOMENTUM * slack
            norm = excess @ excess + scale * slack**2
            if norm == 0 or step < LEAST_STEP:
                return
            length = step * (prices.average - kept) / norm
            of_slice = float(prices.of_slice - length * scale * slack)
            of_channel = prices.of_channel - length * excess
            prices = self._evaluate(
                max(program.floor_price, of_slice), of_channel, kept
            )
            clock.spend(sum(table.totals.size for table in self._tables))
            if prices.bound < self.best.bound:
                self.best, stalled = prices, 0
                clock.report(kept, self.bound)
            else:
                stalled += 1
            if stalled > PATIENCE:
                prices, step, stalled = self.best, step / 2, 0
                excess, slack = np.zeros_like(excess), 0.0

    def _evaluate(self, of_slice: float, of_channel: FloatArray, kept: float) -> Prices:
        program = self.program
        channels = len(of_channel)
        bound = of_slice * program.budget + float(of_channel.sum())
        found = []
        for tiles, table in zip(self.classes, self._tables, strict=True):
            gain = table.totals - (of_slice * table.loads)[:, None]
            gain -= of_channel
            rest = channels - tiles.size
            best = np.partition(gain, rest, axis=1)[:, rest:] if rest else gain
            worth = best.sum(axis=1)
            bound += len(tiles.tiles) * float(worth.max())
            found.append((tiles, table, gain, worth))

        average, excess, slack = bound, np.ones(channels), float(program.budget)
        warmth = SOFTNESS * max(0.0, bound - kept) / len(program.sizes)
        for tiles, table, gain, worth in found:
            number = len(tiles.tiles)
            weight = _soft_maximum(worth, warmth)
            some = np.flatnonzero(weight)
            average += number * float(weight @ worth - worth.max())
            excess -= number * _often(gain[some], tiles.size, weight[some])
            slack -= number * tiles.size * float(weight @ table.loads)
        worths = [worth for *_, worth in found]
        return Prices(of_slice, of_channel, bound, worths, average, excess, slack)

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
        self.list_all()
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
        self.list_all()
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


def _soft_maximum(values: FloatArray, warmth: float) -> FloatArray:
    """Weights of values, those far below the largest 0; without warmth its own is 1."""
    weight: FloatArray = (values == values.max()).astype(np.float64)
    if warmth > 0:
        weight = np.exp((values - values.max()) / warmth)
        weight[weight < LEAST_WEIGHT] = 0.0
    weight /= weight.sum()
    return weight


def _often(gain: FloatArray, size: int, weight: FloatArray) -> FloatArray:
    """How often each channel is among the `size` best of a load, by the loads' weights.

    `gain` is [loads, channels]; channels that tie share the places that are left.
    """
    edge = np.partition(gain, -size, axis=1)[:, -size, None]
    above, tied = gain > edge, gain == edge
    left = (size - above.sum(axis=1)) / tied.sum(axis=1)
    share = np.where(above, weight[:, None], tied * (weight * left)[:, None])
    # Not by a matrix product, whose sums may depend on the number of threads.
    often: FloatArray = share.sum(axis=0)
    return often
