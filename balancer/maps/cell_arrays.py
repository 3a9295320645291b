"""Cell matrices: cells of equal size, seen as the rows of one matrix.

Whatever the accelerator, a solver only needs to look at the weights cell by cell (see
`pe_map`). For regular maps the matrix is a strided window on the weights, which costs
neither index arrays nor copies; for arbitrary labels it is a gather.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd, prod
from typing import TypeAlias

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray

# A megabyte of float32: larger pieces take memory and leave the cache between two looks
# at them, smaller ones pay more for the calls than for the work.
CHUNK_WEIGHTS = 2**18


@dataclass(frozen=True, slots=True)
class Window:
    """Cells that are spread evenly over the weights: a strided window.

    Attributes
    ----------
    offset : int
        Flat position of the first weight, in elements.
    shape, strides : tuple of int
        Extent and distance (in elements) along each axis of the window.
    cell_axes : int
        The first `cell_axes` axes number the cells, the others the weights in a cell.
    """

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    cell_axes: int

    @property
    def n_cells(self) -> int:
        """Number of cells, the rows of the matrix."""
        return prod(self.shape[: self.cell_axes])

    @property
    def width(self) -> int:
        """Number of weights in each cell, the columns of the matrix."""
        return prod(self.shape[self.cell_axes :])

    def _view(self, flat: AnyArray) -> AnyArray:
        size = flat.itemsize
        strides = tuple(stride * size for stride in self.strides)
        return np.ndarray(self.shape, flat.dtype, flat, self.offset * size, strides)

    def chunks(self) -> Iterator[tuple[slice, Window]]:
        """Yield the cells in pieces that fit a cache, each with its rows."""
        if not self.n_cells:
            return
        length, *rest = self.shape
        rows = prod(self.shape[1 : self.cell_axes])
        step = max(1, CHUNK_WEIGHTS // max(1, prod(rest)))
        for first in range(0, length, step):
            last = min(first + step, length)
            offset = self.offset + first * self.strides[0]
            shape = (last - first, *rest)
            piece = Window(offset, shape, self.strides, self.cell_axes)
            yield slice(first * rows, last * rows), piece

    def read(self, flat: AnyArray) -> AnyArray:
        """Return the weights as a matrix [cells, width]: a view wherever one exists."""
        return self._view(flat).reshape(self.n_cells, self.width)

    def count(self, mask: BoolArray) -> AnyArray:
        """Count the True entries of each cell, [cells], copying nothing."""
        counts = count_rows(self._view(mask))
        inner = counts.reshape(self.n_cells, -1)
        return inner.sum(axis=1, dtype=np.int64) if inner.shape[1] > 1 else inner[:, 0]

    def write(self, flat: AnyArray, values: AnyArray) -> None:
        """Store a matrix [cells, width] in the cells' places of `flat`."""
        self._view(flat)[...] = values.reshape(self.shape)

    def channels(self, fan_in: int) -> IntArray:
        """Count the output channels, of `fan_in` weights, of each cell, [cells]."""
        inner = slice(self.cell_axes, None)
        steps = zip(self.shape[inner], self.strides[inner], strict=True)
        whole = prod(size for size, stride in steps if stride % fan_in == 0)
        return np.full(self.n_cells, whole, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Cells whose weights lie anywhere.

    Attributes
    ----------
    index : ndarray of int64 [cells, width]
        Flat position of every weight.
    """

    index: IntArray

    @property
    def n_cells(self) -> int:
        """Number of cells, the rows of the matrix."""
        return int(self.index.shape[0])

    @property
    def width(self) -> int:
        """Number of weights in each cell, the columns of the matrix."""
        return int(self.index.shape[1])

    def chunks(self) -> Iterator[tuple[slice, Gather]]:
        """Yield the cells in pieces that fit a cache, each with its rows."""
        step = max(1, CHUNK_WEIGHTS // max(1, self.width))
        for first in range(0, self.n_cells, step):
            rows = slice(first, min(first + step, self.n_cells))
            yield rows, Gather(self.index[rows])

    def read(self, flat: AnyArray) -> AnyArray:
        """Return the weights as a matrix [cells, width] (a copy)."""
        return flat[self.index]

    def count(self, mask: BoolArray) -> AnyArray:
        """Count the True entries of each cell, [cells]."""
        return count_rows(mask[self.index])

    def write(self, flat: AnyArray, values: AnyArray) -> None:
        """Store a matrix [cells, width] in the cells' places of `flat`."""
        flat[self.index] = values

    def channels(self, fan_in: int) -> IntArray:
        """Count the output channels, of `fan_in` weights, of each cell, [cells]."""
        channel = np.sort(self.index // fan_in, axis=1)
        changes: IntArray = np.count_nonzero(np.diff(channel, axis=1), axis=1)
        return changes + 1


CellMatrix: TypeAlias = Window | Gather


def pieces(size: int) -> Iterator[slice]:
    """Cut so many weights into pieces that fit a cache.

    What is done piece by piece needs no new memory for arrays of the whole size, which
    takes as long as the work itself where these are large.
    """
    for first in range(0, size, CHUNK_WEIGHTS):
        yield slice(first, min(first + CHUNK_WEIGHTS, size))


def count_rows(rows: BoolArray) -> AnyArray:
    """Count the True entries along the last axis."""
    # Sums of a narrow type keep the reduction in the processor's vector units, and
    # counting the bits of up to eight entries at once leaves an eighth to sum.
    width = rows.shape[-1]
    narrow = np.uint16 if width < 2**16 else np.uint64
    entries: AnyArray = rows.view(np.uint8)
    at_once = gcd(width, 8)
    if at_once > 1 and rows.strides[-1] == 1:
        entries = np.bitwise_count(rows.view(f"u{at_once}"))
        if width == at_once:
            return entries[..., 0]
    counts: AnyArray = np.add.reduce(entries, axis=-1, dtype=narrow)
    return counts


def true_positions(mask: BoolArray) -> IntArray:
    """Flat positions of the True entries, ascending, as `numpy.flatnonzero` finds them.

    Faster where few are: it looks at eight entries at once, and then into those eights
    that hold any.
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    whole = flat.size - flat.size % 8
    eights = flat[:whole].view(np.uint64)
    some = np.flatnonzero(eights != 0)
    if 2 * len(some) >= len(eights):
        return np.flatnonzero(flat)
    inside = np.flatnonzero(eights[some].view(np.bool_))
    positions = some[inside >> 3] << 3
    positions |= inside & 7
    rest = np.flatnonzero(flat[whole:])
    return np.concatenate([positions, rest + whole]) if rest.size else positions
