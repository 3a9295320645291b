"""Which layers of a network share their channels, found without running it."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from snn.channels.bindings import Bindings, LayerChannels, NotUnderstoodError
from snn.channels.function_rules import name_of, rule_of_function
from snn.channels.module_rules import LAYERS, broadcast, rule_of_module
from snn.channels.space import Channels, Space
from snn.channels.steps import Call, Other, Value
from snn.channels.trace import all_sizes, trace

_PLAIN_ATTRIBUTES = ("shape", "device", "dtype", "ndim")
_PLAIN_METHODS = ("size", "dim", "numel", "ndimension")


@dataclass(frozen=True, slots=True)
class ChannelGraph:
    """The channels of every convolution and linear layer of a network.

    Attributes
    ----------
    layers : dict of str to LayerChannels
        What each layer reads and writes, in the order of the network's modules.
    """

    layers: dict[str, LayerChannels]

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Layers whose output channels have one order, as in a residual stage."""
        groups: dict[int, list[str]] = {}
        for name, layer in self.layers.items():
            groups.setdefault(id(layer.outputs.root()), []).append(name)
        return tuple(map(tuple, groups.values()))


def channel_graph(
    network: nn.Module, elementwise: tuple[type[nn.Module], ...] = ()
) -> ChannelGraph:
    """Follow the channels of every layer to all that reads them.

    Batches are taken to be in front of the channels, and linear features to be
    normalized on their own axis. Control flow is followed as it is in the mode that the
    network is in, training or evaluation.

    Parameters
    ----------
    network : Module
        It is neither run nor changed.
    elementwise : tuple of types
        Modules of your own that treat every channel for itself and broadcast their
        parameters against their input.

    Returns
    -------
    ChannelGraph
        Channels that cannot be followed everywhere are fixed, with the reason.
    """
    modules: dict[str, Any] = {
        name: m for name, m in network.named_modules() if isinstance(m, LAYERS)
    }
    found: dict[str, LayerChannels] = {}
    try:
        root, graph = trace(network, elementwise)
    except Exception as error:  # whatever a network does with values it cannot have
        first = str(error).partition("\n")[0]
        missing = f"the network cannot be traced ({first})"
    else:
        found = _Walk(root, elementwise).run(graph)
        missing = "the network does not call it as a module"
    layers = {}
    for name, module in modules.items():
        unseen = Space(module.weight.shape[0], missing)
        layers[name] = found.get(name) or LayerChannels(unseen, None)
    return ChannelGraph(layers)


class _Walk:
    def __init__(
        self, root: nn.Module, elementwise: tuple[type[nn.Module], ...]
    ) -> None:
        self._root = root
        self._elementwise = elementwise
        self._bindings = Bindings(root)
        self._values: dict[fx.Node, Value] = {}

    def run(self, graph: fx.Graph) -> dict[str, LayerChannels]:
        for node in graph.nodes:
            inputs = {used: self._values[used] for used in node.all_input_nodes}
            self._values[node] = self._value(node, inputs)
        self._bindings.settle()
        return self._bindings.layers

    def _value(self, node: fx.Node, inputs: dict[fx.Node, Value]) -> Value:
        if node.op == "placeholder":
            return Other.OPAQUE
        if node.op == "get_attr":
            return self._attribute(node)
        if node.op == "output":
            _fix(inputs, "its channels are the network's output")
            return Other.OPAQUE
        if node.op == "call_module":
            return self._module(node, inputs)
        return self._function(node, inputs)

    def _attribute(self, node: fx.Node) -> Value:
        tensor = operator.attrgetter(str(node.target))(self._root)
        if isinstance(tensor, torch.Tensor):
            self._bindings.fix_tensor(tensor, f"{node.target} is used by itself")
            if tensor.numel() == 1:
                return Other.PLAIN
        return Other.OPAQUE

    def _module(self, node: fx.Node, inputs: dict[fx.Node, Value]) -> Value:
        name = str(node.target)
        module: Any = self._root.get_submodule(name)
        own = isinstance(module, self._elementwise)
        rule = broadcast if own else rule_of_module(module)
        try:
            if rule is None:
                raise NotUnderstoodError(
                    f"{name} is a {type(module).__name__}, of which it is not known "
                    "whether it keeps channels apart"
                )
            if _changes_by_hook(module):
                raise NotUnderstoodError(f"{name} has hooks, which may do anything")
            if not isinstance(module, LAYERS) and Other.OPAQUE in inputs.values():
                raise NotUnderstoodError(f"{name} also reads a tensor of fixed order")
            if len(inputs) != 1:
                raise NotUnderstoodError(f"{name} has more than one input")
            return rule(self._bindings, Call(node, name, inputs, self._values, module))
        except NotUnderstoodError as error:
            _fix(inputs, str(error))
            self._bindings.fix_tensors(name, module, str(error))
            if isinstance(module, LAYERS):
                outputs = Space(module.weight.shape[0], str(error))
                self._bindings.layers.setdefault(name, LayerChannels(outputs, None))
            return Other.OPAQUE

    def _function(self, node: fx.Node, inputs: dict[fx.Node, Value]) -> Value:
        if node.target is getattr and node.args[1] in _PLAIN_ATTRIBUTES:
            return Other.PLAIN
        if node.op == "call_method" and node.target in _PLAIN_METHODS:
            return Other.PLAIN
        if not any(isinstance(value, Channels) for value in inputs.values()):
            return _without_channels(node, inputs)
        rule = rule_of_function(node)
        where = f"{name_of(node) or node.target} ({node.name})"
        try:
            if rule is None:
                raise NotUnderstoodError(f"{where} is not known to keep channels apart")
            return rule(self._bindings, Call(node, where, inputs, self._values))
        except NotUnderstoodError as error:
            _fix(inputs, str(error))
            return Other.OPAQUE


def _without_channels(node: fx.Node, inputs: dict[fx.Node, Value]) -> Value:
    # Arithmetic on sizes gives numbers; anything else might make a tensor of them.
    known: Any = getattr(operator, name_of(node) or "", None)
    numbers = node.target is all_sizes or known is node.target
    if numbers and Other.OPAQUE not in inputs.values():
        return Other.PLAIN
    return Other.OPAQUE


def _fix(inputs: dict[fx.Node, Value], reason: str) -> None:
    for value in inputs.values():
        if isinstance(value, Channels):
            value.space.fix(reason)


def _changes_by_hook(module: nn.Module) -> bool:
    from torch.nn.utils.prune import BasePruningMethod

    before = module._forward_pre_hooks.values()
    return bool(module._forward_hooks) or any(
        not isinstance(hook, BasePruningMethod)
        and not getattr(hook, "keeps_channels", False)
        for hook in before
    )
