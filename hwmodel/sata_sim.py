"""SATA_Sim's closed forms for inference on an output-stationary systolic array.

Cycles count output pixels *without* padding, the last fold drains early, and a pass
over the weights is added, whatever the sparsity. Operations count all output pixels,
with the sparsity of weights and spikes together. Memory traffic is that of one time
step, except for the outputs at their buffer. The forms: preset ``sata`` of "Presets and
how each was validated" in ``docs/hardware-model.md``.

Sources: Yin et al., "SATA", IEEE TCAD 2022, arXiv 2204.05422, and its simulator
SATA_Sim; Samajdar et al., "SCALE-Sim", arXiv 1811.02883.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from hwmodel.accelerator import Accelerator
from hwmodel.activity import Activity, Cycles, Operations, Traffic, Transfers
from hwmodel.workload import LayerWorkload


def output_stationary_cycles(
    rows: int, cols: int, pixels: int, fan_in: int, channels: int
) -> int:
    """Count the cycles of a dense layer and time step, `cyc_os` (E, K, N = `channels`).

    Parameters
    ----------
    rows, cols : int
        The array.
    pixels, fan_in, channels : int
        Output pixels, weights of a channel, output channels.
    """
    column_folds = -(-channels // cols)
    folds = -(-pixels // rows) * column_folds
    unused = column_folds * cols - channels
    return folds * (fan_in + rows + cols - 2) - 1 - unused


def weight_pass_cycles(
    rows: int, cols: int, pixels: int, fan_in: int, channels: int
) -> int:
    """Count the cycles of the pass over the weights, `cyc_w`; parameters as above."""
    folds = -(-fan_in // rows) * -(-channels // cols)
    return (folds - 1) * (2 * rows + cols + pixels - 2) + rows - 1


def layer_activity(
    workload: LayerWorkload, accelerator: Accelerator, operations: Operations
) -> Activity:
    """Follow SATA_Sim's rules for one layer.

    Parameters
    ----------
    workload : LayerWorkload
        The layer; a direct-coded one computes in one time step.
    accelerator : Accelerator
        With the mapping ``output_stationary``.
    operations : Operations
        What the mask and the spikes need, over all samples.

    Returns
    -------
    Activity
        Of all samples. With spike rates, ``1 - s`` is the density of the mask times
        the mean rate, padding included. The slots of the folds are busy and gated in
        proportion to s, the rest is idle.
    """
    array, bits = accelerator.array, accelerator.bits
    rows, cols = array.rows or 1, array.cols or 1
    fan_in, channels = workload.fan_in, workload.outputs
    pixels = _pixels_without_padding(workload)
    runs, samples = workload.runs, workload.samples
    shape = (rows, cols, pixels, fan_in, channels)
    cycles = runs * output_stationary_cycles(*shape) + weight_pass_cycles(*shape)

    rates = workload.channel_rates
    if rates is not None and workload.rate_mode == "bound":
        density = int(np.count_nonzero(workload.mask)) / workload.mask.size
        effective = operations.dense * density * float(rates.mean())
        analog = workload.direct_coded
        operations = replace(
            operations,
            accumulates=0 if analog else effective,
            macs=effective if analog else 0,
        )
    slots = channels * pixels * fan_in * runs
    busy = round(slots * operations.sops / operations.dense)

    column_folds = -(-channels // cols)
    folds = -(-pixels // rows) * column_folds
    weights, outputs = fan_in * channels, pixels * channels
    input_bits = bits.activation_bits if workload.direct_coded else bits.spike_bits
    weight_bits = weights * bits.weight_bits * samples
    written = (outputs + folds * (rows + cols)) * workload.steps
    return Activity(
        cycles=Cycles(
            compute=cycles * samples,
            busy=busy * samples,
            gated=(slots - busy) * samples,
            idle=(array.size * cycles - slots) * samples,
        ),
        operations=operations,
        traffic=Traffic(
            dram_weight=weight_bits,
            dram_input=prod(workload.image) * input_bits * samples,
            dram_output=outputs * bits.spike_bits * samples,
            weight=Transfers(read_bits=weight_bits),
            input=Transfers(
                read_bits=pixels * fan_in * column_folds * input_bits * samples
            ),
            output=Transfers(write_bits=written * bits.spike_bits * samples),
        ),
    )


def _pixels_without_padding(workload: LayerWorkload) -> int:
    """Output pixels of the unpadded input, at least one."""
    sizes = zip(
        workload.image[1:],
        workload.kernel,
        workload.pairs("dilation"),
        workload.pairs("stride"),
        strict=True,
    )
    return prod(
        max(1, (size - step * (extent - 1) - 1) // stride + 1)
        for size, extent, step, stride in sizes
    )
