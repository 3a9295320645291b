"""The weights of a layer as the PEs read them: one stream for each PE and group.

The weights of a PE in a group, zeros included, are counted from 0 in the order in which
they stand in the layer (row-major, as the schedules hand out its channels); this is the
*position* of a weight. A stream holds the kept weights of one PE in one group by
ascending position. On `output_channel` maps a position is that of the weight in the
row of its output channel: ``(input * kernel height + row) * kernel width + column``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError, ExportError
from balancer.export.value_format import ValueFormat
from balancer.maps.layer_cells import LayerCells
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule


class CellTable(NamedTuple):
    """The weights of every PE and group, zeros included, stream by stream.

    Streams are numbered PE by PE, those of a PE by their groups.

    Attributes
    ----------
    weights : ndarray of int64
        Flat index in the scheduled layer; those of a stream ascend.
    pointers : ndarray of int64 [pes * groups + 1]
        Where the streams begin in `weights`, and where the last one ends.
    """

    weights: IntArray
    pointers: IntArray

    @classmethod
    def of(cls, pe_map: LayerCells) -> CellTable:
        """List the weights of a map's cells."""
        stream = pe_map.cell_pe.astype(np.int64) * pe_map.groups + pe_map.cell_group
        cell_sizes = pe_map.cell_sizes().astype(np.int64)
        in_order = np.argsort(stream, kind="stable")
        starts = np.empty_like(cell_sizes)
        starts[in_order] = np.cumsum(cell_sizes[in_order]) - cell_sizes[in_order]
        weights = np.empty(int(cell_sizes.sum()), np.int64)
        index = np.arange(pe_map.weights)
        for cells, matrix in pe_map.numbered_matrices():
            first = starts[cells]
            for rows, piece in matrix.chunks():
                held = np.sort(piece.read(index), axis=1)
                weights[first[rows, None] + np.arange(held.shape[1])] = held
        pointers = np.zeros(pe_map.pes * pe_map.groups + 1, np.int64)
        np.add.at(pointers, stream + 1, cell_sizes)
        return cls(weights, np.cumsum(pointers))

    @property
    def sizes(self) -> IntArray:
        """Weights of each stream, zeros included."""
        sizes: IntArray = np.diff(self.pointers)
        return sizes

    def pick(self, kept: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
        """Find the weights that streams hold.

        Parameters
        ----------
        kept : ndarray of bool
            For every entry of `weights`, whether its stream holds it.

        Returns
        -------
        places : ndarray of int64
            Where they stand in `weights`, in their order.
        positions : ndarray of int64
            Their positions in their streams.
        pointers : ndarray of int64 [pes * groups + 1]
            Where the streams begin among them.
        """
        places = np.flatnonzero(kept)
        pointers = np.searchsorted(places, self.pointers)
        starts = np.repeat(self.pointers[:-1], np.diff(pointers))
        return places, places - starts, pointers


class PEStream(NamedTuple):
    """What one PE reads for one group.

    Attributes
    ----------
    values : ndarray of float32
        Its kept weights.
    positions : ndarray of int64
        Their positions, ascending.
    """

    values: npt.NDArray[np.float32]
    positions: IntArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerStreams:
    """The streams of one layer; `layer_streams` makes them.

    Attributes
    ----------
    shape : tuple of int
        Of the weights.
    pe_map : str
        Text of the PE map; ``labels`` for one of labels.
    pes, groups : int
        Of the map.
    table : CellTable or None
        `cells`, where no text tells which weights the PEs hold.
    values : ValueFormat
        What the codes mean.
    codes : ndarray of int64
        The values of all streams, one after another: those of PE 0 for its groups,
        those of PE 1, and so on.
    positions : ndarray of int64
        The positions of all streams.
    pointers : ndarray of int64 [pes * groups + 1]
        Where the streams begin, and where the last one ends.
    schedules : tuple of Schedule
        In which order the PEs take the channels.
    bias : ndarray of float32 [output channels] or None
        What every output channel adds; in the natural order of the channels.
    """

    shape: tuple[int, ...]
    pe_map: str
    pes: int
    groups: int
    table: CellTable | None
    values: ValueFormat
    codes: IntArray
    positions: IntArray
    pointers: IntArray
    schedules: tuple[Schedule, ...] = ()
    bias: npt.NDArray[np.float32] | None = None

    @property
    def by_text(self) -> bool:
        """Whether the text of the map tells which weights the PEs hold."""
        return self.table is None

    @property
    def cells(self) -> CellTable:
        """The weights that positions count; of a text they are worked out anew."""
        if self.table is not None:
            return self.table
        return CellTable.of(PEMap.parse(self.pe_map, self.shape, self.pes))

    @property
    def lengths(self) -> IntArray:
        """Weights in each stream, [groups, pes]: the loads of the PEs."""
        lengths: IntArray = np.diff(self.pointers).reshape(self.pes, self.groups).T
        return lengths

    def stream(self, group: int, pe: int) -> PEStream:
        """Return what a PE reads for a group.

        Raises
        ------
        ExportError
            A group or a PE that there is not.
        """
        for name, value, most in (("group", group, self.groups), ("pe", pe, self.pes)):
            if not 0 <= value < most:
                raise ExportError(f"`{name}` is {value}; accepted are 0 to {most - 1}")
        first, last = self.pointers[pe * self.groups + group :][:2]
        codes = self.codes[first:last]
        return PEStream(self.values.decode(codes), self.positions[first:last])

    def weights(self) -> npt.NDArray[np.float32]:
        """Rebuild the layer, in its natural order, zero where it is pruned."""
        layer = np.zeros(int(np.prod(self.shape)), np.float32)
        layer[self._places()] = self.values.decode(self.codes)
        return self._natural(layer)

    def mask(self) -> BoolArray:
        """Rebuild the mask, in its natural order."""
        layer = np.zeros(int(np.prod(self.shape)), np.bool_)
        layer[self._places()] = True
        return self._natural(layer)

    def _places(self) -> IntArray:
        cells = self.cells
        starts = np.repeat(cells.pointers[:-1], np.diff(self.pointers))
        places: IntArray = cells.weights[starts + self.positions]
        return places

    def _natural(self, flat: AnyArray) -> AnyArray:
        layer = flat.reshape(self.shape)
        for schedule in reversed(self.schedules):
            layer = schedule.invert(layer)
        return np.ascontiguousarray(layer)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        kind = self.values.to_json()["type"]
        return (
            f"LayerStreams({len(self.codes)} of {shape} weights, {self.pe_map}, "
            f"{self.pes} PEs x {self.groups} groups, {kind}:{self.values.bits})"
        )


def layer_streams(
    weights: npt.ArrayLike,
    mask: BoolArray,
    pe_map: LayerCells,
    *,
    bits: int | None = None,
    schedules: Schedule | Iterable[Schedule] = (),
    bias: npt.ArrayLike | None = None,
) -> LayerStreams:
    """Cut a layer into what each PE reads for each group.

    Parameters
    ----------
    weights : array_like of float
        Of the layer, in its natural order; numbers wider than float32 are rounded.
    mask : ndarray of bool
        What is kept, in the shape of the weights. A kept zero is a value like others.
    pe_map : PEMap
        Who works on what.
    bits : int, optional
        Of integer values, 2 to 16; default: float32.
    schedules : Schedule or iterable of Schedule
        In which order the PEs take the channels; default: as they are.
    bias : array_like of float32 [output channels], optional
        Goes with the streams as it is.

    Raises
    ------
    ExportError
        Weights that are no real numbers, or bits that are not accepted.
    BalancerError
        Shapes that do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, layer_streams
    >>> weights = np.array([[0.5, 0, 0, 1], [0, 2, 0, 0]], np.float32)
    >>> streams = layer_streams(weights, weights != 0, PEMap.output_channel((2, 4), 2))
    >>> streams.lengths
    array([[2, 1]])
    >>> streams.stream(group=0, pe=0)
    PEStream(values=array([0.5, 1. ], dtype=float32), positions=array([0, 3]))
    >>> bool((streams.weights() == weights).all())
    True
    """
    given = np.asarray(weights)
    if given.dtype.kind not in "fiub":
        raise ExportError(f"the weights are {given.dtype}; real numbers are needed")
    if given.shape != pe_map.shape:
        raise BalancerError(
            f"the weights have shape {given.shape}; the PE map needs {pe_map.shape}"
        )
    with np.errstate(over="ignore"):  # numbers that float32 lacks become infinite
        layer, kept = given.astype(np.float32), np.asarray(mask)
    schedules = (schedules,) if isinstance(schedules, Schedule) else tuple(schedules)
    pe_map.cell_loads(kept)  # refuses masks that do not fit
    for schedule in schedules:
        layer, kept = schedule.apply(layer), schedule.apply(kept)
    cells = CellTable.of(pe_map)
    places, positions, pointers = cells.pick(
        np.ascontiguousarray(kept).reshape(-1)[cells.weights]
    )
    values = np.ascontiguousarray(layer).reshape(-1)[cells.weights[places]]
    form = ValueFormat.of(values, bits)
    # Without weights, labels gather nothing, and no text tells them all the same.
    by_text = bool(pe_map.matrices) and not pe_map.is_gathered
    return LayerStreams(
        shape=pe_map.shape,
        pe_map=pe_map.name,
        pes=pe_map.pes,
        groups=pe_map.groups,
        table=None if by_text else cells,
        values=form,
        codes=form.encode(values),
        positions=positions,
        pointers=pointers,
        schedules=schedules,
        bias=_checked_bias(bias, pe_map.channels),
    )


def _checked_bias(
    bias: npt.ArrayLike | None, channels: int
) -> npt.NDArray[np.float32] | None:
    if bias is None:
        return None
    given = np.asarray(bias, dtype=np.float32)
    if given.shape != (channels,):
        raise BalancerError(f"`bias` has shape {given.shape}; needed: ({channels},)")
    return given
