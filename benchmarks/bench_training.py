"""What compiled neurons and the pass over the gradients cost, in epochs of training.

    OMP_NUM_THREADS=1 python benchmarks/bench_training.py [--repeat 15]

Two networks of equal weights train in turns on the same batches, one with the neurons
of this package, compiled, and one with spikingjelly's `LIFNode`; the order changes at
every turn, in which a pass of `gradient_moments` takes its place too. Printed are
medians of the turns, and their ratios with quartiles.

`digits` are scikit-learn's. `mnist` are random images as many and as large as those of
`experiments/mnist.toml`: times do not depend on what images show.
"""

import argparse
import copy
import logging
import statistics
import time
from collections.abc import Callable

import torch
from spikingjelly.activation_based import functional, neuron
from timing import quartiles, seconds

from snn import (
    ImageData,
    Split,
    Trainer,
    TrainingConfig,
    build_network,
    gradient_moments,
    load_data,
    prunable_layers,
)

TIMESTEPS = 2
NUMBERS = 401_000_000  # in currents after which neurons of this package are compiled


def digits() -> tuple[str, ImageData]:
    return "conv3", load_data("digits", seed=0)


def mnist() -> tuple[str, ImageData]:
    generator = torch.Generator().manual_seed(0)

    def split(images: int) -> Split:
        x = torch.randint(0, 256, (images, 1, 28, 28), generator=generator)
        y = torch.randint(0, 10, (images,), generator=generator)
        return Split(x.to(torch.uint8), y)

    data = ImageData(
        name="random",
        train=split(2940),
        validation=split(60),
        test=split(10),
        classes=10,
        mean=torch.tensor([0.5]),
        std=torch.tensor([0.3]),
        augmentation="none",
    )
    return "16c3s2-32c3-mp2-64c3-mp2-fc10", data


CASES = {"digits": digits, "mnist": mnist}


def with_plain_neurons(network: torch.nn.Module) -> torch.nn.Module:
    """Copy a network, with spikingjelly's own neurons of the same settings."""
    network = copy.deepcopy(network)
    for name, one in list(network.named_modules()):
        if isinstance(one, neuron.LIFNode):
            plain = neuron.LIFNode(
                tau=one.tau,
                decay_input=one.decay_input,
                v_threshold=one.v_threshold,
                v_reset=one.v_reset,
                surrogate_function=one.surrogate_function,
                detach_reset=one.detach_reset,
                step_mode=one.step_mode,
            )
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, plain)
    return network


def neurons_of(network: torch.nn.Module) -> neuron.LIFNode:
    return next(m for m in network.modules() if isinstance(m, neuron.LIFNode))


def run_neurons(neurons: neuron.LIFNode, x: torch.Tensor) -> Callable[[], None]:
    """Currents forward, gradients of spikes back."""
    weights = torch.rand(x.shape)

    def once() -> None:
        (neurons(x) * weights).sum().backward()
        functional.reset_net(neurons)

    return once


def compile_neurons(neurons: neuron.LIFNode) -> None:
    """Run neurons until they are compiled, for both ways in which currents come."""
    x = torch.rand(TIMESTEPS, 5_000_000, requires_grad=True)
    for given in (x, x[:1].expand_as(x)):
        once = run_neurons(neurons, given)
        for _ in range(-(-NUMBERS // x.numel())):
            once()


def bench_neurons(repeat: int) -> None:
    """The neurons of a batch alone: 64 images of the first layer of each network."""
    print(f"{'neurons':8}{'currents':>20}{'LIFNode ms':>12}{'ms':>8}   ratio")
    for case, shape in (("digits", (64, 32, 8, 8)), ("mnist", (64, 16, 14, 14))):
        architecture, data = CASES[case]()
        network = build_network(architecture, data.input_shape, 10, TIMESTEPS)
        both = neurons_of(with_plain_neurons(network)), neurons_of(network)
        x = torch.randn(TIMESTEPS, *shape, requires_grad=True)
        work = [run_neurons(one, x) for one in both]
        taken = in_turns(work, 10 * repeat)
        ratios = [plain / ours for plain, ours in taken]
        plain, ours = (1e3 * statistics.median(one) for one in zip(*taken, strict=True))
        size = "x".join(map(str, x.shape))
        print(f"{case:8}{size:>20}{plain:12.2f}{ours:8.2f}   {quartiles(ratios, 2)}")


def in_turns(work: list[Callable[[], None]], turns: int) -> list[tuple[float, ...]]:
    """Seconds of each, in every turn, without the first two."""
    taken = []
    for turn in range(-2, turns):
        order = range(len(work)) if turn % 2 else reversed(range(len(work)))
        took = {number: seconds(work[number]) for number in order}
        if turn >= 0:
            taken.append(tuple(took[number] for number in range(len(work))))
    return taken


def bench_epochs(repeat: int) -> None:
    """Whole epochs, and the pass over the gradients."""
    print(
        f"{'network':8}{'LIFNode s':>10}{'s':>7}   {'LIFNode / compiled':22}"
        "gradient pass / epoch"
    )
    for case, made in CASES.items():
        architecture, data = made()
        torch.manual_seed(0)
        network = build_network(architecture, data.input_shape, 10, TIMESTEPS)
        both = with_plain_neurons(network), network
        config = TrainingConfig(precision="float32")
        trainers = [Trainer(one, data, config) for one in both]
        masks = {
            name: torch.ones(layer.weight.shape, dtype=torch.bool).numpy()
            for name, layer in prunable_layers(network).items()
        }

        def epoch(trainer: Trainer, masks: dict = masks) -> Callable[[], None]:
            return lambda: trainer.fit(masks, stop=1, seed=0)

        ours = trainers[1]
        taken = in_turns(
            [
                *map(epoch, trainers),
                lambda ours=ours: gradient_moments(ours, seed=0),
            ],
            repeat,
        )
        plain, compiled, _ = (statistics.median(t) for t in zip(*taken, strict=True))
        faster = quartiles([plain / ours for plain, ours, _ in taken], 2)
        passes = quartiles([moments / ours for _, ours, moments in taken], 2)
        print(f"{case:8}{plain:10.2f}{compiled:7.2f}   {faster:22}{passes}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("snn").setLevel(logging.INFO)  # says what is compiled
    torch.set_num_threads(1)
    begun = time.perf_counter()
    compile_neurons(neurons_of(build_network("conv3", (1, 8, 8), 10, TIMESTEPS)))
    print(f"compiled after {time.perf_counter() - begun:.1f} s")
    bench_neurons(args.repeat)
    bench_epochs(args.repeat)


if __name__ == "__main__":
    main()
