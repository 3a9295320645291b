"""The PE maps that have a name: one entry makes a map known everywhere.

Text, help, what is permuted and geometry of a map stand together in one `MapKind`. The
maps that come with the package are registered in `layouts`, those of a user by
`register_map`; nothing else in the packages lists maps.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy.typing as npt

from balancer.errors import BalancerError
from balancer.maps.labels import labelled
from balancer.maps.layout import LayerShape, Layout

Labels: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike]
"""Group and PE of every weight, as `PEMap.from_labels` takes them."""


@dataclass(frozen=True, slots=True)
class MapKind:
    """Everything that is known of a PE map that has a name.

    Attributes
    ----------
    spec : str
        Its text, with the numbers that it takes in braces: ``grid:{rows}x{cols}``.
    help : str
        What it means, in a few words.
    cut : callable
        Cuts a `LayerShape`; takes the PEs, if the array says how many there are, and
        the numbers of the text, by name.
    order_axis : int or None
        Axis of the weights along which an order decides what shares a group or PE.
    prescribes_loads : bool
        The text says how many weights every PE keeps, so it is a pattern of masks; the
        array that runs it is described by another map.
    takes_pes : bool
        The PEs of the array are said beside the text.
    """

    spec: str
    help: str
    cut: Callable[..., Layout]
    order_axis: int | None = None
    prescribes_loads: bool = False
    takes_pes: bool = field(init=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", self.spec)
        takes_pes = "pes" in inspect.signature(self.cut).parameters
        # A frozen dataclass sets what it derives through its base.
        object.__setattr__(self, "takes_pes", takes_pes)
        object.__setattr__(self, "_pattern", re.compile(pattern))

    @property
    def shown(self) -> str:
        """The text for a reader: ``grid:RxC``."""
        return re.sub(r"\{(\w)\w*\}", lambda found: found[1].upper(), self.spec)

    def numbers(self, text: str) -> dict[str, int] | None:
        """Read the numbers of a text; None if it names another map."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        return {name: int(number) for name, number in found.groupdict().items()}


_KINDS: list[MapKind] = []


def map_kind(
    spec: str,
    help: str,
    *,
    order_axis: int | None = None,
    prescribes_loads: bool = False,
) -> Callable[[Callable[..., Layout]], Callable[..., Layout]]:
    """Make a function that cuts layers known as a PE map; see `MapKind`."""

    def register(cut: Callable[..., Layout]) -> Callable[..., Layout]:
        _KINDS.append(MapKind(spec, help, cut, order_axis, prescribes_loads))
        return cut

    return register


def register_map(
    name: str,
    labels: Callable[[tuple[int, ...], int], Labels],
    help: str = "a map of your own",
) -> None:
    """Give a name to a PE map of your own.

    `PEMap.parse`, `balance_network`, accelerators and lottery runs of this process then
    know it as they know those that come with the package.

    Parameters
    ----------
    name : str
        What it is called: letters, digits and underscores.
    labels : callable
        Takes the shape of the weights and the number of PEs; returns group and PE of
        every weight, as `PEMap.from_labels` takes them.
    help : str
        What it means, in a few words.

    Raises
    ------
    BalancerError
        A name that is taken or no name.

    Examples
    --------
    Every PE takes every P-th input channel, one output channel after another:

    >>> import numpy as np
    >>> from balancer import PEMap, register_map
    >>> def dealt(shape, pes):
    ...     channel, row = np.indices(shape)[:2]
    ...     return channel, row % pes
    >>> register_map("dealt_inputs", dealt)
    >>> PEMap.parse("dealt_inputs", (32, 64, 3, 3), pes=16).groups
    32
    """
    if not re.fullmatch(r"[a-z]\w*", name):
        raise BalancerError(
            f"map name {name!r}: a lower-case letter, then letters, digits and "
            "underscores are needed"
        )
    if any(kind.numbers(name) is not None for kind in _KINDS):
        raise BalancerError(f"a PE map named {name!r} exists already")

    def cut(layer: LayerShape, pes: int) -> Layout:
        return labelled(*labels(layer.shape, pes), pes=pes, shape=layer.shape)[1]

    _KINDS.append(MapKind(name, help, cut))


def map_kinds() -> tuple[MapKind, ...]:
    """All PE maps that have a name, in the order in which they were registered.

    Examples
    --------
    >>> from balancer import map_kinds
    >>> [kind.shown for kind in map_kinds()][:3]
    ['output_channel', 'input_channel', 'interleaved']
    """
    return tuple(_KINDS)


def find_kind(spec: str) -> tuple[MapKind, dict[str, int]]:
    """Find the map that a text names, and the numbers in the text.

    Raises
    ------
    BalancerError
        A text that names no map.
    """
    text = spec.strip().lower().replace("-", "_")
    for kind in _KINDS:
        numbers = kind.numbers(text)
        if numbers is not None:
            return kind, numbers
    accepted = ", ".join(kind.shown for kind in _KINDS)
    raise BalancerError(f"unknown PE map {spec!r}; accepted: {accepted}")
