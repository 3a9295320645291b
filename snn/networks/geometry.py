"""Input sizes of the layers of any network, found by running it once."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from snn.networks.calls import Calls, observe_calls
from snn.networks.layers import geometry_of, prunable_layers


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
        For each convolution and linear layer, at the place of its first call: ``name``;
        ``input_shape``, [channels, height, width] or [features], without time and
        batch; ``stride``, ``padding`` and ``dilation``, two numbers each; ``groups``;
        ``analog``, whether its input is analog: the images, or what is the same in all
        time steps; ``calls``, how often it runs in an inference (and in each time
        step, unless it is analog). A layer that runs on inputs of several sizes or
        kinds has an entry for each. One that never runs stands at the end, with no
        size and 0 calls. All of it can be written as JSON.

    Examples
    --------
    >>> import torch
    >>> from snn import build_network, layer_geometry
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> layers = layer_geometry(network, torch.rand(1, 1, 8, 8))
    >>> [(layer["name"], layer["input_shape"]) for layer in layers]
    [('features.0', [1, 8, 8]), ('classifier', [128])]
    """
    return list_layers(network, observe_calls(network, example))


def list_layers(network: nn.Module, calls: Calls) -> list[dict[str, Any]]:
    """List the layers of a network whose calls are known; see `layer_geometry`."""
    ran = [
        {
            "name": name,
            **kind.geometry.to_json(),
            "analog": kind.analog,
            "calls": kind.calls,
        }
        for name, kinds in calls.kinds.items()
        for kind in kinds
    ]
    idle = [
        {
            "name": name,
            **geometry_of(layer, None).to_json(),
            "analog": False,
            "calls": 0,
        }
        for name, layer in prunable_layers(network).items()
        if name not in calls.kinds
    ]
    return ran + idle
