"""What the parts of a lottery round cost.

    OMP_NUM_THREADS=1 python benchmarks/bench_lottery.py step --repeat 40
    OMP_NUM_THREADS=1 python benchmarks/bench_lottery.py prune [--repeat 5]

`step`: training steps with masks against steps without, on one thread. One network
whose weights are 98 % zeros takes both in turns, and in the other order at every turn.
Printed are the median of the turns' ratios with its quartiles, and the share of a step
that the zeroing alone takes.

`prune`: choosing the masks of VGG-16's round 14 (98.2 %, from the masks of round 13)
by every method, against one epoch of 50 000 images, extrapolated from measured training
steps on the same thread. A round has more epochs than one.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from timing import quartiles, seconds
from torch.nn import functional

from hwmodel import Accelerator, network_workloads, slice_costs
from snn import (
    METHODS,
    Pruning,
    build_network,
    keep_masks,
    layer_geometry,
    prunable_layers,
)

# Name, input shape, batch size; the time that masks take does not depend on the batch,
# so small batches are the hard case.
CASES = (("conv3", (1, 8, 8), 64), ("vgg16", (3, 32, 32), 8))
TIMESTEPS, CLASSES, KEPT = 4, 10, 0.02
EPOCH_IMAGES = 50_000  # of CIFAR-10


OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4, nesterov=True),
    "adam": partial(torch.optim.Adam, betas=(0.9, 0.999), weight_decay=5e-4),
}


def random_masks(network: torch.nn.Module) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.random(tuple(layer.weight.shape)) < KEPT
        for name, layer in prunable_layers(network).items()
    }


def training_step(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, x, y, precision: str
) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        enabled = precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = network(x)
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), y.repeat(TIMESTEPS)
        )
        loss.backward()
        optimizer.step()

    return step


def compare_steps(case: tuple, optimizer: str, precision: str, repeat: int) -> None:
    architecture, shape, batch = case
    torch.manual_seed(0)
    network = build_network(architecture, shape, CLASSES, TIMESTEPS)
    network.to(memory_format=torch.channels_last)
    # So slow that steps without masks go on computing the same spikes.
    update = OPTIMIZERS[optimizer](network.parameters(), lr=1e-9)
    x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (batch,))
    step = training_step(network, update, x, y, precision)
    ratios, times = [], []
    with keep_masks(update, network, random_masks(network)):
        hooks = update._optimizer_step_post_hooks
        masking = dict(hooks)
        for turn in range(-2, repeat):
            taken = {}
            for masked in (turn % 2 == 0, turn % 2 == 1):
                hooks.clear()
                hooks.update(masking if masked else {})
                taken[masked] = seconds(step)
            if turn >= 0:
                ratios.append(taken[True] / taken[False])
                times.append(taken[False])
        hooks.update(masking)
        (zero,) = masking.values()
        zeroing = statistics.median(seconds(zero) for _ in range(20))
    middle = statistics.median(times)
    print(
        f"{architecture:8}{optimizer:7}{precision:10}{batch:6}{1e3 * middle:9.1f}"
        f"{1e3 * zeroing:10.3f}{zeroing / middle:9.2%}   {quartiles(ratios, 4)}",
        flush=True,
    )


def step(repeat: int) -> None:
    """Masked against unmasked training steps."""
    torch.set_num_threads(1)
    print(
        f"{'network':8}{'':7}{'precision':10}{'batch':>6}{'ms/step':>9}{'zeroing':>10}"
        f"{'share':>9}   masked / unmasked"
    )
    for case in CASES:
        for optimizer in ("sgd", "adam"):
            for precision in ("float32", "bfloat16"):
                turns = repeat if case[0] == "vgg16" else 5 * repeat
                compare_steps(case, optimizer, precision, turns)


def prune(repeat: int) -> None:
    """Time of every method on a network of VGG-16's size, as a share of an epoch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    architecture, shape, _ = CASES[1]
    network = build_network(architecture, shape, CLASSES, TIMESTEPS)
    epoch = seconds_of_epoch(network, shape, repeat)
    print(f"one epoch of {EPOCH_IMAGES} images: {epoch:.0f} s")
    images = torch.zeros(1, *shape)
    about = {"layers": layer_geometry(network, images), "timesteps": TIMESTEPS}
    scores = {
        name: layer.weight.detach().abs().numpy()
        for name, layer in prunable_layers(network).items()
    }
    everything = {name: np.ones(one.shape, np.bool_) for name, one in scores.items()}
    workloads = network_workloads(everything, about).workloads
    round_13 = Pruning(
        scores=scores,
        masks=everything,
        carried=everything,
        sparsity=1 - 0.75**13,
        step=0.25,
        costs=slice_costs(workloads, Accelerator.load("u-ticket")),
    )
    print(f"{'method':14}{'seconds':>9}{'of an epoch':>13}")
    for name, method in METHODS.items():
        former = method(round_13)
        round_14 = replace(
            round_13,
            masks=former.masks,
            carried=former.carried,
            sparsity=1 - 0.75**14,
        )
        taken = statistics.median(
            seconds(partial(method, round_14)) for _ in range(repeat)
        )
        print(f"{name:14}{taken:9.2f}{taken / epoch:13.3%}", flush=True)


def seconds_of_epoch(
    network: torch.nn.Module, shape: tuple[int, ...], repeat: int
) -> float:
    batch = 32
    network.to(memory_format=torch.channels_last)
    update = OPTIMIZERS["sgd"](network.parameters(), lr=0.1)
    x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (batch,))
    step = training_step(network, update, x, y, "float32")
    step()
    taken = statistics.median(seconds(step) for _ in range(repeat))
    return taken * EPOCH_IMAGES / batch


PARTS = {"step": step, "prune": prune}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    PARTS[args.part](args.repeat)


if __name__ == "__main__":
    main()
