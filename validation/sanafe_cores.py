"""SANA-FE (Boyle et al., 2025), where every PE is a core, beside the hardware model.

Its timing ``simple`` adds up the slowest core of every time step, in C++ of its own: a
test of the counting (which kept weight meets which spike, and on which PE), of maxima
under a barrier, and of their sums. ``detailed`` lets the messages of spikes wait for
each other in a network on chip, of which the model knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hwmodel import LayerWorkload, evaluate, export_sanafe, run_sanafe
from validation.arrays import pe_array
from validation.check import Cell, Check
from validation.recorded import ticket_layers

MAPS = ("output_channel", "interleaved")
PES = 16
LINEAR, CONVOLUTIONS = 20, 8
LINK_BUFFERS = (1, 4, 16, 64)
RUNS = 5


def linear_layers(count: int = LINEAR) -> list[LayerWorkload]:
    """Draw linear layers, most of them larger than the array and with ragged tiles."""
    return [_drawn(seed, convolution=False) for seed in range(count)]


def convolutions(count: int = CONVOLUTIONS) -> list[LayerWorkload]:
    """Draw convolutions with strides, padding, dilation and groups."""
    return [_drawn(seed, convolution=True) for seed in range(count)]


def cycles_of_model(layer: LayerWorkload, mapping: str, pes: int = PES) -> int:
    """Count the cycles of an array that skips all zeros and waits each time step."""
    array = pe_array(mapping=mapping, pes=pes, skip="dual", barrier="timestep")
    return int(evaluate([layer], array).cycles)


def cycles_of_sanafe(
    layer: LayerWorkload,
    mapping: str,
    pes: int = PES,
    timing: str = "simple",
    link_buffer: int = 1,
) -> float:
    """Let SANA-FE count the same."""
    with TemporaryDirectory() as folder:
        cores = Path(folder, "cores")
        export_sanafe(cores, [layer], mapping, pes, link_buffer=link_buffer)
        return run_sanafe(cores, timing)[layer.name]


def check() -> Check:
    """Compare random layers and the shipped ticket, cycle by cycle."""
    rows: list[tuple[Cell, ...]] = []
    different = 0
    for mapping in MAPS:
        for what, layers in _sets():
            ours = [cycles_of_model(layer, mapping) for layer in layers]
            theirs = [cycles_of_sanafe(layer, mapping) for layer in layers]
            equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
            different += len(layers) - equal
            said = f"{equal} of {len(layers)}"
            rows.append((mapping, what, sum(ours), round(sum(theirs)), said))
    return Check(
        ("map", "layers", "model", "SANA-FE", "equal"),
        rows,
        f"cycles on {PES} PEs; {different} layers differ",
        not different,
    )


def check_network_on_chip() -> Check:
    """Show what messages that wait for each other add to the cycles of the model.

    This timing is not the same in every run, so the median of some is shown.
    """
    rows: list[tuple[Cell, ...]] = []
    spread = 0.0
    for mapping in MAPS:
        for when, balanced in (("before", False), ("after", True)):
            for layer in ticket_layers(balanced=balanced, images=1):
                row = [round(cycles_of_sanafe(layer, mapping))]
                for buffer in LINK_BUFFERS:
                    runs = [
                        cycles_of_sanafe(layer, mapping, PES, "detailed", buffer)
                        for _ in range(RUNS)
                    ]
                    row.append(round(median(runs)))
                    spread = max(spread, max(runs) / min(runs) - 1)
                rows.append((mapping, layer.name, when, *row))
    columns = ("map", "layer", "balance", "simple")
    return Check(
        (*columns, *(f"buffer {messages}" for messages in LINK_BUFFERS)),
        rows,
        f"cycles on {PES} PEs, one image; buffer: messages that a link holds\n"
        f"median of {RUNS} runs, which differ by up to {spread:.0%}",
        True,
    )


def _sets() -> Iterator[tuple[str, list[LayerWorkload]]]:
    yield "random linear", linear_layers()
    yield "random convolutions", convolutions()
    yield "ticket, before balance", ticket_layers(images=1)
    yield "ticket, after balance", ticket_layers(balanced=True, images=1)


def _drawn(seed: int, *, convolution: bool) -> LayerWorkload:
    """Draw sizes, mask and spikes of a layer."""
    rng = np.random.default_rng([seed, convolution])

    def whole(least: int, most: int) -> int:
        return int(rng.integers(least, most + 1))

    groups = whole(1, 2) if convolution else 1
    outputs = whole(3, 24 if convolution else 96) * groups
    inputs = whole(2, 8 if convolution else 200)
    kernel = (whole(1, 3), whole(1, 3)) if convolution else ()
    image = (whole(5, 9), whole(5, 9)) if convolution else ()
    options: dict[str, Any] = (
        {"stride": whole(1, 2), "padding": whole(0, 2), "dilation": whole(1, 2)}
        if convolution
        else {}
    )
    mask = rng.random((outputs, inputs, *kernel)) < rng.choice([0.02, 0.1, 0.5])
    shape = (inputs * groups, *image)
    spikes = rng.random((whole(1, 4), 1, *shape)) < rng.choice([0.05, 0.2, 0.7])
    return LayerWorkload(
        f"layer {seed}", mask, shape, groups=groups, spikes=spikes, **options
    )
