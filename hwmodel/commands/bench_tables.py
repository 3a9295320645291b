"""What a person reads of a benchmark: one table, and what to mind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.bench.bench_figure import panel_title
from hwmodel.bench.run import label_of, size_text
from hwmodel.commands.text_tables import TextTable

if TYPE_CHECKING:
    from hwmodel import BenchResult
    from hwmodel.bench.measuring import BenchRow
    from hwmodel.bench.reference import Regression

SPARE = ("PEs", "bytes / weight", "kept", "ns / weight")


def bench_table(result: BenchResult) -> TextTable:
    """One line for each map and method: ratios by size, growth, memory, what is kept.

    What stands behind the ratios is of the largest layer that was measured.
    """
    sizes = sorted({row.case.size for row in result.rows})
    growths = result.growths()
    columns = ("map", "PEs", "sparsity", "method", *map(size_text, sizes))
    last = ("growth", "ns / weight", "bytes / weight", "kept", "gap")
    rows = []
    for key, series in result.series().items():
        text, pes, share, method = key
        ratios = {
            row.case.size: ("" if row.answered else ">") + _ratio(row.ratio)
            for row in series
        }
        largest, growth = series[-1], growths[key]
        rows.append(
            (
                text or "",
                "" if pes is None else str(pes),
                "" if share is None else f"{100 * share:g}%",
                method,
                *(ratios.get(size, "") for size in sizes),
                "" if growth is None else str(growth),
                f"{1e9 * largest.seconds / largest.case.weights:.1f}",
                _memory(largest),
                _number(largest.kept_fraction, ".4f"),
                _number(largest.gap, ".2g"),
            )
        )
    return TextTable((*columns, *last), rows, ("map", "method"), SPARE)


def bench_notes(result: BenchResult) -> Iterator[str]:
    """Yield what the table means and leaves out, a sentence each."""
    growth = result.sort_growth()
    yield (
        "Under each number of weights: time / time of sorting the rows of the same "
        "weights (numpy.sort), medians of pairs; what stands behind is of the largest "
        "layer measured, kept of unstructured pruning with as many non-zeros."
    )
    if growth is not None:
        yield (
            f"Growth: time is weights to this power, from 1e5 weights on, with its 95% "
            f"interval; of the sort it is {growth}."
        )
    if not all(row.answered for row in result.rows):
        yield ">: a search that had found no mask by then."
    too_slow: Counter[str] = Counter()
    for one in result.left_out:
        if one.case is None:
            yield f"Not measured: {one.method}, which {one.reason}."
        elif one.seconds is None:
            yield f"Not measured: {one.method}, {label_of(one.case)}: {one.reason}."
        else:
            too_slow[f"{one.method} from {size_text(one.case.size)} on"] += 1
    if too_slow:
        limit = result.settings.call_limit
        named = ", ".join(f"{name} ({lines})" for name, lines in too_slow.items())
        yield (
            f"Left out, as a call would take over {limit:g} s (--call-limit), with the "
            f"number of lines above: {named}."
        )


def comparison_notes(
    regressions: Sequence[Regression], compared: int, path: Path, tolerance: float
) -> Iterator[str]:
    """Yield what became slower than a reference says, a line each."""
    for one in regressions:
        yield (
            f"slower: {one.row.method}, {panel_title(one.row.case)}, "
            f"{size_text(one.row.case.size)}: {_ratio(one.before)} → "
            f"{_ratio(one.row.ratio)} sorts, {one.factor:.2f} times as long"
        )
    yield (
        f"Of {compared} ratios that {path} has too (calls of a millisecond and more), "
        f"{len(regressions)} are more than {tolerance:g} times as high."
    )


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _memory(row: BenchRow) -> str:
    if row.peak_bytes is None:
        return ""
    return f"{row.peak_bytes / row.case.weights:.1f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
