"""The program of channel order for tiles of output channels.

Put every channel into a tile and give every tile a load, such that the tiles are full,
the budget holds, and as much as possible is kept. In LaTeX: "Tiles of output channels"
in ``docs/programs.md``. What a channel is worth at a load, $F_c(k)$, is the sum of its
k best slices: for the map ``output_channel`` a slice is one weight, for ``grid`` one
weight for each block of its input channels; the budget counts slices of one channel.

The program contains 3-PARTITION; for given loads it is a transportation problem (see
`assignment`), and for given tiles resource allocation (see `slice_program`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import AnyArray, BoolArray, FloatArray, IntArray
from balancer.maps.pe_map import PEMap
from balancer.program.keys import mark
from balancer.program.problem import RetentionProblem
from balancer.program.ranking import Ranking
from balancer.program.slice_program import SliceAllocator, SliceProgram

# Layers with fewer channel slices are ranked to the bottom. In larger ones no tile
# needs a load far above the most that unstructured pruning leaves of a channel.
SLICES_WORTH_RANKING = 2**17
DEPTH_IN_LARGEST_LOADS = 1.1
LEAST_DEPTH = 16
DEEPENING = 2
# One of so many slices of a channel tells where the best slices end.
SAMPLED = 8


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """An answer: tiles and their loads.

    Attributes
    ----------
    tile : ndarray of int64 [channels]
        Tile of each channel.
    loads : ndarray of int64 [tiles]
        Load of each tile.
    kept : float
        Total score.
    """

    tile: IntArray
    loads: IntArray
    kept: float


@dataclass(frozen=True, slots=True, eq=False)
class TileProgram:
    """The program of one layer, its channels ranked as deep as an answer needs.

    Attributes
    ----------
    values : ndarray of float64 [channels, depth]
        Slices of each channel, best first. Where a previous mask leaves none, the first
        costs more than everything is worth.
    totals : ndarray of float64 [channels, depth + 1]
        Sums of the first 0, 1, … slices: F_c(k).
    capacity : ndarray of int64 [channels]
        Greatest load that each channel can carry, at most the depth.
    place : ndarray of int64 [channels]
        Tile of each schedule position.
    sizes : ndarray of int64 [tiles]
        Channels of each tile.
    lower, upper : ndarray of int64 [tiles]
        Bounds on loads, `upper` at most the depth.
    budget : int
        Most slices of single channels.
    price : float
        Value of the last slice that fits the budget if every channel has its own load.
    bound : float
        Total score of these: no tiling exceeds it.
    complete : bool
        Whether no load can be greater than the depth.
    """

    values: FloatArray
    totals: FloatArray
    capacity: IntArray
    place: IntArray
    sizes: IntArray
    lower: IntArray
    upper: IntArray
    budget: int
    price: float
    bound: float
    complete: bool
    _ranking: Ranking
    _keys: AnyArray

    @classmethod
    def of(cls, problem: RetentionProblem, largest_load: int) -> TileProgram:
        """State the program of a layer with weights whose map forms tiles.

        `largest_load` is the most that unstructured pruning to the budget leaves of a
        channel, per block of its input channels.
        """
        pe_map = problem.pe_map
        parts = pe_map.n_cells // pe_map.channels
        sizes = pe_map.group_sizes() // parts
        if pe_map.exchange is None:
            channel_map = PEMap.grid(pe_map.shape, 1, parts)
            place = np.repeat(np.arange(len(sizes)), sizes)
        else:
            part = pe_map.exchange.part.reshape(1, *pe_map.shape[1:])
            channel = np.arange(pe_map.channels).reshape(-1, *[1] * (part.ndim - 1))
            channel_map = PEMap.from_labels(channel, part)
            place = pe_map.exchange.group[pe_map.exchange.block, 0]
        # Slices of whole tiles do not add up to more than this, and so bounds need not.
        budget = problem.budget // parts
        budget -= budget % max(1, int(np.gcd.reduce(sizes)))
        keys = mark(problem.scores, problem.previous_mask, None)
        # What no tile can afford must neither loosen the bound nor deepen the ranking.
        room = budget - int(sizes @ problem.lower)
        upper = np.minimum(problem.upper, problem.lower + room // sizes)
        deepest = int(upper.max())
        depth = deepest
        if pe_map.channels * deepest > SLICES_WORTH_RANKING:
            enough = int(DEPTH_IN_LARGEST_LOADS * largest_load) + LEAST_DEPTH
            depth = min(deepest, max(enough, int(problem.lower.max())))
        while True:
            ranking = Ranking(keys, channel_map, depth)
            values = ranking.table()
            price, best = _best_slices(values, budget)
            if depth == deepest or values[:, -1].max() <= price:
                break
            depth = min(deepest, depth * DEEPENING)
        capacity = np.full(pe_map.channels, depth)
        if problem.previous_mask is not None:
            allowed = np.isfinite(values)
            capacity = allowed.sum(axis=1)
            values = np.where(allowed, values, 0.0)
            short = np.flatnonzero(capacity < depth)
            values[short, capacity[short]] = -2.0 * best or -1.0
        totals = np.zeros((pe_map.channels, depth + 1))
        np.cumsum(values, axis=1, out=totals[:, 1:])
        return cls(
            values=values,
            totals=totals,
            capacity=capacity,
            place=place,
            sizes=sizes,
            lower=problem.lower,
            upper=np.minimum(upper, depth),
            budget=budget,
            price=price,
            bound=best,
            complete=depth == deepest,
            _ranking=ranking,
            _keys=keys,
        )

    @property
    def floor_price(self) -> float:
        """Least price at which no slice beyond the depth is worth taking."""
        if self.complete or not self.values.size:
            return 0.0
        return max(0.0, float(self.values[:, -1].max()))

    def tiles_of(self, order: IntArray) -> IntArray:
        """Tile of each channel if they are taken in this order, [channels]."""
        tile = np.empty(len(order), dtype=np.int64)
        tile[order] = self.place
        return tile

    def order_of(self, tile: IntArray) -> IntArray:
        """Schedule position -> channel, such that channels lie in these tiles."""
        order = np.empty(len(tile), dtype=np.int64)
        order[np.argsort(self.place, kind="stable")] = np.argsort(tile, kind="stable")
        return order

    def value(self, tile: IntArray, loads: IntArray) -> float:
        """Total score of a tiling."""
        return float(self.totals[np.arange(len(tile)), loads[tile]].sum())

    def with_best_loads(self, tile: IntArray) -> Tiling | None:
        """Allocate the budget to given tiles; None if the bounds cannot be met.

        Optimal for tiles of equal size, otherwise up to the last slices.
        """
        order = np.argsort(tile, kind="stable")
        first = np.cumsum(self.sizes) - self.sizes
        upper = np.minimum.reduceat(self.capacity[order], first)
        upper = np.minimum(self.upper, upper)
        tiles = np.split(order, first[1:])
        sums = np.stack([self.values[channels].sum(axis=0) for channels in tiles])
        if (self.lower > upper).any() or self.sizes @ self.lower > self.budget:
            return None
        upper = self._reach(sums, upper)
        program = SliceProgram.of_table(
            sums, cost=self.sizes, lower=self.lower, upper=upper, budget=self.budget
        )
        loads = SliceAllocator(program).greedy.loads
        return Tiling(tile, loads, self.value(tile, loads))

    def _reach(self, sums: FloatArray, upper: IntArray) -> IntArray:
        """Lower the bounds on the loads of equal tiles to what the budget can reach.

        The slices that a budget pays are its best ones; to sort only these is a small
        part of sorting all.
        """
        number = self.budget // max(1, int(self.sizes[0]))
        if (self.sizes != self.sizes[0]).any() or not 0 < number < sums.size:
            return upper
        load = np.arange(1, sums.shape[1] + 1)
        free = (load > self.lower[:, None]) & (load <= upper[:, None])
        values = np.where(free, sums, -np.inf)
        edge = np.partition(values, -number, axis=None)[-number]
        reach: IntArray = self.lower + (free & (values >= edge)).sum(axis=1)
        return reach

    def mask(self, tiling: Tiling) -> BoolArray:
        """Mask of a tiling, in the shape and the natural order of the weights."""
        channel = self._ranking.pe_map.cell_group
        cell_loads = tiling.loads[tiling.tile[channel]]
        return self._ranking.mask(self._keys, cell_loads)


def _best_slices(values: FloatArray, number: int) -> tuple[float, float]:
    """Return the value of the `number`-th best slice and the sum of those up to it.

    Each row of `values` descends up to what may not be kept.
    """
    flat = np.maximum(_candidates(values, number), 0.0)
    if number >= flat.size:
        return 0.0, float(flat.sum())
    if number == 0:
        return float(flat.max()), 0.0
    flat.partition(flat.size - number)
    best = flat[flat.size - number :]
    return float(best[0]), float(best.sum())


def _candidates(values: FloatArray, number: int) -> FloatArray:
    """Return slices with the `number` best among them, a small part of large tables.

    Where m of every `SAMPLED`-th slice of a channel reach an edge, all between the
    first and the last of them do.
    """
    sample = values[:, ::SAMPLED].reshape(-1)
    enough = number // SAMPLED + 1 + len(values)
    if enough >= sample.size:
        return values.reshape(-1)
    edge = np.partition(sample, sample.size - enough)[sample.size - enough]
    reaching: FloatArray = values[values >= edge]
    return reaching
