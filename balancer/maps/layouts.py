"""Cells: how a PE map cuts a layer into the weights of each PE in each group.

The functions here are the geometry behind the constructors of `pe_map.PEMap`, which
documents what each map means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.errors import BalancerError
from balancer.maps.cell_arrays import Array, Block, Gather, IntArray, Window

# A table of loads has groups x PEs entries; labels that are not compact would fill the
# memory with zeros long before they describe an accelerator.
MAX_LOAD_TABLE = 2**27


class Part(NamedTuple):
    """A block, and the group and the PE of each of its cells."""

    block: Block
    group: Array
    pe: Array


class Cells(NamedTuple):
    """All cells of a layer, numbered block after block; see `PEMap` for the fields."""

    pes: int
    groups: int
    blocks: tuple[Block, ...]
    cell_group: npt.NDArray[np.int32]
    cell_pe: npt.NDArray[np.int32]
    fixed_load: IntArray | None

    @classmethod
    def of(
        cls,
        pes: int,
        groups: int,
        parts: Iterable[Part],
        fixed_load: IntArray | None = None,
    ) -> Cells:
        """Put together the parts that hold weights."""
        check_load_table(groups, pes)
        held = [part for part in parts if part.block.cells and part.block.width]
        return cls(
            pes,
            groups,
            tuple(part.block for part in held),
            np.concatenate([np.empty(0), *(p.group for p in held)]).astype(np.int32),
            np.concatenate([np.empty(0), *(p.pe for p in held)]).astype(np.int32),
            fixed_load,
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """A validated weight shape, seen as outputs x inputs x kernel positions."""

    shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int]) -> Layer:
        """Validate a weight shape.

        Raises
        ------
        BalancerError
            Fewer than two dimensions, or something that is no size.
        """
        try:
            sizes = tuple(int(size) for size in shape)
        except (TypeError, ValueError):
            sizes = ()
        if len(sizes) < 2 or min(sizes) < 0:
            raise BalancerError(
                f"weight shape {shape!r}: two or more dimensions are needed (output "
                "channels, input channels, then kernel positions)"
            )
        return cls(sizes)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.shape[0]

    @property
    def inputs(self) -> int:
        """Input channels that one output channel reads."""
        return self.shape[1]

    @property
    def positions(self) -> int:
        """Kernel positions."""
        return prod(self.shape[2:])

    @property
    def fan_in(self) -> int:
        """Weights of one output channel."""
        return prod(self.shape[1:])

    @property
    def weights(self) -> int:
        """Weights of the layer."""
        return prod(self.shape)


def tiled(layer: Layer, rows: int, cols: int, units: int) -> Cells:
    """Cut tiles of `rows` output channels, each channel into `cols` consecutive parts.

    A part holds whole units, of which a channel has `units`; parts differ by one unit
    at most, the larger ones first.
    """
    unit = layer.fan_in // units if units else 0
    size, longer = divmod(units, cols)
    channel = np.arange(layer.outputs)
    parts = []
    for first, count, part in ((0, longer, size + 1), (longer, cols - longer, size)):
        if part == 0:  # more parts than units: these PEs hold nothing
            continue
        window = Window(
            offset=first * (size + 1) * unit,
            shape=(layer.outputs, count, part * unit),
            strides=(layer.fan_in, part * unit, 1),
            cell_axes=2,
        )
        pe = (channel % rows)[:, None] * cols + np.arange(first, first + count)
        parts.append(Part(window, np.repeat(channel // rows, count), pe.reshape(-1)))
    groups = -(-layer.outputs // rows) if layer.weights else 0
    return Cells.of(rows * cols, groups, parts)


def interleaved(layer: Layer, pes: int) -> Cells:
    """Deal the output channels to the PEs in turn; all PEs form one group."""
    turns, ahead = divmod(layer.outputs, pes)  # the first `ahead` PEs get one more
    width = layer.fan_in
    parts = []
    for first, count, rows in ((0, ahead, turns + 1), (ahead, pes - ahead, turns)):
        if rows:
            window = Window(
                offset=first * width,
                shape=(count, rows, width),
                strides=(width, pes * width, 1),
                cell_axes=1,
            )
            pe = np.arange(first, first + count)
            parts.append(Part(window, np.zeros(count), pe))
    return Cells.of(pes, min(1, layer.weights), parts)


def n_of_m(layer: Layer, n: int, m: int) -> Cells:
    """Cut each kernel position of each output channel into blocks of m input channels.

    A shorter last block joins the group of the others if it can carry their load, and
    forms a group of its own otherwise.
    """
    blocks, rest = divmod(layer.inputs, m)
    rows = layer.outputs * layer.positions
    row = np.arange(rows)

    def window(first: int, count: int, width: int) -> Window:
        return Window(
            offset=first * m * layer.positions,
            shape=(layer.outputs, layer.positions, count, width),
            strides=(layer.fan_in, 1, m * layer.positions, layer.positions),
            cell_axes=3,
        )

    pe = np.tile(np.arange(blocks), rows)
    parts = [Part(window(0, blocks, m), np.repeat(row, blocks), pe)]
    loads = [np.full(rows, n if blocks else min(n, rest), dtype=np.int64)]
    if rest >= n or not blocks:
        parts.append(Part(window(blocks, 1, rest), row, np.full(rows, blocks)))
        pes = blocks + (rest > 0)
    else:
        parts.append(Part(window(blocks, 1, rest), row + rows, np.zeros(rows)))
        pes = blocks
        if rest:
            loads.append(np.full(rows, rest, dtype=np.int64))
    fixed = np.concatenate(loads) if layer.weights else np.empty(0, dtype=np.int64)
    return Cells.of(max(1, pes), len(fixed), parts, fixed)


def labelled(group: npt.ArrayLike, pe: npt.ArrayLike) -> tuple[Layer, Cells]:
    """Collect the cells of arbitrary labels, those of equal size in one block."""
    labels = {"group": np.asarray(group), "pe": np.asarray(pe)}
    for name, label in labels.items():
        if label.dtype.kind not in "iu":
            raise BalancerError(
                f"labels `{name}` are {label.dtype}; integers are needed"
            )
        if label.size and label.min() < 0:
            raise BalancerError(
                f"labels `{name}` start at {label.min()}; the least is 0"
            )
    try:
        shape = np.broadcast_shapes(*(label.shape for label in labels.values()))
    except ValueError:
        raise BalancerError(
            f"labels `group` {labels['group'].shape} and `pe` {labels['pe'].shape} do "
            "not broadcast to one weight shape"
        ) from None
    layer = Layer.of(shape)
    if not layer.weights:
        return layer, Cells.of(1, 0, [])
    names, of_group = np.unique(labels["group"], return_inverse=True)
    pes = int(labels["pe"].max()) + 1
    check_load_table(len(names), pes)
    keys = of_group.reshape(labels["group"].shape).astype(np.int64) * pes + labels["pe"]
    keys = np.broadcast_to(keys, shape).reshape(-1)
    order = np.argsort(keys, kind="stable")
    cells, starts, sizes = np.unique(keys[order], return_index=True, return_counts=True)
    parts = []
    for size in np.unique(sizes):
        mine = np.flatnonzero(sizes == size)
        index = order[starts[mine][:, None] + np.arange(size)]
        parts.append(Part(Gather(index), cells[mine] // pes, cells[mine] % pes))
    return layer, Cells.of(pes, len(names), parts)


def check_load_table(groups: int, pes: int) -> None:
    """Refuse arrays whose table of loads could not be held.

    Raises
    ------
    BalancerError
        More than `MAX_LOAD_TABLE` entries.
    """
    if groups * pes > MAX_LOAD_TABLE:
        raise BalancerError(
            f"{groups} groups x {pes} PEs is more than {MAX_LOAD_TABLE} loads; use "
            "fewer PEs or groups (labels must be compact)"
        )
