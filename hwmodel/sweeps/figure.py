"""The runs of a sweep as a figure: costs against value, and utilization."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hwmodel.figures import (
    FORMATS,
    LEGEND_LINE,
    MOST_MARKERS,
    legend_columns,
    line_style,
    save_figure,
)
from hwmodel.sweeps.labels import series
from hwmodel.sweeps.pareto import cost_of
from hwmodel.sweeps.settings import SweepError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel.sweeps.result import SweepResult

WIDTH, HEIGHT = 4.3, 3.7  # of a panel, in inches
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


def plot_sweep(result: SweepResult, path: Path) -> None:
    """Draw the runs that are done; see `SweepResult.plot`.

    A point is a run. The step line is the front: what is above or left of it, no run
    reaches.
    """
    if path.suffix not in FORMATS:
        raise SweepError(f"{path}: a figure is one of {', '.join(FORMATS)}")
    rows = [row for row in result.done if row["cycles"] is not None]
    if not rows:
        raise SweepError(f"{path}: no run that is done has cycles to draw")
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise SweepError(
            f"figures need matplotlib ({error}); install it with "
            "python -m pip install -e '.[plots]'"
        ) from error
    panels = panels_of(rows, result.value)
    kinds = series(rows, result.plan.axes, MOST_MARKERS)
    # Text stays text in an SVG: smaller, and it can be searched.
    with matplotlib.rc_context(
        {"font.size": 10, "svg.hashsalt": "sweep", "svg.fonttype": "none"}
    ):
        width = WIDTH * len(panels)
        columns = legend_columns(list(kinds), width)
        height = HEIGHT + LEGEND_LINE * math.ceil(len(kinds) / columns)
        figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.1))
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _draw(axes, panel, kinds)
            if panel.front is not None:
                _draw_front(axes, panel, result.front(panel.front))
        handles, labels = figure.axes[-1].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns, frameon=False
        )
        save_figure(figure, path)


def panels_of(rows: Sequence[Mapping[str, Any]], value: str) -> list[SweepPanel]:
    """List the panels: cycles, energy in each unit, and utilization."""
    upwards = VALUES[value]
    units = dict.fromkeys(row["energy_unit"] for row in rows)
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

    for place, (name, rows) in enumerate(kinds.items()):
        shown = [row for row in rows if panel.unit in (None, row["energy_unit"])]
        style = line_style(place)
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
    costs = [cost for rows in kinds.values() for cost in _costs(rows, panel) if cost]
    if costs and max(costs) >= NARROW * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:  # on a logarithmic axis there would be a single tick, or none
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_front(
    axes: Axes, panel: SweepPanel, front: Sequence[Mapping[str, Any]]
) -> None:
    shown = [row for row in front if panel.unit in (None, row["energy_unit"])]
    axes.step(
        _costs(shown, panel),
        [100 * row[panel.y] for row in shown],
        where="post",
        color="#888888",
        linewidth=1.0,
        zorder=0,
    )


def _costs(rows: Sequence[Mapping[str, Any]], panel: SweepPanel) -> list[float]:
    found = (cost_of(row, panel.x) for row in rows)
    return [cost for cost in found if cost is not None]
