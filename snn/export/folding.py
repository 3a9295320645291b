"""Normalization folded into the layers in front of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from balancer.errors import ExportError
from snn.export.masked_network import MaskedNetwork
from snn.export.signal_graph import ModuleStep, SignalGraph, signal_graph
from snn.networks.layers import layer_of_modules

Array = npt.NDArray[Any]


class FoldedLayer(NamedTuple):
    """A layer that does what it and the normalization behind it did.

    Attributes
    ----------
    weight : ndarray of float
        Zero where the layer's own is.
    bias : ndarray of float [output channels] or None
        None if it adds nothing.
    """

    weight: Array
    bias: Array | None


def fold_normalization(source: MaskedNetwork) -> dict[str, FoldedLayer]:
    """Fold batch normalization into convolutions and linear layers.

    With the statistics m and v of training, gain g and shift b, a layer W and its
    normalization are one layer: W' = W g / sqrt(v + eps), and the bias
    (bias - m) g / sqrt(v + eps) + b. A pruned weight stays zero.

    Parameters
    ----------
    source : MaskedNetwork
        The network.

    Returns
    -------
    dict of str to FoldedLayer
        Every layer that runs, by the name of its weights; in the type of the weights,
        calculated in float64.

    Raises
    ------
    ExportError
        A network that is not understood, a normalization that stands alone or without
        statistics, or shared weights with different normalizations.

    Examples
    --------
    >>> from balancer import shipped_ticket
    >>> from snn import MaskedNetwork, fold_normalization
    >>> layers = fold_normalization(MaskedNetwork.of(shipped_ticket()))
    >>> layers["features.3"].weight.shape, layers["features.3"].bias.shape
    ((64, 32, 3, 3), (64,))
    """
    pruned = source.pruned()
    graph = signal_graph(pruned.network, pruned.input_shape)
    owners = layer_of_modules(pruned.network)
    of_weights = {
        name: owners[module]
        for name, module in pruned.network.named_modules(remove_duplicate=False)
        if module in owners
    }
    found: dict[str, FoldedLayer] = {}
    for name, folded in folded_layers(graph).items():
        owner = of_weights[name]
        if owner in found and not _same(found[owner], folded):
            raise ExportError(
                f"{name} shares the weights of {owner}, but not its normalization; "
                "folded they are two layers, and one is accepted"
            )
        found[owner] = folded
    return found


def folded_layers(graph: SignalGraph) -> dict[str, FoldedLayer]:
    """Fold the normalizations of a graph; returns its layers by their steps."""
    by_name = {step.name: step for step in graph.steps}
    layers = {
        step.name: _layer(step)
        for step in graph.steps
        if hasattr(step.module, "weight") and not isinstance(step.module, _BatchNorm)
    }
    for norm in norms_of(graph):
        (name,) = norm.inputs if len(norm.inputs) == 1 else (None,)
        if name not in layers or graph.readers(name) != [norm.name]:
            raise ExportError(
                f"{norm.name} stands behind no layer of its own; accepted is "
                "normalization of what a convolution or linear layer returns, and "
                "nothing else reads"
            )
        layers[name] = _folded(layers[name], norm, by_name[name])
    return layers


def norms_of(graph: SignalGraph) -> list[ModuleStep]:
    """List the normalizations of a graph."""
    return [step for step in graph.steps if isinstance(step.module, _BatchNorm)]


def _layer(step: ModuleStep) -> FoldedLayer:
    module = step.module
    bias = None if module.bias is None else _array(module.bias)
    return FoldedLayer(_array(module.weight), bias)


def _folded(layer: FoldedLayer, norm: ModuleStep, behind: ModuleStep) -> FoldedLayer:
    module = norm.module
    if module.running_mean is None:
        raise ExportError(
            f"{norm.name} keeps no statistics; accepted is normalization with "
            "track_running_stats=True"
        )
    mean, variance = (
        _array(one).astype(np.float64)
        for one in (module.running_mean, module.running_var)
    )
    gain, shift = (
        default if one is None else _array(one).astype(np.float64)
        for one, default in ((module.weight, np.ones(1)), (module.bias, np.zeros(1)))
    )
    factor = gain / np.sqrt(variance + module.eps)
    kind = layer.weight.dtype
    weight = layer.weight.astype(np.float64) * factor.reshape(
        -1, *[1] * (layer.weight.ndim - 1)
    )
    bias = np.zeros(1) if layer.bias is None else layer.bias.astype(np.float64)
    # A product with a negative gain would make pruned weights -0.
    weight[layer.weight == 0] = 0
    return FoldedLayer(
        weight.astype(kind), ((bias - mean) * factor + shift).astype(kind)
    )


def _same(one: FoldedLayer, other: FoldedLayer) -> bool:
    return np.array_equal(one.weight, other.weight) and (
        (one.bias is None and other.bias is None)
        or (
            one.bias is not None
            and other.bias is not None
            and np.array_equal(one.bias, other.bias)
        )
    )


def _array(tensor: torch.Tensor) -> Array:
    wide = tensor.dtype in (torch.float32, torch.float64)
    array: Array = (tensor if wide else tensor.float()).detach().cpu().numpy()
    return array
