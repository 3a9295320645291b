"""What modules do to channel spaces: which of their tensors count which channels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from snn.channels.space import Channels, Space, TensorAxis
from snn.channels.trace import tensors_of


class NotUnderstoodError(Exception):
    """A step through which channels cannot be followed; the text says why."""


@dataclass(frozen=True, slots=True)
class LayerChannels:
    """The channels that a convolution or linear layer reads and writes.

    Attributes
    ----------
    outputs : Space
        Its output channels.
    inputs : Space or None
        What its second axis counts; None where the layer is depthwise.
    inner : int
        Weights in a row for one input channel: its pixels, where it was flattened.
    """

    outputs: Space
    inputs: Space | None
    inner: int = 1


class Bindings:
    """The tensors of a network, bound to the channel spaces that they count.

    A tensor that is used twice, by one module called twice or by two modules, binds the
    channels of both uses together.
    """

    def __init__(self, root: nn.Module) -> None:
        self.layers: dict[str, LayerChannels] = {}
        self._names: dict[int, list[str]] = defaultdict(list)
        for name, tensor in tensors_of(root).items():
            self._names[id(tensor)].append(name)
        self._bound: dict[tuple[str, int], tuple[Space, int]] = {}
        self._handled: set[str] = set()
        self._fixed: dict[str, str] = {}

    def bind_layer(self, name: str, module: Any, layer: LayerChannels) -> None:
        """Bind weights, biases, and whatever has their shapes, as masks do."""
        weight: torch.Tensor = module.weight
        tensors = tensors_of(module)
        for local, tensor in tensors.items():
            fits = tensor.shape in (weight.shape, weight.shape[:1])
            if not fits and tensor.numel() != 1:
                raise NotUnderstoodError(
                    f"{name} has a tensor {local} of shape {tuple(tensor.shape)}, "
                    "neither that of its weights nor that of its bias"
                )
        for local, tensor in tensors.items():
            if tensor.shape in (weight.shape, weight.shape[:1]):
                self._bind(f"{name}.{local}", tensor, 0, layer.outputs, 1)
            if tensor.shape == weight.shape and layer.inputs is not None:
                self._bind(f"{name}.{local}", tensor, 1, layer.inputs, layer.inner)
        if name in self.layers:
            layer.outputs.merge(self.layers[name].outputs, f"{name}, called twice,")
        self.layers[name] = layer

    def bind_vectors(self, name: str, module: nn.Module, x: Channels) -> None:
        """Bind the tensors of a module that has one entry for each channel."""
        for local, tensor in tensors_of(module).items():
            if tensor.numel() == 1:
                continue
            inner = x.inner(len(tensor)) if tensor.ndim == 1 else None
            if inner is None:
                raise _misfit(name, local, tensor)
            self._bind(f"{name}.{local}", tensor, 0, x.space, inner)

    def bind_broadcast(self, name: str, module: nn.Module, x: Channels) -> None:
        """Bind the tensors of a module that broadcasts them against its input."""
        for local, tensor in tensors_of(module).items():
            if tensor.ndim < x.axis or tensor.shape[-x.axis] == 1:
                continue
            inner = x.inner(tensor.shape[-x.axis])
            if inner is None:
                raise _misfit(name, local, tensor)
            axis = tensor.ndim - x.axis
            self._bind(f"{name}.{local}", tensor, axis, x.space, inner)

    def fix_tensors(self, name: str, module: nn.Module, reason: str) -> None:
        """Forbid to permute the tensors of a module, now and in its other calls."""
        for local, tensor in tensors_of(module).items():
            self._handled.add(f"{name}.{local}")
            self.fix_tensor(tensor, reason)

    def fix_tensor(self, tensor: torch.Tensor, reason: str) -> None:
        """Forbid to permute one tensor of the network."""
        for name in self._names.get(id(tensor), ()):
            self._fixed[name] = reason

    def settle(self) -> None:
        """Fix the spaces of tensors that are also used where nothing was understood."""
        for names in self._names.values():
            strangers = [name for name in names if name not in self._handled]
            for (tensor, _), (space, _) in self._bound.items():
                if tensor not in names:
                    continue
                if tensor in self._fixed:
                    space.fix(self._fixed[tensor])
                elif strangers:
                    space.fix(f"{tensor} is also {strangers[0]}, out of reach")

    def _bind(
        self, name: str, tensor: torch.Tensor, axis: int, space: Space, inner: int
    ) -> None:
        self._handled.add(name)
        first = self._names[id(tensor)][0]
        earlier, earlier_inner = self._bound.setdefault((first, axis), (space, inner))
        if inner != earlier_inner:
            reason = f"{name} is used with {earlier_inner} and {inner} pixels a channel"
            space.fix(reason)
            earlier.fix(reason)
        space.merge(earlier, f"the shared tensor {name}")
        bound = TensorAxis(first, axis, inner)
        if bound not in space.root().axes:
            space.root().axes.append(bound)


def _misfit(name: str, local: str, tensor: torch.Tensor) -> NotUnderstoodError:
    return NotUnderstoodError(
        f"{name} has a tensor {local} of shape {tuple(tensor.shape)}, which does not "
        "count its channels"
    )
