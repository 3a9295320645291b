"""Draw the pictures of the concepts, from programs that are solved and runs that ran.

``python docs/tools/pictures.py`` writes them into `docs/pictures`. Another version of
matplotlib may write other bytes for the same picture.
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from balancer import (
    PEMap,
    RetentionProblem,
    balance_ticket,
    open_ticket,
    shipped_ticket,
    solve,
)
from hwmodel import Hardware
from hwmodel.figures.styles import BLUE, TIMES, VERMILION, line_styles

DOCS = Path(__file__).resolve().parents[1]
PES = 16
KEPT, LEFT, CORE = BLUE, "#d0d0d0", VERMILION
STYLE = {
    "svg.hashsalt": "balanced-sparsity",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
}


def layer_of_ticket(name="features.3"):
    """Return scores and mask of a layer of the shipped ticket, and its PE map."""
    ticket = open_ticket(shipped_ticket())
    layer = next(one for one in ticket.layers if one.name == name).read()
    return layer.scores, layer.mask, PEMap.output_channel(layer.mask.shape, PES)


def slices():
    """Slices of one group as columns, and all slices of a layer by their value."""
    rng = np.random.default_rng(3)
    scores = np.sort(rng.gamma(1.5, size=(22, 10)))[:, ::-1]  # best weights first
    pe_map, budget = PEMap.output_channel(scores.shape, 8), 60
    solution = solve(RetentionProblem(scores, pe_map, budget=budget))
    loads = [int(group.max()) for group in solution.loads]

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.4), width_ratios=(1, 1.35), layout="constrained"
    )
    left.imshow(scores[:8], cmap="Blues", aspect="auto", vmin=0)
    for pe in range(8):
        for place in range(10):
            bright = scores[pe, place] > 0.55 * scores[:8].max()
            left.text(
                *(place, pe, f"{scores[pe, place]:.1f}"),
                **{"ha": "center", "va": "center", "fontsize": "x-small"},
                color="white" if bright else "black",
            )
    left.plot([loads[0] - 0.5] * 2, [-0.5, 7.5], color=CORE, linewidth=2.5)
    left.set(
        title=f"tile 0: {loads[0]} slices are kept",
        xlabel="slice: the j-th best weight of every PE",
        ylabel="PE",
        xticks=range(10),
    )
    left.spines[:].set_visible(False)

    # Slices by value for each non-zero, the price of one, and what it cannot settle.
    tiles = [scores[:8], scores[8:16], scores[16:]]
    values = np.concatenate([tile.sum(axis=0) for tile in tiles])
    costs = np.repeat([len(tile) for tile in tiles], 10)
    kept = np.concatenate([np.arange(10) < load for load in loads])
    best = np.argsort(-values / costs, kind="stable")
    ends = np.cumsum(costs[best])
    split = best[np.searchsorted(ends, budget, side="right")]
    price = values[split] / costs[split]
    bound = price * budget + np.maximum(0, values - price * costs).sum()
    room, greedy = budget, 0.0
    for one in best:
        if costs[one] <= room:
            room, greedy = room - costs[one], greedy + values[one]
    core = np.abs(values - price * costs) <= bound - greedy
    assert greedy <= solution.kept + 1e-9 <= bound + 2e-9
    begins = ends - costs[best]
    for begin, one in zip(begins, best, strict=True):
        right.bar(
            *(begin, values[one] / costs[one], costs[one] * 0.92),
            align="edge",
            color=KEPT if kept[one] else LEFT,
            edgecolor=CORE if core[one] else "none",
            linewidth=2.0,
            hatch="" if kept[one] else "///",
            zorder=2 if core[one] else 1,
        )
    right.axhline(price, color="black", linewidth=1, linestyle="--")
    right.text(ends[-1], price, f"price {price:.2f}", ha="right", va="bottom")
    right.axvline(budget, color="black", linewidth=1)
    right.text(budget + 2, 4, f"budget {budget}", va="top")
    right.set(
        title=f"{len(values)} slices of three tiles, {core.sum()} of them in the core",
        xlabel="non-zeros (a bar is as wide as its slice)",
        ylabel="value for each non-zero",
    )
    handles = [
        Patch(color=KEPT),
        Patch(facecolor=LEFT, hatch="///", edgecolor="white"),
        Patch(facecolor="none", edgecolor=CORE, linewidth=2),
    ]
    right.legend(handles, ("kept", "left", "core"), loc="upper right")
    return figure


def order():
    """Channels with what they would keep, and with what their tile lets them keep."""
    scores, mask, pe_map = layer_of_ticket()
    figure, axes = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, sharey=True)
    for axis, kind in zip(axes, ("fixed", "optimized"), strict=True):
        problem = RetentionProblem(scores, pe_map, budget=int(mask.sum()), order=kind)
        solution = solve(problem)
        channels = np.arange(len(scores)) if kind == "fixed" else solution.order
        wanted = mask.sum(axis=(1, 2, 3))[channels]
        loads = solution.loads.max(axis=1)
        for tile, load in enumerate(loads):
            axis.bar(tile * PES + 7.5, load, PES - 0.3, color=LEFT)
            axis.text(
                *(tile * PES + 7.5, 6, f"tile {tile}, load {load}"),
                **{"ha": "center", "va": "bottom", "fontsize": "small"},
            )
        axis.bar(range(len(wanted)), wanted, width=0.6, color=KEPT)
        share = solution.kept / np.sort(scores, axis=None)[-solution.nonzeros :].sum()
        name = "natural order" if kind == "fixed" else "optimized order"
        axis.set(
            title=f"{name}: {solution.nonzeros} weights keep {share:.4f}",
            ylabel="weights",
            xticks=range(0, 65, PES),
            ylim=(0, 7),
        )
    axes[1].set_xlabel("output channels as the PEs take them, sixteen in a tile")
    handles = [Patch(color=KEPT), Patch(color=LEFT)]
    names = ("the channel's weights in the unstructured mask", "its balanced load")
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    return figure


def utilization():
    """Where the time of the PEs goes, before and after, on two accelerators."""
    kinds = {
        "busy": "works on a spike",
        "gated": "works, no spike",
        "idle": "waits for other PEs",
        "structural": "holds no weights",
        "stalled": "waits for memory",
    }
    figure, axis = plt.subplots(figsize=(8, 2.9))
    rows = []
    for name in ("u-ticket", "generic-45nm"):
        report = balance_ticket(shipped_ticket(), hardware=Hardware.of(name))
        for when, costs in (
            ("before", report.hardware.before),
            ("after", report.hardware.after),
        ):
            # Of spikes that are drawn, where the mean of all would only be a bound.
            times = [(cost.drawn or cost).time for cost in costs.values()]
            rows.append((f"{name}, {when}", times))
    for row, (_, times) in enumerate(rows):
        begin = 0.0
        for kind in kinds:
            colour, hatch = TIMES[kind]
            length = sum(getattr(time, kind) for time in times) / 1000
            axis.barh(row, length, 0.7, begin, color=colour, hatch=hatch, ec="white")
            begin += length
        axis.text(begin + 1, row, f"{begin * 1000 / PES:,.0f} cycles", va="center")
    axis.set(
        yticks=range(len(rows)),
        yticklabels=[name for name, _ in rows],
        xlabel="thousands of PE cycles, all layers of the shipped ticket",
        ylim=(len(rows) - 0.5, -0.5),
        xlim=(0, 185),
    )
    handles = [
        Patch(facecolor=TIMES[kind][0], hatch=TIMES[kind][1], edgecolor="white")
        for kind in kinds
    ]
    place = {"loc": "outside upper center", "ncols": 5, "fontsize": "small"}
    figure.legend(handles, kinds.values(), **place)
    return figure


def magnitude():
    """Kept magnitude and accuracy of every run of the first study at 98.2 %."""
    names = ("lth", "optimal-order", "optimal", "topk-per-pe", "u-ticket")
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
    for axis, data in zip(axes, ("digits", "mnist"), strict=True):
        with (DOCS / "study" / f"{data}.csv").open(encoding="utf-8") as file:
            runs = [
                run
                for run in csv.DictReader(file)
                if abs(float(run["sparsity"]) - 0.982) < 0.003
            ]
        for name, style in line_styles(names).items():
            of_method = [run for run in runs if run["method"] == name]
            axis.scatter(
                [float(run["kept_fraction"]) for run in of_method],
                [100 * float(run["accuracy"]) for run in of_method],
                **{"marker": style.marker, "color": style.color, "alpha": 0.8},
                **{"s": 28, "label": name if axis is axes[0] else None},
            )
        axis.set(
            title=data if data == "digits" else "MNIST",
            xlabel="kept magnitude, of unstructured pruning",
        )
    axes[0].set_ylabel("test accuracy in %")
    figure.legend(loc="outside upper center", ncols=len(names))
    return figure


PICTURES = (slices, order, utilization, magnitude)


def draw(folder):
    """Write all pictures into a folder, and return their files."""
    files = []
    with plt.rc_context(STYLE):
        for picture in PICTURES:
            figure = picture()
            files.append(folder / f"{picture.__name__}.svg")
            figure.savefig(files[-1], metadata={"Date": None})
            plt.close(figure)
    return files


if __name__ == "__main__":
    draw(DOCS / "pictures")
