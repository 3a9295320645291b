"""How things look in every figure: one colour for each method, part and series.

Colours are Okabe and Ito's, which everybody can tell apart, without their yellow, which
is too light for lines. Markers, dashes and hatches say the same without colours.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLACK, GREY = "#000000", "#777777"
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
VERMILION, ORANGE, PURPLE = "#D55E00", "#E69F00", "#CC79A7"

COLORS = (BLACK, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # of the colours, in their order
DASHES = ("-", "--", ":", "-.")
MOST_MARKERS = 2 * len(MARKERS)  # without lines, filled and hollow ones
METHODS = {
    "lth": BLACK,
    "lth-sorted": GREY,
    "u-ticket": VERMILION,
    "u-ticket-code": ORANGE,
    "topk-per-pe": PURPLE,
    "optimal": BLUE,
    "optimal-order": GREEN,
    "latency": SKY,
}
# After balancing; what PEs wait for, and what takes energy.
AFTER = BLUE
WAITING = "#8a8a8a"
TIMES = {
    "busy": (BLUE, ""),
    "gated": (ORANGE, "//"),
    "idle": (VERMILION, ".."),
    "structural": (GREY, "xx"),
    "stalled": (PURPLE, "\\\\"),
}
ENERGIES = {
    "dram": (PURPLE, "\\\\"),
    "weight_buffer": (BLUE, ""),
    "input_buffer": (SKY, "//"),
    "output_buffer": (GREEN, ""),
    "accumulate": (ORANGE, ""),
    "mac": (ORANGE, "xx"),
    "scratchpad": (GREEN, "//"),
    "gated": (VERMILION, "//"),
    "lif": (SKY, ""),
    "join": (PURPLE, ""),
    "base": (GREY, ""),
    "leakage": (GREY, ".."),
}


class LineStyle(NamedTuple):
    """How a series is drawn."""

    color: str
    marker: str
    dashes: str
    fill: str


def line_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """Say how series are drawn: all different, and by their names the same everywhere.

    A method has its colour and marker. A variant (``lth:score=gradient``, or
    ``lth loas`` in a sweep) has the colour of its method, and a marker and dashes that
    follow from its name; so have other names their colours. Where two names would look
    the same, the later one takes what is free.

    Parameters
    ----------
    names : iterable of str
        Each once.

    Examples
    --------
    >>> from hwmodel.figures.styles import line_styles
    >>> styles = line_styles(["optimal", "lth", "lth:score=gradient"])
    >>> styles["optimal"].color, styles["lth"].dashes
    ('#0072B2', '-')
    >>> styles["lth:score=gradient"].color == styles["lth"].color
    True
    """
    asked = list(names)
    bare = dict(zip(asked, _without_common_method(asked), strict=True))
    taken: dict[str, LineStyle] = {}
    for name in sorted(asked, key=lambda name: _rank(bare[name])):
        looks = {(one.color, one.marker, one.fill) for one in taken.values()}
        taken[name] = next(
            (
                one
                for one in _wishes(bare[name])
                if (one.color, one.marker, one.fill) not in looks
            ),
            next(_wishes(bare[name])),  # more series than anybody can tell apart
        )
    return {name: taken[name] for name in asked}


def _without_common_method(names: list[str]) -> list[str]:
    """Leave out the method where all series of a sweep have the same."""
    if len(names) < 2 or not all(" " in name for name in names):
        return names
    first, *others = (name.partition(" ") for name in names)
    if any(other[0] != first[0] for other in others):
        return names
    return [name.partition(" ")[2] for name in names]


def _method(name: str) -> str:
    return re.split("[: ]", name, maxsplit=1)[0]


def _rank(name: str) -> int:
    """Methods choose first, then their variants, then everything else."""
    if name in METHODS:
        return 0
    return 1 if _method(name) in METHODS else 2


def _wishes(name: str) -> Iterator[LineStyle]:
    """Yield how a series would be drawn, the best first."""
    method = _method(name)
    number = zlib.crc32(name.encode())
    places = list(range(len(COLORS)))
    if method in METHODS:
        first = COLORS.index(METHODS[method])
        turned = places[first:] + places[:first]
        own = turned[:1]
    else:  # black and grey are for references
        bright = [one for one in places if COLORS[one] not in (BLACK, GREY)]
        first = zlib.crc32(method.encode()) % len(bright)
        turned = bright[first:] + bright[:first]
        turned += [one for one in places if one not in bright]
        own = turned
    if name == method:
        yield from (LineStyle(COLORS[n], MARKERS[n], "-", COLORS[n]) for n in own)
    for place in turned:
        color = COLORS[place]
        for step in range(MOST_MARKERS):
            marker = (number + step) % len(MARKERS)
            hollow = step < len(MARKERS)
            if hollow or marker != place:
                dashes = DASHES[1 + (number + step) % (len(DASHES) - 1)]
                fill = "white" if hollow else color
                yield LineStyle(color, MARKERS[marker], dashes, fill)
