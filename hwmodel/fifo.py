"""Queues in front of the PEs, as in EIE: how far a fast PE may run ahead.

Activations are broadcast in order to a queue of depth D at every PE, and only when all
queues have room. A PE begins an activation when it has finished the one before, and all
PEs have finished the one D earlier: D = 1 is a barrier after every activation, and D
without end none at all. The queues are those of EIE (Han et al., ISCA 2016,
10.1109/ISCA.2016.30), the recurrence is ours: "Barriers" in ``docs/hardware-model.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np

from balancer.array_types import BoolArray
from hwmodel.counts import CellCounts


def queued_cycles(
    counts: CellCounts, group: int, met: Iterable[BoolArray], depth: int
) -> int:
    """Count the cycles until the last PE of a group has finished.

    Parameters
    ----------
    counts : CellCounts
        Weights of the cells at each input.
    group : int
        Group of PEs.
    met : iterable of ndarray of bool [inputs, pixels]
        Inputs that are broadcast for each output pixel of each time block, in order;
        only those that a weight of the group meets are.
    depth : int
        Depth of the queues; for 1, a sum over `CellCounts.largest_at_inputs` is faster.

    Returns
    -------
    int
        Finding it takes a few microseconds for each activation.
    """
    table = counts.table(group)
    listened = np.zeros(counts.inputs, dtype=bool)
    listened[counts.heard.of_group(group)] = True
    of_input = np.ascontiguousarray(table.T)
    finish = np.zeros(len(table))
    # Latest finish of each of the last `depth` activations.
    latest = np.zeros(depth)
    place = 0
    for pixel in chain.from_iterable(chunk.T for chunk in met):
        for load in of_input[pixel & listened]:
            np.maximum(finish, latest[place], out=finish)
            finish += load
            latest[place] = finish.max()
            place = (place + 1) % depth
    return int(finish.max(initial=0))
