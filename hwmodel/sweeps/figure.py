"""The runs of a sweep as a figure: costs against value, and utilization."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hwmodel.figures.canvas import (
    HEIGHT,
    WIDTH,
    add_legend,
    check_figure,
    drawing,
    legend_height,
    new_figure,
    percent_axis,
    save_figure,
    tidy,
)
from hwmodel.figures.styles import MOST_MARKERS, line_styles
from hwmodel.sweeps.labels import series
from hwmodel.sweeps.pareto import cost_of
from hwmodel.sweeps.settings import SweepError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hwmodel.sweeps.result import SweepRows

VALUES = {"accuracy": "test accuracy (%)", "kept_share": "magnitude kept (% of all)"}


# Costs that are closer together than this factor stand on a linear axis.
NARROW = 5


class SweepPanel(NamedTuple):
    """What a panel shows: one column below, one upwards, and whose front."""

    x: str
    y: str
    x_label: str
    y_label: str
    unit: str | None = None
    front: str | None = None


def plot_sweep(result: SweepRows, path: Path) -> None:
    """Draw the runs that are done into a file; see `SweepRows.plot`."""
    check_figure(path, SweepError)
    with drawing():
        save_figure(draw_sweep(result), path)


def draw_sweep(result: SweepRows) -> Figure:
    """Draw the runs that are done.

    A point is a run. The step line is the front: what is above or left of it, no run
    reaches.

    Raises
    ------
    SweepError
        No run that is done has cycles.
    """
    rows = [row for row in result.done if row["cycles"] is not None]
    if not rows:
        raise SweepError(f"{result.folder}: no run that is done has cycles to draw")
    panels = panels_of(rows, result.value)
    kinds = series(rows, result.axes, MOST_MARKERS)
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    width = WIDTH * columns
    figure = new_figure(width, HEIGHT * lines + legend_height(list(kinds), width))
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, kinds)
        if panel.front is not None:
            _draw_front(axes, panel, result.front(panel.front))
    add_legend(figure, grid[len(panels) - 1])
    return figure


def panels_of(rows: Sequence[Mapping[str, Any]], value: str) -> list[SweepPanel]:
    """List the panels: cycles, energy in each unit, and utilization."""
    upwards = VALUES[value]
    units = dict.fromkeys(
        row["energy_unit"] for row in rows if cost_of(row, "energy") is not None
    )
    return [
        SweepPanel("cycles", value, "cycles of one inference", upwards, None, "cycles"),
        *(
            SweepPanel("energy", value, f"energy ({unit})", upwards, unit, "energy")
            for unit in units
        ),
        SweepPanel(
            "cycles", "utilization", "cycles of one inference", "utilization (%)"
        ),
    ]


def _draw(
    axes: Axes, panel: SweepPanel, kinds: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    styles = line_styles(kinds)
    for name, rows in kinds.items():
        shown = _shown(rows, panel)
        style = styles[name]
        axes.plot(
            _costs(shown, panel),
            [100 * (row[panel.y] or 0) for row in shown],
            linestyle="none",
            label=name,
            color=style.color,
            marker=style.marker,
            markerfacecolor=style.fill,
            markersize=5,
            alpha=0.85,
        )
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
    percent_axis(axes)
    costs = [
        cost
        for rows in kinds.values()
        for cost in _costs(_shown(rows, panel), panel)
        if cost
    ]
    if costs and max(costs) >= NARROW * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:  # on a logarithmic axis there would be a single tick, or none
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    tidy(axes)


def _draw_front(
    axes: Axes, panel: SweepPanel, front: Sequence[Mapping[str, Any]]
) -> None:
    shown = _shown(front, panel)
    axes.step(
        _costs(shown, panel),
        [100 * row[panel.y] for row in shown],
        where="post",
        color="#888888",
        linewidth=1.0,
        zorder=0,
    )


def _shown(
    rows: Sequence[Mapping[str, Any]], panel: SweepPanel
) -> list[Mapping[str, Any]]:
    """Choose the rows that a panel can show: energies of others do not compare."""
    return [
        row
        for row in rows
        if panel.unit in (None, row["energy_unit"])
        and cost_of(row, panel.x) is not None
    ]


def _costs(rows: Sequence[Mapping[str, Any]], panel: SweepPanel) -> list[float]:
    found = (cost_of(row, panel.x) for row in rows)
    return [cost for cost in found if cost is not None]
