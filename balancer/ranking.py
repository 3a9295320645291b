"""Ranking: which weights every PE would keep first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.blocks import Array, BoolArray, IntArray
from balancer.pe_map import PEMap


def mark(
    scores: Array, allowed: BoolArray | None, must_keep: BoolArray | None
) -> Array:
    """Make ranking keys: scores, +inf for what must be kept, -inf for what must not.

    `scores` itself is returned where there is nothing to mark.
    """
    if allowed is None and must_keep is None:
        return scores
    keys = scores.copy()
    if allowed is not None:
        keys[~allowed] = -np.inf
    if must_keep is not None:
        keys[must_keep] = np.inf
    return keys


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The best weights of every cell, best first.

    Attributes
    ----------
    pe_map : PEMap
        The cells.
    depth : int
        How many weights of a cell are ranked, where it has as many.
    best : tuple of ndarray [cells of the block, min(depth, width)]
        Keys in descending order, for each block of the map.
    """

    pe_map: PEMap
    depth: int
    best: tuple[Array, ...]

    @classmethod
    def of(cls, keys: Array, pe_map: PEMap, depth: int) -> Ranking:
        """Rank the weights of `pe_map`, whose keys have the shape of the weights."""
        flat = keys.reshape(-1)
        best = tuple(_best(block.read(flat), depth) for block in pe_map.blocks)
        return cls(pe_map, depth, best)

    def slice_sums(self, depth: int) -> npt.NDArray[np.float64]:
        """Sum of the j-th best keys over the PEs of each group, [groups, depth]."""
        sums = np.zeros((self.pe_map.groups, depth))
        for (cells, _), best in zip(
            self.pe_map.numbered_blocks(), self.best, strict=True
        ):
            group = self.pe_map.cell_group[cells]
            starts = np.flatnonzero(np.diff(group, prepend=-1))
            wide = min(depth, best.shape[1])
            with np.errstate(invalid="ignore"):  # inf - inf lies outside the bounds
                sums[group[starts], :wide] += np.add.reduceat(
                    best[:, :wide], starts, axis=0, dtype=np.float64
                )
        return sums

    def mask(self, keys: Array, cell_loads: IntArray) -> BoolArray:
        """Keep the best weights of every cell; of equal keys, the first.

        Parameters
        ----------
        keys : ndarray of float
            The ranked keys, in the shape of the weights.
        cell_loads : ndarray of int64 [cells]
            How many to keep, at most `depth`.

        Returns
        -------
        ndarray of bool
            In the shape of the weights.
        """
        flat = keys.reshape(-1)
        mask = np.zeros(self.pe_map.weights, dtype=bool)
        for (cells, block), best in zip(
            self.pe_map.numbered_blocks(), self.best, strict=True
        ):
            loads = cell_loads[cells]
            if loads.any():
                block.write(mask, _top(block.read(flat), best, loads))
        return mask.reshape(self.pe_map.shape)


def top_per_cell(keys: Array, pe_map: PEMap, cell_loads: IntArray) -> BoolArray:
    """Keep the `cell_loads` best keys of every cell; see `Ranking.mask`."""
    deepest = int(cell_loads.max()) if cell_loads.size else 0
    return Ranking.of(keys, pe_map, deepest).mask(keys, cell_loads)


def _best(block: Array, depth: int) -> Array:
    """Return the `depth` largest entries of each row, in descending order."""
    width = block.shape[1]
    depth = min(depth, width)
    if depth > width // 2:
        ascending = np.sort(block, axis=1)[:, width - depth :]
    elif depth:
        # The sort makes a copy, so the large partitioned array is freed.
        ascending = np.sort(
            np.partition(block, width - depth, axis=1)[:, width - depth :], axis=1
        )
    else:
        ascending = np.empty((block.shape[0], 0), block.dtype)
    return ascending[:, ::-1]


def _top(block: Array, best: Array, loads: IntArray) -> BoolArray:
    """Mark the `loads` best entries of each row, the first among equals."""
    last = best[np.arange(len(loads)), np.maximum(loads, 1) - 1]
    last = np.where(loads > 0, last, np.nan)[:, None]  # no entry reaches NaN
    marked: BoolArray = block >= last
    narrow = np.uint16 if block.shape[1] < 2**16 else np.uint64
    tied = np.add.reduce(marked.view(np.uint8), axis=1, dtype=narrow) > loads
    if tied.any():
        rows, edge = block[tied], last[tied]
        above, equal = rows > edge, rows == edge
        room = loads[tied] - np.count_nonzero(above, axis=1)
        equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= room[:, None]
        marked[tied] = above | equal
    return marked
