"""The page of a sweep: its front, its figure and all its rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.figures.canvas import drawing
from hwmodel.pages.number_table import NumberColumn, NumberTable
from hwmodel.pages.page import WHOLE, Fact, Page, PageAnswer, PageSection, check_page
from hwmodel.pages.page_figure import page_svg
from hwmodel.sweeps.figure import draw_sweep
from hwmodel.sweeps.labels import label
from hwmodel.sweeps.pareto import cost_of

if TYPE_CHECKING:
    from hwmodel.sweeps.result import SweepRows

WORDS = {"accuracy": "test accuracy", "kept_share": "of all magnitude"}
SHARES = {
    *("sparsity", "utilization", "eta", "occupancy", "kept_fraction", "kept_share"),
    *("accuracy", "density"),
}


def write_sweep_page(result: SweepRows, path: str | os.PathLike[str]) -> None:
    """Write the page of a sweep; see `SweepRows.report`."""
    check_page(Path(path))
    sweep_page(result).write(Path(path))


def sweep_page(result: SweepRows) -> Page:
    """Put together what the page says."""
    done, failed = len(result.done), len(result.failures)
    return Page(
        title=f"Sweep: {result.folder.name}",
        subtitle=f"Runs that differ in {', '.join(result.axes) or 'nothing'}.",
        facts=[
            Fact("Runs done", done, ",d", f"of {len(result.rows):,}"),
            Fact("Failed", failed, ",d", "the same sweep tries them again"),
            *_best(result),
        ],
        answers=list(_answers(result)),
        warnings=list(_warnings(result)),
        notes=list(
            dict.fromkeys(row["note"] for row in result.done if row.get("note"))
        ),
        sections=list(_sections(result)),
    )


def _best(result: SweepRows) -> Iterator[Fact]:
    front = result.front("cycles")
    if not front:
        return
    least, most = front[0], front[-1]
    words = WORDS[result.value]
    cycles = cost_of(least, "cycles") or 0
    yield Fact(
        "Fewest cycles", cycles, WHOLE, f"with {least[result.value]:.2%} {words}"
    )
    title = "Most accurate" if result.value == "accuracy" else "Most kept"
    spent = cost_of(most, "cycles") or 0
    yield Fact(title, most[result.value], ".2%", f"{words}, in {spent:,.0f} cycles")


def _answers(result: SweepRows) -> Iterator[PageAnswer]:
    for cost in ("cycles", "energy"):
        front = result.front(cost)
        if front:
            sentences = tuple(
                f"{label(row, result.axes)}: {_said(row, cost)}, "
                f"{row[result.value]:.2%} {WORDS[result.value]}"
                for row in (front if len(front) <= 5 else (front[0], front[-1]))
            )
            which = (
                "all" if len(front) <= 5 else f"the first and the last of {len(front)}"
            )
            yield PageAnswer(
                f"What no other run beats in {cost} ({which})",
                sentences,
            )


def _said(row: dict[str, Any], cost: str) -> str:
    unit = row["energy_unit"] if cost == "energy" else "cycles"
    return f"{cost_of(row, cost):,.0f} {unit}"


def _warnings(result: SweepRows) -> Iterator[str]:
    if result.failures:
        first = result.failures[0]
        yield (
            f"{len(result.failures)} of {len(result.rows)} runs failed, the first "
            f"with: {first['error']}"
        )
    missing = len(result.rows) - len(result.done) - len(result.failures)
    if missing:
        yield f"{missing} runs are missing; the same sweep goes on with them."
    for key, text in (
        ("empty", "lose all weights of a layer: their networks compute nothing"),
        ("memory_bound", "have layers that are bound by memory"),
        ("not_run", "have layers that cannot run on the accelerator"),
    ):
        found = [row for row in result.done if row.get(key)]
        if found:
            yield f"{len(found)} runs {text}."


def _sections(result: SweepRows) -> Iterator[PageSection]:
    if any(row["cycles"] is not None for row in result.done):
        with drawing():
            yield PageSection(
                "Costs and value",
                "A point is a run. What is above or left of the grey line, no run "
                "reaches.",
                page_svg(
                    draw_sweep(result),
                    "sweep",
                    "Cycles and energy of the runs against what they keep, and their "
                    "utilization; the numbers are in the table below",
                ),
            )
    names = dict.fromkeys(name for row in result.rows for name in row)
    columns = [
        NumberColumn(name, name.replace("_", " "), _form(result, name))
        for name in names
    ]
    common = [one for one in columns if _in_all(result, one.name)]
    said = (
        f" The same in all: {'; '.join(_shown(result, one) for one in common)}."
        if common
        else ""
    )
    yield PageSection(
        "Runs",
        "Settings and results of every run; front names the costs in which no run "
        f"beats it.{said}",
        tables=(
            NumberTable.of(
                "runs",
                "All runs",
                [one for one in columns if one not in common],
                result.rows,
            ),
        ),
    )


def _in_all(result: SweepRows, name: str) -> bool:
    """Tell whether all runs, and more than one, have the same of something."""
    first = result.rows[0].get(name) if len(result.rows) > 1 else None
    return first is not None and all(row.get(name) == first for row in result.rows)


def _shown(result: SweepRows, column: NumberColumn) -> str:
    value = result.rows[0][column.name]
    text = str(value) if column.form is None else format(value, column.form)
    return f"{column.title} {text or 'none'}"


def _form(result: SweepRows, name: str) -> str | None:
    """Say how the numbers of a column are written; None for text."""
    values = [row[name] for row in result.rows if row.get(name) is not None]
    if not all(isinstance(value, int | float) for value in values) or any(
        isinstance(value, bool) for value in values
    ):
        return None
    if name in SHARES:
        return ".2%"
    whole = all(float(value).is_integer() or abs(value) > 1e4 for value in values)
    return ",.0f" if whole else ",.4g"
