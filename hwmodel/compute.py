"""Compute cycles of a layer: how many, and what the PEs do in them.

For every sample, group g and barrier interval i (a pixel, a time step, ...), PE p has
a load ``l(g, i, p)`` in cycles, and the interval lasts as long as the largest of them.
What adds to a load, and which of its cycles are *busy*, *gated* and *idle*, follows
from what the array skips: "Loads" and "Barriers" in ``docs/hardware-model.md``. Who
waits for whom is up to `barriers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from balancer import PEMap
from balancer.array_types import AnyArray, IntArray
from hwmodel.barriers import cycles_with_skipping, cycles_without_skipping
from hwmodel.inputs import block_images, met_inputs
from hwmodel.sections import PEArray
from hwmodel.workload import LayerWorkload


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """Compute cycles of one layer; int for real or no spikes, float for spike rates.

    Attributes
    ----------
    cycles : ndarray [batch, stages]
        Of the array for each sample and stage: a group, or the whole layer under the
        `layer` barrier.
    present : ndarray of int64 [stages]
        PEs that hold weights in the stage.
    busy, gated : int or float
        PE cycles, over all samples.
    operations : int or float
        Kept weights that meet a spike (or non-zero input), each time step by itself.
    fan_out : int or float
        Weights, zeros included, that meet one: the operations of the dense layer.
    spikes : int or float
        Spikes (or non-zero inputs) of the input itself.
    """

    cycles: AnyArray
    present: IntArray
    busy: float
    gated: float
    operations: float
    fan_out: float
    spikes: float


def compute(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap, cell_loads: IntArray
) -> Compute:
    """Calculate the compute cycles of one layer.

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    array : PEArray
        The PE array.
    pe_map : PEMap
        ``array.pe_map`` of the layer.
    cell_loads : ndarray of int64 [cells]
        Weights kept in each cell of the map.
    """
    keeps_zeros = array.skip in ("none", "spike")
    loads = pe_map.cell_sizes() if keeps_zeros else cell_loads
    images = block_images(workload, array.parallel(workload.runs))
    if images is not None:
        return _with_input(workload, array, pe_map, loads, images)
    # Every input counts as a spike, those of the padding too.
    samples, kept = workload.samples, int(cell_loads.sum())
    passes = array.blocks_of(workload.runs) * workload.pixels * samples
    runs = workload.runs * samples
    cycles = cycles_without_skipping(workload, array, pe_map, loads)
    return Compute(
        cycles=np.broadcast_to(cycles, (samples, len(cycles))),
        present=_present(array, pe_map),
        busy=kept * passes,
        gated=(int(loads.sum()) - kept) * passes,
        operations=kept * runs * workload.pixels,
        fan_out=pe_map.weights * runs * workload.pixels,
        spikes=runs * prod(workload.image),
    )


def _with_input(
    workload: LayerWorkload,
    array: PEArray,
    pe_map: PEMap,
    loads: IntArray,
    images: AnyArray,
) -> Compute:
    """Calculate the compute cycles of a layer whose input is known."""
    exact = images.dtype == np.uint8
    met = _met(workload, images)
    steps, met_by_step = images, met
    if array.parallel(workload.runs) > 1:  # operations are those of every single step
        steps = _images_of_steps(workload)
        met_by_step = _met(workload, steps)
    kept = _weights_at_inputs(workload)
    readers = workload.outputs // workload.groups  # output channels that meet an input

    def whole(count: float) -> float:
        return round(count) if exact else float(count)

    busy = whole(float(kept @ met))
    if array.skip in ("spike", "dual"):
        cycles = cycles_with_skipping(workload, array, pe_map, images)
        working = busy if array.skip == "dual" else whole(readers * met.sum())
    else:
        of_sample = cycles_without_skipping(workload, array, pe_map, loads)
        cycles = np.broadcast_to(of_sample, (len(images), len(of_sample)))
        passes = array.blocks_of(workload.runs) * workload.pixels * len(images)
        working = int(loads.sum()) * passes
    return Compute(
        cycles=cycles,
        present=_present(array, pe_map),
        busy=busy,
        gated=working - busy,
        operations=whole(float(kept @ met_by_step)),
        fan_out=whole(readers * met_by_step.sum()),
        spikes=steps.sum(dtype=np.int64 if exact else np.float64).item(),
    )


def _images_of_steps(workload: LayerWorkload) -> AnyArray:
    """Take every time step as a block by itself."""
    images = block_images(workload, 1)
    assert images is not None  # the caller has images of longer blocks
    return images


def _present(array: PEArray, pe_map: PEMap) -> IntArray:
    if array.is_one_stage:
        return np.array([len(np.unique(array.pe_of_rows(pe_map)))])
    return pe_map.group_sizes() * array.pixel_rows(pe_map)


def _weights_at_inputs(workload: LayerWorkload) -> AnyArray:
    """Weights kept at each input channel and kernel position, [inputs]."""
    share = workload.outputs // workload.groups
    # Narrow sums keep the reduction in the processor's vector units.
    narrow = np.uint16 if share < 2**16 else np.uint64
    flags = workload.mask.view(np.uint8)
    flags = flags.reshape(workload.groups, share, workload.fan_in)
    kept: AnyArray = np.add.reduce(flags, axis=1, dtype=narrow)
    return kept.reshape(-1).astype(np.float64)


def _met(workload: LayerWorkload, images: AnyArray) -> AnyArray:
    """Spikes met at each input over samples, blocks and pixels, [inputs]."""
    met = np.zeros(workload.groups * workload.fan_in)
    for one in images:
        met += met_inputs(one, workload).sum(axis=(1, 2))
    return met
