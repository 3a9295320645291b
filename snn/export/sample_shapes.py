"""Shapes of one sample behind the modules that exports understand."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from balancer.errors import ExportError
from snn.networks.calls import is_neuron

Shape = tuple[int, ...]
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_CONVS = (nn.Conv1d, nn.Conv2d)
ACCEPTED = (
    "convolutions in one and two dimensions, linear layers, batch normalization "
    "behind them, LIF and IF neurons, max and average pooling in two dimensions, "
    "flattening, dropout and identity"
)


def output_shape(name: str, module: Any, shape: Shape, leading: int) -> Shape:
    """Shape of a sample behind a module.

    Parameters
    ----------
    name : str
        Of the module, for errors.
    module : Module
        The module.
    shape : tuple of int
        Of a sample in front of it.
    leading : int
        Axes in front of the sample.

    Raises
    ------
    ExportError
        A module that is not understood, or that does not fit the sample.
    """
    if isinstance(module, nn.Linear):
        _expect(name, shape[-1:], (module.in_features,), shape)
        return (*shape[:-1], module.out_features)
    if isinstance(module, _CONVS):
        _expect(name, shape[:1], (module.in_channels,), shape)
        if module.padding == "same":
            return (module.out_channels, *shape[1:])
        padding = (0,) * len(shape) if module.padding == "valid" else module.padding
        sizes = _sizes(
            shape[1:], module.kernel_size, module.stride, padding, module.dilation
        )
        return (module.out_channels, *sizes)
    if isinstance(module, _POOLS):
        kernel, stride, padding = (
            pair(one) for one in (module.kernel_size, module.stride, module.padding)
        )
        return (shape[0], *_sizes(shape[1:], kernel, stride, padding, (1, 1)))
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return (shape[0], *adaptive_size(name, module, shape))
    if isinstance(module, nn.Flatten):
        # Of spikingjelly, axis 1 is the first of a sample in every step mode.
        first = 1 if hasattr(module, "step_mode") else leading
        return flattened_shape(name, shape, module.start_dim - first, module.end_dim)
    if isinstance(module, _BatchNorm) or is_neuron(module):
        return shape
    raise ExportError(f"{name} is a {type(module).__name__}; accepted are {ACCEPTED}")


def adaptive_size(name: str, module: Any, shape: Shape) -> tuple[int, int]:
    """Height and width behind an adaptive average pooling.

    Raises
    ------
    ExportError
        Windows of different sizes.
    """
    wanted = module.output_size
    height, width = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    size = (height or shape[1], width or shape[2])
    if shape[1] % size[0] or shape[2] % size[1]:
        raise ExportError(
            f"{name} makes {size} of {shape[1:]}, in windows of different sizes; "
            "accepted are sizes that divide those of its input"
        )
    return size


def flattened_shape(name: str, shape: Shape, start: int, end: int) -> Shape:
    """Shape of a sample whose axes from `start` to `end` become one.

    Raises
    ------
    ExportError
        Anything but all axes of the sample.
    """
    if start != 0 or end not in (-1, len(shape) - 1):
        raise ExportError(
            f"{name} flattens some axes of a sample of shape {shape}; accepted is "
            "flattening all of them"
        )
    return (math.prod(shape),)


def pair(value: Any) -> tuple[int, int]:
    """Return a number for height and width."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _sizes(size: Shape, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Shape:
    return tuple(
        (one + 2 * p - d * (k - 1) - 1) // s + 1
        for one, k, s, p, d in zip(
            size, kernel, stride, padding, dilation, strict=False
        )
    )


def _expect(name: str, found: Shape, needed: Shape, shape: Shape) -> None:
    if found != needed:
        raise ExportError(
            f"{name} needs {needed[0]} inputs, and the sample has shape {shape}; give "
            "the shape of one image (input_shape)"
        )
