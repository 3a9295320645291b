"""What a person reads of a sweep: a table of runs, and what to mind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from hwmodel.commands.console import percent, whole
from hwmodel.commands.text_tables import TextTable
from hwmodel.sweeps.labels import label, said
from hwmodel.sweeps.pareto import cost_of

if TYPE_CHECKING:
    from hwmodel import SweepResult

Row: TypeAlias = Mapping[str, Any]

MOST_ROWS = 60  # of a sweep with more runs, those on a front are shown
SPARE = ("seed", "share", "non-zeros", "unit")
FLAGS = ("memory_bound", "empty", "not_run")


def sweep_table(result: SweepResult) -> TextTable:
    """One line for each run: settings that differ, results, and whose front it is on.

    Parameters
    ----------
    result : SweepResult
        With more than `MOST_ROWS` runs, only those on a front are listed.
    """
    rows, axes = shown_rows(result), result.plan.axes
    units = list(dict.fromkeys(r["energy_unit"] for r in rows if r.get("energy_unit")))
    columns: dict[str, Callable[[Row], str]] = {
        _heading(name): partial(_setting, name) for name in axes
    }
    columns["non-zeros"] = lambda row: whole(row.get("nonzeros"))
    if result.value == "accuracy":
        columns["accuracy"] = lambda row: percent(row.get("accuracy"))
    columns["kept"] = lambda row: _number(row.get("kept_fraction"), ".4f")
    columns["share"] = lambda row: percent(row.get("kept_share"))
    columns["utilization"] = lambda row: _number(row.get("utilization"), ".3f")
    columns["cycles"] = _cycles
    energy = f"energy ({units[0]})" if len(units) == 1 else "energy"
    columns[energy] = lambda row: whole(row.get("energy"))
    if len(units) > 1:
        columns["unit"] = lambda row: row.get("energy_unit") or ""
    columns["front"] = lambda row: row.get("front", "")
    columns["flags"] = _flags
    texts = [_heading(n) for n in axes if any(isinstance(r.get(n), str) for r in rows)]
    return TextTable(
        tuple(columns),
        [tuple(cell(row) for cell in columns.values()) for row in rows],
        (*texts, "unit", "front", "flags"),
        SPARE,
    )


def _heading(name: str) -> str:
    """Write a setting so that the header of a column can be broken between words."""
    table, dot, field = name.partition(".")
    return field.replace(".", " ").replace("_", " ") if dot else table


def _setting(name: str, row: Row) -> str:
    return said(row.get(name))


def shown_rows(result: SweepResult) -> Sequence[Row]:
    """Rows of the table."""
    if len(result.rows) <= MOST_ROWS:
        return result.rows
    return [row for row in result.rows if row.get("front")]


def sweep_notes(result: SweepResult) -> Iterator[str]:
    """Yield what the table might hide, a sentence each."""
    shown = len(shown_rows(result))
    if shown < len(result.rows):
        of_all = f"{shown} of {len(result.rows)} runs"
        yield f"{of_all}, those on a front; table.csv has all."
    if any(row["cycles_drawn"] is not None for row in result.done):
        yield (
            "~: cycles with spikes drawn from their rates; `cycles` in the files are a "
            "lower bound of these."
        )
    meanings = {
        "memory_bound": "Bound by memory, where most PE cycles wait for it",
        "empty": "Without any weight, so that the network computes nothing",
        "not_run": "In no sum of cycles or energy",
    }
    for flag, meaning in meanings.items():
        found: dict[str, int] = {}
        for row in result.done:
            for name in (row[flag] or "").split():
                found[name] = found.get(name, 0) + 1
        if found:
            layers = ", ".join(
                f"{name} ({count} runs)" for name, count in found.items()
            )
            yield f"{meaning}: {layers}."
    for note in dict.fromkeys(row["note"] for row in result.done if row["note"]):
        yield f"Cycles and energy: {note}."
    failed: dict[str, list[str]] = {}
    for row in result.failures:
        failed.setdefault(row["error"], []).append(label(row, result.plan.axes))
    for error, labels in failed.items():
        others = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        yield f"Failed: {labels[0]}{others}: {error}"


def _cycles(row: Row) -> str:
    drawn = row.get("cycles_drawn") is not None
    return f"{'~' * drawn}{whole(cost_of(row, 'cycles'))}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _flags(row: Row) -> str:
    if row["state"] != "done":
        return str(row["state"])
    return " ".join(flag.replace("_", "-") for flag in FLAGS if row[flag])
