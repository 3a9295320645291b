"""What a person reads of a balanced network: tables of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from hwmodel.commands.text_tables import TextTable

Row: TypeAlias = Mapping[str, Any]

# Columns that a narrow terminal can do without, the first of them first.
SPARE = ("time", "solver", "effective", "price", "shape", "gap")
NOT_KNOWN = "-"


def network_table(report: Row) -> TextTable:
    """One line for each layer and one for the network.

    Parameters
    ----------
    report : mapping
        `BalanceReport.to_dict`, with or without cycles.
    """
    columns: dict[str, Callable[[Row], str]] = {
        "layer": lambda row: row["name"],
        "shape": lambda row: "x".join(map(str, row.get("shape", ()))),
        "non-zeros": lambda row: _change(row, "nonzeros"),
        "effective": lambda row: _change(row, "effective"),
        "utilization": lambda row: (
            f"{_utilization(row, '_before')} → {_utilization(row)}"
        ),
        "kept": lambda row: _known(row["kept_fraction"], ".4f"),
        "price": lambda row: _known(row["price_of_balance"], ".2%"),
        "cycles": lambda row: _change(row, "cycles"),
        "gap": lambda row: f"{row['gap']:.1e}" if row["gap"] else "0",
        "status": lambda row: row["status"],
        "solver": lambda row: row["solver"],
        "time": lambda row: f"{row['seconds'] * 1e3:.1f} ms",
    }
    total = {"name": "network", **report["network"]}
    if total["cycles"] is None:
        del columns["cycles"]
    if "effective" not in report["layers"][0]:
        del columns["effective"]
    else:  # of the layers that take part
        for key in ("effective_before", "effective"):
            total[key] = sum(layer[key] for layer in report["layers"])
    header = tuple(columns)
    rows = (*report["layers"], total)
    return TextTable(
        header,
        [tuple(columns[name](row) for name in header) for row in rows],
        ("layer", "shape"),
        SPARE,
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
                _known(row["kept_fraction"], ".4f"),
                _utilization(row),
                f"{row['slots']:,}",
            )
            for index, row in enumerate((*layer["baselines"], ours))
        ]
    header = ("layer", "method", "non-zeros", "kept", "utilization", "slots")
    return TextTable(header, rows, ("layer", "method"))


def frontier_table(report: Row) -> TextTable:
    """One line for each point of magnitude and latency."""
    full = max(point["kept"] for point in report["frontier"])
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


def _known(value: float | None, form: str) -> str:
    """Write a number; a dash where there is none."""
    return NOT_KNOWN if value is None else format(value, form)


def _utilization(row: Row, suffix: str = "") -> str:
    """Write a utilization; an empty mask has none."""
    some = row[f"nonzeros{suffix}"]
    return _known(row[f"utilization{suffix}"] if some else None, ".3f")


def _change(row: Row, key: str) -> str:
    """Write a number before and after; nothing if it is not known."""
    before, after = row.get(f"{key}_before"), row.get(key)
    if before is None or after is None:
        return ""
    return f"{before:,.0f} → {after:,.0f}"
