"""What was measured before: ratios to compare with, so that another machine will do.

Seconds are those of one machine at one time. How many sorts of the same rows a call
takes depends much less on it, and is what a reference holds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer import __version__
from balancer.files.atomic import replacing
from balancer.text_files import read_text_file
from balancer.valid_json import to_json
from hwmodel.bench.bench_result import BenchResult, row_dict
from hwmodel.bench.measuring import BenchRow
from hwmodel.bench.settings import BenchError

KIND = "balanced-sparsity bench"
TOLERANCE = 1.5
# Shorter calls are fixed costs of Python and of the machine, whose ratios say little.
LEAST_SECONDS = 1e-3
_KEY = ("size", "map", "pes", "sparsity", "method")
_KEPT = (*_KEY, "ratio", "seconds", "peak_bytes")


@dataclass(frozen=True, slots=True)
class Regression:
    """A call that takes longer than it did, relative to the sort beside it.

    Attributes
    ----------
    row : BenchRow
        As it is now.
    before : float
        Its ratio in the reference.
    """

    row: BenchRow
    before: float

    @property
    def factor(self) -> float:
        """Ratio now / ratio before."""
        return self.row.ratio / self.before


def save_reference(result: BenchResult, path: Path) -> None:
    """Write the ratios of a result, for `compare` to read.

    Raises
    ------
    WriteError
        A file that cannot be written.
    """
    rows = [
        {name: value for name, value in row_dict(row).items() if name in _KEPT}
        for row in result.rows
    ]
    with replacing(path) as (file,):
        text = to_json({"kind": KIND, "version": __version__, "rows": rows}, indent=1)
        file.write_text(text + "\n", encoding="utf-8")


def read_reference(path: Path) -> dict[tuple[Any, ...], float]:
    """Read a reference: ratio by size, map, PEs, sparsity and method.

    Raises
    ------
    BenchError
        A file that is none; the message names it.
    """
    wanted = "a file that --save-reference wrote is needed"
    document = read_text_file("JSON", path, BenchError, wanted)
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise BenchError(f"is no reference of `bench`; {wanted}", about=path)
    rows = document.get("rows")
    ratios = {}
    for given in rows if isinstance(rows, list) else [None]:
        row: dict[str, Any] = given if isinstance(given, dict) else {}
        ratio, key = row.get("ratio"), tuple(row.get(name) for name in _KEY)
        plain = all(isinstance(x, (str, int, float, type(None))) for x in key)
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not plain:
            raise BenchError(f"holds a row without a ratio; {wanted}", about=path)
        if not 0 < ratio <= sys.float_info.max:
            said = "holds a ratio that is not above 0, or not finite"
            raise BenchError(f"{said}; {wanted}", about=path)
        ratios[key] = float(ratio)
    return ratios


def compare(
    result: BenchResult,
    reference: Mapping[tuple[Any, ...], float],
    tolerance: float = TOLERANCE,
) -> tuple[list[Regression], int]:
    """Find what takes longer than it did.

    Parameters
    ----------
    result : BenchResult
        What was measured now.
    reference : mapping
        What `read_reference` returned.
    tolerance : float
        A ratio that is more than so many times that of the reference is a regression.

    Returns
    -------
    regressions : list of Regression
        The worst first.
    compared : int
        Rows that both have, of calls that last at least `LEAST_SECONDS`.
    """
    found, compared = [], 0
    for row in result.rows:
        fields = row_dict(row)
        before = reference.get(tuple(fields[name] for name in _KEY))
        if before is None or row.seconds < LEAST_SECONDS:
            continue
        compared += 1
        if row.ratio > tolerance * before:
            found.append(Regression(row, before))
    return sorted(found, key=lambda one: -one.factor), compared
