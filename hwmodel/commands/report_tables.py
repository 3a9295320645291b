"""What a person reads of a report: tables of text, and notes below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwmodel.commands.text_tables import TextTable
from hwmodel.comparison import PICOJOULE, ReportComparison
from hwmodel.report import Report

LAYER_COLUMNS = (
    *("layer", "shape", "nonzeros", "utilization", "eta", "cycles", "busy_pe_cycles"),
    *("gated_pe_cycles", "idle_pe_cycles", "stall_cycles", "energy_pj"),
)
COMPARED_COLUMNS = (
    *("label", "cycles", "cycles_ratio", "latency_s", "utilization", "eta"),
    *("energy_pj", "energy_pj_ratio", "pj_per_sop", "basis"),
)
# Columns that a narrow terminal can do without, the first of them first.
SPARE = (
    *("shape", "eta", "gated pe cycles", "effective", "latency s", "stall cycles"),
)


def report_table(report: Report) -> TextTable:
    """One line for each layer and one for all."""
    unit, rows = report.accelerator.energy_unit, report.rows()
    columns = ("effective", *LAYER_COLUMNS)  # where it is known
    shown = tuple(name for name in rows[-1] if name in columns)
    return _table(shown, rows, unit)


def comparison_table(comparison: ReportComparison) -> TextTable:
    """One line for each report; energies of different units in different columns."""
    units = comparison.units
    rows = comparison.rows()
    if len(units) == 1:
        return _table(COMPARED_COLUMNS, rows, units[0])
    columns = list(COMPARED_COLUMNS)
    place = columns.index("energy_pj")
    energies = [
        "energy_pj" if unit == PICOJOULE else f"energy_{unit}" for unit in units
    ]
    columns[place : place + 1] = energies
    return _table(tuple(columns), rows, PICOJOULE)


def report_notes(report: Report) -> Iterator[str]:
    """Yield what is true of the whole network."""
    yield f"{report.accelerator.name}: {', '.join(report.basis)}."
    if report.effective is not None:
        kept = sum(layer.nonzeros for layer in report.layers)
        count = sum(report.effective[layer.name] for layer in report.layers)
        yield (
            f"Effective, on a path from the network's input to its output: {count:,} "
            f"of {kept:,} kept weights."
        )
    if again := [layer for layer in report.layers if layer.calls > 1]:
        calls = ", ".join(f"{layer.name} {layer.calls} times" for layer in again)
        yield f"Cycles and energy are of all calls in an inference: {calls}."
    unit = report.accelerator.energy_unit
    rate = report.inferences_per_s  # None: a network without a weight takes no time
    yield (
        f"Latency {report.latency_s:.3e} s, "
        + (f"{rate:,.0f} inferences per second; " if rate is not None else "")
        + f"{report.energy_per_inference_pj:.3e} {unit} per inference."
    )
    if report.pj_per_sop is not None:
        yield (
            f"{report.pj_per_sop:.3f} {unit}/SOP, {report.gsops:.3f} GSOPS; a SOP is a "
            "kept weight that meets a spike."
        )
    if report.energy_pj:
        parts = sorted(report.breakdown.items(), key=lambda part: -part[1])
        shares = ", ".join(
            f"{name.replace('_', ' ')} {value / report.energy_pj:.1%}"
            for name, value in parts
            if value
        )
        idle, stall = report.energy.idle_pj, report.energy.stall_pj
        yield (
            f"Energy: {shares}; of it, waiting for other PEs "
            f"{idle / report.energy_pj:.1%}, for memory {stall / report.energy_pj:.1%}."
        )
    dense, stored = report.footprint_dense_bytes, report.footprint_bytes
    yield f"Weights: {dense:,} bytes dense, {stored:,} bytes as stored."


def _table(
    columns: tuple[str, ...], rows: list[dict[str, Any]], unit: str
) -> TextTable:
    return TextTable(
        tuple(_shown(name, unit) for name in columns),
        [tuple(_text(row, name) for name in columns) for row in rows],
        ("layer", "shape", "label", "basis"),
        SPARE,
    )


def _shown(name: str, unit: str) -> str:
    """Write the name of a column, with the unit that its energies are in."""
    known = {
        "energy_pj": f"energy {unit}",
        "energy_pj_ratio": "energy ratio",
        "pj_per_sop": f"{unit} per sop",
    }
    if name in known:
        return known[name]
    if name.startswith("energy_"):  # the unit may hold the same character
        return f"energy {name.removeprefix('energy_')}"
    return name.replace("_", " ")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}" if value == 0 or 1e-3 <= value < 1e6 else f"{value:.3e}"
    return f"{value:,}" if isinstance(value, int) else str(value)
