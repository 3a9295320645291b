"""Spikes that layers receive: their rates, and the spikes themselves.

A *spike* is an input that is not zero. Behind average pooling such inputs are fractions
of spikes; an accelerator handles each as one event, so each counts as one here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from spikingjelly.activation_based import monitor
from torch import nn

from balancer.errors import BalancerError
from snn.networks.geometry import layer_geometry
from snn.networks.inference import inference

Rates = dict[str, npt.NDArray[np.float32]]
Reduction = Callable[[torch.Tensor], torch.Tensor]


class SpikeError(BalancerError):
    """Inputs of a layer that are no spikes, or no inputs at all."""


def input_rates(network: nn.Module, batches: Iterable[torch.Tensor]) -> Rates:
    """Measure how often each input channel of each layer spikes.

    Parameters
    ----------
    network : Module
        It runs in evaluation mode, and stays as it was.
    batches : iterable of Tensor
        Images [N, C, H, W] or events [T, N, C, H, W]; N may differ. Of the spikes,
        those of one layer and batch are held in memory at a time.

    Returns
    -------
    dict of str to ndarray of float32 [T, C]
        Spikes per time step and position, averaged over all images and pixels: by
        input channel of a convolution, by feature of a linear layer. Layers are in the
        order in which they run; the one that sees the images themselves is left out.

    Raises
    ------
    SpikeError
        There are no batches, or a layer has negative inputs.

    Examples
    --------
    >>> import torch
    >>> from snn import build_network, input_rates
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> rates = input_rates(network, [torch.rand(4, 1, 8, 8)])
    >>> {name: rate.shape for name, rate in rates.items()}
    {'classifier': (2, 128)}
    """
    shapes: dict[str, list[int]] = {}
    counts: dict[str, npt.NDArray[np.int64]] = {}
    images = 0
    for x in batches:
        shapes = shapes or _spiking_layers(network, x)
        images += x.shape[-4]
        for name, count in _received(network, x, shapes, _count).items():
            counts[name] = counts.get(name, 0) + count
    if not images:
        raise SpikeError("`batches` are empty; rates need one image at least")
    return {
        name: (count / (images * math.prod(shapes[name][1:]))).astype(np.float32)
        for name, count in counts.items()
    }


def mean_rates(rates: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, float]:
    """Average the rates of each layer over time steps and channels.

    Parameters
    ----------
    rates : mapping of str to ndarray [T, C]
        As `input_rates` returns them.

    Returns
    -------
    dict of str to float
        ``spike_rates`` of a ticket's metadata.
    """
    return {name: float(rate.mean(dtype=np.float64)) for name, rate in rates.items()}


def record_spikes(
    network: nn.Module, images: torch.Tensor
) -> dict[str, npt.NDArray[np.bool_]]:
    """Record all spikes that layers receive.

    Parameters
    ----------
    network : Module
        It runs in evaluation mode, and stays as it was.
    images : Tensor
        Images [N, C, H, W] or events [T, N, C, H, W]; a few, since all spikes are held
        in memory, one byte each.

    Returns
    -------
    dict of str to ndarray of bool
        [T, N, C, H, W] for a convolution, [T, N, features] for a linear layer: what
        `hwmodel.save_spikes` writes and `LayerWorkload` takes. Layers are in the order
        in which they run; the one that sees the images themselves is left out.

    Raises
    ------
    SpikeError
        There are no images, or a layer has negative inputs.

    Examples
    --------
    >>> import torch
    >>> from snn import build_network, record_spikes
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> spikes = record_spikes(network, torch.rand(4, 1, 8, 8))
    >>> {name: one.shape for name, one in spikes.items()}
    {'classifier': (2, 4, 128)}
    """
    if not images.numel():
        raise SpikeError("`images` are empty; one image at least is needed")
    shapes = _spiking_layers(network, images)
    return _received(network, images, shapes, lambda spikes: spikes)


def _spiking_layers(network: nn.Module, x: torch.Tensor) -> dict[str, list[int]]:
    """Input shape of every layer that does not see the images, as they run."""
    example = x.narrow(-4, 0, 1)
    return {
        layer["name"]: layer["input_shape"]
        for layer in layer_geometry(network, example)
        if not layer["analog"]
    }


def _received(
    network: nn.Module,
    x: torch.Tensor,
    names: Iterable[str],
    reduce: Reduction,
) -> dict[str, npt.NDArray[Any]]:
    """Run a network, and reduce what each layer receives, [T, N, ...] of bool."""
    batch = x.shape[-4]

    def observer(rank: int) -> Callable[[torch.Tensor], tuple[torch.Tensor, bool]]:
        # Time may be an axis of its own, joined with the batch, or one call a step.
        def observe(given: torch.Tensor) -> tuple[torch.Tensor, bool]:
            steps = given.reshape(-1, batch, *given.shape[-rank:])
            return reduce(steps != 0).cpu(), bool((given < 0).any())

        return observe

    with (
        inference(network),
        monitor.InputMonitor(network, nn.Conv2d, observer(3)) as images,
        monitor.InputMonitor(network, nn.Linear, observer(1)) as features,
    ):
        network(x)
    received = {}
    for name in names:
        seen = images if name in images.monitored_layers else features
        parts, negative = zip(*seen[name], strict=True)
        if any(negative):
            raise SpikeError(
                f"{name} receives negative values, which are no spikes; rates and "
                "spikes need neurons in front of every layer but the first"
            )
        received[name] = torch.cat(parts).numpy()
    return received


def _count(spikes: torch.Tensor) -> torch.Tensor:
    """Spikes of each step and channel, [T, C]."""
    return spikes.flatten(3).sum((1, 3)) if spikes.ndim > 3 else spikes.sum(1)
