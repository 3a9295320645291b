"""PE maps: the lock-step group and the processing element (PE) of every weight.

A PE map cuts a layer into **cells**: cell (g, p) holds the weights that PE p works on
while it is in **group** g, and the PEs of one group wait for each other. Whatever the
accelerator, the solvers only need to look at the weights cell by cell: `layouts` cuts
the layer, and cells of equal size form a matrix with one row per cell, see
`cell_arrays`.

Weights have the layout of every common framework: output channels first, then the input
channels that one output channel reads, then the kernel positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from balancer.array_types import BoolArray, IntArray
from balancer.errors import BalancerError
from balancer.maps import layouts  # registers the maps that have a name
from balancer.maps.cell_arrays import CellMatrix, Gather
from balancer.maps.kinds import MapKind, find_kind, map_kinds
from balancer.maps.labels import labelled
from balancer.maps.layout import LayerShape, whole_number
from balancer.maps.schedule import Schedule

__all__ = ["PEMap", "layouts"]


@dataclass(frozen=True, slots=True, eq=False)
class PEMap:
    """Which group and PE each weight of one layer belongs to.

    Make one with `output_channel`, `input_channel`, `interleaved`, `banked`, `grid`,
    `n_m`, by its text with `parse` or, for any other accelerator, with `from_labels`.
    Layers smaller than the array and ragged last tiles are legal: a PE without weights
    is idle by structure, which `occupancy` reports, and takes part in no constraint.

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
        channels form blocks (``input_channel``, n:m), None for all other maps.
    input_blocks : ndarray of int64 [blocks] or None
        Input channels of each block, where these form blocks.
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
        return cls._named("output_channel", shape, pes=pes)

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
        return cls._named("input_channel", shape, pes=pes)

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
        return cls._named("banked", shape, pes=pes)

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
        return cls._named("grid:{rows}x{cols}", shape, rows=rows, cols=cols)

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
        return cls._named("interleaved", shape, pes=pes)

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
        return cls._named("{n}:{m}", shape, n=n, m=m)

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
        layer, layout = labelled(group, pe, pes)
        return cls("labels", layer.shape, **layout._asdict())

    @classmethod
    def parse(cls, spec: str, shape: Sequence[int], pes: int = 16) -> PEMap:
        """Make the map that a short text names.

        Parameters
        ----------
        spec : str
            One of `balancer.map_kinds` (``output_channel``, ``grid:4x8``, ``2:4``, …),
            of the package or registered with `balancer.register_map`; hyphens may stand
            for underscores.
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
        kind, numbers = find_kind(spec)
        if kind.takes_pes:
            numbers["pes"] = pes
        return cls._made(kind, shape, numbers)

    @classmethod
    def _named(cls, spec: str, shape: Sequence[int], **numbers: int) -> PEMap:
        [kind] = (kind for kind in map_kinds() if kind.spec == spec)
        return cls._made(kind, shape, numbers)

    @classmethod
    def _made(
        cls, kind: MapKind, shape: Sequence[int], numbers: dict[str, int]
    ) -> PEMap:
        layer = LayerShape.of(shape)
        numbers = {name: whole_number(name, value) for name, value in numbers.items()}
        layout = kind.cut(layer, **numbers)
        fields = layout._asdict() | {"order_axis": kind.order_axis}
        return cls(kind.spec.format(**numbers), layer.shape, **fields)

    # ---------------------------------------------------------------------- reading

    @property
    def weights(self) -> int:
        """Number of weights of the layer."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return self.shape[0]

    def schedule(self, order: npt.ArrayLike | None = None) -> Schedule:
        """Make a schedule of the channels that this map permutes.

        Parameters
        ----------
        order : array_like of int, optional
            Schedule position -> channel, along `order_axis`; default: the natural
            order, for maps that permute nothing that of the output channels.

        Raises
        ------
        BalancerError
            An order that is no permutation of the channels, or one for a map whose
            channels cannot be permuted.
        """
        if order is None:
            return Schedule.natural(self.shape, self.order_axis or 0)
        if self.order_axis is None:
            raise BalancerError(f"the map {self.name!r} does not permute channels")
        schedule = Schedule(self.order_axis, order)
        channels = self.shape[self.order_axis]
        if len(schedule.order) != channels:
            raise BalancerError(
                f"`order` has {len(schedule.order)} channels; the map {self.name!r} "
                f"permutes {channels}"
            )
        return schedule

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
        return self.n_cells / (self.groups * self.pes) if self.groups else 1.0

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
        table = np.zeros((self.groups, self.pes), dtype=np.int64)
        table[self.cell_group, self.cell_pe] = self.cell_loads(mask)
        return table

    def cell_labels(self) -> npt.NDArray[np.int32]:
        """Cell of every weight, in the shape of the weights."""
        labels = np.empty(self.weights, dtype=np.int32)
        for cells, matrix in self.numbered_matrices():
            numbers = np.arange(cells.start, cells.stop, dtype=np.int32)
            row = np.broadcast_to(numbers[:, None], (matrix.n_cells, matrix.width))
            matrix.write(labels, row)
        return labels.reshape(self.shape)

    def labels(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Group and PE of every weight, each in the shape of the weights."""
        cells = self.cell_labels()
        return self.cell_group[cells], self.cell_pe[cells]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"PEMap({self.name}, {self.pes} PEs, {self.groups} groups, of {shape})"
