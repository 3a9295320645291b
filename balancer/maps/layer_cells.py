"""A layer cut into cells: sizes, loads and labels, cell by cell or group by group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError
from balancer.maps.cell_arrays import CellMatrix, Gather
from balancer.maps.exchange import Exchange


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerCells:
    """The cells of one layer, and what can be read from them.

    Attributes
    ----------
    name : str
        What the map is, as `parse` reads it (``"labels"`` for `from_labels`).
    shape : tuple of int
        Shape of the weights: output channels, input channels per output channel,
        kernel positions.
    pes : int
        PEs of the array.
    groups : int
        Lock-step groups of the layer.
    matrices : tuple of CellMatrix
        The cells, those of one size together; cells are numbered in this order.
    cell_group, cell_pe : ndarray of int32 [cells]
        Group and PE of each cell; inside a matrix `cell_group` never decreases.
    fixed_load : ndarray of int64 [groups] or None
        The load that the map itself prescribes (n:m maps), else None.
    order_axis : int or None
        Axis of the weights along which an order decides what shares a group or PE: 0
        where output channels form tiles (``output_channel``, ``grid``), 1 where input
        channels form blocks (``input_channel``, n:m), that of `exchange` for maps of
        one's own, None for all other maps.
    input_blocks : ndarray of int64 [blocks] or None
        Input channels of each block, where these form blocks.
    copy_pe : ndarray of int32 [copies, cells] or None
        Where several PEs of a group hold the weights of a cell: the PE of each copy,
        that of the first in `cell_pe`, too. The load counts on every one.
    exchange : Exchange or None
        Of labels, the channels that may change places.
    """

    name: str
    shape: tuple[int, ...]
    pes: int
    groups: int
    matrices: tuple[CellMatrix, ...]
    cell_group: npt.NDArray[np.int32]
    cell_pe: npt.NDArray[np.int32]
    fixed_load: IntArray | None = None
    order_axis: int | None = None
    input_blocks: IntArray | None = None
    copy_pe: npt.NDArray[np.int32] | None = None
    exchange: Exchange | None = None

    @property
    def order_kind(self) -> Literal["tiles", "blocks"] | None:
        """What an order permutes: output channels between tiles, or blocks' channels.

        Of tiles a channel fills a place by itself; what a block keeps depends on all
        channels in it.
        """
        if self.order_axis is None:
            return None
        tiles = self.order_axis == 0 if self.exchange is None else self.exchange.tiles
        return "tiles" if tiles else "blocks"

    @property
    def copies(self) -> int:
        """PEs that hold each weight."""
        return 1 if self.copy_pe is None else len(self.copy_pe)

    @property
    def pe_of_copies(self) -> npt.NDArray[np.int32]:
        """PE of every copy of each cell, [copies, cells]."""
        return self.cell_pe[None] if self.copy_pe is None else self.copy_pe

    @property
    def weights(self) -> int:
        """Number of weights of the layer."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return self.shape[0]

    @property
    def n_cells(self) -> int:
        """Number of (group, PE) pairs that hold weights."""
        return len(self.cell_group)

    @property
    def is_gathered(self) -> bool:
        """Whether the map comes from labels, so that its cells may lie anywhere."""
        return any(isinstance(matrix, Gather) for matrix in self.matrices)

    def numbered_matrices(self) -> Iterator[tuple[slice, CellMatrix]]:
        """Yield each matrix with the numbers of its cells."""
        first = 0
        for matrix in self.matrices:
            yield slice(first, first + matrix.n_cells), matrix
            first += matrix.n_cells

    def cell_sizes(self) -> IntArray:
        """Weights in each cell, [cells]."""
        return np.concatenate(
            [np.full(m.n_cells, m.width, dtype=np.int64) for m in self.matrices]
            or [np.empty(0, dtype=np.int64)]
        )

    def channels_of_cells(self) -> IntArray:
        """Output channels that each cell holds weights of, [cells]."""
        fan_in = self.weights // self.channels if self.channels else 0
        return np.concatenate(
            [m.channels(fan_in) for m in self.matrices] or [np.empty(0, np.int64)]
        )

    def group_sizes(self) -> IntArray:
        """Cells of each group (P_g of the program), [groups].

        These are its PEs that hold weights, those of copies aside.
        """
        return np.bincount(self.cell_group, minlength=self.groups).astype(np.int64)

    def least_of_group(self, cell_values: IntArray) -> IntArray:
        """Smallest of a group's cell values, [groups]."""
        least = np.full(self.groups, np.iinfo(np.int64).max)
        np.minimum.at(least, self.cell_group, cell_values)
        return least

    def largest_of_group(self, cell_values: IntArray) -> IntArray:
        """Largest of a group's (non-negative) cell values, [groups]."""
        largest = np.zeros(self.groups, dtype=np.int64)
        np.maximum.at(largest, self.cell_group, cell_values)
        return largest

    def present(self) -> BoolArray:
        """Whether a PE holds weights in a group, [groups, pes]."""
        return self.by_pe(np.ones(self.n_cells, dtype=bool))

    def by_pe(self, cell_values: AnyArray) -> AnyArray:
        """Lay values of cells out by PE, copies included, [groups, pes] of [cells]."""
        table = np.zeros((self.groups, self.pes), dtype=cell_values.dtype)
        table[self.cell_group, self.pe_of_copies] = cell_values
        return table

    @property
    def occupancy(self) -> float:
        """PEs that hold weights / all PEs, over the groups; 1.0 for an empty layer."""
        held = self.copies * self.n_cells
        return held / (self.groups * self.pes) if self.groups else 1.0

    def cell_loads(self, mask: BoolArray) -> IntArray:
        """Count the non-zeros of each cell.

        Parameters
        ----------
        mask : ndarray of bool
            In the shape of the weights.

        Returns
        -------
        ndarray of int64 [cells]

        Raises
        ------
        BalancerError
            A mask that is not boolean or not of the layer's shape.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != self.shape:
            raise BalancerError(
                f"the mask is {mask.dtype} {mask.shape}; "
                f"this PE map needs bool {self.shape}"
            )
        flat = np.ascontiguousarray(mask).reshape(-1)
        loads = np.empty(self.n_cells, dtype=np.int64)
        for cells, matrix in self.numbered_matrices():
            loads[cells] = matrix.count(flat)
        return loads

    def loads(self, mask: BoolArray) -> IntArray:
        """Count the non-zeros of each PE in each group.

        Parameters
        ----------
        mask : ndarray of bool
            In the shape of the weights.

        Returns
        -------
        ndarray of int64 [groups, pes]
            0 where a PE holds no weights. Raises as `cell_loads`.
        """
        table: IntArray = self.by_pe(self.cell_loads(mask))
        return table

    def cell_labels(self) -> npt.NDArray[np.int32]:
        """Cell of every weight, in the shape of the weights."""
        labels = np.empty(self.weights, dtype=np.int32)
        for cells, matrix in self.numbered_matrices():
            numbers = np.arange(cells.start, cells.stop, dtype=np.int32)
            row = np.broadcast_to(numbers[:, None], (matrix.n_cells, matrix.width))
            matrix.write(labels, row)
        return labels.reshape(self.shape)

    def labels(
        self, copy: int = 0
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Group and PE of every weight or its copy, each in the weights' shape."""
        cells = self.cell_labels()
        return self.cell_group[cells], self.pe_of_copies[copy][cells]
