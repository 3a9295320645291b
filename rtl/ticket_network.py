"""The network of a ticket in the numbers of the array; needs torch.

Normalization is folded into weights and biases first (`snn.fold_normalization`), with
the statistics of training. Then every layer has one scale: its largest folded weight
has the code 127.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import nn

from balancer.array_types import IntArray
from hwmodel import network_workloads
from rtl.errors import RtlError
from rtl.layer import quantize_inputs, quantize_layer
from rtl.network import NetworkStage, QuantizedNetwork
from snn import FoldedLayer, MaskedNetwork, Standardization, fold_normalization
from snn.networks.neurons import LEAK, THRESHOLD
from snn.retraining.recorded_run import RecordedRun

INPUT_BITS = 8


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Test images of a ticket's data set.

    Attributes
    ----------
    codes : ndarray of int64 [images, channels, height, width]
        As the array gets them.
    scale : float
        What the code 1 means, in the unit of the standardized images.
    images : Tensor of float32 [images, channels, height, width]
        As the network gets them.
    labels : ndarray of int64 [images]
        Their classes.
    """

    codes: IntArray
    scale: float
    images: torch.Tensor
    labels: IntArray

    @classmethod
    def of(cls, ticket: str | os.PathLike[str], count: int) -> LabelledImages:
        """Take the first test images; the scale is that of all of them.

        Raises
        ------
        BalancerError
            No ticket of a lottery run, or data that are not there.
        """
        run = RecordedRun.open(ticket)
        test: Any = run.data.test
        images = Standardization.of(run.about)(test.images)
        codes, scale = quantize_inputs(images.numpy(), INPUT_BITS)
        return cls(codes[:count], scale, images[:count], test.labels[:count].numpy())


def network_of_ticket(
    ticket: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    *,
    pes: int,
    input_scale: float,
) -> QuantizedNetwork:
    """Bring the network of a ticket into the numbers of the array.

    Parameters
    ----------
    ticket : str or path
        A ticket of a lottery run.
    masks : str or path, optional
        Masks and orders that the command ``balance`` wrote; default: its own.
    pes : int
        PEs of the array.
    input_scale : float
        Of the images.

    Raises
    ------
    RtlError
        A network that is no chain of convolutions, linear layers, normalizations,
        neurons with tau 4/3, and maximum pooling.
    BalancerError
        A ticket or masks that cannot be used.
    """
    source = MaskedNetwork.of(ticket, masks)
    folded = fold_normalization(source)
    places = _places(source.network)
    shapes = {
        one.name: one for one in network_workloads(source.masks, source.about).workloads
    }
    stages = []
    for number, (name, pool) in enumerate(places.items()):
        one: FoldedLayer = folded[name]
        layer = quantize_layer(
            shapes[name],
            one.weight,
            pes,
            bias=one.bias,
            input_scale=1.0 if number else input_scale,
            schedules=(source.schedules[name],) if name in source.schedules else (),
        )
        stages.append(NetworkStage(layer, pool))
    return QuantizedNetwork(tuple(stages), int(source.about["timesteps"]))


def _places(network: nn.Module) -> Mapping[str, int]:
    """List the layers of a chain as they run, with the pooling behind each."""
    pools: dict[str, int] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            pools[name] = 1
        elif isinstance(module, nn.MaxPool2d) and pools:
            pools[next(reversed(pools))] *= _window(module)
        elif not _is_known(module):
            raise RtlError(
                f"{name} is {type(module).__name__}; accepted are chains of "
                "convolutions, linear layers, batch normalization, maximum pooling and "
                f"neurons with tau {LEAK:.3f}, threshold {THRESHOLD} and hard reset"
            )
    return pools


def _window(pool: nn.MaxPool2d) -> int:
    """Side of the windows of a pooling."""
    side = pool.kernel_size
    if not isinstance(side, int) or pool.stride != side or pool.padding:
        raise RtlError(
            f"pooling over {side} with stride {pool.stride} and padding "
            f"{pool.padding}; accepted are square windows beside each other"
        )
    return side


def _is_known(module: nn.Module) -> bool:
    if isinstance(module, neuron.LIFNode):
        return (module.tau, module.v_threshold, module.v_reset) == (
            LEAK,
            THRESHOLD,
            0.0,
        ) and bool(module.decay_input)
    transparent = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Flatten, nn.Identity)
    return (
        isinstance(module, transparent)
        or bool(list(module.children()))
        or ("surrogate" in type(module).__module__)
    )
