"""What all figures have in common: kinds of files, colours, markers, the legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from balancer.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")

# Okabe and Ito's colours, which everybody can tell apart, without their yellow, which
# is too light for lines; the reference is black. Markers tell them apart in grey.
STYLES = (
    *(("#000000", "o"), ("#0072B2", "s"), ("#D55E00", "^"), ("#009E73", "D")),
    *(("#CC79A7", "v"), ("#E69F00", "P"), ("#56B4E9", "X"), ("#777777", "*")),
)
# Further series have the same again, with other lines and hollow markers.
DASHES = ("-", "--", ":", "-.")
MOST_MARKERS = 2 * len(STYLES)  # without lines, filled and hollow ones
# Of the legend, in inches: the height of a line, and the widths of a letter and of
# what stands before a label.
LEGEND_LINE, LEGEND_LETTER, LEGEND_HANDLE = 0.22, 0.085, 0.65


class LineStyle(NamedTuple):
    """How a series is drawn."""

    color: str
    marker: str
    dashes: str
    fill: str


def line_style(place: int) -> LineStyle:
    """Return how the series in a place is drawn; the first 32 all differ."""
    color, marker = STYLES[place % len(STYLES)]
    again = place // len(STYLES)
    dashes = DASHES[again % len(DASHES)]
    return LineStyle(color, marker, dashes, "white" if again else color)


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Find how many labels stand side by side in a figure as wide (in inches)."""
    widest = LEGEND_HANDLE + LEGEND_LETTER * max(map(len, labels))
    fit = min(len(labels), max(1, int(width / widest)))
    return math.ceil(len(labels) / math.ceil(len(labels) / fit))  # lines are full


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure: the same one gives the same file, whenever it is drawn.

    Raises
    ------
    TicketError
        A file that cannot be written.
    """
    undated = {"Date": None} if path.suffix == ".svg" else None
    with replacing(path) as (file,):
        figure.savefig(file, dpi=150, metadata=undated)
