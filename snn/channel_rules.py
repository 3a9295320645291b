"""How each kind of step in a network treats the channels of its input.

A rule takes the bindings and a `Call`, and returns the value of the step. What no rule
is sure about raises `NotUnderstoodError`; the channels then keep their numbers.
"""

from __future__ import annotations

import enum
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from snn.channel_bindings import Bindings, LayerChannels, NotUnderstoodError
from snn.channel_space import Channels, Space
from snn.channel_trace import is_size, rest_of_shape


class Other(enum.Enum):
    """Values without channels that could be renumbered."""

    PLAIN = "a number, the same for all the channels"
    OPAQUE = "a tensor whose numbering must stay"


Value = Channels | Other

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True, slots=True)
class Call:
    """One step of a network.

    Attributes
    ----------
    node : Node
        The step in the graph.
    where : str
        What to call it in a reason.
    inputs : dict of Node to Value
        What goes in.
    values : dict of Node to Value
        The values of all earlier steps.
    module : Module or None
        What is called, if it is a module.
    """

    node: fx.Node
    where: str
    inputs: dict[fx.Node, Value]
    values: dict[fx.Node, Value]
    module: Any = None

    def single(self) -> Channels:
        """Channels of the only tensor that goes in."""
        values = list(self.inputs.values())
        if len(values) == 1 and isinstance(values[0], Channels):
            return values[0]
        raise NotUnderstoodError(f"{self.where} has more than one input")

    def first(self) -> tuple[fx.Node, Channels]:
        """Step and channels of the first argument; the others are plain."""
        node = self.node.args[0] if self.node.args else None
        value = self.inputs.get(node) if isinstance(node, fx.Node) else None
        others = [v for n, v in self.inputs.items() if n is not node]
        if isinstance(value, Channels) and all(v is Other.PLAIN for v in others):
            assert isinstance(node, fx.Node)
            return node, value
        raise NotUnderstoodError(f"{self.where} mixes several tensors")

    def argument(self, position: int, name: str, default: Any) -> Any:
        """Return an argument, given by position or by name."""
        if len(self.node.args) > position:
            return self.node.args[position]
        return self.node.kwargs.get(name, default)

    @property
    def multi_step(self) -> int:
        """Axes of time in front of the batch: 1 for a module in step mode m."""
        return int(getattr(self.module, "step_mode", "s") == "m")


Rule = Callable[[Bindings, Call], Value]


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
    return _pooled(call.single(), int(type(call.module).__name__[-2]), call.where)


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
    return _flattened(call.single(), start, end, call.where)


# Modules of spikingjelly whose state and parameters belong to one channel each. They
# are known by name, so that plain torch networks need no spikingjelly.
_SPIKING = frozenset(
    (
        *("IFNode", "LIFNode", "ParametricLIFNode", "KLIFNode", "QIFNode", "EIFNode"),
        *("IzhikevichNode", "SimpleIFNode", "SimpleLIFNode", "CUBALIFNode"),
        *("NonSpikingIFNode", "NonSpikingLIFNode", "ILIFNode", "HalfThresholdIFNode"),
        *("Dropout", "Dropout2d"),
    )
)

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
    ours = kind.__module__.startswith("spikingjelly.activation_based.")
    return broadcast if ours and kind.__name__ in _SPIKING else None


def combine(bindings: Bindings, call: Call) -> Value:
    """Elementwise steps make the channels of all their inputs one."""
    if Other.OPAQUE in call.inputs.values():
        raise NotUnderstoodError(f"{call.where} takes a tensor of fixed numbering")
    first, *others = (x for x in call.inputs.values() if isinstance(x, Channels))
    rank = first.rank
    for x in others:
        if (x.axis, x.flattened) != (first.axis, first.flattened):
            raise NotUnderstoodError(f"{call.where} joins channels on different axes")
        first.space.merge(x.space, call.where)
        rank = None if rank is None or x.rank is None else max(rank, x.rank)
    return replace(first, rank=rank)


def stack(bindings: Bindings, call: Call) -> Value:
    """Stacking in front of all other axes leaves the channels where they are."""
    if call.argument(1, "dim", 0) != 0:
        raise NotUnderstoodError(f"{call.where} puts an axis among the others")
    x = combine(bindings, call)
    assert isinstance(x, Channels)
    return replace(x, rank=_plus(x.rank, 1))


def flatten(bindings: Bindings, call: Call) -> Value:
    """Flattening gives every channel its pixels in a row."""
    _, x = call.first()
    start, end = call.argument(1, "start_dim", 0), call.argument(2, "end_dim", -1)
    return _flattened(x, start, end, call.where)


def reduce(bindings: Bindings, call: Call) -> Value:
    """Means and sums over other axes than the channels' keep them."""
    _, x = call.first()
    dims, keep = call.argument(1, "dim", None), call.argument(2, "keepdim", False)
    dims = [dims] if isinstance(dims, int) else dims
    if not dims or not all(isinstance(dim, int) for dim in dims):
        raise NotUnderstoodError(f"{call.where} reduces axes that are not known")
    ends = {_from_end(dim, x, call.where) for dim in dims}
    if x.axis in ends:
        raise NotUnderstoodError(f"{call.where} joins the channels")
    if keep:
        return x
    behind = sum(end < x.axis for end in ends)
    return replace(x, axis=x.axis - behind, rank=_plus(x.rank, -len(ends)))


def index(bindings: Bindings, call: Call) -> Value:
    """One time step is taken, or one example."""
    _, x = call.first()
    if not isinstance(call.node.args[1], int) or x.rank == x.axis:
        raise NotUnderstoodError(f"{call.where} selects in a way that is not known")
    return replace(x, rank=_plus(x.rank, -1))


def unsqueeze(bindings: Bindings, call: Call) -> Value:
    """Channels are not moved by a new axis in front of them."""
    _, x = call.first()
    dim = call.argument(1, "dim", None)
    if not isinstance(dim, int) or (dim != 0 and not _in_front(dim - 1, x)):
        raise NotUnderstoodError(f"{call.where} puts an axis behind the channels")
    return replace(x, rank=_plus(x.rank, 1))


def expand(bindings: Bindings, call: Call) -> Value:
    """When a tensor is expanded, its axes keep their places from the end."""
    _, x = call.first()
    sizes = _sizes(call)
    return replace(x, rank=_length(call, sizes))


def repeat(bindings: Bindings, call: Call) -> Value:
    """When a tensor is repeated over time, every channel is copied to itself."""
    _, x = call.first()
    sizes = _sizes(call)
    rank = _length(call, sizes)
    if rank is None or sizes[-x.axis :][:1] != (1,):
        raise NotUnderstoodError(f"{call.where} may repeat channels")
    return replace(x, rank=rank)


def reshape(bindings: Bindings, call: Call) -> Value:
    """Two forms are known: other axes in front, and everything behind flattened."""
    node, x = call.first()
    sizes = _sizes(call)
    rest = rest_of_shape(sizes[-1])
    if rest and rest[0] is node and (not rest[1] or _in_front(rest[1] - 1, x)):
        return replace(x, rank=_length(call, sizes))
    lead = len(sizes) - 1
    kept = all(is_size(size, node, axis) for axis, size in enumerate(sizes[:-1]))
    if x.rank is None or x.rank - x.axis != lead or not kept or sizes[-1] != -1:
        raise NotUnderstoodError(f"{call.where} reshapes in a way that is not known")
    return _flattened(x, lead, -1, call.where)


def functional_pool(bindings: Bindings, call: Call) -> Value:
    """Pool as the modules do."""
    _, x = call.first()
    return _pooled(x, int(str(name_of(call.node))[-2]), call.where)


_ELEMENTWISE = (
    "add sub mul div truediv maximum minimum neg abs pow exp sqrt square clamp sign "
    "lt le gt ge eq ne and_ or_ xor iadd isub imul itruediv logical_and logical_or "
    "logical_not add_ sub_ mul_ div_ relu relu_ relu6 leaky_relu elu gelu silu "
    "sigmoid tanh hardtanh hardswish softplus dropout dropout2d contiguous clone "
    "detach float half double bfloat16 to type"
)
_FUNCTIONS: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), combine),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), reduce),
    **dict.fromkeys(("view", "reshape"), reshape),
    "expand": expand,
    "flatten": flatten,
    "getitem": index,
    "repeat": repeat,
    "stack": stack,
    "unsqueeze": unsqueeze,
}


def name_of(node: fx.Node) -> str | None:
    """Name of a function or method of torch; None for anybody else's."""
    if isinstance(node.target, str):
        return node.target
    name = getattr(node.target, "__name__", "")
    homes = (operator, torch, functional)
    known = any(getattr(home, name, None) is node.target for home in homes)
    return name if known else None


def rule_of_function(node: fx.Node) -> Rule | None:
    """Find the rule of a function or method of torch."""
    name = name_of(node)
    if name and re.fullmatch(r"(adaptive_)?(max|avg)_pool[123]d", name):
        return functional_pool
    return _FUNCTIONS.get(name or "")


def _check_axis(call: Call, x: Channels) -> None:
    # Without a known rank the input is taken to be what its layers are made for.
    if x.rank is not None and x.rank - x.axis != 1 + call.multi_step:
        raise NotUnderstoodError(
            f"{call.where} works on another axis than the channels'"
        )


def _pooled(x: Channels, pixel_axes: int, where: str) -> Channels:
    if x.axis != pixel_axes + 1:
        raise NotUnderstoodError(f"{where} pools other axes than the pixels'")
    return x


def _flattened(x: Channels, start: int, end: int, where: str) -> Channels:
    first, last = _from_end(start, x, where), _from_end(end, x, where)
    rank = _plus(x.rank, last - first)
    if first < x.axis:
        return replace(x, axis=x.axis - (first - last), rank=rank)
    if first == x.axis:
        return replace(x, axis=last, rank=rank, flattened=x.flattened or first > last)
    if last > x.axis:
        return replace(x, rank=rank)
    raise NotUnderstoodError(f"{where} joins the channels with the axes in front")


def _from_end(dim: int, x: Channels, where: str) -> int:
    if dim < 0:
        return -dim
    if x.rank is not None:
        return x.rank - dim
    if dim == 0:  # a batch is in front, however many axes there are
        return x.axis + 1
    raise NotUnderstoodError(f"{where} counts axes of a tensor whose rank is not known")


def _sizes(call: Call) -> tuple[Any, ...]:
    sizes = call.node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
        return tuple(sizes[0])
    return tuple(sizes)


def _length(call: Call, sizes: tuple[Any, ...]) -> int | None:
    # The number of axes that sizes stand for, where the last ones may be ``*y.shape``.
    rests = [rest_of_shape(size) for size in sizes]
    if not any(rests):
        return len(sizes)
    if any(rests[:-1]) or rests[-1] is None:
        return None
    node, skipped = rests[-1]
    y = call.values[node]
    known = y.rank if isinstance(y, Channels) else None
    return _plus(known, len(sizes) - 1 - skipped)


def _in_front(dim: int, x: Channels) -> bool:
    # A batch is in front of the channels, however many axes there are.
    return dim == 0 or (x.rank is not None and 0 < dim < x.rank - x.axis)


def _plus(rank: int | None, change: int) -> int | None:
    return None if rank is None else rank + change
