"""Spiking networks: by name, or from the text of an architecture."""

from __future__ import annotations

import math

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from balancer.errors import BalancerError
from hwmodel.architecture import (
    CHAINS,
    FullyConnected,
    Pooling,
    Step,
    output_shape,
    parse_architecture,
)
from hwmodel.errors import ArchitectureError
from snn.networks.neurons import lif
from snn.networks.residual import resnet19_features

RESNET19 = "resnet19"

ARCHITECTURES = (*CHAINS, RESNET19)
"""Names of networks; the text of an architecture is accepted as well."""

# Mean square of the spikes that drive a layer behind normalized neurons: they fire in
# about a tenth of all steps before training.
_FIRST_RATE = 0.1

MOST_WEIGHTS = 2**31  # of a network in words; 8 GiB of float32


class ModelError(BalancerError):
    """A network that cannot be built, or an input that it cannot take."""


class SpikingNetwork(nn.Module):
    """Layers and neurons that run for some time steps, and a classifier.

    What stands in front of the first neurons sees an image once and drives them in
    every step (direct encoding); events are seen step by step. No call leaves a state
    behind, and none finds one.

    Parameters
    ----------
    features : list of Module
        Layers and neurons of spikingjelly, in the order in which they run; their step
        modes are set here. The first neurons stand by themselves, not in a block.
    classifier : Linear of spikingjelly
        Without neurons.
    architecture : str
        The name or text from which the network was made.
    timesteps : int
        May be set to another number at any time.

    Raises
    ------
    ModelError
        There are no such neurons.
    """

    def __init__(
        self,
        features: list[nn.Module],
        classifier: nn.Module,
        architecture: str,
        timesteps: int,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.timesteps = timesteps
        self.features = nn.Sequential(*features)
        self.classifier = classifier
        self._analog = _first_neurons(features)
        for module in (*features[self._analog :], classifier):
            functional.set_step_mode(module, "m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the class scores of every time step.

        Parameters
        ----------
        x : Tensor of float
            Images [N, C, H, W], or events [T, N, C, H, W].

        Returns
        -------
        Tensor of float32 [T, N, classes]
            Not normalized (of float64 in a network of float64).

        Raises
        ------
        ModelError
            An input of another rank or with another number of time steps.
        """
        self._check(x)
        functional.reset_net(self)
        batch = x.shape[-4]
        x = x.flatten(0, -4)  # images stay, events are put in a row
        modules = list(self.features)
        for module in modules[: self._analog]:
            x = module(x)
        x = x.unflatten(0, (-1, batch))  # one step, or all of them
        x = x.expand(self.timesteps, *x.shape[1:])
        for module in modules[self._analog :]:
            x = module(x)
        logits = _single_precision(self.classifier(x))
        functional.reset_net(self)  # states hold graphs, and cannot be copied
        return logits

    def _check(self, x: torch.Tensor) -> None:
        # What traces the network, as `channel_graph` does, has no sizes to check.
        if not isinstance(x, torch.Tensor):
            return
        if x.ndim not in (4, 5):
            raise ModelError(
                f"the input has shape {tuple(x.shape)}; needed: images [N, channels, "
                f"height, width] or events [{self.timesteps}, N, channels, height, "
                "width]"
            )
        if x.ndim == 5 and len(x) != self.timesteps:
            raise ModelError(
                f"the events have {len(x)} time steps, the network {self.timesteps}; "
                "set its `timesteps`, or divide the events into as many steps"
            )


def build_network(
    architecture: str, input_shape: tuple[int, ...], classes: int, timesteps: int
) -> SpikingNetwork:
    """Make a network with random weights, which follow `torch.manual_seed`.

    Convolutions are normalized and drive neurons; so do linear layers, without
    normalization; the last linear layer classifies. No layer has a bias.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES`, or a text such as ``32c3-64c3-mp2-64c3-fc10`` (see
        `hwmodel.architecture`), which ends with the classifier.
    input_shape : tuple of int
        (channels, height, width) of one image, or of the events of one time step.
    classes : int
        Outputs of the classifier.
    timesteps : int
        Of the neurons.

    Returns
    -------
    SpikingNetwork
        In training mode. A layer's name is its place, pooling, normalizations and
        neurons counted: ``features.0``, ``features.3``, ..., ``classifier``.

    Raises
    ------
    ModelError
        An unknown name or text, images too small for it, or more weights than the
        memory has room for, or than `MOST_WEIGHTS`.

    Examples
    --------
    >>> from snn import build_network
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> tuple(network.classifier.weight.shape)
    (10, 128)
    """
    shape = _checked_shape(input_shape)
    for name, number in (("classes", classes), ("timesteps", timesteps)):
        if number < 1:
            raise ModelError(f"`{name}` is {number}; a whole number from 1 is needed")
    try:
        if architecture == RESNET19:
            features, width = resnet19_features(shape[0])
        else:
            features, width = _features(_steps(architecture, classes), shape)
        _check_weights(width * classes)
        classifier = layer.Linear(width, classes, bias=False)
    except (ArchitectureError, RuntimeError) as error:  # torch has no MemoryError
        said = str(error).partition("\n")[0]
        raise ModelError(
            f"architecture {architecture!r} with images of {shape} and {classes} "
            f"classes: {said}"
        ) from None
    network = SpikingNetwork(features, classifier, architecture, timesteps)
    _initialize(network)
    return network


def _checked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3 or min(shape) < 1:
        raise ModelError(
            f"`input_shape` is {tuple(shape)}; needed: (channels, height, width)"
        )
    return tuple(int(size) for size in shape)


def _steps(architecture: str, classes: int) -> list[Step]:
    """Read all layers but the classifier."""
    if architecture in CHAINS:
        return parse_architecture(CHAINS[architecture])
    if "-" not in architecture:
        raise ArchitectureError(
            f"no such network; accepted: {', '.join(ARCHITECTURES)}, or the text of "
            f"an architecture, such as 32c3-mp2-64c3-fc{classes}"
        )
    *steps, last = parse_architecture(architecture)
    if last != FullyConnected(classes):
        raise ArchitectureError(f"it has to end with fc{classes}, its classifier")
    if all(isinstance(step, Pooling) for step in steps):
        raise ArchitectureError("it has no layer with neurons in front of its last")
    return steps


def _check_weights(number: int) -> None:
    if number > MOST_WEIGHTS:
        raise ArchitectureError(f"it has more than {MOST_WEIGHTS:,} weights")


def _features(steps: list[Step], shape: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    modules: list[nn.Module] = []
    weights = 0
    for step in steps:
        made = output_shape(step, shape)
        weights += _weights(step, shape)
        _check_weights(weights)
        if isinstance(step, FullyConnected) and len(shape) == 3:
            modules.append(layer.Flatten())
        modules += _modules(step, shape)
        shape = made
    if len(shape) == 3:
        modules.append(layer.Flatten())
    return modules, math.prod(shape)


def _weights(step: Step, shape: tuple[int, ...]) -> int:
    if isinstance(step, Pooling):
        return 0
    if isinstance(step, FullyConnected):
        return math.prod(shape) * step.outputs
    return shape[0] * step.channels * step.kernel**2


def _modules(step: Step, shape: tuple[int, ...]) -> list[nn.Module]:
    if isinstance(step, Pooling):
        pool = layer.MaxPool2d if step.kind == "max" else layer.AvgPool2d
        return [pool(step.window)]
    if isinstance(step, FullyConnected):
        return [layer.Linear(math.prod(shape), step.outputs, bias=False), lif()]
    conv = layer.Conv2d(
        shape[0], step.channels, step.kernel, step.stride, step.padding, bias=False
    )
    return [conv, layer.BatchNorm2d(step.channels), lif()]


def _first_neurons(features: list[nn.Module]) -> int:
    for place, module in enumerate(features):
        if isinstance(module, neuron.BaseNode):
            return place
    raise ModelError(
        "`features` hold no neurons by themselves; those inside of a block are not "
        "searched, since everything in front of the first ones runs once for an image"
    )


def _initialize(network: SpikingNetwork) -> None:
    for module in network.features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            # No normalization follows: without more weight its neurons would be silent.
            scale = 1 / math.sqrt(_FIRST_RATE * module.in_features)
            nn.init.normal_(module.weight, std=scale)


def _single_precision(x: torch.Tensor) -> torch.Tensor:
    half = isinstance(x, torch.Tensor) and x.dtype in (torch.bfloat16, torch.float16)
    return x.float() if half else x
