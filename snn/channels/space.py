"""Channel spaces: the sets of channels that one permutation may renumber."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TensorAxis:
    """One axis of one tensor that counts the channels of a space.

    Attributes
    ----------
    tensor : str
        Dotted name of a parameter, buffer or tensor attribute of the network.
    axis : int
        The axis, counted from the front.
    inner : int
        Consecutive entries of one channel: the pixels that a flattened channel has.
    """

    tensor: str
    axis: int
    inner: int = 1


@dataclass(eq=False)
class Space:
    """Channels which are numbered together.

    Spaces that turn out to be one are merged; `root` is what stands for all of them.

    Attributes
    ----------
    channels : int
        How many there are.
    fixed : str or None
        Why they cannot be renumbered; None where they can.
    axes : list of TensorAxis
        Everything that a renumbering has to permute.
    """

    channels: int
    fixed: str | None = None
    axes: list[TensorAxis] = field(default_factory=list)
    _parent: Space | None = None

    def root(self) -> Space:
        """Find the space that stands for all that were merged with this one."""
        space = self
        while space._parent is not None:
            space = space._parent
        return space

    def fix(self, reason: str) -> None:
        """Forbid renumbering; the first reason is the one that is told."""
        root = self.root()
        root.fixed = root.fixed or reason

    def merge(self, other: Space, where: str) -> None:
        """Make two spaces one; `where` says what joined them."""
        one, two = self.root(), other.root()
        if one is two:
            return
        if one.channels != two.channels:
            reason = f"{where} joins {one.channels} with {two.channels} channels"
            one.fix(reason)
            two.fix(reason)
            return
        two._parent = one
        one.fixed = one.fixed or two.fixed
        one.axes += [axis for axis in two.axes if axis not in one.axes]


@dataclass(frozen=True, slots=True)
class Channels:
    """Where a tensor of the network has the channels of a space.

    Attributes
    ----------
    space : Space
        The channels.
    axis : int
        Their axis, counted from the end, from 1: batches and time steps in front of it
        do not move it.
    rank : int or None
        Number of axes, where it is known.
    flattened : bool
        The axis holds every channel's pixels one after the other.
    """

    space: Space
    axis: int
    rank: int | None
    flattened: bool = False

    def inner(self, size: int) -> int | None:
        """Entries of one channel on an axis of `size`; None if they do not fit."""
        channels = self.space.channels
        if size == channels or (self.flattened and size and size % channels == 0):
            return size // channels
        return None
