"""The frontier of magnitude and latency: what a network keeps in how many cycles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from balancer import BalanceReport
from hwmodel.figures.canvas import (
    FigureError,
    check_figure,
    drawing,
    new_figure,
    save_figure,
    tidy,
)
from hwmodel.figures.styles import AFTER, BLACK, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHERS = {"layer-wise": (ORANGE, "D"), "non-zeros only": (GREEN, "^")}


def plot_frontier(report: BalanceReport, path: Path) -> None:
    """Draw the frontier of a balanced ticket into a file.

    Parameters
    ----------
    report : BalanceReport
        What `balance_ticket` returned with ``frontier``.
    path : Path
        An .svg, .png or .pdf file.

    Raises
    ------
    FigureError
        Another kind of file, no matplotlib, or no frontier.
    TicketError
        A file that cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from balancer import balance_ticket, shipped_ticket
    >>> from hwmodel import Hardware
    >>> from hwmodel.figures.frontier_figure import plot_frontier
    >>> asked = {"scope": "global", "frontier": 4}
    >>> report = balance_ticket(shipped_ticket(), hardware=Hardware.of(), **asked)
    >>> plot_frontier(report, Path("frontier.svg"))
    """
    check_figure(path)
    with drawing():
        save_figure(draw_frontier(report), path)


def draw_frontier(report: BalanceReport) -> Figure:
    """Draw the points, their bounds where they are no proofs, and the masks made.

    Raises
    ------
    FigureError
        The frontier was not asked for.
    """
    from matplotlib.ticker import EngFormatter

    points = report.frontier
    if points is None:
        raise FigureError("no frontier was asked for; give `frontier`, or --frontier")
    most = max(point.kept for point in points) or 1.0
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    cycles = [point.cycles or 0.0 for point in points]
    axes.plot(
        cycles,
        [100 * point.kept / most for point in points],
        color=AFTER,
        marker="o",
        label="most that balanced masks keep",
    )
    if any(point.gap for point in points):
        bounds = [100 * point.bound / most for point in points]
        axes.plot(
            cycles, bounds, color=GREY, linestyle=":", marker="_", label="proven bound"
        )
    solution = report.solution
    others = {name: (x.cycles, x.kept) for name, x in solution.alternatives.items()}
    for name, (color, marker) in OTHERS.items():
        x, kept = others.get(name, (None, 0.0))
        if x is not None:
            axes.plot(
                [x], [100 * kept / most], marker, color=color, label=name, markersize=7
            )
    if report.cycles is not None:
        axes.plot(
            [report.cycles],
            [100 * solution.kept / most],
            "o",
            color=BLACK,
            markersize=11,
            fillstyle="none",
            label="the masks of this report",
        )
    axes.set(xlabel="cycles of one inference", ylabel="magnitude kept (% of the most)")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    tidy(axes)
    axes.legend(frameon=False, loc="lower right")
    return figure
