"""Memory traffic of a layer, stage by stage.

One inference after another, for every group of PEs (the stages of `hwmodel.latency`;
under the `layer` barrier, and where PEs take tasks from a list, all groups are one
stage), in bits:

- weights: fetched once per inference in the sparse format, written to their buffer, and
  read from it once (they stay in the PEs), by an output-stationary array once per fold
  of pixels and time block, by a scheduled one for every task;
- inputs: fetched once per inference if the layer's input fits the input buffer, else by
  every group; read by every group once per output pixel and kernel position;
- outputs: the spikes of all time steps, written to their buffer, then to DRAM;
- membrane potentials: read and written between time blocks, ``2 * N * E * bits *
  (blocks - 1)``, unless they stay in the PEs; and with them, as wide as they are, the
  partial sums of output channels that several groups share, once per time step.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from balancer import PEMap
from balancer.array_types import IntArray
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Traffic, Transfers
from hwmodel.group_reach import group_reach
from hwmodel.workload import LayerWorkload


@dataclass(frozen=True, slots=True, eq=False)
class Port:
    """What passes one memory port, in bits for each stage.

    Attributes
    ----------
    bandwidth_bits_per_cycle : float or None
        None: the port never stalls the array.
    before, during, after : ndarray of int64 [stages]
        Has to pass before the stage computes, while it computes, and after it.
    """

    bandwidth_bits_per_cycle: float | None
    before: IntArray
    during: IntArray
    after: IntArray


def weight_bits(
    accelerator: Accelerator, weights: IntArray, kept: IntArray, streams: IntArray
) -> IntArray:
    """Size of weights in the accelerator's sparse format, in bits.

    Parameters
    ----------
    accelerator : Accelerator
        Format and bit widths.
    weights, kept, streams : ndarray of int64
        Weights, those kept, and PEs' streams of them.
    """
    bits = accelerator.bits
    if accelerator.weight_format == "dense":
        return weights * bits.weight_bits
    if accelerator.weight_format == "bitmap":
        return weights + kept * bits.weight_bits
    return kept * (bits.weight_bits + bits.index_bits) + streams * bits.pointer_bits


def layer_traffic(
    workload: LayerWorkload,
    accelerator: Accelerator,
    pe_map: PEMap,
    cell_loads: IntArray,
) -> tuple[Traffic, dict[str, Port]]:
    """Count the bits that one inference of a layer moves.

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    accelerator : Accelerator
        The accelerator.
    pe_map : PEMap
        ``accelerator.array.pe_map`` of the layer.
    cell_loads : ndarray of int64 [cells]
        Weights kept in each cell of the map.

    Returns
    -------
    Traffic
        Of the whole layer.
    dict of str to Port
        Stage by stage: ``dram`` and the buffers, as far as the accelerator has them.
    """
    buffers = accelerator.buffers
    if accelerator.dram is None and not any(dict(buffers).values()):
        return Traffic(), {}
    moved = _group_bits(workload, accelerator, pe_map, cell_loads)
    zero = np.zeros_like(moved.weight)
    at_buffer = moved.membrane if accelerator.membrane == "output_buffer" else zero
    at_dram = moved.membrane if accelerator.membrane == "dram" else zero
    before = moved.weight + moved.input
    tables = {
        "dram": (accelerator.dram, before, at_dram, moved.output),
        "weight": (buffers.weight, moved.weight, moved.weight_read, zero),
        "input": (buffers.input, moved.input, moved.input_read, zero),
        "output": (buffers.output, zero, moved.output + at_buffer, moved.output),
    }
    whole = accelerator.array.is_one_stage
    ports = {
        name: Port(
            memory.bandwidth_bits_per_cycle,
            *(bits.sum(keepdims=True) if whole else bits for bits in by_group),
        )
        for name, (memory, *by_group) in tables.items()
        if memory is not None
    }
    dram = accelerator.dram is not None
    # Membrane potentials and partial sums are read as often as they are written.
    output = int(moved.output.sum() + at_buffer.sum() // 2) if buffers.output else 0
    traffic = Traffic(
        dram_weight=int(moved.weight.sum()) if dram else 0,
        dram_input=int(moved.input.sum()) if dram else 0,
        dram_output=int(moved.output.sum()) if dram else 0,
        dram_membrane=int(at_dram.sum()),
        weight=_transfers(ports, "weight"),
        input=_transfers(ports, "input"),
        output=Transfers(read_bits=output, write_bits=output),
        membrane_bits=int((at_buffer + at_dram).sum()),
    )
    return traffic, ports


class _GroupBits(NamedTuple):
    """Bits of each group, [groups]: fetched, read by the PEs, and produced."""

    weight: IntArray
    weight_read: IntArray
    input: IntArray
    input_read: IntArray
    output: IntArray
    membrane: IntArray


def _group_bits(
    workload: LayerWorkload,
    accelerator: Accelerator,
    pe_map: PEMap,
    cell_loads: IntArray,
) -> _GroupBits:
    array, bits = accelerator.array, accelerator.bits
    runs, pixels = workload.runs, workload.pixels

    def of_group(cell_values: IntArray) -> IntArray:
        sums = np.bincount(pe_map.cell_group, cell_values, minlength=pe_map.groups)
        return sums.astype(np.int64)

    size = of_group(pe_map.cell_sizes())
    weight = weight_bits(accelerator, size, of_group(cell_loads), pe_map.group_sizes())
    folds = -(-pixels // array.pixel_rows(pe_map)) * array.blocks_of(runs)
    reads = folds if array.mapping == "output_stationary" else 1
    if array.is_scheduled:
        reads = pixels * array.blocks_of(runs)
    between = array.blocks_of(runs) - 1
    reach = group_reach(pe_map, workload.groups)
    input_bits = bits.activation_bits if workload.direct_coded else bits.spike_bits
    whole_input = prod(workload.image) * runs * input_bits
    buffer = accelerator.buffers.input
    if buffer is None or whole_input <= buffer.capacity_bytes * 8:
        fetched = np.zeros_like(weight)
        fetched[:1] = whole_input
    else:
        fetched = reach.input_channels * (whole_input // workload.image[0])
    return _GroupBits(
        weight=weight,
        weight_read=weight * reads,
        input=fetched,
        input_read=reach.inputs * pixels * runs * input_bits,
        output=reach.finished * pixels * workload.steps * bits.spike_bits,
        membrane=(2 * reach.finished * between + reach.partial * runs)
        * (pixels * bits.membrane_bits),
    )


def _transfers(ports: dict[str, Port], name: str) -> Transfers:
    if name not in ports:
        return Transfers()
    port = ports[name]
    return Transfers(int(port.during.sum()), int(port.before.sum()))
