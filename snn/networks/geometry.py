"""Input sizes of the layers of any network, found by running it once."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hwmodel import Geometry
from snn.networks.inference import inference

LAYERS = (nn.Conv2d, nn.Linear)


def layer_geometry(network: nn.Module, example: torch.Tensor) -> list[dict[str, Any]]:
    """List the layers in the order in which they run, with the size of their inputs.

    This is what the hardware model has to know beside the masks, also of networks that
    are no sequence of layers (`hwmodel.network_workloads` reads it as ``layers`` of a
    ticket's metadata).

    Parameters
    ----------
    network : Module
        It runs once, in evaluation mode, and stays as it was.
    example : Tensor
        Images [N, C, H, W] or events [T, N, C, H, W]; one is enough.

    Returns
    -------
    list of dict
        For each convolution and linear layer that runs, at the place of its first
        call: ``name``; ``input_shape``, [channels, height, width] or [features],
        without time and batch; ``stride``, ``padding`` and ``dilation``, two numbers
        each; ``groups``; ``analog``, whether it sees the images, where `example` holds
        images. All of it can be written as JSON.

    Examples
    --------
    >>> import torch
    >>> from snn import build_network, layer_geometry
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> layers = layer_geometry(network, torch.rand(1, 1, 8, 8))
    >>> [(layer["name"], layer["input_shape"]) for layer in layers]
    [('features.0', [1, 8, 8]), ('classifier', [128])]
    """
    inputs: dict[str, torch.Size] = {}
    hooks = [
        module.register_forward_pre_hook(_recorder(inputs, name))
        for name, module in network.named_modules()
        if isinstance(module, LAYERS)
    ]
    try:
        with inference(network):
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    images = example.ndim == 4
    return [
        {
            "name": name,
            **_geometry(network.get_submodule(name), shape).to_json(),
            "analog": images and place == 0,
        }
        for place, (name, shape) in enumerate(inputs.items())
    ]


def _recorder(inputs: dict[str, torch.Size], name: str) -> Any:
    def record(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        inputs.setdefault(name, given[0].shape)

    return record


def _geometry(module: nn.Module, shape: torch.Size) -> Geometry:
    if not isinstance(module, nn.Conv2d):
        return Geometry(tuple(shape[-1:]), (1, 1), (0, 0), (1, 1))
    return Geometry(
        tuple(shape[-3:]),
        stride=(module.stride[0], module.stride[1]),
        padding=_padding(module),
        dilation=(module.dilation[0], module.dilation[1]),
        groups=module.groups,
    )


def _padding(conv: nn.Conv2d) -> tuple[int, int]:
    if conv.padding == "valid":
        return (0, 0)
    if conv.padding == "same":
        # Of an odd total, torch puts the greater half behind; the model knows no sides.
        down, right = (
            -(-dilation * (size - 1) // 2)
            for dilation, size in zip(conv.dilation, conv.kernel_size, strict=True)
        )
        return (down, right)
    down, right = (int(size) for size in conv.padding)
    return (down, right)
