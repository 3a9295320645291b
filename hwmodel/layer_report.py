"""The report on one layer: a row of every table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

from hwmodel.activity import Activity, Cycles, Number
from hwmodel.energy import Energy


class Basis(StrEnum):
    """What the numbers of a layer rest on.

    `EXACT`: real spikes. `SAMPLE`: spikes drawn from rates. `EXPECTATION`: cycles are
    exact, what depends on spikes is the expectation. `LOWER_BOUND`: cycles, and the
    energies that follow from them, are a lower bound of the expectation (the largest
    expected load is at most the expected largest load). `CYCLES_EXACT`: cycles are
    exact; every input counts as a spike, so operations and energies are upper bounds.
    `UPPER_BOUND`: every input counts as a spike, cycles included.
    """

    EXACT = "exact"
    SAMPLE = "sample"
    EXPECTATION = "expectation"
    LOWER_BOUND = "lower bound"
    CYCLES_EXACT = "exact cycles, upper bound of energy"
    UPPER_BOUND = "upper bound"


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer on one accelerator; cycles and energy add up over the samples.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the weights.
    nonzeros : int
        Weights kept.
    activity : Activity
        Cycles, operations, traffic.
    energy : Energy
    mu : float
        The u-Ticket paper's utilization of the mask, see `balancer.LoadMetrics.mu`.
    eta : float
        Loads / (PEs x compute cycles): ``(busy + gated) / (busy + gated + idle)``.
    occupancy : float
        PEs (columns of an output-stationary array) that hold weights / all of them.
    footprint_dense_bytes, footprint_bytes : int
        Weights stored dense, and in the accelerator's sparse format.
    basis : Basis
        What the numbers rest on.
    calls : int
        How often the layer runs in one inference; cycles and energy are of all calls.
    """

    name: str
    shape: tuple[int, ...]
    nonzeros: int
    activity: Activity
    energy: Energy
    mu: float
    eta: float
    occupancy: float
    footprint_dense_bytes: int
    footprint_bytes: int
    basis: Basis
    calls: int = 1

    @property
    def weights(self) -> int:
        """Number of weights, zeros included."""
        return prod(self.shape)

    @property
    def cycles(self) -> Number:
        """Cycles from the first bit fetched to the last one written."""
        return self.activity.cycles.total

    @property
    def idle_cycles(self) -> Number:
        """PE cycles spent waiting at barriers."""
        return self.activity.cycles.idle

    @property
    def energy_pj(self) -> float:
        """Energy."""
        return self.energy.total_pj

    def row(self) -> dict[str, Any]:
        """One row of a table: numbers under names that carry their units."""
        cycles, operations = self.activity.cycles, self.activity.operations
        return {
            "layer": self.name,
            "shape": "x".join(map(str, self.shape)),
            "weights": self.weights,
            "nonzeros": self.nonzeros,
            "utilization": self.mu,
            "eta": self.eta,
            "occupancy": self.occupancy,
            "calls": self.calls,
            "cycles": self.cycles,
            **cycle_columns(cycles),
            "sops": operations.sops,
            "energy_pj": self.energy_pj,
            **{f"{name}_pj": value for name, value in self.energy.breakdown.items()},
            "idle_pj": self.energy.idle_pj,
            "stall_pj": self.energy.stall_pj,
            "basis": self.basis.value,
        }


def cycle_columns(cycles: Cycles) -> dict[str, Number]:
    """Columns of a table for cycles, under names that say of what."""
    names = ("busy", "gated", "idle", "idle_structural")
    waits = ("fill", "stall", "drain")
    return {f"{name}_pe_cycles": getattr(cycles, name) for name in names} | {
        f"{name}_cycles": getattr(cycles, name) for name in waits
    }
