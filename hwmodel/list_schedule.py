"""Arrays without a fixed map: every PE takes the next task when it is free.

A task is an output pixel of a time block, with all output channels or with one; every
PE holds all weights. Tasks are taken in order, each by the PE that is free first, of
several by the first (list scheduling; Graham, Bell System Technical Journal 45(9),
1966). Nobody waits but at the end of a time block, or of the layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapreplace

import numpy as np

from balancer import PEMap
from balancer.array_types import AnyArray, IntArray
from hwmodel.counts import CellCounts
from hwmodel.inputs import CHUNK, patches
from hwmodel.sections import PEArray
from hwmodel.workload import LayerWorkload


def makespan(loads: Iterable[int], pes: int) -> int:
    """Count the cycles until the last PE has finished its last task.

    Parameters
    ----------
    loads : iterable of int
        Cycles of each task, in the order in which they are taken.
    pes : int
        PEs.

    Examples
    --------
    >>> from hwmodel.list_schedule import makespan
    >>> makespan([3, 1, 1, 2], pes=2)  # 3 + 2 wait for each other, 1 + 1 + 2 do not
    4
    """
    finish = [0] * pes
    for load in loads:
        heapreplace(finish, finish[0] + load)
    return max(finish)


def scheduled_cycles(
    workload: LayerWorkload, array: PEArray, loads: IntArray
) -> IntArray:
    """Cycles of one sample if no zero of the input is skipped, [1 stage].

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    array : PEArray
        An array whose mapping is a list of tasks.
    loads : ndarray of int64 [tasks of a pixel]
        Cycles of each.
    """
    blocks = array.blocks_of(workload.runs)
    together = 1 if array.barrier == "timestep" else blocks
    times = blocks // together
    of_part = makespan(np.tile(loads, workload.pixels * together).tolist(), array.size)
    return np.array([times * (of_part + array.barrier_overhead_cycles)])


def scheduled_cycles_with_skipping(
    workload: LayerWorkload,
    array: PEArray,
    pe_map: PEMap,
    counts: CellCounts,
    images: AnyArray,
) -> AnyArray:
    """Cycles of every sample if zeros of the input are skipped, [batch, 1 stage].

    Of uncertain spikes the cycles are a lower bound: the mean over the PEs of what is
    expected, or the largest task.

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    array : PEArray
        An array whose mapping is a list of tasks.
    pe_map : PEMap
        ``array.pe_map`` of the layer: a cell for each task of a pixel.
    counts : CellCounts
        Weights that cost a cycle where they meet a spike.
    images : ndarray [batch, blocks, channels, height, width]
        `block_images` of the layer.
    """
    exact = images.dtype == np.uint8
    certain = exact or bool(np.isin(images, (0, 1)).all())
    waits = 1 if array.barrier != "timestep" else images.shape[1]
    cycles = []
    for one in images:
        loads = _loads(workload, pe_map, counts, one)
        parts = np.split(loads, waits)
        if certain:
            lasts = [
                makespan(np.rint(p).astype(int).tolist(), array.size) for p in parts
            ]
        else:
            lasts = [max(p.sum() / array.size, p.max(initial=0)) for p in parts]
        cycles.append([sum(lasts) + waits * array.barrier_overhead_cycles])
    return np.array(cycles, dtype=np.int64 if exact else np.float64)


def _loads(
    workload: LayerWorkload, pe_map: PEMap, counts: CellCounts, images: AnyArray
) -> AnyArray:
    """Cycles of all tasks of a sample, in order, [blocks x pixels x tasks]."""
    most = max(1, CHUNK // max(counts.inputs, pe_map.n_cells))
    chunks = patches(images, workload, most, whole_images=False, dtype=counts.dtype)
    found: AnyArray = np.concatenate(
        [counts.loads(met).T.reshape(-1) for met in chunks]
    )
    return found
