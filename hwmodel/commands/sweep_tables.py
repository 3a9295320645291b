"""What a person reads of a sweep: a table of runs, and what to mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.commands.console import percent, whole
from hwmodel.commands.text_tables import TextTable
from hwmodel.sweeps.labels import label, said
from hwmodel.sweeps.pareto import cost_of

if TYPE_CHECKING:
    from hwmodel import SweepResult

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
    axes = result.plan.axes
    trained = result.value == "accuracy"
    rows = shown_rows(result)
    units = {row.get("energy_unit") for row in rows} - {None}
    energy = f"energy ({units.pop()})" if len(units) == 1 else "energy"
    header = (
        *axes,
        "non-zeros",
        *(("accuracy",) if trained else ()),
        "kept",
        "share",
        "utilization",
        "cycles",
        energy,
        *(("unit",) if len(units) > 0 else ()),
        "front",
        "flags",
    )
    cells = {
        "non-zeros": lambda row: whole(row.get("nonzeros")),
        "accuracy": lambda row: percent(row.get("accuracy")),
        "kept": lambda row: _number(row.get("kept_fraction"), ".4f"),
        "share": lambda row: percent(row.get("kept_share")),
        "utilization": lambda row: _number(row.get("utilization"), ".3f"),
        "cycles": _cycles,
        energy: lambda row: whole(row.get("energy")),
        "unit": lambda row: row.get("energy_unit") or "",
        "front": lambda row: row.get("front", ""),
        "flags": _flags,
    }
    lines = [
        tuple(
            said(row.get(name)) if name in axes else cells[name](row) for name in header
        )
        for row in rows
    ]
    texts = tuple(n for n in axes if any(isinstance(r.get(n), str) for r in rows))
    return TextTable(header, lines, (*texts, "unit", "front", "flags"), SPARE)


def shown_rows(result: SweepResult) -> Sequence[Mapping[str, Any]]:
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


def _cycles(row: Mapping[str, Any]) -> str:
    drawn = row.get("cycles_drawn") is not None
    return f"{'~' * drawn}{whole(cost_of(row, 'cycles'))}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _flags(row: Mapping[str, Any]) -> str:
    if row["state"] != "done":
        return str(row["state"])
    return " ".join(flag.replace("_", "-") for flag in FLAGS if row[flag])
