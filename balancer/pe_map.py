"""PE maps: the lock-step group and the processing element (PE) of every weight.

A PE map cuts a layer into **cells**: cell (g, p) holds the weights that PE p works on
while it is in **group** g, and the PEs of one group wait for each other. Whatever the
accelerator, the solvers only need to look at the weights cell by cell: `cells` cuts the
layer, and cells of equal size form a matrix with one row per cell, see `blocks`.

Weights have the layout of every common framework: output channels first, then the input
channels that one output channel reads, then the kernel positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.blocks import Array, Block, BoolArray, IntArray
from balancer.cells import (
    Cells,
    Layer,
    check_load_table,
    interleaved,
    labelled,
    n_of_m,
    tiled,
)
from balancer.errors import BalancerError

MAP_SPECS = "output_channel, input_channel, interleaved, banked, grid:RxC, N:M (as 2:4)"


@dataclass(frozen=True, slots=True, eq=False)
class PEMap:
    """Which group and PE each weight of one layer belongs to.

    Make one with `output_channel`, `input_channel`, `interleaved`, `banked`, `grid`,
    `n_m` or, for any other accelerator, `from_labels`. Layers smaller than the array
    and ragged last tiles are legal: a PE without weights is idle by structure, which
    `occupancy` reports, and takes part in no constraint.

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
    blocks : tuple of Block
        The cells, those of one size together; cells are numbered in this order.
    cell_group, cell_pe : ndarray of int32 [cells]
        Group and PE of each cell; inside a block `cell_group` never decreases.
    fixed_load : ndarray of int64 [groups] or None
        The load that the map itself prescribes (n:m maps), else None.
    """

    name: str
    shape: tuple[int, ...]
    pes: int
    groups: int
    blocks: tuple[Block, ...]
    cell_group: npt.NDArray[np.int32]
    cell_pe: npt.NDArray[np.int32]
    fixed_load: IntArray | None = None

    # ------------------------------------------------------------------ construction

    @classmethod
    def output_channel(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Lock-step tiles of `pes` consecutive output channels, one per PE.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        pes : int
            PEs of the array.

        Returns
        -------
        PEMap
            Group = tile, PE = position of the channel in its tile.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.output_channel((5, 3), pes=2).group_sizes()  # the last tile is ragged
        array([2, 2, 1])
        """
        layer, pes = Layer.of(shape), _count("pes", pes)
        return cls._made("output_channel", layer, tiled(layer, pes, 1, layer.fan_in))

    @classmethod
    def input_channel(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """For each output channel, `pes` consecutive blocks of input channels.

        The blocks are as equal as they can be: sizes differ by one input channel at
        most. Parameters as in `output_channel`; group = output channel, PE = block.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.input_channel((1, 6), pes=4).cell_sizes()
        array([2, 2, 1, 1])
        """
        layer, pes = Layer.of(shape), _count("pes", pes)
        return cls._made("input_channel", layer, tiled(layer, 1, pes, layer.inputs))

    @classmethod
    def banked(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Each row (one output channel's weights) in `pes` consecutive banks.

        Bank-balanced sparsity (Cao et al., FPGA 2019, 10.1145/3289602.3293898): banks
        cut through the flattened row, wherever its channels end. Parameters as in
        `output_channel`; group = row, PE = bank.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.banked((1, 2, 3, 3), pes=4).cell_sizes()  # 18 weights in 4 banks
        array([5, 5, 4, 4])
        """
        layer, pes = Layer.of(shape), _count("pes", pes)
        return cls._made("banked", layer, tiled(layer, 1, pes, layer.fan_in))

    @classmethod
    def grid(cls, shape: Sequence[int], rows: int, cols: int) -> PEMap:
        """Output channels over the rows of the array, input channels over its columns.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        rows, cols : int
            The array; it has ``rows * cols`` PEs.

        Returns
        -------
        PEMap
            Group = tile of `rows` output channels; PE (r, c), numbered
            ``r * cols + c``, holds the c-th of `cols` blocks of input channels of the
            tile's r-th channel.

        Examples
        --------
        >>> from balancer import PEMap
        >>> pe_map = PEMap.grid((4, 6), rows=2, cols=3)
        >>> pe_map.pes, pe_map.groups
        (6, 2)
        """
        layer = Layer.of(shape)
        rows, cols = _count("rows", rows), _count("cols", cols)
        cells = tiled(layer, rows, cols, layer.inputs)
        return cls._made(f"grid:{rows}x{cols}", layer, cells)

    @classmethod
    def interleaved(cls, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Row c (one output channel's weights) on PE ``c % pes``; one group.

        The distribution of EIE (Han et al., ISCA 2016, 10.1109/ISCA.2016.30).
        Parameters as in `output_channel`.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.interleaved((5, 3), pes=2).cell_sizes()
        array([9, 6])
        """
        layer, pes = Layer.of(shape), _count("pes", pes)
        return cls._made("interleaved", layer, interleaved(layer, pes))

    @classmethod
    def n_m(cls, shape: Sequence[int], n: int, m: int) -> PEMap:
        """Keep exactly `n` of every `m` consecutive input channels.

        Every kernel position of every output channel is cut along the input channels
        into blocks of `m`, one per PE, so the map itself fixes all loads and with them
        the non-zeros. A shorter last block keeps ``min(n, its size)`` weights.

        Parameters
        ----------
        shape : sequence of int
            Shape of the weights, two or more dimensions.
        n, m : int
            ``1 <= n <= m``.

        Returns
        -------
        PEMap
            Group = kernel position of an output channel, PE = block. A last block with
            fewer than `n` weights forms a group of its own.

        Examples
        --------
        >>> import numpy as np
        >>> from balancer import PEMap
        >>> PEMap.n_m((1, 8), 2, 4).loads(np.tile([True, True, False, False], (1, 2)))
        array([[2, 2]])
        """
        layer, n, m = Layer.of(shape), _count("n", n), _count("m", m)
        if n > m:
            raise BalancerError(f"n:m pattern {n}:{m}: n must be at most m")
        return cls._made(f"{n}:{m}", layer, n_of_m(layer, n, m))

    @classmethod
    def from_labels(
        cls, group: npt.ArrayLike, pe: npt.ArrayLike, pes: int | None = None
    ) -> PEMap:
        """Any accelerator: give the group and the PE of every weight yourself.

        Parameters
        ----------
        group, pe : array_like of int
            Non-negative labels that broadcast to the shape of the weights (two or more
            dimensions). Group labels need not be compact; PEs run from 0.
        pes : int, optional
            PEs of the array; default: the largest PE label plus one.

        Returns
        -------
        PEMap
            Groups are numbered in the order of their labels.

        Raises
        ------
        BalancerError
            Labels that are no integers, negative, too large, or of shapes that do not
            broadcast.

        Examples
        --------
        Sixteen PEs, each of which takes every sixteenth input channel:

        >>> import numpy as np
        >>> from balancer import PEMap
        >>> channel, row = np.arange(64), np.arange(32)[:, None]
        >>> PEMap.from_labels(group=row, pe=channel % 16).shape
        (32, 64)
        """
        layer, cells = labelled(group, pe)
        if pes is not None:
            if _count("pes", pes) < cells.pes:
                raise BalancerError(
                    f"labels `pe` reach {cells.pes - 1}; "
                    f"{pes} PEs are numbered 0..{pes - 1}"
                )
            check_load_table(cells.groups, pes)
            cells = cells._replace(pes=int(pes))
        return cls._made("labels", layer, cells)

    @classmethod
    def parse(cls, spec: str, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Make the map that a short text names.

        Parameters
        ----------
        spec : str
            ``output_channel``, ``input_channel``, ``interleaved``, ``banked``,
            ``grid:RxC`` or ``N:M``; hyphens may stand for underscores.
        shape : sequence of int
            Shape of the weights.
        pes : int
            PEs of the array, where `spec` does not say it.

        Raises
        ------
        BalancerError
            A text that names no map.

        Examples
        --------
        >>> from balancer import PEMap
        >>> PEMap.parse("grid:4x8", (64, 64, 3, 3)).pes
        32
        """
        name = spec.strip().lower().replace("-", "_")
        if name in ("output_channel", "input_channel", "interleaved", "banked"):
            made: PEMap = getattr(cls, name)(shape, pes)
            return made
        if match := re.fullmatch(r"grid:(\d+)x(\d+)", name):
            return cls.grid(shape, int(match[1]), int(match[2]))
        if match := re.fullmatch(r"(\d+):(\d+)", name):
            return cls.n_m(shape, int(match[1]), int(match[2]))
        raise BalancerError(f"unknown PE map {spec!r}; accepted: {MAP_SPECS}")

    @classmethod
    def _made(cls, name: str, layer: Layer, cells: Cells) -> PEMap:
        return cls(name, layer.shape, *cells)

    # ---------------------------------------------------------------------- reading

    @property
    def weights(self) -> int:
        """Number of weights of the layer."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return self.shape[0]

    @property
    def order_axis(self) -> int | None:
        """Axis of the weights along which an order decides what shares a group or PE.

        0 where output channels form tiles (``output_channel``, ``grid``), 1 where input
        channels form blocks (``input_channel``, n:m), None for all other maps.
        """
        if self.name == "output_channel" or self.name.startswith("grid:"):
            return 0
        if self.name == "input_channel" or self.fixed_load is not None:
            return 1
        return None

    def schedule(self, array: Array, order: npt.NDArray[Any]) -> Array:
        """Put the channels of an array in the order in which the PEs take them.

        Parameters
        ----------
        array : ndarray
            In the shape of the weights.
        order : ndarray of int
            Schedule position -> channel, along `order_axis`.

        Raises
        ------
        BalancerError
            A map whose channels cannot be permuted.
        """
        if self.order_axis is None:
            raise BalancerError(f"the map {self.name!r} does not permute channels")
        return np.take(array, order, axis=self.order_axis)

    @property
    def cells(self) -> int:
        """Number of (group, PE) pairs that hold weights."""
        return len(self.cell_group)

    def numbered_blocks(self) -> Iterator[tuple[slice, Block]]:
        """Yield each block with the numbers of its cells."""
        first = 0
        for block in self.blocks:
            yield slice(first, first + block.cells), block
            first += block.cells

    def cell_sizes(self) -> IntArray:
        """Weights in each cell, [cells]."""
        return np.concatenate(
            [np.full(b.cells, b.width, dtype=np.int64) for b in self.blocks]
            or [np.empty(0, dtype=np.int64)]
        )

    def group_sizes(self) -> IntArray:
        """PEs that hold weights in each group (P_g of the program), [groups]."""
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
        table = np.zeros((self.groups, self.pes), dtype=bool)
        table[self.cell_group, self.cell_pe] = True
        return table

    @property
    def occupancy(self) -> float:
        """PEs that hold weights / all PEs, over the groups; 1.0 for an empty layer."""
        return self.cells / (self.groups * self.pes) if self.groups else 1.0

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
        loads = np.empty(self.cells, dtype=np.int64)
        for cells, block in self.numbered_blocks():
            loads[cells] = block.count(flat)
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
        table = np.zeros((self.groups, self.pes), dtype=np.int64)
        table[self.cell_group, self.cell_pe] = self.cell_loads(mask)
        return table

    def cell_labels(self) -> npt.NDArray[np.int32]:
        """Cell of every weight, in the shape of the weights."""
        labels = np.empty(self.weights, dtype=np.int32)
        for cells, block in self.numbered_blocks():
            numbers = np.arange(cells.start, cells.stop, dtype=np.int32)
            row = np.broadcast_to(numbers[:, None], (block.cells, block.width))
            block.write(labels, row)
        return labels.reshape(self.shape)

    def labels(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Group and PE of every weight, each in the shape of the weights."""
        cells = self.cell_labels()
        return self.cell_group[cells], self.cell_pe[cells]


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise BalancerError(f"`{name}` is {value!r}; a whole number from 1 is needed")
    return int(value)
