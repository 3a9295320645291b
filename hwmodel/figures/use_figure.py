"""Where time and energy go: a bar for each mask, layer or accelerator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from balancer.hardware import MaskCost, PETime
from hwmodel.comparison import ReportComparison
from hwmodel.figures.canvas import (
    check_figure,
    drawing,
    legend_columns,
    legend_height,
    new_figure,
    save_figure,
    shown,
    tidy,
)
from hwmodel.figures.styles import ENERGIES, GREY, TIMES
from hwmodel.hardware import pe_time
from hwmodel.layer_report import LayerReport
from hwmodel.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_USES = 40  # bars of a figure
WORDS = {
    "busy": "weights that meet spikes",
    "gated": "zeros that are not skipped",
    "idle": "waiting at barriers",
    "structural": "PEs without weights",
    "stalled": "waiting for memory",
    "lif": "neurons",
}
WIDTH, BAR = 10.2, 0.27  # inches


@dataclass(frozen=True, slots=True)
class Use:
    """What one bar stands for.

    Attributes
    ----------
    label : str
        What is written beside it.
    cycles : float
        Its length in time.
    time : mapping of str to float
        PE cycles by what they are spent on (fields of `balancer.PETime`).
    energy : mapping of str to float
        Energy by component.
    unit : str
        Of the energy.
    """

    label: str
    cycles: float
    time: Mapping[str, float]
    energy: Mapping[str, float]
    unit: str

    @classmethod
    def of(cls, label: str, cost: MaskCost, unit: str) -> Self:
        """Take what a mask costs."""
        energy = {"all": cost.energy} if cost.breakdown is None else cost.breakdown
        return cls(label, cost.cycles, _parts(cost.time), energy, unit)


def uses_of(result: Report | ReportComparison) -> list[Use]:
    """List the layers of a report, or the reports of a comparison."""
    if isinstance(result, ReportComparison):
        pairs = zip(result.labels, result.reports, strict=True)
        return [_use(label, one, one) for label, one in pairs]
    return [_use(layer.name, layer, result) for layer in result.layers]


def _use(label: str, part: Report | LayerReport, report: Report) -> Use:
    accelerator = report.accelerator
    time = pe_time(part.activity.cycles, accelerator.array.size)
    energy = part.energy.breakdown
    return Use(label, part.cycles, _parts(time), energy, accelerator.energy_unit)


def _parts(time: PETime | None) -> dict[str, float]:
    return {} if time is None else {name: getattr(time, name) for name in TIMES}


def plot_use(result: Report | ReportComparison, path: Path) -> None:
    """Draw where time and energy of a report or a comparison go, into a file.

    Parameters
    ----------
    result : Report or ReportComparison
        What `evaluate` returned: a bar for each layer, or for each report.
    path : Path
        An .svg, .png or .pdf file.

    Raises
    ------
    FigureError
        Another kind of file, or no matplotlib.
    TicketError
        A file that cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hwmodel import Accelerator, LayerWorkload, evaluate
    >>> from hwmodel.figures.use_figure import plot_use
    >>> layer = LayerWorkload("linear", np.eye(16), timesteps=4)
    >>> plot_use(evaluate([layer], Accelerator.load("u-ticket")), Path("use.svg"))
    """
    check_figure(path)
    with drawing():
        save_figure(draw_use(uses_of(result)), path)


def draw_use(uses: Sequence[Use]) -> Figure:
    """Draw the bars: time, and energy in a panel for each unit."""
    said = "" if len(uses) <= MOST_USES else f", the first {MOST_USES} of {len(uses)}"
    uses = uses[:MOST_USES]
    units = list(dict.fromkeys(use.unit for use in uses))
    shown_parts = {
        "time": _present(use.time for use in uses),
        "energy": _present(use.energy for use in uses),
    }
    labels = [_word(name) for names in shown_parts.values() for name in names]
    lines = legend_height([max(labels, key=len, default="")] * len(labels), WIDTH)
    height = BAR * len(uses) + 1.1 + lines
    figure = new_figure(WIDTH, height)
    panels = figure.subplots(1, 1 + len(units), sharey=True, squeeze=False)[0]
    _draw_parts(
        panels[0], [_in_cycles(use) for use in uses], shown_parts["time"], TIMES
    )
    panels[0].set_xlabel(f"cycles{said}")
    for axes, unit in zip(panels[1:], units, strict=True):
        bars = [use.energy if use.unit == unit else {} for use in uses]
        _draw_parts(axes, bars, shown_parts["energy"], ENERGIES)
        axes.set_xlabel(f"energy ({unit})")
    panels[0].set_yticks(range(len(uses)), [shown(use.label, 28) for use in uses])
    panels[0].set_ylim(len(uses) - 0.5, -0.5)
    _add_part_legend(figure, panels[0], "where time goes", "outside upper left")
    _add_part_legend(figure, panels[1], "where energy goes", "outside upper right")
    return figure


def _add_part_legend(
    figure: Figure,
    axes: Axes,
    title: str,
    place: Literal["outside upper left", "outside upper right"],
) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            names,
            loc=place,
            ncols=legend_columns(names, WIDTH / 2),
            frameon=False,
            fontsize=9,
            title=title,
            alignment="left",
        )


def _present(bars: Iterable[Mapping[str, float]]) -> list[str]:
    """Name the parts that any bar has, in their order."""
    found = {name for bar in bars for name, value in bar.items() if value}
    known = [name for name in (*TIMES, *ENERGIES) if name in found]
    return [*dict.fromkeys(known), *sorted(found.difference(known))]


def _in_cycles(use: Use) -> dict[str, float]:
    """Share the cycles of a bar out as its PEs spend theirs."""
    total = sum(use.time.values())
    if not total:
        return {"busy": use.cycles}
    return {name: use.cycles * part / total for name, part in use.time.items()}


def _word(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))


def _draw_parts(
    axes: Axes,
    bars: Sequence[Mapping[str, float]],
    names: Sequence[str],
    looks: Mapping[str, tuple[str, str]],
) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    left = [0.0] * len(bars)
    for name in names:
        color, hatch = looks.get(name, (GREY, ""))
        values = [bar.get(name, 0.0) for bar in bars]
        axes.barh(
            range(len(bars)),
            values,
            left=left,
            height=0.78,
            color=color,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=_word(name),
        )
        left = [a + b for a, b in zip(left, values, strict=True)]
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
