"""Speed-ups that LoAS and Prosperity publish, beside the presets at those sparsities.

Published are sparsities of whole networks and speed-ups; neither masks nor spikes. So
the layers here are those of VGG-16 for images of 32 x 32 without the first, which sees
an analog image, each with the network's sparsities, drawn at random: T = 4 time steps,
one image. A drawn input is active with the density of the packed spikes (a spike at any
time step); an active one spikes at one time step, and at each of the others with the
probability that gives the density of the spikes.

Nothing here must be equal. The numbers say how much of a published speed-up follows
from counting, and how much must come from what the model leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from balancer import PEMap, RetentionProblem, solve
from hwmodel import Accelerator, LayerWorkload, evaluate
from validation.check import Cell, Check
from validation.forms import mint

VGG16 = (
    *((64, 64), (128, 64), (128, 128), (256, 128), (256, 256), (256, 256)),
    *((512, 256), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512)),
)
"""Output and input channels of its convolutions but the first."""

STEPS = 4
EYERISS = (14, 12)  # rows and columns of Prosperity's baseline


class Published(NamedTuple):
    """Sparsities in % of a network in LoAS (Yin et al., MICRO 2024, arXiv 2407.14073).

    Attributes
    ----------
    name : str
        Of the network; data are CIFAR-10.
    weights, spikes, packed : float
        Zeros among the weights, among the spikes, and inputs that never spike.
    """

    name: str
    weights: float
    spikes: float
    packed: float


LOAS = (
    Published("VGG-16", 98.2279, 82.325, 74.0898),
    Published("ResNet-19", 96.914, 68.6667, 59.5935),
    Published("AlexNet", 98.2635, 81.195, 71.2559),
)
LOAS_SPEED_UP = 8.51  # "up to", over earlier accelerators that skip both zeros
PROSPERITY = {"SATO": 5.26, "MINT": 7.69}  # VGG-16 on CIFAR-10, over Eyeriss


def layers(known: Published, *, balanced: bool = False) -> list[LayerWorkload]:
    """Draw the layers of VGG-16 with the sparsities of a network.

    Parameters
    ----------
    known : Published
        Its sparsities.
    balanced : bool
        Random masks of equal loads on 16 PEs instead, as many weights or up to one for
        each PE of a tile fewer: the best ones of the same random scores.
    """
    rng = np.random.default_rng(0)
    active, spiking = 1 - known.packed / 100, 1 - known.spikes / 100
    again = (STEPS * spiking / active - 1) / (STEPS - 1)
    found = []
    for number, (outputs, inputs) in enumerate(VGG16):
        size = _side(number)
        shape = (inputs, size, size)
        once = rng.integers(STEPS, size=shape)
        spikes = rng.random((STEPS, *shape)) < again
        spikes |= np.arange(STEPS)[:, None, None, None] == once
        spikes &= rng.random(shape) < active
        scores = rng.random((outputs, inputs, 3, 3))
        budget = round(scores.size * (1 - known.weights / 100))
        if balanced:
            pe_map = PEMap.output_channel(scores.shape, pes=16)
            mask = solve(RetentionProblem(scores, pe_map, budget)).mask
        else:
            mask = scores >= np.partition(scores.reshape(-1), -budget)[-budget]
        found.append(
            LayerWorkload(
                f"conv{number + 2}",
                mask,
                shape,
                padding=1,
                spikes=spikes[:, None].astype(np.uint8),
            )
        )
    return found


def check_loas() -> Check:
    """Compare the parallel time steps of LoAS with one after another, and balance."""
    parallel = Accelerator.load("loas-scheduled")
    one_by_one = _with_array(parallel, timesteps_in_parallel=1)
    barrier = Accelerator.load("loas")
    rows: list[tuple[Cell, ...]] = []
    for known in LOAS:
        drawn = layers(known)
        cycles = {
            name: evaluate(drawn, array).activity.cycles
            for name, array in (
                ("serial", one_by_one),
                ("parallel", parallel),
                ("barrier", barrier),
            )
        }
        even = evaluate(layers(known, balanced=True), barrier).activity.cycles
        rows.append(
            (
                known.name,
                int(cycles["serial"].compute),
                int(cycles["parallel"].compute),
                cycles["serial"].compute / cycles["parallel"].compute,
                int(cycles["barrier"].compute),
                int(even.compute),
            )
        )
    return Check(
        ("sparsities of", "serial", "parallel", "ratio", "pixel barrier", "balanced"),
        rows,
        "cycles without memory, time steps serial or parallel; published: up to "
        f"{LOAS_SPEED_UP}\ntimes faster than accelerators whose time steps are serial",
        True,
    )


def check_prosperity() -> Check:
    """Compare SATO and MINT with a dense Eyeriss, as Prosperity's figure does."""
    drawn = layers(LOAS[0])
    neurons = sum(layer.pixels * len(layer.mask) for layer in drawn)
    rows_of_array, columns_of_array = EYERISS
    eyeriss = sum(
        -(-len(layer.mask) // columns_of_array)
        * (layer.mask[0].size * layer.pixels * STEPS // rows_of_array)
        for layer in drawn
    )
    # What Prosperity adds for the neurons; the model takes them as pipelined.
    updates = {
        "SATO": neurons * (int(np.log2(STEPS)) + 1),
        "MINT": neurons * STEPS * 3 // 16,
    }
    arrays = {"SATO": Accelerator.load("sato"), "MINT": mint()}
    rows: list[tuple[Cell, ...]] = []
    for name, published in PROSPERITY.items():
        cycles = int(evaluate(drawn, arrays[name]).activity.cycles.compute)
        with_neurons = cycles + updates[name]
        rows.append((name, published, cycles, eyeriss / cycles, eyeriss / with_neurons))
    columns = ("accelerator", "published", "cycles", "model", "with neurons")
    return Check(
        columns,
        rows,
        f"times faster than Eyeriss: {eyeriss:,} cycles, dense, on "
        f"{rows_of_array} x {columns_of_array} PEs",
        True,
    )


def checks() -> Iterator[Check]:
    """Make both."""
    yield check_loas()
    yield check_prosperity()


def _side(number: int) -> int:
    """Height and width of the images that a convolution sees, 32 to 2."""
    return 32 >> sum(number >= first for first in (1, 3, 6, 9))


def _with_array(accelerator: Accelerator, **fields: str | int) -> Accelerator:
    known = accelerator.model_dump(exclude_unset=True)
    known["array"] = known["array"] | fields
    return Accelerator.from_dict(known)
