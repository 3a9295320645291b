"""The loads of every PE in every group, before and after: heat maps over time.

A group lasts as long as its largest load: the others wait for that PE. So each group is
as wide as it lasts, each PE has a bar as long as its load, whose colour says the same
on one scale for all layers, and what is left of its row is waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from balancer import BalanceReport, LayerResult, LoadMetrics
from balancer.array_types import AnyArray, BoolArray
from balancer.maps.pe_map import PEMap
from hwmodel.figures.canvas import (
    FigureError,
    check_figure,
    drawing,
    new_figure,
    save_figure,
    shown,
)
from hwmodel.figures.styles import GREY, WAITING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

MOST_LAYERS = 24  # of a figure; those with most waiting are shown
MOST_BARS = 1500  # drawn one by one, of all layers; more become a picture of pixels
MOST_PIXELS = (256, 1200)  # of a layer: PEs, time
MOST_BARRIERS = 64  # that can be told apart as lines
SIDES = ("before", "after")
IDLE: dict[str, Any] = {"facecolor": WAITING, "alpha": 0.35, "linewidth": 0}
STRUCTURAL: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": "#a3a3a3",
    "linewidth": 0,
    "hatch": "////",
}


@dataclass(frozen=True, slots=True, eq=False)
class LayerLoads:
    """The loads of a layer before and after.

    Attributes
    ----------
    name : str
        The layer.
    shape : tuple of int
        Of its weights.
    loads : tuple of ndarray of int [groups, pes]
        Non-zeros of each PE in each group, before and after.
    held : ndarray of bool [groups, pes]
        Whether a PE holds weights in a group.
    metrics : tuple of LoadMetrics
        Of the loads.
    """

    name: str
    shape: tuple[int, ...]
    loads: tuple[AnyArray, AnyArray]
    held: BoolArray
    metrics: tuple[LoadMetrics, LoadMetrics]

    @classmethod
    def of(cls, layer: LayerResult, pe_map: PEMap) -> Self:
        """Take the loads of a balanced layer."""
        return cls(
            layer.name,
            layer.shape,
            (layer.loads_before, layer.solution.loads),
            pe_map.by_pe(np.ones(pe_map.n_cells, dtype=bool)),
            (layer.before, layer.after),
        )

    @property
    def waiting(self) -> tuple[float, float]:
        """Share of the slots in which PEs wait for others, before and after."""
        before, after = (
            m.idle_unbalanced / m.slots if m.slots else 0.0 for m in self.metrics
        )
        return before, after

    @property
    def steps(self) -> tuple[int, int]:
        """Sum of the largest loads of all groups, before and after."""
        before, after = (int(one.max(axis=1).sum()) for one in self.loads)
        return before, after


def loads_of(report: BalanceReport) -> list[LayerLoads]:
    """Take the loads of all layers of a balanced ticket."""
    return [
        LayerLoads.of(layer, report.request.make_map(layer.shape))
        for layer in report.layers
    ]


def plot_loads(report: BalanceReport, path: Path) -> None:
    """Draw the loads of a balanced ticket into a file.

    Parameters
    ----------
    report : BalanceReport
        What `balance_ticket` returned.
    path : Path
        An .svg, .png or .pdf file.

    Raises
    ------
    FigureError
        Another kind of file, no matplotlib, or no weights.
    TicketError
        A file that cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from balancer import balance_ticket, shipped_ticket
    >>> from hwmodel.figures.load_figure import plot_loads
    >>> report = balance_ticket(shipped_ticket(), layers="features.*")
    >>> plot_loads(report, Path("loads.svg"))
    """
    check_figure(path)
    with drawing():
        save_figure(draw_loads(loads_of(report)), path)


def draw_loads(layers: Sequence[LayerLoads]) -> Figure:
    """Draw a row for each layer, before and after beside each other; see the module.

    Raises
    ------
    FigureError
        No layer has any weight, before or after.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    drawn = drawn_of(layers)
    if not drawn:
        raise FigureError("no layer has a weight, so there are no loads to draw")
    heights = [min(2.6, max(1.15, 0.075 * layer.held.shape[1])) for layer in drawn]
    figure = new_figure(9.6, sum(heights) + 0.55 * len(drawn) + 1.3)
    rows = figure.subplots(
        len(drawn), 2, squeeze=False, sharex="row", height_ratios=heights
    )
    largest = max(int(side.max()) for layer in drawn for side in layer.loads)
    scale = (_colors(), LogNorm(1, max(2, largest)))
    draw = _draw_bars if has_bars(drawn) else _draw_pixels
    for number, (layer, row) in enumerate(zip(drawn, rows, strict=True)):
        for side, axes in enumerate(row):
            draw(axes, layer.loads[side], layer.held, scale, f"loads-{number}-{side}")
            _label(axes, layer, side)
        row[0].set_xlim(0, max(layer.steps))
    for axes in rows[-1]:
        axes.set_xlabel("time (steps: a weight on each PE that has any left)")
    if len(drawn) < len(layers):
        figure.supylabel(
            f"{len(drawn)} of {len(layers)} layers: those with weights that wait most",
            fontsize=9,
        )
    figure.colorbar(
        ScalarMappable(scale[1], scale[0]),
        ax=rows,
        location="bottom",
        shrink=0.5,
        aspect=45,
        label="load: weights of a PE in one group",
        ticks=LogLocator(subs=(1, 2, 5)),
        format=StrMethodFormatter("{x:,.0f}"),
    ).ax.xaxis.set_minor_locator(NullLocator())
    _add_legend(figure, structural=any(not layer.held.all() for layer in drawn))
    return figure


def drawn_of(layers: Sequence[LayerLoads]) -> list[LayerLoads]:
    """Choose the layers that a figure shows: with weights, and most waiting."""
    known = [layer for layer in layers if any(layer.steps)]
    ranked = sorted(
        range(len(known)), key=lambda n: -known[n].metrics[0].idle_unbalanced
    )
    return [known[n] for n in sorted(ranked[:MOST_LAYERS])]


def has_bars(drawn: Sequence[LayerLoads]) -> bool:
    """Whether a figure has a bar for each load, ``loads-LAYER-SIDE-GROUP-PE``."""
    bars = sum(int(np.count_nonzero(side)) for one in drawn for side in one.loads)
    return bars <= MOST_BARS


def _colors() -> Colormap:
    """Map loads to colours that stand out from white, from black, and in grey."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.92, 0.26, 256)))


def _label(axes: Axes, layer: LayerLoads, side: int) -> None:
    from matplotlib.ticker import MaxNLocator

    pes = layer.held.shape[1]
    steps, waiting = layer.steps[side], layer.waiting[side]
    what = (
        f"{steps:,} steps, {waiting:.0%} of PE time waiting" if steps else "no weights"
    )
    shape = "x".join(map(str, layer.shape))
    said = f"{shown(layer.name, 24)} ({shape})  " if not side else ""
    axes.set_title(f"{said}{SIDES[side]}: {what}", loc="left", fontsize=9)
    axes.set_ylim(pes, 0)  # the first PE above the others
    axes.set_yticks([0.5, pes - 0.5] if pes > 1 else [0.5])
    axes.set_yticklabels(["PE 0", f"{pes - 1}"] if pes > 1 else ["PE 0"], fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    ends = np.cumsum(layer.loads[side].max(axis=1))
    if len(ends) <= MOST_BARRIERS:
        axes.vlines(ends, 0, pes, color="#000000", linewidth=0.9)


def _draw_bars(
    axes: Axes,
    loads: AnyArray,
    held: BoolArray,
    scale: tuple[Colormap, Normalize],
    name: str,
) -> None:
    """Draw a bar for each PE and group, which can be pointed at in a page."""
    from matplotlib.patches import Rectangle

    colors, norm = scale
    start = 0
    for group, of_group in enumerate(loads):
        lasts = int(of_group.max())
        for pe, load in enumerate(of_group):
            at = (start, pe)
            if not held[group, pe]:
                axes.add_patch(Rectangle(at, lasts, 1, **STRUCTURAL))
                continue
            if load < lasts:
                rest = (start + int(load), pe)
                axes.add_patch(Rectangle(rest, lasts - int(load), 1, **IDLE))
            if load:
                axes.add_patch(
                    Rectangle(
                        (start, pe + 0.06),
                        int(load),
                        0.88,
                        facecolor=colors(norm(int(load))),
                        linewidth=0,
                        gid=f"{name}-{group}-{pe}",
                    )
                )
        start += lasts


def _draw_pixels(
    axes: Axes,
    loads: AnyArray,
    held: BoolArray,
    scale: tuple[Colormap, Normalize],
    name: str,
) -> None:
    """Draw many bars as a picture: every pixel is what its PE does at that time."""
    from matplotlib.colors import to_rgba

    colors, norm = scale
    lasts = loads.max(axis=1).astype(np.int64)
    ends = np.cumsum(lasts)
    total, pes = int(ends[-1]), loads.shape[1]
    if not total:
        return
    rows, columns = min(pes, MOST_PIXELS[0]), min(total, MOST_PIXELS[1])
    time = (np.arange(columns) * total) // columns
    pe = (np.arange(rows) * pes) // rows
    group = np.searchsorted(ends, time, side="right")
    load = loads[group][:, pe].T.astype(np.int64)
    works = load > time - (ends - lasts)[group]
    pixels = np.where(works[..., None], colors(norm(load)), to_rgba(WAITING, 0.35))
    pixels[~held[group][:, pe].T] = to_rgba(GREY, 0.12)
    axes.imshow(
        pixels, extent=(0, total, pes, 0), aspect="auto", interpolation="none", gid=name
    )


def _add_legend(figure: Figure, *, structural: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries = [
        (Patch(**IDLE), "waiting for the slowest PE of the group"),
        (Patch(**STRUCTURAL), "holds no weights"),
        (Line2D([], [], color="#000000", linewidth=0.9), "barrier"),
    ]
    if not structural:
        del entries[1]
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
