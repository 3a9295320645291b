"""Compute cycles of a layer: loads by PE map, and who waits for whom.

For every sample, group g and barrier interval i (a pixel, a time step, ...), PE p has
a load ``l(g, i, p)`` in cycles, and the interval lasts as long as the largest of them.
What adds to a load, and which of its cycles are *busy*, *gated* and *idle*, follows
from what the array skips: "Loads" and "Barriers" in ``docs/hardware-model.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from balancer import PEMap
from balancer.array_types import AnyArray, BoolArray, IntArray
from hwmodel.counts import CellCounts
from hwmodel.fifo import queued_cycles
from hwmodel.inputs import block_images, met_inputs, patches
from hwmodel.sections import PEArray
from hwmodel.workload import LayerWorkload

CHUNK = 2**21  # elements of the largest temporary matrix, 8 MiB of 32-bit floats


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
    cycles = _unskipped(workload, array, pe_map, loads)
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
    every_step = images
    if array.parallel(workload.runs) > 1:
        single = block_images(workload, 1)
        assert single is not None  # as there are images of the blocks
        every_step = single
    met = _met(workload, images)
    met_by_step = met if every_step is images else _met(workload, every_step)
    kept = _weights_at_inputs(workload)
    share = workload.outputs // workload.groups

    def whole(count: float) -> float:
        return round(count) if exact else float(count)

    busy = whole(float(kept @ met))
    if array.skip in ("none", "weight"):
        of_sample = _unskipped(workload, array, pe_map, loads)
        cycles = np.broadcast_to(of_sample, (len(images), len(of_sample)))
        passes = array.blocks_of(workload.runs) * workload.pixels * len(images)
        slots: float = int(loads.sum()) * passes
    else:
        narrow = exact and array.barrier == "pixel"
        counts = _counts(workload, array, pe_map, narrow)
        cycles = np.stack([_skipped(workload, array, counts, one) for one in images])
        cycles = np.rint(cycles).astype(np.int64) if exact else cycles
        slots = busy if array.skip == "dual" else whole(share * met.sum())
    down, right = workload.pairs("padding")
    height, width = workload.image[1:]
    inside = every_step[..., down : down + height, right : right + width]
    return Compute(
        cycles=cycles,
        present=_present(array, pe_map),
        busy=busy,
        gated=slots - busy,
        operations=whole(float(kept @ met_by_step)),
        fan_out=whole(share * met_by_step.sum()),
        spikes=inside.sum(dtype=np.int64 if exact else np.float64).item(),
    )


def _counts(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap, narrow: bool
) -> CellCounts:
    """Count the weights that cost cycles, by cell and input."""
    mask: BoolArray = workload.mask
    if array.skip in ("none", "spike"):
        mask = np.broadcast_to(np.True_, mask.shape)
    return CellCounts(mask.reshape(pe_map.shape), pe_map, workload.groups, narrow)


def _present(array: PEArray, pe_map: PEMap) -> IntArray:
    if array.barrier == "layer":
        sizes = np.array([len(np.unique(pe_map.cell_pe))])
    else:
        sizes = pe_map.group_sizes()
    return sizes * array.pixel_rows


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


def _unskipped(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap, loads: IntArray
) -> IntArray:
    """Cycles of each stage when every pass over a cell costs its load."""
    blocks = array.blocks_of(workload.runs)
    folds = -(-workload.pixels // array.pixel_rows)
    if array.barrier == "layer":
        of_pe = np.bincount(pe_map.cell_pe, weights=loads, minlength=1)
        largest = np.array([of_pe.max()], dtype=np.int64)
    elif array.barrier == "activation":
        return _by_activation(workload, array, pe_map)
    else:
        largest = pe_map.largest_of_group(loads)
    return largest * blocks * folds + _overhead(array, blocks, folds)


def _overhead(array: PEArray, blocks: int, folds: int) -> int:
    barriers = {"pixel": blocks * folds, "timestep": blocks}.get(array.barrier, 1)
    return barriers * array.barrier_overhead_cycles


def _by_activation(workload: LayerWorkload, array: PEArray, pe_map: PEMap) -> IntArray:
    """Cycles of each group when all activations are broadcast, zeros too."""
    counts = _counts(workload, array, pe_map, narrow=False)
    passes = array.blocks_of(workload.runs) * workload.pixels
    if array.fifo_depth_activations == 1:
        cycles = _at_every_activation(counts, np.full(counts.inputs, passes))
    else:
        all_of_them = np.broadcast_to(np.True_, (counts.inputs, passes))
        cycles = _queued(array, counts, lambda: [all_of_them])
    return np.rint(cycles).astype(np.int64)


def _at_every_activation(counts: CellCounts, times: AnyArray) -> AnyArray:
    """Cycles of each group when its PEs wait at every activation, [groups]."""
    groups = range(len(counts.starts))
    return np.array([counts.largest_at_inputs(group) @ times for group in groups])


def _queued(
    array: PEArray, counts: CellCounts, met: Callable[[], Iterable[BoolArray]]
) -> AnyArray:
    """Cycles of each group when activations pass queues, [groups]."""
    depth = array.fifo_depth_activations
    groups = range(len(counts.starts))
    return np.array([queued_cycles(counts, group, met(), depth) for group in groups])


def _skipped(
    workload: LayerWorkload, array: PEArray, counts: CellCounts, images: AnyArray
) -> AnyArray:
    """Cycles of each stage of one sample when zero spikes cost nothing."""
    rows = array.pixel_rows
    blocks = len(images)
    overhead = _overhead(array, blocks, -(-workload.pixels // rows))
    if array.barrier == "pixel":
        return _by_pixel(workload, counts, images, rows) + overhead
    met = met_inputs(images, workload, rows)
    if array.barrier == "activation" and array.fifo_depth_activations == 1:
        return _at_every_activation(counts, met[:, :, 0].sum(axis=1))
    if array.barrier == "activation" and images.dtype == np.uint8:
        most = CHUNK // counts.inputs
        fired = partial(patches, images, workload, most, whole_images=False, dtype=bool)
        return _queued(array, counts, fired)
    if array.barrier == "activation":
        # Expected loads: with endless queues their bound needs no order.
        return counts.largest_of_group(counts.loads(met.sum(axis=(1, 2))))
    if array.barrier == "layer":
        loads = counts.loads(met.sum(axis=1))
        of_pe = np.zeros((counts.pes.max() + 1, rows))
        np.add.at(of_pe, counts.pes, loads)
        return np.array([of_pe.max() + overhead])
    if array.barrier == "tile":
        met = met.sum(axis=1, keepdims=True)
    largest = counts.largest_of_group(counts.loads(met)).max(axis=2)
    return np.asarray(largest.sum(axis=1) + overhead)


def _by_pixel(
    workload: LayerWorkload, counts: CellCounts, images: AnyArray, rows: int
) -> AnyArray:
    """Cycles of each group with a barrier after every (fold of) output pixels."""
    cycles = np.zeros(len(counts.starts))
    most = CHUNK // max(counts.inputs, len(counts.groups))
    for met in patches(images, workload, most, rows > 1, counts.dtype):
        largest = counts.largest_of_group(counts.loads(met))
        if rows > 1:
            short = -workload.pixels % rows
            largest = largest.reshape(len(largest), -1, workload.pixels)
            largest = np.pad(largest, ((0, 0), (0, 0), (0, short)))
            largest = largest.reshape(len(largest), -1, rows).max(axis=2)
        cycles += largest.sum(axis=1, dtype=np.float64)
    return cycles
