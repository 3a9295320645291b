"""In which order the axes of a torch network's weights stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

Weights = npt.NDArray[Any]

_TRANSPOSED = {
    nn.ConvTranspose1d: "iow",
    nn.ConvTranspose2d: "iohw",
    nn.ConvTranspose3d: "iodhw",
}


TRANSPOSED = tuple(_TRANSPOSED)


def outputs_first(layer: nn.Module, weights: Weights) -> Weights:
    """Put the outputs of a layer's weights first, then the inputs that each reads.

    Parameters
    ----------
    layer : Module
        A convolution, transposed or not, or a linear layer.
    weights : ndarray [as the layer stores them]
        Its weights, or what has their shape.

    Returns
    -------
    ndarray [output channels, input channels of a group, kernel ...]
        A transposed convolution stores [input channels, output channels of a group,
        kernel ...].
    """
    if not isinstance(layer, TRANSPOSED):
        return weights
    return _exchanged(weights, int(layer.groups))


def as_stored(layer: nn.Module, weights: Weights) -> Weights:
    """Put the axes back as the layer stores them; the inverse of `outputs_first`."""
    return outputs_first(layer, weights)  # an exchange is undone by another one


def _exchanged(weights: Weights, groups: int) -> Weights:
    first, second, *kernel = weights.shape
    apart = weights.reshape(groups, first // groups, second, *kernel)
    exchanged = apart.swapaxes(1, 2)
    return np.ascontiguousarray(
        exchanged.reshape(groups * second, first // groups, *kernel)
    )


def weight_axes(network: nn.Module) -> dict[str, str]:
    """Name the layers whose weights do not have their outputs first.

    A state dict alone does not tell: transposed convolutions store their inputs first.

    Parameters
    ----------
    network : Module
        The network whose state dict is read.

    Returns
    -------
    dict of str to str
        What `balancer.open_ticket` takes as `axes`: by the names of the layers.

    Examples
    --------
    >>> from torch import nn
    >>> from snn import weight_axes
    >>> weight_axes(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 3, 2)))
    {'1': 'iohw'}
    """
    return {
        name: axes
        for name, module in network.named_modules()
        for kind, axes in _TRANSPOSED.items()
        if isinstance(module, kind)
    }
