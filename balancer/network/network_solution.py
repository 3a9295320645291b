"""Results of a network: what each layer kept, and the sums over all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from balancer.metrics import LoadMetrics, fraction, network_eta, network_utilization
from balancer.network.budgets import Resource, Tradeoff
from balancer.solvers.solution import PROOF_TOLERANCE, Solution, Status, Termination


@dataclass(frozen=True, slots=True, eq=False)
class LayerResult:
    """One balanced layer.

    Attributes
    ----------
    name : str
        Name of the layer.
    shape : tuple of int
        Shape of its weights.
    before, after : LoadMetrics
        Use of the array by the mask that was read, and by the balanced one.
    revived : int
        Kept weights that the mask that was read had pruned.
    kept_unstructured : float
        Total score that unstructured pruning keeps with as many non-zeros.
    solution : Solution
        The balanced mask.
    """

    name: str
    shape: tuple[int, ...]
    before: LoadMetrics
    after: LoadMetrics
    revived: int
    kept_unstructured: float
    solution: Solution

    @property
    def weights(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def kept_fraction(self) -> float:
        """Kept magnitude relative to unstructured pruning at equal non-zeros."""
        return fraction(self.solution.kept, self.kept_unstructured)

    def to_dict(self) -> dict[str, Any]:
        """Return the layer's row of the JSON report."""
        solution = self.solution
        return {
            "name": self.name,
            "shape": list(self.shape),
            "weights": self.weights,
            "nonzeros_before": self.before.nonzeros,
            "nonzeros": self.after.nonzeros,
            "revived": self.revived,
            "remainder": solution.remainder,
            "dead_channels": solution.dead_channels,
            "utilization_before": self.before.mu,
            "utilization": self.after.mu,
            "eta_before": self.before.eta,
            "eta": self.after.eta,
            "occupancy": self.after.occupancy,
            "kept": solution.kept,
            "kept_unstructured": self.kept_unstructured,
            "kept_fraction": self.kept_fraction,
            "price_of_balance": 1 - self.kept_fraction,
            "bound": solution.bound,
            "gap": solution.gap,
            "status": solution.status.value,
            "termination": solution.termination.value,
            "solver": solution.solver,
            "fallback_reason": solution.fallback_reason,
            "seconds": solution.seconds,
        }


@dataclass(frozen=True, slots=True, eq=False)
class NetworkSolution:
    """All layers of a network, balanced.

    Attributes
    ----------
    scope : {"layer", "global"}
        Whether each layer had its own budget or all shared one.
    layers : tuple of LayerResult
        In the order of the input.
    budget : int
        Most non-zeros of all layers together.
    kept_unstructured : float
        Total score that unstructured pruning keeps with as many non-zeros: layer by
        layer, or over the whole network for the global scope.
    bound : float
        Total score that no masks within the budgets exceed.
    limits : mapping of {"cycles", "energy"} to float
        Most of what else all layers may take, in absolute terms.
    alternatives : mapping of str to Tradeoff
        With costs, what other allocations of the same non-zeros keep and take:
        ``"layer-wise"`` and, where cycles or energy are limited, ``"non-zeros only"``.
    cycles, energy : float or None
        What the masks take by the costs of the layers; energy in their unit (pJ).
    seconds : float
        Wall-clock time of everything, reading included.
    """

    scope: Literal["layer", "global"]
    layers: tuple[LayerResult, ...]
    budget: int
    kept_unstructured: float
    bound: float
    limits: Mapping[Resource, float]
    alternatives: Mapping[str, Tradeoff]
    cycles: float | None
    energy: float | None
    seconds: float

    @property
    def kept(self) -> float:
        """Total score of the kept weights."""
        return float(sum(layer.solution.kept for layer in self.layers))

    @property
    def gap(self) -> float:
        """``(bound - kept) / bound``; 0 if nothing can be kept."""
        return 1 - fraction(self.kept, self.bound)

    @property
    def kept_fraction(self) -> float:
        """Kept magnitude relative to unstructured pruning at equal non-zeros."""
        return fraction(self.kept, self.kept_unstructured)

    @property
    def status(self) -> Status:
        """Optimal if the gap is zero, up to integer scaling."""
        proved = self.gap <= PROOF_TOLERANCE
        return Status.OPTIMAL if proved else Status.FEASIBLE

    @property
    def fallback_reasons(self) -> dict[str, str]:
        """Why layers were not answered by the solver that was asked, by name."""
        return {
            layer.name: layer.solution.fallback_reason
            for layer in self.layers
            if layer.solution.fallback_reason is not None
        }

    @property
    def cancelled(self) -> bool:
        """Whether any search was cut short by Ctrl-C or `Cancellation`."""
        return any(
            layer.solution.termination is Termination.CANCELLED for layer in self.layers
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON report: one row a layer, and the network's totals."""
        weights = [layer.weights for layer in self.layers]
        before = [layer.before for layer in self.layers]
        after = [layer.after for layer in self.layers]
        solvers = sorted({layer.solution.solver for layer in self.layers})
        return {
            "layers": [layer.to_dict() for layer in self.layers],
            "network": {
                "scope": self.scope,
                "weights": sum(weights),
                "nonzeros_before": sum(m.nonzeros for m in before),
                "nonzeros": sum(m.nonzeros for m in after),
                "revived": sum(layer.revived for layer in self.layers),
                "remainder": self.budget - sum(m.nonzeros for m in after),
                "dead_channels": sum(
                    layer.solution.dead_channels for layer in self.layers
                ),
                "utilization_before": network_utilization(
                    [m.mu for m in before], weights
                ),
                "utilization": network_utilization([m.mu for m in after], weights),
                "eta_before": network_eta(before),
                "eta": network_eta(after),
                "occupancy": network_utilization([m.occupancy for m in after], weights),
                "kept": self.kept,
                "kept_unstructured": self.kept_unstructured,
                "kept_fraction": self.kept_fraction,
                "price_of_balance": 1 - self.kept_fraction,
                "bound": self.bound,
                "gap": self.gap,
                "status": self.status.value,
                "solver": "+".join(solvers),
                "seconds": self.seconds,
                "cycles_before": None,
                "cycles": self.cycles,
                "energy_pj_before": None,
                "energy_pj": self.energy,
                "latency_budget": self.limits.get("cycles"),
                "energy_budget": self.limits.get("energy"),
                "alternatives": {
                    name: other.to_dict() for name, other in self.alternatives.items()
                },
            },
        }
