"""Memory traffic of a layer, stage by stage.

One inference after another, for every stage (a group of PEs, or the whole layer under
the `layer` barrier), in bits:

- weights: fetched once per inference in the sparse format, written to their buffer, and
  read from it once per stage (they stay in the PEs), by an output-stationary array once
  per fold of pixels and time block;
- inputs: fetched once per inference if the layer's input fits the input buffer, else
  once per stage; read by every stage once per output pixel and kernel position;
- outputs: the spikes of all time steps, written to their buffer, then to DRAM;
- membrane potentials: read and written between time blocks, ``2 * N * E * bits *
  (blocks - 1)``, unless they stay in the PEs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer import PEMap
from balancer.blocks import IntArray
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Traffic, Transfers
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
    array, bits, buffers = accelerator.array, accelerator.bits, accelerator.buffers
    if accelerator.dram is None and not any(dict(buffers).values()):
        return Traffic(), {}
    zero = np.zeros(pe_map.groups, dtype=np.int64)

    def of_group(cell_values: IntArray) -> IntArray:
        sums = np.bincount(pe_map.cell_group, cell_values, minlength=pe_map.groups)
        return sums.astype(np.int64)

    size = of_group(pe_map.cell_sizes())
    weights = weight_bits(accelerator, size, of_group(cell_loads), pe_map.group_sizes())

    # Groups hold whole output channels, in order.
    channels = size // workload.fan_in
    last = np.cumsum(channels)
    share = workload.outputs // workload.groups
    conv_groups = (last - 1) // share - (last - channels) // share + 1
    input_bits = bits.activation_bits if workload.direct_coded else bits.spike_bits
    depth, height, width = workload.image
    per_conv_group = depth // workload.groups * height * width
    image = workload.runs * per_conv_group * input_bits
    fits = (
        buffers.input is None
        or image * workload.groups <= buffers.input.capacity_bytes * 8
    )
    inputs = conv_groups * image
    if fits:
        inputs = zero.copy()
        inputs[:1] = image * workload.groups
    pixels = workload.pixels
    met = conv_groups * workload.fan_in * pixels * workload.runs * input_bits

    outputs = channels * pixels * workload.steps * bits.spike_bits
    blocks = array.blocks_of(workload.runs)
    membrane = 2 * channels * pixels * bits.membrane_bits * (blocks - 1)
    if accelerator.membrane == "resident":
        membrane = zero
    at_buffer = membrane if accelerator.membrane == "output_buffer" else zero
    at_dram = membrane if accelerator.membrane == "dram" else zero
    folds = -(-pixels // array.pixel_rows) * blocks
    reads = folds if array.mapping == "output_stationary" else 1

    tables = {
        "dram": (accelerator.dram, weights + inputs, at_dram, outputs),
        "weight": (buffers.weight, weights, weights * reads, zero),
        "input": (buffers.input, inputs, met, zero),
        "output": (buffers.output, zero, outputs + at_buffer, outputs),
    }
    whole = array.barrier == "layer"
    ports = {
        name: Port(
            memory.bandwidth_bits_per_cycle,
            *(bits.sum(keepdims=True) if whole else bits for bits in by_stage),
        )
        for name, (memory, *by_stage) in tables.items()
        if memory is not None
    }
    traffic = Traffic(
        dram_weight=int(weights.sum()) if accelerator.dram else 0,
        dram_input=int(inputs.sum()) if accelerator.dram else 0,
        dram_output=int(outputs.sum()) if accelerator.dram else 0,
        dram_membrane=int(at_dram.sum()),
        weight=_transfers(ports, "weight"),
        input=_transfers(ports, "input"),
        # Half of the membrane traffic is read, half is written.
        output=Transfers(
            int((outputs + at_buffer // 2).sum()), int((outputs + at_buffer // 2).sum())
        )
        if buffers.output
        else Transfers(),
        membrane_bits=int(membrane.sum()),
    )
    return traffic, ports


def _transfers(ports: dict[str, Port], name: str) -> Transfers:
    if name not in ports:
        return Transfers()
    port = ports[name]
    return Transfers(
        read_bits=int(port.during.sum()), write_bits=int(port.before.sum())
    )
