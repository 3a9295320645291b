"""What is known of a PE map that has a name: one entry makes it known everywhere.

Text, help, what is permuted and geometry of a map stand together in one `MapKind`. The
maps that come with the package are those of `layouts`, those of a user come by
`registry.register_map`; nothing else in the packages lists maps.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from balancer.maps.layout import Layout


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
    pes : int or None
        PEs of the array, where a map of your own says them.
    finds_order : bool
        Which channels an order may permute is found layer by layer, from the labels.
    function : callable or None
        What a user registered, for those who must tell two of one name apart.
    takes_pes : bool
        The PEs of the array are said beside the text.
    """

    spec: str
    help: str
    cut: Callable[..., Layout]
    order_axis: int | None = None
    prescribes_loads: bool = False
    pes: int | None = None
    finds_order: bool = False
    function: Callable[..., Any] | None = None
    takes_pes: bool = field(init=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pieces = re.split(r"\{(\w+)\}", self.spec)
        pieces[::2] = map(re.escape, pieces[::2])
        pieces[1::2] = (rf"(?P<{name}>\d+)" for name in pieces[1::2])
        takes_pes = "pes" in inspect.signature(self.cut).parameters
        # A frozen dataclass sets what it derives through its base.
        object.__setattr__(self, "takes_pes", takes_pes)
        object.__setattr__(self, "_pattern", re.compile("".join(pieces)))

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


KINDS: list[MapKind] = []
"""All of them; read them from `registry`, which knows that they are complete."""


def map_kind(
    spec: str,
    help: str,
    *,
    order_axis: int | None = None,
    prescribes_loads: bool = False,
) -> Callable[[Callable[..., Layout]], Callable[..., Layout]]:
    """Make a function that cuts layers known as a PE map; see `MapKind`."""

    def register(cut: Callable[..., Layout]) -> Callable[..., Layout]:
        KINDS.append(MapKind(spec, help, cut, order_axis, prescribes_loads))
        return cut

    return register
