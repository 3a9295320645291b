"""The curves of a comparison as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hwmodel.figures.canvas import (
    HEIGHT,
    WIDTH,
    add_legend,
    check_figure,
    drawing,
    layered,
    legend_height,
    new_figure,
    percent_axis,
    save_figure,
    tidy,
)
from hwmodel.figures.styles import LineStyle, line_styles
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.statistics import summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from snn.lottery.comparison import MethodComparison


class Panel(NamedTuple):
    """What a panel shows: `left` or `cycles` below, one of `QUANTITIES` upwards."""

    x: str
    y: str
    x_label: str
    y_label: str


PANELS = (
    Panel("cycles", "accuracy", "cycles of one inference", "test accuracy (%)"),
    Panel("left", "accuracy", "weights left (%)", "test accuracy (%)"),
    Panel("left", "utilization", "weights left (%)", "utilization of PEs (%)"),
)


def plot_comparison(comparison: MethodComparison, path: Path | str) -> None:
    """Draw accuracy by cycles and by sparsity, and utilization by sparsity.

    A point is a round: the mean over the seeds, with bars of a standard deviation.

    Parameters
    ----------
    comparison : MethodComparison
        Finished runs. Methods without cycles are not in their panel, which is left out
        where none has any.
    path : Path or str
        An .svg, .png or .pdf file.

    Raises
    ------
    ComparisonError
        Another kind of file.
    TicketError
        A file that cannot be written.
    """
    path = Path(path)
    check_figure(path, ComparisonError)
    with drawing():
        save_figure(draw_comparison(comparison), path)


def draw_comparison(comparison: MethodComparison) -> Figure:
    """Draw the panels beside each other; see `plot_comparison`."""
    known = any(run.outcomes[0].cycles is not None for run in comparison.runs)
    panels = [panel for panel in PANELS if known or panel.x != "cycles"]
    methods = [one for one in comparison.methods if comparison.of(one)]
    width = WIDTH * len(panels)
    figure = new_figure(width, HEIGHT + legend_height(methods, width))
    styles = line_styles(methods)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _draw(axes, panel, comparison, styles)
    add_legend(figure, figure.axes[-1])
    return figure


def _draw(
    axes: Axes,
    panel: Panel,
    comparison: MethodComparison,
    styles: Mapping[str, LineStyle],
) -> None:
    from matplotlib.ticker import EngFormatter

    for place, (method, style) in enumerate(styles.items()):
        width, size = layered(place, len(styles))
        places = (_point(comparison, method, n, panel) for n in comparison.rounds)
        points = [place for place in places if place is not None]
        if not points:
            continue
        xs, means, deviations = zip(*points, strict=True)
        _, caps, bars = axes.errorbar(
            xs,
            means,
            yerr=deviations,
            label=method,
            color=style.color,
            marker=style.marker,
            markerfacecolor=style.fill,
            linestyle=style.dashes,
            markersize=size,
            linewidth=width,
            elinewidth=0.8,
            capsize=2,
        )
        for part in (*caps, *bars):
            part.set_alpha(0.45)  # the means are what is compared
    axes.set(ylabel=panel.y_label)
    percent_axis(axes)
    if panel.x == "left":
        weights_left(axes)
    else:
        _logarithmic(axes)
        axes.set_xlabel(panel.x_label)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20k: room is scarce
    tidy(axes)


def weights_left(axes: Axes) -> None:
    """Make the axis below that of the weights left, sparser to the right."""
    from matplotlib.ticker import StrMethodFormatter

    _logarithmic(axes)
    axes.set_xlabel("weights left (%)")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.invert_xaxis()


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())


def _point(
    comparison: MethodComparison, method: str, number: int, panel: Panel
) -> tuple[float, float, float] | None:
    """Return where a round is drawn, and its standard deviation; None if nowhere."""
    values = summarize(comparison, method, number).values
    sparsity, cycles, y = values["sparsity"], values["cycles"], values[panel.y]
    assert sparsity is not None
    assert y is not None
    x = 100 * (1 - sparsity.mean)
    if panel.x == "cycles":
        if cycles is None:
            return None
        x = cycles.mean
    return x, 100 * y.mean, 100 * (y.sd or 0.0)
