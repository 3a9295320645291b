"""What a network calls when it runs: layers and neurons, how often, and on what.

A layer may see time as an axis of its own, joined with the batch, or be called in every
step. However that is, its *rows* are the inputs that it computes on for one sample; a
network of T time steps that calls it once has T of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, NamedTuple

import torch
from torch import nn

from hwmodel import Geometry
from snn.networks.inference import inference
from snn.networks.layers import geometry_of, layer_of_modules, sample_shape

See = Callable[[str, nn.Module, torch.Tensor], None]


class Kind(NamedTuple):
    """Calls of a layer that differ in nothing that takes time.

    Attributes
    ----------
    geometry : Geometry
        Size of the input, without time and batch, and what the layer does with it.
    analog : bool
        The input is an image, or the same in all time steps: the layer runs once.
    calls : int
        How many in one inference and, unless they are analog, in one time step.
    """

    geometry: Geometry
    analog: bool
    calls: int


@dataclass(frozen=True, slots=True)
class Calls:
    """What one inference calls.

    Attributes
    ----------
    timesteps : int
        Of the network.
    spiking : bool
        It has neurons that ran.
    kinds : mapping of str to tuple of Kind
        Of every layer that ran, in the order of their first calls.
    """

    timesteps: int
    spiking: bool
    kinds: Mapping[str, tuple[Kind, ...]]


def observe_calls(network: nn.Module, example: torch.Tensor) -> Calls:
    """Run a network once, on the first sample of an example, and note what it calls.

    Its time steps are its attribute ``timesteps``; where it has none, those of the
    events, of its logits [T, N, classes], or of most of its neurons; without neurons
    that are known it has one, and every call counts.

    Parameters
    ----------
    network : Module
        It runs in evaluation mode, and stays as it was.
    example : Tensor
        Images [N, C, H, W] or events [T, N, C, H, W].
    """
    axis = -4 if example.ndim >= 4 else 0
    sample = example.narrow(axis, 0, 1)
    rows: dict[str, list[tuple[Geometry, int]]] = {}
    steps: Counter[nn.Module] = Counter()

    def see(name: str, module: nn.Module, given: torch.Tensor) -> None:
        shape = sample_shape(module, given)
        count = ceil(given.numel() / prod(shape))
        rows.setdefault(name, []).append((geometry_of(module, shape), count))

    def count(module: nn.Module, given: tuple[Any, ...]) -> None:
        many = getattr(module, "step_mode", "s") == "m"
        steps[module] += given[0].shape[0] if many else 1

    neurons = [module for module in network.modules() if is_neuron(module)]
    hooks = [module.register_forward_pre_hook(count) for module in neurons]
    try:
        with inference(network), seeing_layers(network, see):
            logits = network(sample)
    finally:
        for hook in hooks:
            hook.remove()
    timesteps = _timesteps(network, sample, logits, list(steps.values()))
    images = sample.ndim == 4
    return Calls(
        timesteps,
        bool(steps),
        {
            name: _kinds(calls, timesteps, images and place == 0)
            for place, (name, calls) in enumerate(rows.items())
        },
    )


@contextmanager
def seeing_layers(network: nn.Module, see: See) -> Iterator[None]:
    """Show every input of every layer inside the block: its name, module and input."""
    names = layer_of_modules(network)

    def show(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        see(names[module], module, next(iter((*given, *named.values()))))

    hooks = [
        module.register_forward_pre_hook(show, with_kwargs=True) for module in names
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def is_neuron(module: nn.Module) -> bool:
    """Whether a module is one of spikingjelly's neurons, or derived from one."""
    home = "spikingjelly.activation_based.neuron"
    return any(kind.__module__.startswith(home) for kind in type(module).__mro__)


def _timesteps(
    network: nn.Module, sample: torch.Tensor, logits: Any, steps: Sequence[int]
) -> int:
    own = getattr(network, "timesteps", None)
    if isinstance(own, int) and own > 0:
        return own
    if sample.ndim == 5:
        return sample.shape[0]
    if isinstance(logits, torch.Tensor) and logits.ndim == 3:
        return logits.shape[0]
    (usual, _), *_ = Counter(steps).most_common(1) or [(1, 0)]
    return usual


def _kinds(
    calls: Sequence[tuple[Geometry, int]], timesteps: int, sees_image: bool
) -> tuple[Kind, ...]:
    """Divide the rows of a layer into calls of every time step and analog ones."""
    rows: dict[Geometry, int] = {}
    for geometry, count in calls:
        rows[geometry] = rows.get(geometry, 0) + count
    found = []
    for place, (geometry, total) in enumerate(rows.items()):
        # What is not done in every step is done once for all of them.
        timed, analog = divmod(total, timesteps)
        if sees_image and place == 0 and not analog:
            analog = max(1, calls[0][1] // timesteps)
            timed -= analog
        found += [Kind(geometry, True, analog), Kind(geometry, False, timed)]
    return tuple(kind for kind in found if kind.calls)
