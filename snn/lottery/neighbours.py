"""Which layers of a network read what others write."""

from __future__ import annotations

from typing import Any

from torch import nn

from snn.channels.graph import channel_graph
from snn.lottery.pruning import Neighbours
from snn.networks.layers import prunable_layers


def neighbours(network: nn.Module) -> tuple[Neighbours, ...]:
    """Find the layers that read what others write, channel by channel.

    Parameters
    ----------
    network : Module
        It is neither run nor changed. Where its channels cannot be followed, and in
        grouped convolutions, there are no neighbours. Layers that share a weight are
        one, under their first name.

    Returns
    -------
    tuple of Neighbours
        In the order of the network's modules.

    Examples
    --------
    >>> from torch import nn
    >>> from snn import neighbours
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    >>> neighbours(network)
    (Neighbours(writer='0', reader='2', inner=36),)
    """
    modules: dict[str, Any] = dict(prunable_layers(network))
    graph = channel_graph(network).layers
    layers = {name: graph[name] for name in modules if name in graph}
    found = []
    for reader, read in layers.items():
        if read.inputs is None:
            continue
        inputs = modules[reader].weight.shape[1]
        for writer, written in layers.items():
            same = written.outputs.root() is read.inputs.root()
            if same and inputs == written.outputs.channels * read.inner:
                found.append(Neighbours(writer, reader, read.inner))
    return tuple(found)
