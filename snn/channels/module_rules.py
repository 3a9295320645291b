"""How the modules of torch and spikingjelly treat the channels of their input.

A rule takes the bindings and a `Call`, and returns the value of the step. What no rule
is sure about raises `NotUnderstoodError`; the channels then keep their numbers.
"""

from __future__ import annotations

import enum

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from snn.channels.bindings import Bindings, LayerChannels, NotUnderstoodError
from snn.channels.space import Channels, Space
from snn.channels.steps import Call, Rule, Value, flattened, pooled

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def layer(bindings: Bindings, call: Call) -> Value:
    """Convolutions and linear layers number their output channels anew."""
    module, name = call.module, call.where
    weight: torch.Tensor = module.weight
    groups = getattr(module, "groups", 1)
    axis = weight.ndim - 1
    outputs, features = weight.shape[0], weight.shape[1] * groups
    (x,) = call.inputs.values()
    if isinstance(x, Channels):
        inner = x.inner(features) if x.axis == axis else None
        if inner is None:
            raise NotUnderstoodError(f"{name} reads another axis than the channels'")
        source = x.space
    else:
        inner = 1
        source = Space(features, f"{name} reads a tensor whose numbering must stay")
    rank = x.rank if isinstance(x, Channels) else None
    if weight.ndim > 2:
        rank = axis + 1 + call.multi_step
    if groups == 1:
        made = LayerChannels(Space(outputs), source, inner)
    elif groups == features == outputs and inner == 1:
        made = LayerChannels(source, None)
    else:
        raise NotUnderstoodError(f"{name} joins its channels in {groups} groups")
    bindings.bind_layer(name, module, made)
    return Channels(made.outputs, axis, rank)


def norm(bindings: Bindings, call: Call) -> Value:
    """Where every channel is normalized for itself, it has one entry in each vector."""
    x = call.single()
    _check_axis(call, x)
    bindings.bind_vectors(call.where, call.module, x)
    return x


def group_norm(bindings: Bindings, call: Call) -> Value:
    """One group of all channels, or one for each, does not depend on their order."""
    groups, channels = call.module.num_groups, call.module.num_channels
    if groups not in (1, channels):
        raise NotUnderstoodError(f"{call.where} joins its channels in {groups} groups")
    return norm(bindings, call)


def broadcast(bindings: Bindings, call: Call) -> Value:
    """Elementwise modules broadcast their parameters against their input."""
    x = call.single()
    bindings.bind_broadcast(call.where, call.module, x)
    return x


def pool(bindings: Bindings, call: Call) -> Value:
    """Pooling joins the pixels of one channel."""
    if getattr(call.module, "return_indices", False):
        raise NotUnderstoodError(f"{call.where} returns indices")
    return pooled(call.single(), int(type(call.module).__name__[-2]), call.where)


def upsample(bindings: Bindings, call: Call) -> Value:
    """Interpolation works on the pixels of one channel."""
    x = call.single()
    _check_axis(call, x)
    return x


def flatten_module(bindings: Bindings, call: Call) -> Value:
    """Multi-step modules see time and batch as one axis."""
    start, end = (
        dim + call.multi_step if dim >= 0 else dim
        for dim in (call.module.start_dim, call.module.end_dim)
    )
    return flattened(call.single(), start, end, call.where)


# Modules of spikingjelly whose state and parameters belong to one channel each. They
# are known by name, so that plain torch networks need no spikingjelly.
_SPIKING = frozenset(
    (
        *("IFNode", "LIFNode", "ParametricLIFNode", "KLIFNode", "QIFNode", "EIFNode"),
        *("IzhikevichNode", "SimpleIFNode", "SimpleLIFNode", "CUBALIFNode"),
        *("NonSpikingIFNode", "NonSpikingLIFNode", "ILIFNode", "HalfThresholdIFNode"),
        *("Dropout", "Dropout2d"),
        "FusedLIF",  # of this package
    )
)
_HOMES = ("spikingjelly.activation_based.", "snn.networks.neurons")

_MODULES: tuple[tuple[tuple[type[nn.Module], ...], Rule], ...] = (
    (LAYERS, layer),
    ((_BatchNorm, _InstanceNorm, nn.PReLU), norm),
    ((nn.GroupNorm,), group_norm),
    ((nn.LayerNorm, nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU), broadcast),
    ((nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish), broadcast),
    ((nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Hardtanh), broadcast),
    ((nn.Hardswish, nn.Hardsigmoid, _DropoutNd), broadcast),
    ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), pool),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), pool),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), pool),
    ((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), pool),
    ((nn.Upsample,), upsample),
    ((nn.Flatten,), flatten_module),
)


def rule_of_module(module: nn.Module) -> Rule | None:
    """Find the rule of a module of torch or spikingjelly."""
    for kinds, rule in _MODULES:
        if isinstance(module, kinds):
            return rule
    kind = type(module)
    known = kind.__module__.startswith(_HOMES) and kind.__name__ in _SPIKING
    return broadcast if known else None


class Treatment(enum.Enum):
    """What a module does with the paths that go through it."""

    LAYER = "its weights say what reads what"
    ENTRYWISE = "every entry of the output comes from one of the input"
    PLACES = "entries are moved, or joined as its forward pass says"
    CONTAINER = "its parts are modules of their own"
    UNKNOWN = "anything may depend on anything"


_MOVES = (nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle)
_WEIGHTED = (*LAYERS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def treatment_of(module: nn.Module) -> Treatment:
    """Say what a module does with the paths that go through it."""
    if isinstance(module, _WEIGHTED):
        return Treatment.LAYER
    rule = rule_of_module(module)
    if rule in (norm, group_norm, broadcast):
        return Treatment.ENTRYWISE
    if rule is not None or isinstance(module, _MOVES):
        return Treatment.PLACES
    if isinstance(module, nn.MultiheadAttention):
        return Treatment.UNKNOWN
    return Treatment.CONTAINER if list(module.children()) else Treatment.UNKNOWN


def _check_axis(call: Call, x: Channels) -> None:
    # Without a known rank the input is taken to be what its layers are made for.
    if x.rank is not None and x.rank - x.axis != 1 + call.multi_step:
        raise NotUnderstoodError(
            f"{call.where} works on another axis than the channels'"
        )
