"""What a person reads of a balanced network: tables of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from hwmodel.commands.console import TextTable

Row: TypeAlias = Mapping[str, Any]

# Columns that a narrow terminal has no room for.
EXTRA = ("shape", "price", "cycles", "solver", "time")


def network_table(report: Row, narrow: bool = False) -> TextTable:
    """One line for each layer and one for the network.

    Parameters
    ----------
    report : mapping
        `BalanceReport.to_dict`, with or without cycles.
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


def _change(row: Row, key: str) -> str:
    """Write a number before and after; nothing if it is not known."""
    before, after = row.get(f"{key}_before"), row.get(key)
    if before is None or after is None:
        return ""
    return f"{before:,.0f} → {after:,.0f}"
