"""One step of a network, and what happens to axes in modules and functions alike."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import fx

from snn.channels.bindings import Bindings, NotUnderstoodError
from snn.channels.space import Channels


class Other(enum.Enum):
    """Values without channels that could be renumbered."""

    PLAIN = "a number, the same for all the channels"
    OPAQUE = "a tensor whose numbering must stay"


Value = Channels | Other


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


def pooled(x: Channels, pixel_axes: int, where: str) -> Channels:
    """Join the pixels of every channel."""
    if x.axis != pixel_axes + 1:
        raise NotUnderstoodError(f"{where} pools other axes than the pixels'")
    return x


def flattened(x: Channels, start: int, end: int, where: str) -> Channels:
    """Join the axes from `start` to `end` into one."""
    first, last = from_end(start, x, where), from_end(end, x, where)
    rank = plus(x.rank, last - first)
    if first < x.axis:
        return replace(x, axis=x.axis - (first - last), rank=rank)
    if first == x.axis:
        return replace(x, axis=last, rank=rank, flattened=x.flattened or first > last)
    if last > x.axis:
        return replace(x, rank=rank)
    raise NotUnderstoodError(f"{where} joins the channels with the axes in front")


def from_end(dim: int, x: Channels, where: str) -> int:
    """Count an axis from the end, from 1."""
    if dim < 0:
        return -dim
    if x.rank is not None:
        return x.rank - dim
    if dim == 0:  # a batch is in front, however many axes there are
        return x.axis + 1
    raise NotUnderstoodError(f"{where} counts axes of a tensor whose rank is not known")


def plus(rank: int | None, change: int) -> int | None:
    """Change a rank, if it is known."""
    return None if rank is None else rank + change
