"""The graph of a network, with the modules of torch and spikingjelly as its leaves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

_LEAF_PACKAGES = (
    "torch.nn.",
    "torch.ao.nn.",
    "spikingjelly.activation_based.layer",
    "spikingjelly.activation_based.neuron",
    "snn.networks.neurons",
)


def all_sizes(sizes: Any) -> Any:
    """Stand for what ``*x.shape`` unpacks: tracing does not know how many they are."""
    return sizes


class _Unpackable(fx.Proxy):
    """A traced value whose shape can be unpacked, as in ``y.view(*x.shape, -1)``."""

    def __len__(self) -> int:
        # Before Python unpacks it asks for the length, to reserve memory. It does
        # without one after a TypeError, but not after the RuntimeError of `Proxy`.
        raise TypeError(f"the number of axes of {self} is not known")

    def __getattr__(self, name: str) -> Any:
        if name == "shape":  # `Proxy` would make an `Attribute`, which cannot unpack
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name)


class _Tracer(fx.Tracer):
    """Records a network in steps: its layers, and what is done between them.

    Parameters
    ----------
    leaves : tuple of types
        Modules to record as one step, beside those of torch and spikingjelly.
    """

    def __init__(self, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one step; parameters are named as in torch."""
        kind = type(m)
        if parametrize.is_parametrized(m):  # torch made a class of its own of it
            kind = kind.__mro__[1]
        known = kind.__module__.startswith(_LEAF_PACKAGES)
        return isinstance(m, self._leaves) or (
            known and not isinstance(m, nn.Sequential)
        )

    def proxy(self, node: fx.Node) -> Any:
        """Stand for the value of a step."""
        return _Unpackable(node, self)

    def iter(self, obj: Any) -> Iterator[Any]:
        """Unpack shapes into one value that stands for all sizes; refuse the rest."""
        if is_shape(obj.node) or _is_rest_of_shape(obj.node):
            sizes = self.create_proxy("call_function", all_sizes, (obj,), {})
            return iter((sizes,))
        refused: Iterator[Any] = super().iter(obj)
        return refused


def trace(
    network: nn.Module, leaves: tuple[type[nn.Module], ...]
) -> tuple[nn.Module, fx.Graph]:
    """Record what the network does, without an example of its input.

    Parameters
    ----------
    network : Module
        It is not changed: a copy that shares its parameters is traced.
    leaves : tuple of types
        Modules to record as one step, beside those of torch and spikingjelly.

    Returns
    -------
    Module
        The copy, in which the graph finds its modules and tensors.
    Graph
        Its steps.
    """
    shared: dict[int, Any] = {id(p): p for p in network.parameters()}
    root = copy.deepcopy(network, shared | _detached(network))
    tracer: Any = _Tracer(leaves)
    return root, tracer.trace(root)


def copy_of(network: nn.Module) -> nn.Module:
    """Copy a network, also with the computed weights that pruning leaves in it."""
    return copy.deepcopy(network, _detached(network))


def _detached(network: nn.Module) -> dict[int, Any]:
    # torch refuses to copy tensors that it computed; a hook will compute them anew.
    return {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor)
    }


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """All tensors of a module and of what is inside it, by their dotted names."""
    tensors = {}
    for prefix, inside in module.named_modules():
        held = {**inside._parameters, **inside._buffers, **vars(inside)}
        for name, value in held.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{prefix}.{name}" if prefix else name] = value
    return tensors


def is_shape(node: Any, of: fx.Node | None = None) -> bool:
    """Whether a step is ``x.shape`` or ``x.size()``, of the given tensor."""
    if not isinstance(node, fx.Node) or len(node.all_input_nodes) != 1:
        return False
    if of is not None and node.args[0] is not of:
        return False
    if node.op == "call_method":
        return node.target == "size" and len(node.args) == 1
    return node.target is getattr and node.args[1] == "shape"


def is_size(node: Any, of: fx.Node, axis: int) -> bool:
    """Whether a step is ``x.shape[axis]`` or ``x.size(axis)`` of the given tensor."""
    if not isinstance(node, fx.Node) or len(node.args) != 2 or node.args[1] != axis:
        return False
    if node.op == "call_method":
        return node.target == "size" and node.args[0] is of
    return _is_getitem(node) and is_shape(node.args[0], of)


def rest_of_shape(node: Any) -> tuple[fx.Node, int] | None:
    """Tensor x and first axis k of a step that stands for ``*x.shape[k:]``."""
    if not isinstance(node, fx.Node) or node.target is not all_sizes:
        return None
    sizes: Any = node.args[0]
    if is_shape(sizes):
        return sizes.args[0], 0
    return sizes.args[0].args[0], sizes.args[1].start


def _is_rest_of_shape(node: Any) -> bool:
    if not _is_getitem(node) or not is_shape(node.args[0]):
        return False
    part = node.args[1]
    return (
        isinstance(part, slice)
        and isinstance(part.start, int)
        and part.start >= 0
        and part.stop is None
        and part.step is None
    )


def _is_getitem(node: Any) -> bool:
    return (
        isinstance(node, fx.Node)
        and node.op == "call_function"
        and getattr(node.target, "__name__", "") == "getitem"
    )
