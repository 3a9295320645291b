"""How many weights a cell (the weights of one PE in one group) has at each input.

The work of a cell is the product of these counts with the spikes met there, so a dense
matrix product does what the PEs do, for any PE map. Cells whose PEs read the same
inputs share a matrix; a map that splits the inputs gets one narrow matrix for each
part, so all matrices together are never larger than the weights.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balancer import PEMap
from balancer.array_types import AnyArray, BoolArray, IntArray
from hwmodel.group_reach import HeardInputs

EXACT_FLOAT32 = 2**24  # whole numbers up to here are exact in 24 bits of significand


class Piece(NamedTuple):
    """Counts of some cells at some inputs.

    Attributes
    ----------
    cells : ndarray of int64 [rows]
        Cells, ascending in the order of `CellCounts.order`.
    columns : slice
        Inputs, numbered over all input channels and kernel positions.
    counts : ndarray of float [rows, columns]
        Weights of the cell at the input.
    """

    cells: IntArray
    columns: slice
    counts: AnyArray


class CellCounts:
    """Counts of a layer's weights by cell and input, cells sorted by group.

    Parameters
    ----------
    mask : ndarray of bool [out, in per group, kernel height, kernel width]
        Weights that count.
    pe_map : PEMap
        Of the same shape.
    conv_groups : int
        Groups of the convolution.
    exact_float32 : bool
        Whether the products stay whole numbers, so that narrow floats will do.

    Attributes
    ----------
    pieces : list of Piece
        Pieces share no (cell, input) pair.
    order : ndarray of int64 [cells]
        Sorted place -> cell of the map.
    groups, pes : ndarray of int64 [cells]
        Group and PE of each cell, in sorted order.
    starts : ndarray of int64 [groups]
        First cell of each group.
    """

    def __init__(
        self, mask: BoolArray, pe_map: PEMap, conv_groups: int, exact_float32: bool
    ) -> None:
        self.order = order = np.argsort(pe_map.cell_group, kind="stable")
        self.groups: IntArray = pe_map.cell_group[order].astype(np.int64)
        self.pes: IntArray = pe_map.cell_pe[order].astype(np.int64)
        self.starts: IntArray = np.searchsorted(self.groups, np.arange(pe_map.groups))
        largest = pe_map.cell_sizes().max(initial=0)
        narrow = exact_float32 and largest < EXACT_FLOAT32
        self.dtype: npt.DTypeLike = np.float32 if narrow else np.float64
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        outputs, fan_in = len(mask), mask[0].size
        self.one_channel = bool((pe_map.channels_of_cells() <= 1).all())
        labels = pe_map.cell_labels().reshape(outputs, fan_in)
        self._pe_map, self.conv_groups = pe_map, conv_groups
        self.inputs = conv_groups * fan_in
        self.pieces: list[Piece] = []
        share = outputs // conv_groups
        for group in range(conv_groups):
            mine = slice(group * share, (group + 1) * share)
            kept = np.flatnonzero(mask[mine])
            cell = place[labels[mine].reshape(-1)[kept]]
            self._cut(cell, kept % fan_in, group * fan_in)

    @cached_property
    def heard(self) -> HeardInputs:
        """Inputs that each group's weights meet, those that do not count too."""
        return HeardInputs.of(self._pe_map, self.conv_groups)

    def _cut(self, cell: IntArray, column: IntArray, first: int) -> None:
        """Cut weights into pieces where no PE's inputs straddle the cut.

        Parameters
        ----------
        cell, column : ndarray of int64 [weights]
            Cell of each weight, and its input among those of the convolution's group;
            in the order of the mask.
        first : int
            Number of the group's first input.
        """
        if not cell.size:
            return
        pe = self.pes[cell]
        low, high = _input_ranges(pe, cell, column)
        parts = _disjoint_parts(low, high)
        for pes in parts:
            inside = np.isin(pe, pes) if len(parts) > 1 else slice(None)
            start, stop = int(low[pes].min()), int(high[pes].max()) + 1
            rows, counts = self._count(
                cell[inside], column[inside] - start, stop - start
            )
            columns = slice(first + start, first + stop)
            self.pieces.append(Piece(rows, columns, counts))

    def _count(
        self, cell: IntArray, column: IntArray, width: int
    ) -> tuple[IntArray, AnyArray]:
        """Count weights by cell, of those that have any, and by one of `width` columns.

        Returns the cells, ascending, and the counts [cells that have any, width].
        """
        present = np.zeros(len(self.pes), dtype=bool)
        present[cell] = True
        rows = np.flatnonzero(present)
        row_of_cell = np.empty(len(self.pes), dtype=np.int64)
        row_of_cell[rows] = np.arange(len(rows))
        counts = np.zeros((len(rows), width), dtype=self.dtype)
        flat = counts.reshape(-1)
        place = row_of_cell[cell] * width
        place += column
        if self.one_channel:  # no two weights at one place
            flat[place] = 1
        else:
            np.add.at(flat, place, 1)
        return rows, counts

    def loads(self, met: AnyArray) -> AnyArray:
        """Work of each cell.

        Parameters
        ----------
        met : ndarray [inputs, ...]
            Spikes met at each input.

        Returns
        -------
        ndarray [cells, ...]
        """
        flat = met.reshape(len(met), -1).astype(self.dtype, copy=False)
        loads = np.zeros((len(self.groups), flat.shape[1]), dtype=self.dtype)
        for piece in self.pieces:
            loads[piece.cells] += piece.counts @ flat[piece.columns]
        return loads.reshape(-1, *met.shape[1:])

    def largest_of_group(self, loads: AnyArray) -> AnyArray:
        """Largest of each group's cells, [groups, ...] of [cells, ...]."""
        largest: AnyArray = np.maximum.reduceat(loads, self.starts, axis=0)
        return largest

    def largest_at_inputs(self, group: int) -> AnyArray:
        """Largest count of a group's cells at each input, [inputs]."""
        largest: AnyArray = self.table(group).max(axis=0, initial=0)
        return largest

    def table(self, group: int) -> AnyArray:
        """Lay out the counts of one group, [cells of the group, inputs]."""
        first = self.starts[group]
        last = np.searchsorted(self.groups, group, side="right")
        table = np.zeros((last - first, self.inputs))
        for piece in self.pieces:
            rows = slice(*np.searchsorted(piece.cells, (first, last)))
            table[piece.cells[rows] - first, piece.columns] += piece.counts[rows]
        return table


def _input_ranges(
    pe: IntArray, cell: IntArray, column: IntArray
) -> tuple[IntArray, IntArray]:
    """First and last input of each PE with weights; of the others the last is -1.

    Only ends of runs are looked at: between two weights of one cell and channel that
    follow each other the columns ascend.
    """
    breaks = (cell[1:] != cell[:-1]) | (column[1:] < column[:-1])
    last = np.append(np.flatnonzero(breaks), len(cell) - 1)
    first = np.append(0, last[:-1] + 1)
    low = np.full(pe.max() + 1, np.iinfo(np.int64).max)
    high = np.full(pe.max() + 1, -1)
    np.minimum.at(low, pe[first], column[first])
    np.maximum.at(high, pe[first], column[last])
    return low, high


def _disjoint_parts(low: IntArray, high: IntArray) -> list[IntArray]:
    """Split the PEs that have weights into sets that share no range of inputs.

    A sweep over the PEs by their first inputs: a set ends where the next PE begins
    behind the last input of all PEs before it.
    """
    pes = np.flatnonzero(high >= 0)
    pes = pes[np.argsort(low[pes], kind="stable")]
    reach = np.maximum.accumulate(high[pes])
    ends = np.flatnonzero(low[pes[1:]] > reach[:-1]) + 1
    return np.split(pes, ends)
