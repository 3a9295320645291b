"""The curves of a comparison as a figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hwmodel.figures import (
    FORMATS,
    LEGEND_LINE,
    legend_columns,
    line_style,
    save_figure,
)
from snn.lottery.comparison import ComparisonError, MethodComparison
from snn.lottery.statistics import summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        An .svg or .png file.

    Raises
    ------
    ComparisonError
        Another kind of file.
    TicketError
        A file that cannot be written.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ComparisonError(f"{path}: a figure is one of {', '.join(FORMATS)}")
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    known = any(run.outcomes[0].cycles is not None for run in comparison.runs)
    panels = [panel for panel in PANELS if known or panel.x != "cycles"]
    # Text stays text in an SVG: smaller, and it can be searched.
    with matplotlib.rc_context(
        {"font.size": 10, "svg.hashsalt": "comparison", "svg.fonttype": "none"}
    ):
        width = 4.3 * len(panels)
        methods = [one for one in comparison.methods if comparison.of(one)]
        columns = legend_columns(methods, width)
        height = 3.7 + LEGEND_LINE * math.ceil(len(methods) / columns)
        figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.1))
        for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
            _draw(axes, panel, comparison)
        handles, labels = figure.axes[-1].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=columns,
            frameon=False,
        )
        save_figure(figure, path)


def _draw(axes: Axes, panel: Panel, comparison: MethodComparison) -> None:
    from matplotlib.ticker import (
        EngFormatter,
        LogLocator,
        NullLocator,
        StrMethodFormatter,
    )

    for index, method in enumerate(comparison.methods):
        if not comparison.of(method):
            continue
        places = (_point(comparison, method, n, panel) for n in comparison.rounds)
        points = [place for place in places if place is not None]
        if not points:
            continue
        xs, means, deviations = zip(*points, strict=True)
        style = line_style(index)
        _, caps, bars = axes.errorbar(
            xs,
            means,
            yerr=deviations,
            label=method,
            color=style.color,
            marker=style.marker,
            markerfacecolor=style.fill,
            linestyle=style.dashes,
            markersize=4.5,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
        )
        for part in (*caps, *bars):
            part.set_alpha(0.45)  # the means are what is compared
    axes.set(xscale="log", xlabel=panel.x_label, ylabel=panel.y_label)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    if panel.x == "left":
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.invert_xaxis()  # sparser to the right
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20k: room is scarce
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


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
