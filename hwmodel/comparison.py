"""Comparisons: two masks on one accelerator, or one mask on many accelerators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from balancer.valid_json import to_json
from hwmodel.errors import HardwareModelError
from hwmodel.report import Report, rows_to_csv

RATIOS = ("cycles", "energy_pj", "edp_js", "idle_pe_cycles")
# What is told in units of energy: no number of another unit is put beside or over it.
ENERGIES = (
    *("energy_pj", "energy_per_inference_pj", "idle_pj", "stall_pj", "membrane_pj"),
    *("pj_per_sop", "gsops_per_w", "edp_js"),
)
PICOJOULE = "pJ"


@dataclass(frozen=True, slots=True, repr=False)
class ReportComparison:
    """Reports side by side, with ratios to the first.

    Attributes
    ----------
    labels : tuple of str
        A name for each report, as ``("before", "after")``, or the accelerators' names.
    reports : tuple of Report
        Of the same network, so that ratios mean something.

    Raises
    ------
    HardwareModelError
        No reports, not as many labels, or networks with different layers.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import Accelerator, ReportComparison, LayerWorkload, evaluate
    >>> accelerator = Accelerator.load("u-ticket")
    >>> masks = {"dense": np.ones((16, 16)), "sparse": np.eye(16)}
    >>> reports = [evaluate([LayerWorkload("a", masks[x])], accelerator) for x in masks]
    >>> rows = ReportComparison(tuple(masks), tuple(reports)).rows()
    >>> [(row["label"], row["cycles_ratio"]) for row in rows]
    [('dense', 1.0), ('sparse', 0.0625)]
    """

    labels: tuple[str, ...]
    reports: tuple[Report, ...]

    def __repr__(self) -> str:
        pairs = zip(self.labels, self.reports, strict=True)
        lines = (f"  {label}: {one.cycles:,.0f} cycles" for label, one in pairs)
        return "\n".join((f"ReportComparison({len(self.reports)} reports)", *lines))

    def __post_init__(self) -> None:
        if not self.reports or len(self.labels) != len(self.reports):
            raise HardwareModelError(
                f"{len(self.labels)} labels for {len(self.reports)} reports; a "
                "comparison needs one label for each report, and at least one"
            )
        first = _layers(self.reports[0])
        for label, report in zip(self.labels, self.reports, strict=True):
            if _layers(report) != first:
                raise HardwareModelError(
                    f"{label!r} has layers {_layers(report)}, {self.labels[0]!r} has "
                    f"{first}; names and shapes must agree"
                )

    @classmethod
    def of_accelerators(cls, reports: Sequence[Report]) -> ReportComparison:
        """Compare one mask on many accelerators, labelled by their names."""
        return cls(tuple(each.accelerator.name for each in reports), tuple(reports))

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the energies, each once."""
        return tuple(dict.fromkeys(x.accelerator.energy_unit for x in self.reports))

    def rows(self) -> list[dict[str, Any]]:
        """One row for each report: its summary, and ``_ratio`` columns.

        Where energies are in different units, those that are not in pJ stand in columns
        of their own, ``energy_E_d`` say, and ratios of different units are None.
        """
        summaries = [report.summary() for report in self.reports]
        units = [report.accelerator.energy_unit for report in self.reports]
        first = summaries[0]
        return [
            {"label": label, "energy_unit": unit}
            | self._of_unit(summary, unit)
            | {
                f"{name}_ratio": _ratio(summary[name], first[name])
                if name not in ENERGIES or unit == units[0]
                else None
                for name in RATIOS
            }
            for label, summary, unit in zip(self.labels, summaries, units, strict=True)
        ]

    def _of_unit(self, summary: dict[str, Any], unit: str) -> dict[str, Any]:
        """Put the energies of a summary into the columns of their unit."""
        if len(self.units) == 1:
            return summary
        others = [other for other in self.units if other != PICOJOULE]
        row = {
            name: None if name in ENERGIES and unit != PICOJOULE else value
            for name, value in summary.items()
        }
        for other in others:
            energy = summary["energy_pj"] if unit == other else None
            row[f"energy_{other}"] = energy
        return row

    def layer_rows(self) -> list[dict[str, Any]]:
        """One row for each layer: cycles and energy of every report, in its own unit.

        Energies that are in no picojoules, beside others that are, say so by their
        name.
        """
        energies = [
            "energy_pj"
            if len(self.units) == 1 or one.accelerator.energy_unit == PICOJOULE
            else f"energy_{one.accelerator.energy_unit}"
            for one in self.reports
        ]
        return [
            {"layer": layers[0].name}
            | {
                f"{label}_{shown}": getattr(layer, name)
                for label, layer, energy in zip(
                    self.labels, layers, energies, strict=True
                )
                for name, shown in (
                    *((n, n) for n in ("mu", "eta", "cycles", "idle_cycles")),
                    ("energy_pj", energy),
                )
            }
            for layers in zip(*(each.layers for each in self.reports), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Rows and layer rows as plain types that JSON knows."""
        return {"comparison": self.rows(), "layers": self.layer_rows()}

    def to_json(self) -> str:
        """Write `to_dict` as JSON."""
        return to_json(self.to_dict(), indent=2)

    def to_csv(self) -> str:
        """Write `rows` as CSV with a header line."""
        return rows_to_csv(self.rows())


def _layers(report: Report) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((layer.name, layer.shape) for layer in report.layers)


def _ratio(value: float, first: float) -> float | None:
    return value / first if first else None
