"""What a person reads while a run goes on: one line for each round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwmodel.commands.console import left_out_at, percent, whole
from snn.lottery.results import RoundOutcome, least_utilization


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    narrow: int
    wide: int
    text: Callable[[RoundOutcome], str]

    def fitted(self, outcome: RoundOutcome, width: int) -> str:
        """Write a number, with fewer digits if it is longer than the column."""
        text = self.text(outcome)
        digits = text.replace(",", "")
        if len(text) > width and digits.isdecimal():
            text = f"{float(digits):.3e}"
        return text.rjust(width)


COLUMNS = (
    _Column("round", 5, 5, lambda o: str(o.round)),
    _Column("sparsity", 8, 9, lambda o: percent(o.sparsity)),
    _Column("non-zeros", 10, 11, lambda o: f"{o.nonzeros:,}"),
    _Column("effective", 10, 11, lambda o: whole(o.effective)),
    _Column("accuracy", 8, 9, lambda o: percent(o.accuracy)),
    _Column("validation", 10, 11, lambda o: percent(o.validation_accuracy)),
    _Column("utilization", 11, 12, lambda o: f"{o.utilization:.3f}"),
    _Column("worst layer", 11, 12, lambda o: f"{least_utilization(o.layers):.3f}"),
    _Column("kept", 6, 7, lambda o: _kept(o.kept_fraction)),
    _Column("cycles", 11, 12, lambda o: whole(o.cycles)),
    _Column("energy", 11, 12, lambda o: whole(o.energy)),
    _Column("spikes", 6, 7, lambda o: percent(o.spike_rate)),
)
# Columns that a narrow terminal can do without, the first of them first.
SPARE = ("spikes", "worst layer", "effective", "validation")


class RoundTable:
    """Lines of rounds, as wide as a terminal.

    Parameters
    ----------
    width : int
        Columns of the terminal.
    """

    def __init__(self, width: int) -> None:
        self._total = width
        columns = list(COLUMNS)
        widths = [column.wide for column in columns]
        left_out: list[str] = []
        for name in (None, *SPARE):
            if _length(widths) <= width:
                break
            if name is not None:
                left_out.append(name)
            columns = [column for column in COLUMNS if column.name not in left_out]
            widths = [column.narrow for column in columns]
        self._columns = list(zip(columns, widths, strict=True))
        self.left_out = tuple(left_out)

    def header(self) -> list[str]:
        """Names of the columns, below those that there is no room for."""
        said = [left_out_at(self._total, self.left_out)] if self.left_out else []
        return [*said, " ".join(c.name.rjust(width) for c, width in self._columns)]

    def line(self, outcome: RoundOutcome) -> str:
        """One round under `header`."""
        return " ".join(c.fitted(outcome, width) for c, width in self._columns)


def _length(widths: list[int]) -> int:
    return sum(widths) + len(widths) - 1


def _kept(share: float | None) -> str:
    return "-" if share is None else f"{share:.4f}"


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
    if last.effective is not None and last.effective < last.nonzeros:
        lines.append(
            f"Effective: {last.effective:,} of {last.nonzeros:,} non-zeros; the others "
            "are on no path from the images to the classes."
        )
    if empty := [x.name for x in last.layers if x.weights and not x.nonzeros]:
        lines.append(f"Without any weight: {', '.join(empty)}.")
    idle = [layer for layer in last.layers if layer.occupancy < 1]
    if idle:
        listed = ", ".join(f"{layer.name} {layer.occupancy:.0%}" for layer in idle)
        lines.append(
            f"PEs that hold weights: {listed}; the others are idle by structure."
        )
    return lines
