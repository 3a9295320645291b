"""How each PE map cuts a layer into the weights of each PE in each group.

The functions are the geometry behind the constructors of `PEMap`, which document what
each map means.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from balancer.errors import BalancerError
from balancer.maps.cell_arrays import Window
from balancer.maps.kinds import map_kind
from balancer.maps.layout import LayerShape, Layout, Part


def _tiled(layer: LayerShape, rows: int, cols: int, units: int, **more: Any) -> Layout:
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
    return Layout.of(rows * cols, groups, parts, **more)


@map_kind("output_channel", "tiles of P output channels in lock-step", order_axis=0)
def output_channel(layer: LayerShape, pes: int) -> Layout:
    """Give each channel of a tile to a PE."""
    return _tiled(layer, pes, 1, layer.fan_in)


@map_kind(
    "input_channel",
    "P blocks of input channels, one output channel after another",
    order_axis=1,
)
def input_channel(layer: LayerShape, pes: int) -> Layout:
    """Cut every output channel into blocks of whole input channels."""
    size, longer = divmod(layer.inputs, pes)
    blocks = np.full(pes, size)
    blocks[:longer] += 1
    return _tiled(layer, 1, pes, layer.inputs, input_blocks=blocks)


@map_kind("interleaved", "output channel c on PE c mod P, all in one group")
def interleaved(layer: LayerShape, pes: int) -> Layout:
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
    return Layout.of(pes, min(1, layer.weights), parts)


@map_kind("banked", "P consecutive banks in the weights of an output channel")
def banked(layer: LayerShape, pes: int) -> Layout:
    """Cut every row into banks, wherever its input channels end."""
    return _tiled(layer, 1, pes, layer.fan_in)


@map_kind(
    "grid:{rows}x{cols}",
    "R output channels at a time, their input channels in C blocks",
    order_axis=0,
)
def grid(layer: LayerShape, rows: int, cols: int) -> Layout:
    """Give output channels to the rows of an array, input channels to its columns."""
    return _tiled(layer, rows, cols, layer.inputs)


@map_kind(
    "kernel:{channels}",
    "kernel position c on PE c mod P, for tiles of C output channels in lock-step",
)
def kernel(layer: LayerShape, channels: int, pes: int) -> Layout:
    """Deal the kernel positions to the PEs in turn, tile by tile."""
    turns, ahead = divmod(layer.positions, pes)
    full, rest = divmod(layer.outputs, channels)
    parts = []
    for tile, tiles, size in ((0, full, channels), (full, min(rest, 1), rest)):
        for first, count, turn in ((0, ahead, turns + 1), (ahead, pes - ahead, turns)):
            window = Window(
                offset=tile * channels * layer.fan_in + first,
                shape=(tiles, count, size, layer.inputs, turn),
                strides=(
                    channels * layer.fan_in,
                    1,
                    layer.fan_in,
                    layer.positions,
                    pes,
                ),
                cell_axes=2,
            )
            group = np.repeat(np.arange(tile, tile + tiles), count)
            pe = np.tile(np.arange(first, first + count), tiles)
            parts.append(Part(window, group, pe))
    groups = -(-layer.outputs // channels) if layer.weights else 0
    return Layout.of(pes, groups, parts)


@map_kind(
    "{n}:{m}",
    "exactly N of every M input channels, as 2:4",
    order_axis=1,
    prescribes_loads=True,
)
def n_of_m(layer: LayerShape, n: int, m: int) -> Layout:
    """Cut each kernel position of each output channel into blocks of m input channels.

    A shorter last block joins the group of the others if it can carry their load, and
    forms a group of its own otherwise.
    """
    if n > m:
        raise BalancerError(f"n:m pattern {n}:{m}: n must be at most m")
    blocks, rest = divmod(layer.inputs, m)
    rows = layer.outputs * layer.positions
    row = np.arange(rows, dtype=np.int32)

    def window(first: int, count: int, width: int) -> Window:
        return Window(
            offset=first * m * layer.positions,
            shape=(layer.outputs, layer.positions, count, width),
            strides=(layer.fan_in, 1, m * layer.positions, layer.positions),
            cell_axes=3,
        )

    pe = np.tile(np.arange(blocks, dtype=np.int32), rows)
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
    sizes = np.array([m] * blocks + [rest] * (rest > 0), dtype=np.int64)
    return Layout.of(max(1, pes), len(fixed), parts, fixed, sizes)
