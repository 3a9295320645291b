"""The page of a balanced ticket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balancer import BalanceReport
from hwmodel.figures.canvas import drawing
from hwmodel.figures.frontier_figure import draw_frontier
from hwmodel.figures.load_figure import (
    LayerLoads,
    draw_loads,
    drawn_of,
    has_bars,
    loads_of,
)
from hwmodel.figures.use_figure import Use, draw_use
from hwmodel.pages.balance_findings import answers, facts, warnings
from hwmodel.pages.number_table import NumberColumn, NumberTable
from hwmodel.pages.page import WHOLE, Page, PageSection, check_page
from hwmodel.pages.page_figure import page_svg

MOST_ROWS = 2000  # of a table: the loads of larger networks stand by group, or layer

LAYERS = (
    NumberColumn("name", "layer"),
    NumberColumn("shape", "shape"),
    NumberColumn("weights", "weights", WHOLE),
    NumberColumn("nonzeros_before", "non-zeros before", WHOLE),
    NumberColumn("nonzeros", "after", WHOLE),
    NumberColumn("utilization_before", "utilization before", ".3f"),
    NumberColumn("utilization", "after", ".3f"),
    NumberColumn("occupancy", "PEs with weights", ".0%"),
    NumberColumn("kept_fraction", "kept of unstructured", ".2%"),
    NumberColumn("gap", "gap", ".1g"),
    NumberColumn("cycles_before", "cycles before", WHOLE),
    NumberColumn("cycles", "after", WHOLE),
    NumberColumn("energy_pj_before", "energy before", WHOLE),
    NumberColumn("energy_pj", "after", WHOLE),
    NumberColumn("revived", "revived", WHOLE),
    NumberColumn("dead_channels", "dead channels", WHOLE),
    NumberColumn("effective_before", "effective before", WHOLE),
    NumberColumn("effective", "after", WHOLE),
)
BY_PE = (
    NumberColumn("layer", "layer"),
    NumberColumn("group", "group", "d"),
    NumberColumn("pe", "PE", "d"),
    NumberColumn("load_before", "load before", WHOLE),
    NumberColumn("load", "after", WHOLE),
)
BY_GROUP = (
    NumberColumn("layer", "layer"),
    NumberColumn("group", "group", "d"),
    NumberColumn("pes", "PEs", "d"),
    NumberColumn("largest_before", "largest load before", WHOLE),
    NumberColumn("largest", "after", WHOLE),
    NumberColumn("sum_before", "sum of loads before", WHOLE),
    NumberColumn("sum", "after", WHOLE),
)
BY_LAYER = (
    NumberColumn("layer", "layer"),
    NumberColumn("groups", "groups", WHOLE),
    NumberColumn("steps_before", "steps before", WHOLE),
    NumberColumn("steps", "after", WHOLE),
    NumberColumn("waiting_before", "waiting before", ".1%"),
    NumberColumn("waiting", "after", ".1%"),
)
FRONTIER = (
    NumberColumn("latency_budget", "budget of cycles", WHOLE),
    NumberColumn("cycles", "cycles", WHOLE),
    NumberColumn("nonzeros", "non-zeros", WHOLE),
    NumberColumn("kept", "kept magnitude", ",.3f"),
    NumberColumn("bound", "bound", ",.3f"),
    NumberColumn("gap", "gap", ".1g"),
)
METHODS = (
    NumberColumn("layer", "layer"),
    NumberColumn("method", "method"),
    NumberColumn("nonzeros", "non-zeros", WHOLE),
    NumberColumn("kept_fraction", "kept of unstructured", ".2%"),
    NumberColumn("utilization", "utilization", ".3f"),
    NumberColumn("slots", "slots", WHOLE),
)


def write_balance_page(
    report: BalanceReport,
    path: str | os.PathLike[str],
    frontier: BalanceReport | None = None,
) -> None:
    """Write the page of a balanced ticket.

    Parameters
    ----------
    report : BalanceReport
        What `balance_ticket` returned.
    path : str or path
        An .html file.
    frontier : BalanceReport, optional
        The same ticket under one budget, with a frontier, where `report` has none.

    Raises
    ------
    PageError
        matplotlib or Jinja2 is not installed, or another kind of file.
    TicketError
        A file that cannot be written.

    Examples
    --------
    >>> from balancer import balance_ticket, shipped_ticket
    >>> from hwmodel.pages.balance_page import write_balance_page
    >>> write_balance_page(balance_ticket(shipped_ticket()), "report.html")
    """
    check_page(Path(path))
    balance_page(report, frontier).write(Path(path))


def balance_page(report: BalanceReport, frontier: BalanceReport | None = None) -> Page:
    """Put together what the page says; see `write_balance_page`."""
    loads = loads_of(report)
    request = report.request
    budgets = "each layer has its own budget"
    if request.scope == "global":
        budgets = "all layers share one budget"
    elif request.budgets is not None:
        budgets = f"budgets of layers by {request.budgets}"
    return Page(
        title=f"Balanced: {report.source or 'layers in memory'}",
        subtitle=f"{len(loads)} layers on {report.settings['pes']} PEs, map "
        f"{report.settings['map']}; {budgets}; ranked by {report.ranked_by}.",
        facts=list(facts(report, loads)),
        answers=answers(report, loads),
        warnings=list(warnings(report)),
        notes=report.notes,
        sections=list(_sections(report, loads, frontier)),
    )


def _sections(
    report: BalanceReport, loads: Sequence[LayerLoads], frontier: BalanceReport | None
) -> Iterator[PageSection]:
    document = report.to_dict()
    with drawing():
        if any(any(layer.steps) for layer in loads):
            yield _loads(loads)
        if report.hardware is not None:
            yield _use(report)
        told = report if report.frontier is not None else frontier
        if told is not None:
            yield _frontier(told, report)
    rows = [
        row | {"shape": "x".join(map(str, row["shape"]))} for row in document["layers"]
    ]
    yield PageSection(
        "Layers",
        "Every layer, before and after. Kept is relative to unstructured pruning with "
        "as many non-zeros; the gap is the distance to the proven bound.",
        tables=(NumberTable.of("layers", "Numbers of the layers", LAYERS, rows),),
    )
    if report.baselines:
        yield PageSection(
            "Other methods",
            "What other methods keep of each layer, and how evenly they load the PEs.",
            tables=(NumberTable.of("methods", "Methods", METHODS, _methods(document)),),
        )


def _methods(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for layer in document["layers"]:
        for row in (*layer["baselines"], layer | {"method": "balance"}):
            yield row | {"layer": layer["name"]}


def _loads(layers: Sequence[LayerLoads]) -> PageSection:
    drawn = drawn_of(layers)
    return PageSection(
        "Loads of the PEs",
        "Each row is a PE, each stretch between two barriers a group: PEs that wait "
        "for each other, so it lasts as long as its largest load. A bar is a PE that "
        "works; grey is waiting. Before and after have one scale.",
        page_svg(
            draw_loads(layers),
            "loads",
            "Load of every PE in every group, before and after balancing; the numbers "
            "are in the table below",
            _tips(drawn) if has_bars(drawn) else {},
        ),
        (_load_table(layers),),
    )


def _tips(drawn: Sequence[LayerLoads]) -> dict[str, str]:
    """Say what each bar is."""
    return {
        f"loads-{number}-{side}-{group}-{pe}": (
            f"{layer.name}, PE {pe}, group {group}: {loads[group, pe]:,} of "
            f"{loads[group].max():,} steps"
        )
        for number, layer in enumerate(drawn)
        for side, loads in enumerate(layer.loads)
        for group, pe in np.argwhere(loads).tolist()
    }


def _load_table(layers: Sequence[LayerLoads]) -> NumberTable:
    """List the loads, as closely as a page can."""
    cells = sum(int(layer.held.sum()) for layer in layers)
    groups = sum(len(layer.held) for layer in layers)
    if cells <= MOST_ROWS:
        return NumberTable("loads", "Loads by PE", BY_PE, tuple(_by_pe(layers)))
    if groups <= MOST_ROWS:
        rows = tuple(_by_group(layers))
        return NumberTable("loads", "Loads by group", BY_GROUP, rows)
    rows = tuple((x.name, len(x.held), *x.steps, *x.waiting) for x in layers)
    return NumberTable("loads", "Loads by layer", BY_LAYER, rows)


def _by_pe(layers: Sequence[LayerLoads]) -> Iterator[tuple[Any, ...]]:
    for layer in layers:
        before, after = layer.loads
        for group, held in enumerate(layer.held):
            for pe in held.nonzero()[0].tolist():
                yield (
                    *(layer.name, group, pe),
                    *(int(before[group, pe]), int(after[group, pe])),
                )


def _by_group(layers: Sequence[LayerLoads]) -> Iterator[tuple[Any, ...]]:
    for layer in layers:
        for group, held in enumerate(layer.held):
            yield (
                *(layer.name, group, int(held.sum())),
                *(int(side[group].max()) for side in layer.loads),
                *(int(side[group].sum()) for side in layer.loads),
            )


def _use(report: BalanceReport) -> PageSection:
    use = report.hardware
    assert use is not None
    bars = [
        Use.of(f"{name}, {side}", costs[name], use.energy_unit)
        for name in use.after
        for side, costs in (("before", use.before), ("after", use.after))
    ]
    return use_section(
        bars,
        f"What one inference takes on {use.accelerator}, layer by layer; the numbers "
        f"are: {use.basis}.",
    )


def use_section(bars: Sequence[Use], text: str) -> PageSection:
    """Show where time and energy go; in a figure by its greatest parts, and in full."""
    times = list(dict.fromkeys(name for bar in bars for name in bar.time))
    parts = [
        name
        for name in dict.fromkeys(name for bar in bars for name in bar.energy)
        if any(bar.energy.get(name) for bar in bars)
    ]
    columns = (
        NumberColumn("label", "layer"),
        NumberColumn("cycles", "cycles", WHOLE),
        *(
            NumberColumn(f"{name}_pe_cycles", f"{name}, PE cycles", WHOLE)
            for name in times
        ),
        *(
            NumberColumn(
                f"{name}_energy", f"{name.replace('_', ' ')}, {bars[0].unit}", WHOLE
            )
            for name in parts
        ),
    )
    rows = (
        {"label": bar.label, "cycles": bar.cycles}
        | {f"{name}_pe_cycles": value for name, value in bar.time.items()}
        | {f"{name}_energy": value for name, value in bar.energy.items()}
        for bar in bars
    )
    return PageSection(
        "Time and energy",
        text,
        page_svg(
            draw_use(bars),
            "use",
            "Cycles by what PEs spend them on, and energy by component; the numbers "
            "are in the table below",
        ),
        (NumberTable.of("use", "Time and energy", columns, rows),),
    )


def _frontier(told: BalanceReport, report: BalanceReport) -> PageSection:
    assert told.frontier is not None
    return PageSection(
        "Magnitude and latency",
        "The most magnitude that balanced masks keep in so many cycles, if all layers "
        "share one budget of non-zeros. The cycles follow from the loads, without "
        "waiting for memory.",
        page_svg(
            draw_frontier(told, report),
            "frontier",
            "Kept magnitude by cycles; the numbers are in the table below",
            {
                "frontier": [
                    f"{point.cycles:,.0f} cycles, {point.nonzeros:,} non-zeros"
                    for point in told.frontier
                ]
            },
        ),
        (
            NumberTable.of(
                "frontier",
                "Points of the frontier",
                FRONTIER,
                (point.to_dict() for point in told.frontier),
            ),
        ),
    )
