"""Reports: what an evaluation found, in total and layer by layer, as objects and files.

A synaptic operation (SOP) is one kept weight that meets one spike (or one non-zero
input of a direct-coded layer), padding excluded. NeuroBench's keys stand under their
own names (Yik et al., Nature Communications 2025, arXiv 2304.04640).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from balancer import network_utilization
from balancer.valid_json import to_json
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Activity, Number
from hwmodel.energy import Energy
from hwmodel.layer_report import Basis, LayerReport, cycle_columns


@dataclass(frozen=True, repr=False)
class Report:
    """A network on one accelerator.

    Attributes
    ----------
    accelerator : Accelerator
    layers : tuple of LayerReport
    inferences : int
        Samples that `cycles`, `energy_pj` and all other sums add up.
    effective : mapping of str to int or None
        Kept weights of each layer on a path from the network's input to its output;
        None where that is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import Accelerator, LayerWorkload, evaluate
    >>> layer = LayerWorkload("linear", np.eye(16), spike_rate=0.25, timesteps=4)
    >>> report = evaluate([layer], Accelerator.load("u-ticket"))
    >>> report.cycles, report.utilization, round(report.energy_pj, 2)
    (4, 1.0, 29.44)
    >>> round(report.breakdown["accumulate"], 2), round(report.breakdown["base"], 2)
    (16.0, 13.44)
    """

    accelerator: Accelerator
    layers: tuple[LayerReport, ...]
    inferences: int = 1
    effective: Mapping[str, int] | None = None

    def __repr__(self) -> str:
        unit = self.accelerator.energy_unit
        lines = (
            f"  {layer.name}: {layer.nonzeros} weights, {layer.cycles:,.0f} cycles, "
            f"{layer.energy_pj:,.0f} {unit}, utilization {layer.mu:.3f}"
            for layer in self.layers
        )
        return "\n".join(
            (
                f"Report({self.accelerator.name}, {', '.join(self.basis)}): "
                f"{self.cycles:,.0f} cycles, {self.energy_pj:,.0f} {unit}",
                *lines,
            )
        )

    @cached_property
    def activity(self) -> Activity:
        """Cycles, operations and traffic of all layers."""
        return sum((layer.activity for layer in self.layers), Activity())

    @cached_property
    def energy(self) -> Energy:
        """Energy of all layers."""
        first, *others = (layer.energy for layer in self.layers)
        return sum(others, first)

    @property
    def cycles(self) -> Number:
        """Cycles of all layers, one after another."""
        return self.activity.cycles.total

    @property
    def busy_cycles(self) -> Number:
        """PE cycles in which a kept weight meets a spike."""
        return self.activity.cycles.busy

    @property
    def gated_cycles(self) -> Number:
        """PE cycles spent on zeros that are not skipped."""
        return self.activity.cycles.gated

    @property
    def idle_cycles(self) -> Number:
        """PE cycles spent waiting at barriers."""
        return self.activity.cycles.idle

    @property
    def stall_cycles(self) -> Number:
        """Cycles in which the whole array waits for memory, fill and drain included."""
        return self.activity.cycles.waiting

    @property
    def latency_s(self) -> float:
        """Latency of one inference."""
        return self.cycles / self.inferences / self.accelerator.frequency_hz

    @property
    def inferences_per_s(self) -> float | None:
        """Throughput, one inference after another; None without work."""
        return 1 / self.latency_s if self.latency_s else None

    @property
    def utilization(self) -> float:
        """Utilization mu of the u-Ticket paper: mean weighted by parameters."""
        layers = self.layers
        return network_utilization([x.mu for x in layers], [x.weights for x in layers])

    @property
    def eta(self) -> float:
        """Loads / (PEs x compute cycles) over all layers."""
        cycles = self.activity.cycles
        slots = self.accelerator.array.size * cycles.compute
        return 1 - cycles.idle / slots if slots else 1.0

    @property
    def energy_pj(self) -> float:
        """Energy of all inferences."""
        return self.energy.total_pj

    @property
    def energy_per_inference_pj(self) -> float:
        """Energy of one inference."""
        return self.energy_pj / self.inferences

    @property
    def breakdown(self) -> dict[str, float]:
        """Energy in pJ by component (dynamic), base, and leakage; sums to the total."""
        return self.energy.breakdown

    @property
    def pj_per_sop(self) -> float | None:
        """Energy per synaptic operation; None without any."""
        sops = self.activity.operations.sops
        return self.energy_pj / sops if sops else None

    @property
    def gsops(self) -> float:
        """Synaptic operations per second, in units of 1e9."""
        seconds = self.cycles / self.accelerator.frequency_hz
        return self.activity.operations.sops / seconds / 1e9 if seconds else 0.0

    @property
    def gsops_per_w(self) -> float | None:
        """Synaptic operations per joule, in units of 1e9; None without energy."""
        sops = self.activity.operations.sops
        return sops / self.energy_pj * 1e3 if self.energy_pj else None

    @property
    def edp_js(self) -> float:
        """Energy-delay product of one inference, in joule seconds."""
        return self.energy_per_inference_pj * 1e-12 * self.latency_s

    @property
    def footprint_dense_bytes(self) -> int:
        """Weights stored dense."""
        return sum(layer.footprint_dense_bytes for layer in self.layers)

    @property
    def footprint_bytes(self) -> int:
        """Weights in the accelerator's sparse format."""
        return sum(layer.footprint_bytes for layer in self.layers)

    @property
    def basis(self) -> tuple[Basis, ...]:
        """What the numbers rest on, each kind once, in the order of `Basis`."""
        found = {layer.basis for layer in self.layers}
        return tuple(basis for basis in Basis if basis in found)

    @property
    def neurobench(self) -> dict[str, Any]:
        """NeuroBench's metrics; activations are the layers' inputs, if not analog.

        Operations are those of one inference, as NeuroBench averages them.
        """
        done = self.activity.operations
        kept = sum(layer.nonzeros for layer in self.layers)
        weights = sum(layer.weights for layer in self.layers)
        silent = 1 - done.spikes / done.inputs if done.inputs else None
        return {
            "Footprint": self.footprint_bytes,
            "ConnectionSparsity": 1 - kept / weights,
            "ActivationSparsity": silent,
            "SynapticOperations": {
                "Effective_MACs": done.macs / self.inferences,
                "Effective_ACs": done.accumulates / self.inferences,
                "Dense": done.dense / self.inferences,
            },
        }

    def summary(self) -> dict[str, Any]:
        """Totals, under names that carry their units."""
        cycles = self.activity.cycles
        return {
            "accelerator": self.accelerator.name,
            "inferences": self.inferences,
            "basis": ", ".join(self.basis),
            "cycles": self.cycles,
            **cycle_columns(cycles),
            "latency_s": self.latency_s,
            "inferences_per_s": self.inferences_per_s,
            "utilization": self.utilization,
            "eta": self.eta,
            "sops": self.activity.operations.sops,
            "sops_dense_weights": self.activity.operations.fan_out,
            "energy_pj": self.energy_pj,
            "energy_per_inference_pj": self.energy_per_inference_pj,
            "idle_pj": self.energy.idle_pj,
            "stall_pj": self.energy.stall_pj,
            "membrane_pj": self.energy.membrane_pj,
            "pj_per_sop": self.pj_per_sop,
            "gsops": self.gsops,
            "gsops_per_w": self.gsops_per_w,
            "edp_js": self.edp_js,
            "footprint_dense_bytes": self.footprint_dense_bytes,
            "footprint_bytes": self.footprint_bytes,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each layer, and one for all of them."""
        total = {
            "layer": "total",
            "shape": "",
            "weights": sum(layer.weights for layer in self.layers),
            "nonzeros": sum(layer.nonzeros for layer in self.layers),
            "utilization": self.utilization,
            "eta": self.eta,
            "occupancy": network_utilization(
                [layer.occupancy for layer in self.layers],
                [layer.weights for layer in self.layers],
            ),
            "calls": sum(layer.calls for layer in self.layers),
            "cycles": self.cycles,
            **cycle_columns(self.activity.cycles),
            "sops": self.activity.operations.sops,
            "energy_pj": self.energy_pj,
            **{f"{name}_pj": value for name, value in self.breakdown.items()},
            "idle_pj": self.energy.idle_pj,
            "stall_pj": self.energy.stall_pj,
            "basis": ", ".join(self.basis),
        }
        return [*self._layer_rows(), self._with_effective(total, self.layers)]

    def _layer_rows(self) -> list[dict[str, Any]]:
        return [self._with_effective(layer.row(), [layer]) for layer in self.layers]

    def _with_effective(
        self, row: dict[str, Any], layers: Iterable[LayerReport]
    ) -> dict[str, Any]:
        """Put effective weights behind the non-zeros, where they are known."""
        if self.effective is None:
            return row
        count = sum(self.effective[layer.name] for layer in layers)
        place = list(row).index("nonzeros") + 1
        items = list(row.items())
        return dict([*items[:place], ("effective", count), *items[place:]])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types that JSON knows."""
        return {
            **self.summary(),
            "breakdown_pj": self.breakdown,
            "components_pj": {
                name: asdict(part) for name, part in self.energy.components.items()
            },
            "operations": asdict(self.activity.operations),
            "traffic": asdict(self.activity.traffic),
            "neurobench": self.neurobench,
            "layers": self._layer_rows(),
        }

    def to_json(self) -> str:
        """Write `to_dict` as JSON; figures that need work or energy may be null."""
        return to_json(self.to_dict(), indent=2)

    def to_csv(self) -> str:
        """Write `rows` as CSV with a header line."""
        return rows_to_csv(self.rows())


def rows_to_csv(rows: list[dict[str, Any]]) -> str:
    """Write rows with the same keys as CSV with a header line; without rows nothing."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
