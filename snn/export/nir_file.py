"""Networks as graphs of NIR."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from balancer import __version__
from balancer.errors import ExportError
from balancer.export.optional_packages import optional_package
from balancer.files.atomic import replacing
from balancer.files.layer_roles import ORDER_ROLES
from snn.export.folding import folded_layers
from snn.export.masked_network import MaskedNetwork
from snn.export.nir_nodes import (
    flatten_node,
    layer_node,
    neuron_node,
    pooling_nodes,
)
from snn.export.signal_graph import INPUT, ModuleStep, SignalGraph, signal_graph
from snn.networks.calls import is_neuron

OUTPUT = "output"
STEP_SECONDS = 1e-4  # what simulators of NIR take by default


def export_nir(
    path: str | os.PathLike[str],
    source: MaskedNetwork,
    *,
    dt: float = STEP_SECONDS,
) -> None:
    """Write a network as a graph of NIR 1.0.

    Batch normalization is folded into the layers in front of it. The input is an image,
    the same in every time step, as the preprocessing in the metadata makes it; the
    output are the class scores of every time step.

    Parameters
    ----------
    path : str or path
        An HDF5 file, as `nir.write` makes it.
    source : MaskedNetwork
        The network. Layers have ``mask``, ``order`` and ``input_order`` in the
        metadata of their nodes; the graph has ``timesteps``, ``dt`` and, where the
        ticket tells them, ``mean`` and ``std`` of the images.
    dt : float
        Seconds that one time step stands for: time constants are multiples of it.

    Raises
    ------
    ExportError
        nir is not installed, or a step of the network has no node in NIR.

    Examples
    --------
    >>> import nir
    >>> from balancer import shipped_ticket
    >>> from snn import MaskedNetwork, export_nir
    >>> export_nir("digits.nir", MaskedNetwork.of(shipped_ticket()))
    >>> graph = nir.read("digits.nir")
    >>> type(graph.nodes["features.3"]).__name__, graph.nodes["features.5"].tau[0, 0, 0]
    ('Conv2d', np.float64(0.00013333333333333334))
    """
    nir = optional_package("nir", "export")
    if not dt > 0:
        raise ExportError(f"`dt` is {dt!r}; seconds above 0 are needed")
    pruned = source.pruned()
    graph = signal_graph(pruned.network, pruned.input_shape)
    nodes: dict[str, Any] = {INPUT: nir.Input({"input": np.array(pruned.input_shape)})}
    edges: list[tuple[str, str]] = []
    last = {INPUT: INPUT}  # the last node of each step
    folded = folded_layers(graph)
    for step in graph.steps:
        if isinstance(step.module, _BatchNorm):  # is in the layer in front of it
            last[step.name] = last[step.inputs[0]]
            continue
        before = [last[name] for name in step.inputs]
        for number, node in enumerate(_nodes(nir, step, graph, folded, pruned, dt)):
            name = step.name + (f".{number}" if number else "")
            nodes[name] = node
            edges += [(one, name) for one in before]
            before, last[step.name] = [name], name
    nodes[OUTPUT] = nir.Output({"output": np.array(graph.output.shape)})
    edges += [(last[name], OUTPUT) for name in graph.output.sources]
    made = nir.NIRGraph(nodes, edges, metadata=_of_graph(pruned, graph, dt))
    with replacing(Path(path)) as (file,):
        nir.write(str(file), made)


def _nodes(
    nir: Any,
    step: ModuleStep,
    graph: SignalGraph,
    folded: dict[str, Any],
    source: MaskedNetwork,
    dt: float,
) -> list[Any]:
    if step.name in folded:
        metadata = _of_layer(step.name, source)
        return [layer_node(nir, step, folded[step.name], metadata)]
    if is_neuron(step.module):
        return [neuron_node(nir, step, dt)]
    if isinstance(step.module, nn.Flatten):
        return [flatten_node(nir, step)]
    return pooling_nodes(nir, step, _is_spiking(step.inputs, graph))


def _is_spiking(names: tuple[str, ...], graph: SignalGraph) -> bool:
    """Whether a step reads spikes alone, zeros and ones."""
    steps = {step.name: step for step in graph.steps}
    if len(names) != 1 or names[0] not in steps:
        return False
    step = steps[names[0]]
    if isinstance(step.module, (nn.MaxPool2d, nn.Flatten)):
        return _is_spiking(step.inputs, graph)
    return is_neuron(step.module)


def _of_layer(name: str, source: MaskedNetwork) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if name in source.masks:
        metadata["mask"] = source.masks[name]
    schedule = source.schedules.get(name)
    if schedule is not None:
        metadata[ORDER_ROLES[schedule.axis]] = schedule.order
    return metadata


def _of_graph(source: MaskedNetwork, graph: SignalGraph, dt: float) -> dict[str, Any]:
    known = dict(_preprocessing(source))
    steps = source.about.get("timesteps", getattr(source.network, "timesteps", None))
    if steps is not None:
        known["timesteps"] = int(steps)
    if graph.output.readout is not None:
        known["readout"] = f"{graph.output.readout} over the time steps"
    return {"made_by": f"balanced-sparsity {__version__}", "dt": dt, **known}


def _preprocessing(source: MaskedNetwork) -> Iterator[tuple[str, Any]]:
    """Yield what is taken from images, and what they are divided by then."""
    known = source.about.get("preprocessing") or {}
    for name in ("mean", "std"):
        if name in known:
            yield name, np.asarray(known[name], np.float64)
