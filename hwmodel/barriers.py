"""Cycles by barrier: how often the PEs of a group wait for the slowest.

Where no zero of the input is skipped, all passes over a cell cost the same, and cycles
are a product. Where zeros are skipped, every barrier has a function of its own in
`_OF_BARRIER`, which adds up the spikes between two barriers before it looks for the
slowest PE. "Barriers" in ``docs/hardware-model.md`` defines the interval of each.

Cycles are by stage: a group, or the whole layer under the `layer` barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from balancer import PEMap
from balancer.array_types import AnyArray, BoolArray, IntArray
from hwmodel.counts import CellCounts
from hwmodel.fifo import queued_cycles
from hwmodel.inputs import CHUNK, met_inputs, patches
from hwmodel.list_schedule import scheduled_cycles, scheduled_cycles_with_skipping
from hwmodel.sections import Barrier, PEArray
from hwmodel.workload import LayerWorkload


def cycles_without_skipping(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap, loads: IntArray
) -> IntArray:
    """Cycles of one sample if no zero of the input is skipped, [stages].

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    array : PEArray
        The PE array.
    pe_map : PEMap
        ``array.pe_map`` of the layer.
    loads : ndarray of int64 [cells]
        Weights of each cell that cost a cycle.
    """
    if array.is_scheduled:
        return scheduled_cycles(workload, array, loads)
    if array.barrier == "activation":
        return _all_activations(workload, array, pe_map)
    if array.barrier == "layer":
        rows = array.pixel_rows(pe_map)
        pixels = -((np.arange(rows) - workload.pixels) // rows)  # of each row
        passes = _of_pes(array, pe_map, loads[:, None] * pixels)
        largest = np.array([passes.max()], dtype=np.int64)
    else:
        largest = pe_map.largest_of_group(loads) * _folds(workload, array, pe_map)
    blocks = array.blocks_of(workload.runs)
    return largest * blocks + _overhead(workload, array, pe_map)


def cycles_with_skipping(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap, images: AnyArray
) -> AnyArray:
    """Cycles of every sample if zeros of the input are skipped, [batch, stages].

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    array : PEArray
        The PE array.
    pe_map : PEMap
        ``array.pe_map`` of the layer.
    images : ndarray [batch, blocks, channels, height, width]
        `block_images` of the layer.
    """
    exact = images.dtype == np.uint8
    # At a single pixel an input is met or not: no load is greater than its cell.
    narrow = exact and array.barrier == "pixel"
    counts = _counts(workload, array, pe_map, narrow)
    if array.is_scheduled:
        return scheduled_cycles_with_skipping(workload, array, pe_map, counts, images)
    of_barrier = _OF_BARRIER[array.barrier]
    overhead = _overhead(workload, array, pe_map)
    samples = (_Sample(workload, array, pe_map, counts, one) for one in images)
    cycles = np.stack([of_barrier(sample) + overhead for sample in samples])
    return np.rint(cycles).astype(np.int64) if exact else cycles


def _counts(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap, narrow: bool
) -> CellCounts:
    """Count the weights that cost cycles, by cell and input."""
    mask: BoolArray = workload.mask
    if array.skip in ("none", "spike"):
        mask = np.broadcast_to(np.True_, mask.shape)
    return CellCounts(mask.reshape(pe_map.shape), pe_map, workload.groups, narrow)


def _folds(workload: LayerWorkload, array: PEArray, pe_map: PEMap) -> int:
    """Count the passes over the output pixels."""
    return -(-workload.pixels // array.pixel_rows(pe_map))


def _of_pes(array: PEArray, pe_map: PEMap, loads: AnyArray) -> AnyArray:
    """Add up loads by PE, [PEs] of [cells, pixel rows]."""
    pes = array.pe_of_rows(pe_map)
    return np.bincount(pes.reshape(-1), weights=loads.T.reshape(-1), minlength=1)


def _overhead(workload: LayerWorkload, array: PEArray, pe_map: PEMap) -> int:
    """Cycles that the barriers of one stage add; 0 for `activation`."""
    blocks = array.blocks_of(workload.runs)
    of_pixels = blocks * _folds(workload, array, pe_map)
    barriers = {"pixel": of_pixels, "timestep": blocks}.get(array.barrier, 1)
    return barriers * array.barrier_overhead_cycles


# ------------------------------------------------------------- zeros of the input cost


def _all_activations(
    workload: LayerWorkload, array: PEArray, pe_map: PEMap
) -> IntArray:
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


# ---------------------------------------------------------- zeros of the input skipped


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """One sample on an array that skips the zeros of its input.

    Attributes
    ----------
    workload : LayerWorkload
        The layer.
    array : PEArray
        The PE array.
    pe_map : PEMap
        ``array.pe_map`` of the layer.
    counts : CellCounts
        Weights that cost a cycle where they meet a spike.
    images : ndarray [blocks, channels, height, width]
        Spikes (uint8) or their probabilities (float64).
    """

    workload: LayerWorkload
    array: PEArray
    pe_map: PEMap
    counts: CellCounts
    images: AnyArray

    @property
    def pixel_rows(self) -> int:
        """Output pixels that the array works on at once."""
        return self.array.pixel_rows(self.pe_map)

    @property
    def exact(self) -> bool:
        """Whether the input is spikes, not their probabilities."""
        return bool(self.images.dtype == np.uint8)

    def met(self) -> AnyArray:
        """Count spikes by kernel position over the pixels, [inputs, blocks, rows]."""
        return met_inputs(self.images, self.workload, self.pixel_rows)


def _by_activation(sample: _Sample) -> AnyArray:
    """Wait after every activation, or up to the depth of the queues later."""
    counts, array = sample.counts, sample.array
    if array.fifo_depth_activations == 1:
        of_input = sample.met()[:, :, 0].sum(axis=1)
        return _at_every_activation(counts, of_input)
    if sample.exact:
        return _queued(array, counts, partial(_fired, sample))
    # Expected loads have no order. They pass endless queues, which wait at no time: a
    # lower bound of the cycles.
    return counts.largest_of_group(counts.loads(sample.met().sum(axis=(1, 2))))


def _fired(sample: _Sample) -> Iterable[BoolArray]:
    """Yield the spikes in the order in which they are broadcast, a chunk at a time."""
    most = CHUNK // sample.counts.inputs
    return patches(
        sample.images, sample.workload, most, whole_images=False, dtype=np.bool_
    )


def _by_pixel(sample: _Sample) -> AnyArray:
    """Wait after every output pixel, or after every fold of them."""
    counts, pixels = sample.counts, sample.workload.pixels
    rows = sample.pixel_rows
    cycles = np.zeros(len(counts.starts))
    most = CHUNK // max(counts.inputs, len(counts.groups))
    chunks = patches(
        sample.images, sample.workload, most, whole_images=rows > 1, dtype=counts.dtype
    )
    for met in chunks:
        largest = counts.largest_of_group(counts.loads(met))
        if rows > 1:
            largest = _largest_of_folds(largest, pixels, rows)
        cycles += largest.sum(axis=1, dtype=np.float64)
    return cycles


def _largest_of_folds(loads: AnyArray, pixels: int, rows: int) -> AnyArray:
    """Largest of every `rows` pixels of an image, [groups, folds].

    Images follow each other in the columns of `loads`; the last fold of each may have
    fewer pixels.
    """
    by_image = loads.reshape(len(loads), -1, pixels)
    filled = np.pad(by_image, ((0, 0), (0, 0), (0, -pixels % rows)))
    largest: AnyArray = filled.reshape(len(loads), -1, rows).max(axis=2)
    return largest


def _by_timestep(sample: _Sample) -> AnyArray:
    """Wait after every time block."""
    counts = sample.counts
    largest = counts.largest_of_group(counts.loads(sample.met()))
    cycles: AnyArray = largest.max(axis=2).sum(axis=1)  # [groups, blocks, pixel rows]
    return cycles


def _by_tile(sample: _Sample) -> AnyArray:
    """Wait after every group."""
    counts = sample.counts
    largest = counts.largest_of_group(counts.loads(sample.met().sum(axis=1)))
    cycles: AnyArray = largest.max(axis=1)  # [groups, pixel rows]
    return cycles


def _by_layer(sample: _Sample) -> AnyArray:
    """Wait once, for the PE with most work in all groups together."""
    counts = sample.counts
    loads = counts.loads(sample.met().sum(axis=1))  # [cells by group, pixel rows]
    of_cell = np.empty_like(loads)
    of_cell[counts.order] = loads
    return np.array([_of_pes(sample.array, sample.pe_map, of_cell).max()])


_OF_BARRIER: dict[Barrier, Callable[[_Sample], AnyArray]] = {
    "activation": _by_activation,
    "pixel": _by_pixel,
    "timestep": _by_timestep,
    "tile": _by_tile,
    "layer": _by_layer,
}
