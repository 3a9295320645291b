"""The slow reference: an array of PEs, stepped cycle by cycle.

Every PE gets its own list of operations from the definition of its map, weight by
weight and input by input, and does one operation in a cycle or waits; every memory port
moves its bandwidth's bits in a cycle. Nothing here is a formula for a maximum or a sum,
which is why the analytic model has to agree with it to the last cycle. Only the bits
that a stage moves are taken from `hwmodel.traffic`. It takes a Python step for every
operation of every PE: for small layers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwmodel.accelerator import Accelerator
from hwmodel.activity import Cycles
from hwmodel.errors import WorkloadError
from hwmodel.sections import PEArray
from hwmodel.traffic import Port, layer_traffic
from hwmodel.workload import LayerWorkload

Interval = list[list[bool]]  # for each PE its operations: True busy, False gated


class Weight(NamedTuple):
    """One weight: whether it is kept, its channel, and the input that it meets."""

    kept: bool
    output: int
    input: int
    row: int
    column: int


def simulate(workload: LayerWorkload, accelerator: Accelerator) -> Cycles:
    """Step an array through a layer and count.

    Parameters
    ----------
    workload : LayerWorkload
        The layer, with real spikes or a sample of its rates.
    accelerator : Accelerator
        With the counting ``array``.

    Returns
    -------
    Cycles
        Of all samples.

    Raises
    ------
    WorkloadError
        No spikes.
    """
    spikes = workload.real_spikes()
    if spikes is None:
        raise WorkloadError(f"layer {workload.name!r}: stepping needs real spikes")
    array = accelerator.array
    pe_map = array.pe_map(workload.weight_shape)
    _, ports = layer_traffic(
        workload,
        accelerator,
        pe_map,
        pe_map.cell_loads(workload.mask.reshape(pe_map.shape)),
    )
    total = Cycles()
    for sample in range(spikes.shape[1]):
        stages = _stages(workload, array, spikes[:, sample])
        total += _run(stages, list(ports.values()), array)
    return total


def place(
    weight: Weight, position: int, workload: LayerWorkload, array: PEArray, row: int = 0
) -> int:
    """Find the PE that holds a weight, or works on some pixels with a copy of it.

    Parameters
    ----------
    weight : Weight
        The weight.
    position : int
        Its position in the row of its output channel.
    workload : LayerWorkload
        The layer.
    array : PEArray
        The PE array.
    row : int
        Row of an output-stationary array, or copy of the weight.
    """
    inputs = workload.image[0] // workload.groups
    channel = weight.input % inputs
    if array.mapping in ("output_channel", "interleaved"):
        return weight.output % array.size
    if array.mapping == "output_stationary":
        return row * (array.cols or 1) + weight.output % (array.cols or 1)
    if array.mapping == "input_channel":
        return _part(channel, inputs, array.size)
    if array.mapping == "banked":
        return _part(position, workload.fan_in, array.size)
    if array.mapping != "grid":  # any other map is what its labels say
        return _label(workload, array, 1, weight.output, position, row)
    cols = array.cols or 1
    return weight.output % (array.rows or 1) * cols + _part(channel, inputs, cols)


def _part(item: int, items: int, parts: int) -> int:
    """Which of some consecutive, nearly equal parts an item belongs to."""
    split = np.array_split(np.arange(items), parts)
    return next(number for number, part in enumerate(split) if item in part)


def _group(output: int, position: int, workload: LayerWorkload, array: PEArray) -> int:
    """Find the group that a weight belongs to."""
    tiles = {
        "output_channel": array.pes,
        "grid": array.rows,
        "output_stationary": array.cols,
        "input_channel": 1,
        "banked": 1,
        "interleaved": workload.outputs,
    }
    if array.mapping not in tiles:
        return _label(workload, array, 0, output, position)
    return output // (tiles[array.mapping] or 1)


def _label(
    workload: LayerWorkload,
    array: PEArray,
    kind: int,
    output: int,
    position: int,
    copy: int = 0,
) -> int:
    """Read the group (kind 0) or the PE (1) of a weight from the labels of its map."""
    labels = array.pe_map(workload.weight_shape).labels(copy)[kind]
    return int(labels.reshape(workload.outputs, -1)[output, position])


Held = tuple[Weight, list[int]]  # a weight, and its PE for each of the pixel rows


class Stage(NamedTuple):
    """What one stage computes: its intervals, and how many PEs hold weights."""

    intervals: list[Interval]
    present: int


def _stages(
    workload: LayerWorkload, array: PEArray, spikes: npt.NDArray[np.uint8]
) -> list[Stage]:
    """List the operations of every PE, interval by interval."""
    weights: dict[int, list[Held]] = {}
    rows = array.pixel_rows(array.pe_map(workload.weight_shape))
    mask = workload.mask.reshape(workload.weight_shape)
    share, inputs = workload.outputs // workload.groups, mask.shape[1]
    for output in range(workload.outputs):
        for position, (channel, row, column) in enumerate(np.ndindex(mask.shape[1:])):
            weight = Weight(
                kept=bool(mask[output, channel, row, column]),
                output=output,
                input=output // share * inputs + channel,
                row=row,
                column=column,
            )
            pes = [place(weight, position, workload, array, row) for row in range(rows)]
            group = _group(output, position, workload, array)
            weights.setdefault(group, []).append((weight, pes))
    stages = []
    for group in sorted(weights):
        mine = weights[group]
        holders = {pe for _, pes in mine for pe in pes}
        intervals = list(_intervals(workload, array, spikes, mine))
        stages.append(Stage(intervals, len(holders)))
    if array.is_scheduled:
        tasks = [part for stage in stages for part in stage.intervals]
        return [Stage(_dispatched(tasks, len(stages), workload, array), array.size)]
    if array.barrier != "layer":
        return stages
    everyone = {pe for mine in weights.values() for _, pes in mine for pe in pes}
    merged: Interval = [[] for _ in range(array.size)]
    for stage in stages:
        for interval in stage.intervals:
            for pe, work in enumerate(interval):
                merged[pe] += work
    return [Stage([merged], len(everyone))]


def _dispatched(
    tasks: Sequence[Interval], groups: int, workload: LayerWorkload, array: PEArray
) -> list[Interval]:
    """Let free PEs take the tasks of each time block, or of all of them.

    `tasks` are those of a group, in the order of blocks and pixels, group after group;
    a task holds its operations as those of the first PE.
    """
    of_group = np.arange(len(tasks)).reshape(groups, -1)
    order = of_group.T.reshape(-1).tolist()  # pixel by pixel, then group by group
    waits = array.blocks_of(workload.runs) if array.barrier == "timestep" else 1
    intervals = []
    for part in range(waits):
        share = len(order) // waits
        waiting = order[part * share : (part + 1) * share][::-1]
        taken: Interval = [[] for _ in range(array.size)]
        left = [0] * array.size
        while waiting or any(left):
            for pe in range(array.size):
                while waiting and not left[pe]:
                    operations = tasks[waiting.pop()][0]
                    taken[pe] += operations
                    left[pe] = len(operations)
            left = [max(0, operations - 1) for operations in left]
        intervals.append(taken)
    return intervals


def _intervals(
    workload: LayerWorkload,
    array: PEArray,
    spikes: npt.NDArray[np.uint8],
    weights: Sequence[Held],
) -> Iterator[Interval]:
    """Yield the operations of one group between its barriers."""
    together = array.parallel(workload.runs)
    height, width = workload.output_size
    rows = len(weights[0][1])
    skips_spikes = array.skip in ("spike", "dual")
    skips_weights = array.skip in ("weight", "dual")
    heard = sorted({(each.input, each.row, each.column) for each, _ in weights})
    interval: Interval = [[] for _ in range(array.size)]
    for first in range(0, workload.runs, together):
        block = spikes[first : first + together]
        for pixel, (y, x) in enumerate(product(range(height), range(width))):
            for source in heard:
                fires = _fires(workload, block, source, y, x)
                if skips_spikes and not fires:
                    continue
                for weight, pes in weights:
                    if (weight.input, weight.row, weight.column) != source:
                        continue
                    if skips_weights and not weight.kept:
                        continue
                    worker = 0 if array.is_scheduled else pes[pixel % rows]
                    interval[worker].append(weight.kept and fires)
                if array.barrier == "activation":
                    yield interval
                    interval = [[] for _ in range(array.size)]
            fold_ends = (pixel + 1) % rows == 0 or pixel + 1 == height * width
            if array.is_scheduled or (array.barrier == "pixel" and fold_ends):
                yield interval
                interval = [[] for _ in range(array.size)]
        if array.is_scheduled:
            continue
        if array.barrier == "timestep":
            yield interval
            interval = [[] for _ in range(array.size)]
    if array.barrier in ("tile", "layer") and not array.is_scheduled:
        yield interval


def _fires(
    workload: LayerWorkload,
    block: npt.NDArray[np.uint8],
    source: tuple[int, int, int],
    y: int,
    x: int,
) -> bool:
    """Whether any time step of a block brings a spike to a kernel position."""
    (down, right), (above, left) = workload.pairs("stride"), workload.pairs("padding")
    (below, beside) = workload.pairs("dilation")
    channel, row, column = source
    at_y, at_x = y * down + row * below - above, x * right + column * beside - left
    _, height, width = workload.image
    inside = 0 <= at_y < height and 0 <= at_x < width
    return inside and bool(block[:, channel, at_y, at_x].any())


def _run(stages: Sequence[Stage], ports: Sequence[Port], array: PEArray) -> Cycles:
    """Step the array through the stages of one sample, with memory behind it."""
    total = Cycles(fill=_move([(port, port.before[0]) for port in ports]))
    for number, stage in enumerate(stages):
        left = [
            port.during[number]
            + (port.before[number + 1] if number + 1 < len(stages) else 0)
            + (port.after[number - 1] if number else 0)
            for port in ports
        ]
        memory = _move(list(zip(ports, left, strict=True)))
        spent = 0
        for busy, gated in _step(stage.intervals, array):
            spent += 1
            total += Cycles(
                compute=1,
                busy=busy,
                gated=gated,
                idle=array.size - busy - gated,
                idle_structural=array.size - stage.present,
            )
        while spent < memory:
            spent += 1
            total += Cycles(stall=1)
    return total + Cycles(drain=_move([(port, port.after[-1]) for port in ports]))


def _move(transfers: Sequence[tuple[Port, int]]) -> int:
    """Count the cycles until every port has moved its bits."""
    left = [
        (Fraction(port.bandwidth_bits_per_cycle), int(bits))
        for port, bits in transfers
        if port.bandwidth_bits_per_cycle is not None
    ]
    cycles = 0
    while any(bits > bandwidth * cycles for bandwidth, bits in left):
        cycles += 1
    return cycles


def _step(intervals: Sequence[Interval], array: PEArray) -> Iterator[tuple[int, int]]:
    """Yield for every cycle how many PEs are busy and how many gated."""
    ahead = array.fifo_depth_activations
    interval_of = [0] * array.size  # where each PE is: it has done all before
    done = [0] * array.size  # operations it has done there
    slowest = 0
    while True:
        moved = True
        while moved:
            moved = False
            passed = min(interval_of) - slowest
            slowest += passed
            for _ in range(passed * array.barrier_overhead_cycles):
                yield 0, 0
            for pe, number in enumerate(interval_of):
                allowed = number < min(len(intervals), slowest + ahead)
                if allowed and done[pe] == len(intervals[number][pe]):
                    interval_of[pe], done[pe], moved = number + 1, 0, True
        if slowest == len(intervals):
            return
        states = []
        for pe, number in enumerate(interval_of):
            if number < min(len(intervals), slowest + ahead):
                states.append(intervals[number][pe][done[pe]])
                done[pe] += 1
        yield states.count(True), states.count(False)
