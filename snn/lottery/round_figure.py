"""The rounds of one run as a figure: accuracy, utilization and cycles by sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.figures.canvas import (
    HEIGHT,
    WIDTH,
    check_figure,
    drawing,
    new_figure,
    save_figure,
    tidy,
)
from hwmodel.figures.styles import BLACK, BLUE, GREY, ORANGE
from snn.lottery.plots import weights_left
from snn.lottery.results import RoundOutcome, least_utilization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_rounds(outcomes: Sequence[RoundOutcome], path: Path | str) -> None:
    """Draw accuracy, utilization and cycles of every round by the weights left.

    Parameters
    ----------
    outcomes : sequence of RoundOutcome
        Of the dense network and every round.
    path : Path or str
        An .svg, .png or .pdf file.

    Raises
    ------
    FigureError
        Another kind of file, or no matplotlib.
    TicketError
        A file that cannot be written.
    """
    path = Path(path)
    check_figure(path)
    with drawing():
        save_figure(draw_rounds(outcomes), path)


def draw_rounds(outcomes: Sequence[RoundOutcome]) -> Figure:
    """Draw the panels beside each other; see `plot_rounds`."""
    left = [100 * (1 - one.sparsity) for one in outcomes]
    known = [
        (x, one.cycles) for x, one in zip(left, outcomes, strict=True) if one.cycles
    ]
    panels = 3 if known else 2
    figure = new_figure(WIDTH * panels, HEIGHT)
    axes = figure.subplots(1, panels)
    _line(axes[0], left, [100 * one.accuracy for one in outcomes], "test", BLACK, "o")
    validated = [
        (x, 100 * one.validation_accuracy)
        for x, one in zip(left, outcomes, strict=True)
        if one.validation_accuracy is not None
    ]
    if validated:
        xs, ys = zip(*validated, strict=True)
        _line(axes[0], xs, ys, "validation", GREY, "s", "--")
    axes[0].set_ylabel("accuracy (%)")
    mean = [100 * one.utilization for one in outcomes]
    least = [100 * least_utilization(one.layers) for one in outcomes]
    _line(axes[1], left, mean, "all layers", BLUE, "o")
    _line(axes[1], left, least, "least of a layer", ORANGE, "v", "--")
    axes[1].set_ylabel("utilization of PEs (%)")
    if known:
        from matplotlib.ticker import EngFormatter

        xs, ys = zip(*known, strict=True)
        _line(axes[2], xs, ys, "cycles", BLACK, "o")
        axes[2].set(yscale="log", ylabel="cycles of one inference")
        axes[2].yaxis.set_major_formatter(EngFormatter(sep=""))
        axes[2].yaxis.set_minor_formatter(EngFormatter(sep=""))
    for one in axes:
        weights_left(one)
        tidy(one)
        if len(one.lines) > 1:
            one.legend(frameon=False, loc="best")
    return figure


def _line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    label: str,
    color: str,
    marker: str,
    dashes: str = "-",
) -> None:
    axes.plot(
        x, y, color=color, marker=marker, linestyle=dashes, label=label, markersize=4.5
    )
