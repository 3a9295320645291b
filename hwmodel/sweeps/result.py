"""What a sweep found: one row for each run."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from balancer.files.atomic import replacing
from hwmodel.sweeps.pareto import cost_of, pareto_front
from hwmodel.sweeps.plan import SweepPlan

# Columns that differ when the same run is done again; the journal has them.
VARIES = ("seconds", "tries")
LAST = ("error", "key")


@dataclass(frozen=True, repr=False)
class SweepResult:
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

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row for each run, in the order of the plan.

        Settings, then results (see `measures.sum_up`); ``state`` is ``done``,
        ``failed`` or ``missing``, and ``error`` says why.
        """
        rows = []
        for point in self.plan.points:
            known = dict(self.journal.get(point.key, {"state": "missing"}))
            rows.append(point.columns() | known | {"key": point.key})
        fronts = {
            name: {place for unit in self._fronts(rows, name) for place in unit}
            for name in ("cycles", "energy")
        }
        for place, row in enumerate(rows):
            if row["state"] == "done":
                on = [name for name, places in fronts.items() if place in places]
                row["front"] = " ".join(on)
        return tuple(rows)

    def _fronts(self, rows: Sequence[Mapping[str, Any]], cost: str) -> list[list[int]]:
        """Find the front of each unit: energies of different ones do not compare."""
        units = dict.fromkeys(row.get("energy_unit") for row in rows)
        if cost == "cycles":
            units = dict.fromkeys([None])
        value = self.value
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

    @property
    def axes(self) -> tuple[str, ...]:
        """Settings in which the runs differ."""
        return self.plan.axes

    @property
    def value(self) -> str:
        """Column that costs are held against: accuracy, or the magnitude kept."""
        trained = any("accuracy" in row for row in self.journal.values())
        return "accuracy" if trained else "kept_share"

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

    def __repr__(self) -> str:
        failed = len(self.failures)
        missing = len(self.rows) - len(self.done) - failed
        return (
            f"SweepResult({self.folder}: {len(self.done)} of {len(self.rows)} runs "
            f"done, {failed} failed, {missing} missing)"
        )


def _counts(row: Mapping[str, Any]) -> bool:
    """Whether a run is worth anything: with an empty layer nothing is computed."""
    return row["state"] == "done" and not row["empty"]
