"""How the functions and methods of torch treat the channels of their inputs.

The rules are of the same kind as those of modules.
"""

from __future__ import annotations

import operator
import re
from dataclasses import replace
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from snn.channels.bindings import Bindings, NotUnderstoodError
from snn.channels.space import Channels
from snn.channels.steps import (
    Call,
    Other,
    Rule,
    Value,
    flattened,
    from_end,
    plus,
    pooled,
)
from snn.channels.trace import is_size, rest_of_shape


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
    return replace(x, rank=plus(x.rank, 1))


def flatten(bindings: Bindings, call: Call) -> Value:
    """Flattening gives every channel its pixels in a row."""
    _, x = call.first()
    start, end = call.argument(1, "start_dim", 0), call.argument(2, "end_dim", -1)
    return flattened(x, start, end, call.where)


def reduce(bindings: Bindings, call: Call) -> Value:
    """Means and sums over other axes than the channels' keep them."""
    _, x = call.first()
    dims, keep = call.argument(1, "dim", None), call.argument(2, "keepdim", False)
    dims = [dims] if isinstance(dims, int) else dims
    if not dims or not all(isinstance(dim, int) for dim in dims):
        raise NotUnderstoodError(f"{call.where} reduces axes that are not known")
    ends = {from_end(dim, x, call.where) for dim in dims}
    if x.axis in ends:
        raise NotUnderstoodError(f"{call.where} joins the channels")
    if keep:
        return x
    behind = sum(end < x.axis for end in ends)
    return replace(x, axis=x.axis - behind, rank=plus(x.rank, -len(ends)))


def index(bindings: Bindings, call: Call) -> Value:
    """One time step is taken, or one example."""
    _, x = call.first()
    if not isinstance(call.node.args[1], int) or x.rank == x.axis:
        raise NotUnderstoodError(f"{call.where} selects in a way that is not known")
    return replace(x, rank=plus(x.rank, -1))


def unsqueeze(bindings: Bindings, call: Call) -> Value:
    """Channels are not moved by a new axis in front of them."""
    _, x = call.first()
    dim = call.argument(1, "dim", None)
    if not isinstance(dim, int) or (dim != 0 and not _in_front(dim - 1, x)):
        raise NotUnderstoodError(f"{call.where} puts an axis behind the channels")
    return replace(x, rank=plus(x.rank, 1))


def unflatten(bindings: Bindings, call: Call) -> Value:
    """Channels are not moved when an axis in front of them is split."""
    _, x = call.first()
    dim, sizes = call.argument(1, "dim", None), call.argument(2, "sizes", None)
    known = isinstance(dim, int) and isinstance(sizes, (list, tuple))
    if not known or not _in_front(dim, x):
        raise NotUnderstoodError(f"{call.where} splits an axis that is not known")
    return replace(x, rank=plus(x.rank, len(sizes) - 1))


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
    return flattened(x, lead, -1, call.where)


def functional_pool(bindings: Bindings, call: Call) -> Value:
    """Pool as the modules do."""
    _, x = call.first()
    options = (*call.node.args[1:], call.node.kwargs.get("return_indices"))
    # A `True` without a name may ask for indices too.
    if any(option is True for option in options):
        raise NotUnderstoodError(f"{call.where} may return indices")
    return pooled(x, int(str(name_of(call.node))[-2]), call.where)


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
    "unflatten": unflatten,
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
    return plus(known, len(sizes) - 1 - skipped)


def _in_front(dim: int, x: Channels) -> bool:
    # A batch is in front of the channels, however many axes there are.
    return dim == 0 or (x.rank is not None and 0 < dim < x.rank - x.axis)
