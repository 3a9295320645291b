"""A benchmark as a figure: time by size, relative to sorting the same weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.bench.bench_case import BenchCase
from hwmodel.bench.measuring import BenchRow
from hwmodel.figures.canvas import (
    HEIGHT,
    WIDTH,
    FigureError,
    add_legend,
    check_figure,
    drawing,
    legend_height,
    new_figure,
    save_figure,
    shown,
    tidy,
)
from hwmodel.figures.styles import GREY, LineStyle, line_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hwmodel.bench.bench_result import BenchResult

MOST_PANELS = 12
MOST_COLUMNS = 4


def plot_bench(result: BenchResult, path: Path) -> None:
    """Draw a benchmark into a file; see `BenchResult.plot`."""
    check_figure(path)
    with drawing():
        save_figure(draw_bench(result), path)


def draw_bench(result: BenchResult) -> Figure:
    """Draw a panel for each map, number of PEs and sparsity, a line for each method.

    Where there are more than `MOST_PANELS`, the first ones are drawn. Shades are the
    quartiles of the ratios.

    Raises
    ------
    FigureError
        Nothing was measured.
    """
    panels: dict[str, dict[str, Sequence[BenchRow]]] = {}
    for (*_, method), rows in result.series().items():
        panels.setdefault(panel_title(rows[0].case), {})[method] = rows
    if not panels:
        raise FigureError("nothing was measured, so there is nothing to draw")
    drawn = dict(list(panels.items())[:MOST_PANELS])
    styles = line_styles(dict.fromkeys(row.method for row in result.rows))
    columns = min(MOST_COLUMNS, len(drawn))
    lines = math.ceil(len(drawn) / columns)
    width = WIDTH * columns
    figure = new_figure(width, HEIGHT * lines + legend_height(list(styles), width))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    axes_list = list(grid.ravel())
    for axes in axes_list[len(drawn) :]:
        axes.remove()
    for axes, (title, series) in zip(axes_list, drawn.items(), strict=False):
        _draw(axes, title, series, styles)
    for axes in axes_list[len(drawn) - columns : len(drawn)]:
        axes.set_xlabel("weights of the layer")
        axes.tick_params(labelbottom=True)
    for row in grid:
        row[0].set_ylabel("time / sorting the rows")
    _add_all(axes_list[0], styles)
    add_legend(figure, axes_list[0])
    return figure


def panel_title(case: BenchCase) -> str:
    """Name what the layers of a panel have in common."""
    parts = [case.map or "no PEs"]
    if case.pes is not None:
        parts.append(f"{case.pes} PEs")
    if case.sparsity is not None:
        parts.append(f"{100 * case.sparsity:g} % sparse")
    return shown(", ".join(parts), 46)


def _draw(
    axes: Axes,
    title: str,
    series: Mapping[str, Sequence[BenchRow]],
    styles: Mapping[str, LineStyle],
) -> None:
    from matplotlib.ticker import EngFormatter, NullFormatter, StrMethodFormatter

    axes.set(xscale="log", yscale="log", title=title)
    # The usual labels of such axes are formulas, which no figure here sets.
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.axhline(1.0, color=GREY, linewidth=1.0)
    for method, rows in series.items():
        style = styles[method]
        weights = [row.case.weights for row in rows]
        axes.plot(
            weights,
            [row.ratio for row in rows],
            color=style.color,
            linestyle=style.dashes,
            marker=style.marker,
            markerfacecolor=style.fill,
            markersize=5,
            linewidth=1.3,
        )
        axes.fill_between(
            weights,
            [row.ratio_low for row in rows],
            [row.ratio_high for row in rows],
            color=style.color,
            alpha=0.15,
            linewidth=0,
        )
    tidy(axes)


def _add_all(axes: Axes, styles: Mapping[str, LineStyle]) -> None:
    """Give one panel a label for every method, for the legend of the figure."""
    for method, style in styles.items():
        axes.plot(
            [],
            [],
            color=style.color,
            linestyle=style.dashes,
            marker=style.marker,
            markerfacecolor=style.fill,
            label=method,
        )
