"""What a person reads of a balanced network: tables of text, and notes below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Row: TypeAlias = Mapping[str, Any]

# Columns that a narrow terminal has no room for.
EXTRA = ("shape", "price", "cycles", "solver", "time")


class TextTable(NamedTuple):
    """A table of finished text.

    Attributes
    ----------
    header : tuple of str
        Names of the columns.
    rows : sequence of tuple of str
        Cells, as many in each row as there are columns.
    left : tuple of str
        Columns that are aligned to the left; the others hold numbers.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: tuple[str, ...]


def to_markdown(table: TextTable) -> str:
    """Write a table as Markdown, for a document."""
    rules = ["---" if name in table.left else "---:" for name in table.header]
    cells = ([cell.replace("|", r"\|") for cell in row] for row in table.rows)
    lines = (table.header, rules, *cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def network_table(report: Row, narrow: bool = False) -> TextTable:
    """One line for each layer and one for the network.

    Parameters
    ----------
    report : mapping
        `NetworkSolution.to_dict`, with or without cycles.
    narrow : bool
        Leave out what a terminal of 80 columns has no room for.
    """
    columns: dict[str, Callable[[Row], str]] = {
        "layer": lambda row: row["name"],
        "shape": lambda row: "x".join(map(str, row.get("shape", ()))),
        "non-zeros": lambda row: _change(row, "nonzeros"),
        "utilization": lambda row: (
            f"{row['utilization_before']:.3f} → {row['utilization']:.3f}"
        ),
        "kept": lambda row: f"{row['kept_fraction']:.4f}",
        "price": lambda row: f"{row['price_of_balance']:.2%}",
        "cycles": lambda row: _change(row, "cycles"),
        "gap": lambda row: f"{row['gap']:.1e}" if row["gap"] else "0",
        "status": lambda row: row["status"],
        "solver": lambda row: row["solver"],
        "time": lambda row: f"{row['seconds'] * 1e3:.1f} ms",
    }
    left_out = EXTRA if narrow else ()
    if report["network"]["cycles"] is None:
        left_out = (*left_out, "cycles")
    header = tuple(name for name in columns if name not in left_out)
    rows = (*report["layers"], {"name": "network", **report["network"]})
    return TextTable(
        header,
        [tuple(columns[name](row) for name in header) for row in rows],
        ("layer", "shape"),
    )


def baseline_table(report: Row) -> TextTable:
    """One line for each layer and method, ours last."""
    rows = []
    for layer in report["layers"]:
        ours = {**layer, "method": f"balance ({layer['solver']})"}
        rows += [
            (
                "" if index else layer["name"],
                row["method"],
                f"{row['nonzeros']:,}",
                f"{row['kept_fraction']:.4f}",
                f"{row['utilization']:.3f}",
                f"{row['slots']:,}",
            )
            for index, row in enumerate((*layer["baselines"], ours))
        ]
    header = ("layer", "method", "non-zeros", "kept", "utilization", "slots")
    return TextTable(header, rows, ("layer", "method"))


def frontier_table(report: Row) -> TextTable:
    """One line for each point of magnitude and latency."""
    full = report["frontier"][-1]["kept"]
    rows = [
        (
            f"{point['latency_budget']:,.0f}",
            f"{point['cycles']:,.0f}",
            f"{point['nonzeros']:,}",
            f"{point['kept'] / full:.4f}" if full else "",
            f"{point['gap']:.1e}" if point["gap"] else "0",
        )
        for point in report["frontier"]
    ]
    return TextTable(("budget", "cycles", "non-zeros", "kept", "gap"), rows, ())


def network_notes(report: Row) -> Iterator[str]:
    """Yield what the numbers of the table might hide."""
    layers, network = report["layers"], report["network"]
    limits = (network["latency_budget"], network["energy_budget"])
    limited = any(limit is not None for limit in limits)
    for name, other in network["alternatives"].items() if limited else ():
        share = other["kept"] / network["kept"] if network["kept"] else 1.0
        yield f"{name}: {share:.4f} of this magnitude, {other['cycles']:,.0f} cycles."
    if network.get("kept_if_reordered") and network["kept_unstructured"]:
        share = network["kept_if_reordered"] / network["kept_unstructured"]
        yield f"With --order optimized the network would keep {share:.4f}."
    if network["remainder"]:
        what = "one weight for every PE"
        why = f"no further slice, {what}, fits" if not limited else "the others bind"
        yield f"{network['remainder']} non-zeros of the budget are left over: {why}."
    if partial := [row for row in layers if row["occupancy"] < 1]:
        shares = ", ".join(f"{row['name']} {row['occupancy']:.0%}" for row in partial)
        yield f"PEs that hold weights: {shares}; the others are idle by structure."
    if network["revived"]:
        yield f"{network['revived']} of the kept weights were pruned before (revived)."
    if network["dead_channels"]:
        yield f"{network['dead_channels']} output channels keep no weight."
    dense = [
        row["name"]
        for row in layers
        if row["nonzeros_before"] == row["nonzeros"] == row["weights"]
    ]
    if dense:
        yield f"Dense, as before: {', '.join(dense)}; use --sparsity to prune."
    for row in layers:
        if row["fallback_reason"]:
            yield f"{row['name']}: answered by greedy: {row['fallback_reason']}."


def _change(row: Row, key: str) -> str:
    """Write a number before and after; nothing if it is not known."""
    before, after = row.get(f"{key}_before"), row.get(key)
    if before is None or after is None:
        return ""
    return f"{before:,.0f} → {after:,.0f}"
