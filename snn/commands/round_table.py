"""What a person reads while a run goes on: one line for each round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwmodel.commands.console import percent, whole
from snn.lottery.results import RoundOutcome, least_utilization


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    width: int
    text: Callable[[RoundOutcome], str]


COLUMNS = (
    _Column("round", 5, lambda o: str(o.round)),
    _Column("sparsity", 9, lambda o: percent(o.sparsity)),
    _Column("non-zeros", 11, lambda o: f"{o.nonzeros:,}"),
    _Column("accuracy", 9, lambda o: percent(o.accuracy)),
    _Column("validation", 11, lambda o: percent(o.validation_accuracy)),
    _Column("utilization", 12, lambda o: f"{o.utilization:.3f}"),
    _Column("worst layer", 12, lambda o: f"{least_utilization(o.layers):.3f}"),
    _Column("kept", 7, lambda o: f"{o.kept_fraction:.4f}"),
    _Column("cycles", 12, lambda o: whole(o.cycles)),
    _Column("energy", 12, lambda o: whole(o.energy)),
    _Column("spikes", 7, lambda o: percent(o.spike_rate)),
)


def header_line() -> str:
    """Names of the columns."""
    return " ".join(column.name.rjust(column.width) for column in COLUMNS)


def round_line(outcome: RoundOutcome) -> str:
    """One round under `header_line`."""
    return " ".join(column.text(outcome).rjust(column.width) for column in COLUMNS)


def closing_lines(dense: RoundOutcome, last: RoundOutcome) -> list[str]:
    """Compare the last round with the dense network."""
    change = (last.accuracy - dense.accuracy) * 100
    lines = [
        f"dense -> round {last.round}: "
        f"accuracy {dense.accuracy:.2%} -> {last.accuracy:.2%} ({change:+.2f} points), "
        f"non-zeros {dense.nonzeros:,} -> {last.nonzeros:,} "
        f"({last.sparsity:.1%} sparse)"
    ]
    parts = []
    for name, unit in (("cycles", ""), ("energy", f" {last.energy_unit}")):
        before, after = getattr(dense, name), getattr(last, name)
        if before is not None and after:
            times = f"{before / after:.1f}x less"
            parts.append(f"{name} {before:,.0f} -> {after:,.0f}{unit} ({times})")
    if parts:
        lines.append(", ".join(parts))
    idle = [layer for layer in last.layers if layer.occupancy < 1]
    if idle:
        listed = ", ".join(f"{layer.name} {layer.occupancy:.0%}" for layer in idle)
        lines.append(
            f"PEs that hold weights: {listed}; the others are idle by structure."
        )
    return lines
