"""What a benchmark measured: rows, and how they grow."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from balancer import __version__
from hwmodel.bench.bench_case import BenchCase
from hwmodel.bench.growth import Growth
from hwmodel.bench.measuring import BenchRow
from hwmodel.bench.settings import BenchSettings

Series: TypeAlias = tuple[str | None, int | None, float | None, str]


class LeftOut(NamedTuple):
    """What was not measured.

    Attributes
    ----------
    method : str
        The method.
    reason : str
        Why.
    case : BenchCase or None
        The smallest layer that was left out, and all larger ones with it; None for all.
    seconds : float or None
        What it would have taken, if that was the reason.
    """

    method: str
    reason: str
    case: BenchCase | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What was measured; after Ctrl-C what there is until then.

    Attributes
    ----------
    settings : BenchSettings
        What was asked for.
    rows : sequence of BenchRow
        Size by size.
    left_out : sequence of LeftOut
        What was not measured, and why.
    cancelled : bool
        Whether it was cut short.
    """

    settings: BenchSettings
    rows: Sequence[BenchRow]
    left_out: Sequence[LeftOut] = ()
    cancelled: bool = False

    def series(self) -> dict[Series, list[BenchRow]]:
        """Rows that differ by size alone, by map, PEs, sparsity and method."""
        found: dict[Series, list[BenchRow]] = {}
        for row in self.rows:
            found.setdefault((*row.case.series, row.method), []).append(row)
        return dict(sorted(found.items(), key=lambda one: _place(one[0], self)))

    def growths(self) -> dict[Series, Growth | None]:
        """Exponent of the time of each series, where it has enough sizes."""
        return {
            key: Growth.of([x.case.weights for x in rows], [x.seconds for x in rows])
            for key, rows in self.series().items()
        }

    def sort_growth(self) -> Growth | None:
        """Exponent of the time of the sort that all others are compared with."""
        shortest: dict[int, float] = {}
        for row in self.rows:
            known = shortest.get(row.case.weights, row.sort_seconds)
            shortest[row.case.weights] = min(known, row.sort_seconds)
        return Growth.of(list(shortest), list(shortest.values()))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types that JSON knows."""
        return {
            "version": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "settings": asdict(self.settings),
            "rows": [row_dict(row) for row in self.rows],
            "growth": [
                {**_named(key), **asdict(growth)}
                for key, growth in self.growths().items()
                if growth is not None
            ],
            "sort_growth": (found := self.sort_growth()) and asdict(found),
            "left_out": [
                {**asdict(case), **_reason(one)} if case else _reason(one)
                for one in self.left_out
                for case in [one.case]
            ],
            "cancelled": self.cancelled,
        }

    def plot(self, path: Path) -> None:
        """Draw ratios by size into an .svg, .png or .pdf file.

        Raises
        ------
        FigureError
            Another kind of file, no matplotlib, or nothing to draw.
        """
        from hwmodel.bench.bench_figure import plot_bench

        plot_bench(self, path)


def row_dict(row: BenchRow) -> dict[str, Any]:
    """Return a row with the fields of its case in front."""
    fields = asdict(row)
    case = fields.pop("case")
    return {**case, "weights": row.case.weights, **fields}


def _reason(one: LeftOut) -> dict[str, Any]:
    return {"method": one.method, "reason": one.reason}


def _named(key: Series) -> dict[str, Any]:
    return dict(zip(("map", "pes", "sparsity", "method"), key, strict=True))


def _place(key: Series, result: BenchResult) -> tuple[int, ...]:
    """Sort maps, PEs and sparsities as they were asked for; methods as measured."""
    text, pes, share, method = key
    lists: Iterator[tuple[Sequence[Any], Any]] = zip(
        (result.settings.maps, result.settings.pes, result.settings.sparsity),
        (text, pes, share),
        strict=True,
    )
    methods = list(dict.fromkeys(row.method for row in result.rows))
    places = (list(known).index(x) if x in known else -1 for known, x in lists)
    return (*places, methods.index(method))
