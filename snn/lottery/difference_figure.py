"""Methods beside the reference: differences of accuracy, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwmodel.figures.canvas import new_figure, shown, tidy
from hwmodel.figures.styles import line_styles
from snn.lottery.statistics import Paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 0.24  # inches of a method


def draw_differences(pairs: Sequence[Paired], planned: Sequence[float]) -> Figure:
    """Draw the mean difference of every method, and its 95 % interval, by sparsity.

    Parameters
    ----------
    pairs : sequence of Paired
        Round by round, as `compare_all` returns them; those without a difference are
        left out.
    planned : sequence of float
        Sparsity of each round.
    """
    known = [pair for pair in pairs if pair.difference is not None]
    rounds = list(dict.fromkeys(pair.round for pair in known))
    methods = list(dict.fromkeys(pair.method for pair in known))
    reference = known[0].reference if known else "the reference"
    styles = line_styles([reference, *methods])
    figure = new_figure(8.4, LINE * (len(known) + len(rounds)) + 0.9)
    axes = figure.subplots()
    places, labels = [], []
    place = 0.0
    for number in rounds:
        axes.text(
            0.01,
            place,
            f"{planned[number]:.1%} pruned",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
        )
        place += 1
        for pair in known:
            if pair.round != number or pair.difference is None:
                continue
            style = styles[pair.method]
            mean = 100 * pair.difference.mean
            if pair.interval is not None:
                axes.plot(
                    [100 * end for end in pair.interval],
                    [place, place],
                    color=style.color,
                    linestyle=style.dashes,
                    marker="|",
                )
            axes.plot(
                [mean],
                [place],
                color=style.color,
                marker=style.marker,
                markerfacecolor=style.fill,
                linestyle="none",
            )
            places.append(place)
            labels.append(shown(pair.method, 44))
            place += 1
    axes.axvline(0, color="#000000", linewidth=0.8)
    axes.set_yticks(places, labels)
    axes.set_ylim(place - 0.4, -0.6)
    axes.set_xlabel(f"points of test accuracy against {shown(reference)} (mean, 95 %)")
    tidy(axes)
    return figure
