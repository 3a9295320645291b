"""Which modules of a network are layers, whose weights may be pruned.

A *layer* is a set of weights. Where two modules share them, or one module has two
names, it is one layer, under the first of the names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from hwmodel import Geometry
from snn.channels.module_rules import LAYERS


def prunable_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Find the layers whose weights may be pruned: convolutions and linear layers.

    Those inside of an attention are left out, since it does not run them: it takes
    their weights.

    Returns
    -------
    dict of str to Module
        By module name, in the order of the network's modules. A module that is used
        under several names appears under its first, and so do modules that share one
        weight: they are pruned by one mask.

    Examples
    --------
    >>> from torch import nn
    >>> from snn import prunable_layers
    >>> list(prunable_layers(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())))
    ['0']
    """
    layers: dict[str, nn.Module] = {}
    for module, name in layer_of_modules(network).items():
        layers.setdefault(name, module)
    return layers


def layer_of_modules(network: nn.Module) -> dict[nn.Module, str]:
    """Say of which layer every convolution and linear layer holds the weights."""
    owners: dict[int, str] = {}
    found: dict[nn.Module, str] = {}
    for name, module in _candidates(network):
        # A weight that is computed anew for every call is shared with nobody.
        weight = module._parameters.get("weight")
        key = id(module if weight is None else weight)
        found[module] = owners.setdefault(key, name)
    return found


def _candidates(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    inside = {
        part
        for module in network.modules()
        if isinstance(module, nn.MultiheadAttention)
        for part in module.modules()
    }
    for name, module in network.named_modules():
        if isinstance(module, LAYERS) and module not in inside:
            yield name, module


def sample_shape(layer: nn.Module, given: torch.Tensor) -> tuple[int, ...]:
    """Shape of one input of a layer: channels and pixels, or features."""
    rank = 1 if isinstance(layer, nn.Linear) else len(layer.kernel_size) + 1  # type: ignore[arg-type]
    return tuple(given.shape[given.ndim - rank :])


def geometry_of(layer: nn.Module, shape: tuple[int, ...] | None) -> Geometry:
    """Say what a layer does with an input of a shape; None where it has none.

    A convolution along one axis is one of an image of one row.
    """
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return Geometry(shape, (1, 1), (0, 0), (1, 1))
    numbers: list[Any] = [layer.stride, _padding(layer), layer.dilation]
    if isinstance(layer, nn.Conv1d):
        numbers = [(rest, *one) for rest, one in zip((1, 0, 1), numbers, strict=True)]
    stride, padding, dilation = (tuple(one) for one in numbers)
    return Geometry(shape, stride, padding, dilation, layer.groups)


def _padding(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> tuple[int, ...]:
    if conv.padding == "valid":
        return (0,) * len(conv.kernel_size)
    if conv.padding == "same":
        # Of an odd total, torch puts the greater half behind; the model knows no sides.
        return tuple(
            -(-dilation * (size - 1) // 2)
            for dilation, size in zip(conv.dilation, conv.kernel_size, strict=True)
        )
    return tuple(int(size) for size in conv.padding)


def layer_notes(network: nn.Module) -> list[str]:
    """Say what the list of layers might hide, a sentence each.

    Returns
    -------
    list of str
        Modules that have matrices of weights and are no layers, by kind; modules that
        share the weights of a layer.
    """
    pruned = layer_of_modules(network)
    owned = {id(module._parameters.get("weight")) for module in pruned}
    others, sharing = [], []
    for name, module in network.named_modules():
        if module in pruned:
            if pruned[module] != name:
                sharing.append(f"{name} those of {pruned[module]}")
            continue
        matrices = [one for one in module._parameters.values() if _is_matrix(one)]
        if any(id(one) in owned for one in matrices):
            (owner,) = {
                pruned[layer]
                for layer in pruned
                if any(layer._parameters.get("weight") is one for one in matrices)
            }
            sharing.append(f"{name} those of {owner}")
        elif matrices:
            others.append(f"{name or 'the network'} ({type(module).__name__})")
    notes = []
    if others:
        notes.append(
            f"Not pruned, and not counted in cycles and energy: {', '.join(others)}."
        )
    if sharing:
        notes.append(
            f"Shared weights have one mask, and are charged for every call: "
            f"{', '.join(sharing)}."
        )
    return notes


def _is_matrix(parameter: nn.Parameter | None) -> bool:
    return parameter is not None and parameter.ndim > 1
