"""What all figures have in common: kinds of files, fonts, the legend, how they end."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from balancer.errors import BalancerError
from balancer.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png", ".pdf")
# Of the legend, in inches: the height of a line, and the widths of a letter and of
# what stands before a label.
LEGEND_LINE, LEGEND_LETTER, LEGEND_HANDLE = 0.22, 0.085, 0.65
WIDTH, HEIGHT = 4.3, 3.7  # of a panel, in inches


class FigureError(BalancerError):
    """A figure that cannot be drawn."""


def check_figure(path: Path, error: type[BalancerError] = FigureError) -> None:
    """Refuse a figure that cannot be written, before any work for it.

    Parameters
    ----------
    path : Path
        Where it will go.
    error : type
        What to raise.

    Raises
    ------
    BalancerError
        Another kind of file, or no matplotlib.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hwmodel.figures.canvas import check_figure
    >>> check_figure(Path("loads.gif"))
    Traceback (most recent call last):
    hwmodel.figures.canvas.FigureError: loads.gif: a figure is one of .svg, .png, .pdf
    """
    if path.suffix not in FORMATS:
        raise error(f"{path}: a figure is one of {', '.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise error(
            "figures need matplotlib; install it with "
            "python -m pip install -e '.[plots]'"
        )


@contextmanager
def drawing() -> Iterator[None]:
    """Draw and write in here: the same figure gives the same file, whenever."""
    import matplotlib

    with matplotlib.rc_context(
        {
            "font.size": 10,
            "axes.titlesize": 10,
            "hatch.linewidth": 0.6,
            "pdf.fonttype": 42,
            "text.parse_math": False,  # a dollar in a name is a dollar
            "svg.hashsalt": "balanced-sparsity",
            # Text stays text in an SVG: smaller, and it can be searched.
            "svg.fonttype": "none",
        }
    ):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure (in inches) whose parts keep clear of each other."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.1))


def shown(name: str, most: int = 40) -> str:
    """Write a name as a figure can: in one line, without its middle if it is long.

    Examples
    --------
    >>> from hwmodel.figures.canvas import shown
    >>> shown("features.3"), shown("abcdefgh", 5)
    ('features.3', 'ab…gh')
    """
    line = "".join(x if x.isprintable() else " " for x in name)
    if len(line) <= most:
        return line
    half = (most - 1) // 2
    return f"{line[: most - 1 - half]}…{line[-half:]}"


def tidy(axes: Axes) -> None:
    """Give axes the common look: a pale grid, no frame above and to the right."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def percent_axis(axes: Axes) -> None:
    """End an upward axis of shares at 100 %, and give a flat line some room."""
    low, high = axes.get_ylim()
    if high - low <= 2:
        low, high = max(0.0, low - 6), high + 3
    axes.set_ylim(low, min(high, 100.9))  # below the next tick


def layered(place: int, number: int) -> tuple[float, float]:
    """Say how wide a line is and how large its markers are: the first ones most.

    So what is drawn below a line that coincides with it can be seen beside it.

    Parameters
    ----------
    place, number : int
        Which line of how many.
    """
    below = (number - 1 - place) / max(1, number - 1) if number > 1 else 0.0
    return 1.3 + 2.4 * below, 4.0 + 4.0 * below


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Find how many labels stand side by side in a figure as wide (in inches)."""
    widest = LEGEND_HANDLE + LEGEND_LETTER * max(map(len, labels), default=0)
    fit = min(len(labels), max(1, int(width / widest)))
    return math.ceil(len(labels) / math.ceil(len(labels) / max(1, fit)))  # full lines


def legend_height(labels: Sequence[str], width: float) -> float:
    """Height of the legend of a figure, in inches."""
    if not labels:
        return 0.0
    return LEGEND_LINE * math.ceil(len(labels) / legend_columns(labels, width))


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend of some axes above the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = legend_columns(labels, figure.get_figwidth())
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns, frameon=False
        )


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, in `drawing`.

    Raises
    ------
    TicketError
        A file that cannot be written.
    """
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with replacing(path) as (file,):
        figure.savefig(file, dpi=150, metadata=undated.get(path.suffix))


def svg_of(figure: Figure) -> str:
    """Return a figure as the text of an SVG file without a background."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()
