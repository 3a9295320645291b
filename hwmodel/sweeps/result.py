"""What a sweep found: one row for each run."""

from __future__ import annotations

import csv
import io
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from balancer.errors import shortened
from balancer.files.atomic import replacing
from hwmodel.sweeps.journal import RowJournal
from hwmodel.sweeps.pareto import cost_of, pareto_front
from hwmodel.sweeps.plan import SweepPlan
from hwmodel.sweeps.settings import SweepError

# Columns that differ when the same run is done again; the journal has them.
VARIES = ("seconds", "tries")
LAST = ("error", "key")
# What a finished run has, None where it is not known; the latter not always.
NUMBERS = ("cycles", "energy", "kept_share", "utilization")
PERHAPS = ("accuracy", "cycles_drawn")
TEXTS = ("empty", "energy_unit", "note", "basis", "memory_bound", "not_run", "status")


class SweepRows(ABC):
    """What can be said of the rows of a sweep, wherever they come from.

    Attributes
    ----------
    folder : Path
        Where ``rows.jsonl`` and ``table.csv`` are.
    """

    folder: Path

    @property
    @abstractmethod
    def axes(self) -> tuple[str, ...]:
        """Settings in which the runs differ."""

    @property
    @abstractmethod
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row for each run."""

    @property
    def value(self) -> str:
        """Column that costs are held against: accuracy, or the magnitude kept."""
        return value_of(self.rows)

    @property
    def done(self) -> tuple[dict[str, Any], ...]:
        """Rows of the runs that ended well."""
        return tuple(row for row in self.rows if row["state"] == "done")

    @property
    def failures(self) -> tuple[dict[str, Any], ...]:
        """Rows of the runs that failed; the same sweep tries them again."""
        return tuple(row for row in self.rows if row["state"] == "failed")

    def front(self, cost: str = "cycles") -> tuple[dict[str, Any], ...]:
        """Rows that no other beats in a cost and in `value`, by rising cost.

        Without those of networks that compute nothing, having an empty layer.

        Parameters
        ----------
        cost : str
            ``cycles`` (of drawn spikes, where these are only a lower bound otherwise),
            or ``energy`` (of each unit by itself).
        """
        on = [row for row in self.done if cost in row["front"].split()]
        value = self.value
        return tuple(sorted(on, key=lambda r: (cost_of(r, cost) or 0, -r[value])))

    def to_csv(self) -> str:
        """Write the rows as CSV: the same sweep gives the same text."""
        names = dict.fromkeys(
            name for row in self.rows for name in row if name not in VARIES
        )
        header = sorted(names, key=lambda name: name in LAST)
        text = io.StringIO()
        writer = csv.DictWriter(text, header, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: row[name] for name in row if name not in VARIES})
        return text.getvalue()

    def save(self) -> Path:
        """Write the table into the folder, whole or not at all."""
        path = self.folder / "table.csv"
        with replacing(path) as (file,):
            file.write_text(self.to_csv(), encoding="utf-8")
        return path

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the runs: cost against value with the front, and utilization.

        Parameters
        ----------
        path : str or path
            An .svg, .png or .pdf file.

        Raises
        ------
        SweepError
            Another kind of file, no finished run, or no matplotlib.
        """
        from hwmodel.sweeps.figure import plot_sweep

        plot_sweep(self, Path(path))

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a page about the runs: one HTML file with the figure and all rows.

        Parameters
        ----------
        path : str or path
            An .html file.

        Raises
        ------
        PageError
            Another kind of file; matplotlib or Jinja2 is not installed.
        """
        from hwmodel.sweeps.sweep_page import write_sweep_page

        write_sweep_page(self, path)

    def __repr__(self) -> str:
        failed = len(self.failures)
        missing = len(self.rows) - len(self.done) - failed
        return (
            f"{type(self).__name__}({self.folder}: {len(self.done)} of "
            f"{len(self.rows)} runs done, {failed} failed, {missing} missing)"
        )


@dataclass(frozen=True, repr=False)
class SweepResult(SweepRows):
    """The rows of a sweep.

    Attributes
    ----------
    plan : SweepPlan
        What was asked.
    folder : Path
        Where ``rows.jsonl`` and ``table.csv`` are.
    journal : mapping of str to dict
        Rows as they were written, by the keys of points.

    Examples
    --------
    >>> from hwmodel import sweep
    >>> result = sweep(pes=[8, 16], sparsity=0.9, out="designs", workers=0)
    >>> for row in result.rows:
    ...     print(row["pes"], row["cycles"], round(row["kept_fraction"], 3))
    8 89300 0.997
    16 44632 0.996
    """

    plan: SweepPlan
    folder: Path
    journal: Mapping[str, Mapping[str, Any]]

    @property
    def axes(self) -> tuple[str, ...]:
        """Settings in which the runs differ."""
        return self.plan.axes

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row for each run, in the order of the plan.

        Settings, then results (see `measures.sum_up`); ``state`` is ``done``,
        ``failed`` or ``missing``, and ``error`` says why.
        """
        rows = []
        asked = {point.key for point in self.plan.points}
        refuse_other_rows(
            [row for key, row in self.journal.items() if key in asked],
            self.folder / "rows.jsonl",
        )
        for point in self.plan.points:
            known = dict(self.journal.get(point.key, {"state": "missing"}))
            rows.append(point.columns() | known | {"key": point.key})
        return with_fronts(rows)


@dataclass(frozen=True, repr=False)
class SweepOnDisk(SweepRows):
    """What the folder of a sweep says, without its plan: runs that were begun.

    Attributes
    ----------
    folder : Path
        Where ``rows.jsonl`` is.

    Raises
    ------
    SweepError
        Of `rows`: a file that something else has written.
    """

    folder: Path

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row for each run that ended, in the order of their ends."""
        path = self.folder / "rows.jsonl"
        rows = list(RowJournal(path).read().values())
        refuse_other_rows(rows, path)
        return with_fronts(rows)

    @property
    def axes(self) -> tuple[str, ...]:
        """Settings in which the runs differ: they stand before the state of a row."""
        names = dict.fromkeys(
            name
            for row in self.rows
            for name in itertools.takewhile(lambda name: name != "state", row)
        )
        return tuple(
            name for name in names if len({str(row.get(name)) for row in self.rows}) > 1
        )


def refuse_other_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Refuse rows that lack what is asked of them.

    Raises
    ------
    SweepError
        The first of them.
    """
    if wrong := [row["key"] for row in rows if not _is_row(row)]:
        raise SweepError(
            f"{shortened(str(wrong[0]), 40)!r} is no row of a sweep; run the sweep "
            "again in another folder (--out), or delete its lines",
            about=path,
        )


def _is_row(row: Mapping[str, Any]) -> bool:
    """Whether a row has what is asked of it, whoever wrote it."""
    if any(type(one) is int and abs(one) >= 2**63 for one in row.values()):
        return False  # no table holds it
    if row.get("state") != "done":
        return row.get("state") == "failed" and isinstance(row.get("error"), str)
    numbers = [row.get(name, "missing") for name in NUMBERS]
    numbers += [row.get(name) for name in PERHAPS]
    return (
        {"empty", "energy_unit"} <= set(row)
        and all(one is None or type(one) in (int, float) for one in numbers)
        and all(isinstance(row.get(name), (str, NoneType)) for name in TEXTS)
    )


def with_fronts(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Say in each row that is done in which costs no other one beats it."""
    value = value_of(rows)
    fronts = {
        name: {place for unit in _fronts(rows, name, value) for place in unit}
        for name in ("cycles", "energy")
    }
    for place, row in enumerate(rows):
        if row["state"] == "done":
            on = [name for name, places in fronts.items() if place in places]
            row["front"] = " ".join(on)
    return tuple(rows)


def value_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the column that costs are held against; see `SweepRows.value`."""
    return "accuracy" if any("accuracy" in row for row in rows) else "kept_share"


def _fronts(
    rows: Sequence[Mapping[str, Any]], cost: str, value: str
) -> list[list[int]]:
    """Find the front of each unit: energies of different ones do not compare."""
    units = dict.fromkeys(row.get("energy_unit") for row in rows)
    if cost == "cycles":
        units = dict.fromkeys([None])
    return [
        pareto_front(
            [
                (cost_of(row, cost), row.get(value))
                if _counts(row) and unit in (None, row["energy_unit"])
                else (None, None)
                for row in rows
            ]
        )
        for unit in units
    ]


def _counts(row: Mapping[str, Any]) -> bool:
    """Whether a run is worth anything: with an empty layer nothing is computed."""
    return row["state"] == "done" and not row["empty"]
