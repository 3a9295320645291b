"""Results of a network: what each layer kept, and the sums over all layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import VerificationError
from balancer.files.ticket_layer import LayerArrays
from balancer.hardware import Resource
from balancer.maps.cell_arrays import pieces
from balancer.maps.schedule import Schedule
from balancer.metrics import (
    LoadMetrics,
    fraction,
    network_eta,
    network_utilization,
    top_k_sum,
)
from balancer.network.budgets import Tradeoff
from balancer.network.request import Scope
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import is_reached
from balancer.solvers.solution import ProvenSolution, Solution, Termination


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
    loads_before : ndarray of unsigned int [groups, pes]
        Non-zeros of each PE of the mask that was read, in the order that it had; those
        of the balanced one are ``solution.loads``.
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
    loads_before: AnyArray
    revived: int
    kept_unstructured: float
    solution: Solution

    @classmethod
    def of(
        cls,
        name: str,
        arrays: LayerArrays,
        problem: RetentionProblem,
        solution: Solution,
    ) -> LayerResult:
        """Measure a solution beside what was read, in the order that it had."""
        pe_map = problem.pe_map
        # What needs a copy of the scores comes before what stays.
        kept_unstructured = top_k_sum(
            problem.scores, solution.nonzeros, problem.previous_mask
        )
        balanced = solution.loads[pe_map.cell_group, pe_map.cell_pe]
        after = LoadMetrics.of_loads(balanced, pe_map)
        del balanced
        loads = pe_map.cell_loads(arrays.scheduled_mask())
        narrow = np.min_scalar_type(loads.max(initial=0))  # of every layer, all along
        return cls(
            name=name,
            shape=arrays.mask.shape,
            before=LoadMetrics.of_loads(loads, pe_map),
            after=after,
            loads_before=pe_map.by_pe(loads.astype(narrow)),
            revived=_revived(solution.mask.reshape(-1), arrays.mask.reshape(-1)),
            kept_unstructured=kept_unstructured,
            solution=solution,
        )

    @property
    def weights(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def nonzeros(self) -> int:
        """Number of kept weights, without another look at the mask."""
        return self.after.nonzeros

    @property
    def is_dense(self) -> bool:
        """Whether nothing is pruned, neither before nor after."""
        return self.before.nonzeros == self.after.nonzeros == self.weights

    @property
    def kept_fraction(self) -> float | None:
        """Kept magnitude relative to unstructured pruning at equal non-zeros.

        None where that keeps nothing either, as of a layer without any weight left.
        """
        return fraction(self.solution.kept, self.kept_unstructured)

    @property
    def is_empty(self) -> bool:
        """Whether the layer has lost all its weights, or had none."""
        return self.weights > 0 and not self.after.nonzeros

    def __repr__(self) -> str:
        return (
            f"{self.name}: {self.before.nonzeros} -> {self.after.nonzeros} of "
            f"{self.weights} weights, utilization {self.before.mu:.3f} -> "
            f"{self.after.mu:.3f}, {of_unstructured(self.kept_fraction)}, "
            f"{self.solution.status.value}"
        )

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
            "price_of_balance": price(self.kept_fraction),
            "bound": solution.bound,
            "gap": solution.gap,
            "status": solution.status.value,
            "termination": solution.termination.value,
            "solver": solution.solver,
            "fallback_reason": solution.fallback_reason,
            "seconds": solution.seconds,
        }


def _revived(mask: BoolArray, before: BoolArray) -> int:
    """Count kept weights that were pruned before."""
    return sum(
        int(np.count_nonzero(mask[piece] > before[piece]))
        for piece in pieces(mask.size)
    )


Visitor: TypeAlias = Callable[[LayerResult, LayerArrays, RetentionProblem], None]
"""Sees each layer while its arrays are in memory, from any thread."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class NetworkSolution(ProvenSolution):
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
    limits : mapping of {"cycles", "energy"} to float
        Most of what else all layers may take, in absolute terms.
    alternatives : mapping of str to Tradeoff
        With costs, what other allocations of the same non-zeros keep and take:
        ``"layer-wise"`` and, where cycles or energy are limited, ``"non-zeros only"``.
    cycles, energy : float or None
        What the masks take by the costs of the layers; energy in their unit (pJ).
    """

    scope: Scope
    layers: tuple[LayerResult, ...]
    budget: int
    kept_unstructured: float
    limits: Mapping[Resource, float]
    alternatives: Mapping[str, Tradeoff]
    cycles: float | None
    energy: float | None

    def verify(self, problem: None = None) -> None:
        """Hold the totals against the layers, each of which is verified already.

        Raises
        ------
        VerificationError
            A total that the layers contradict, or a budget that they exceed.
        """
        self._verify_claims(float(sum(layer.solution.kept for layer in self.layers)))
        nonzeros = sum(layer.nonzeros for layer in self.layers)
        if nonzeros > self.budget:
            raise VerificationError(
                f"{nonzeros} non-zeros exceed the budget of {self.budget}"
            )
        spent: dict[Resource, float | None] = {
            "cycles": self.cycles,
            "energy": self.energy,
        }
        for resource, limit in self.limits.items():
            taken = spent[resource]
            if taken is None or not is_reached(limit, taken):
                raise VerificationError(
                    f"{taken} {resource} exceed the limit of {limit}"
                )

    @property
    def remainder(self) -> int:
        """Budget that was left over, in non-zeros."""
        return self.budget - sum(layer.nonzeros for layer in self.layers)

    @property
    def masks(self) -> dict[str, BoolArray]:
        """Weights to keep, by layer, each in the shape of the weights."""
        return {layer.name: layer.solution.mask for layer in self.layers}

    @property
    def schedules(self) -> dict[str, Schedule]:
        """In which order the PEs take the channels, by layer."""
        return {layer.name: layer.solution.schedule for layer in self.layers}

    @property
    def kept_fraction(self) -> float | None:
        """Kept magnitude relative to unstructured pruning at equal non-zeros.

        None where that keeps nothing either.
        """
        return fraction(self.kept, self.kept_unstructured)

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

    def __repr__(self) -> str:
        total = sum(layer.weights for layer in self.layers)
        nonzeros = sum(layer.nonzeros for layer in self.layers)
        lines = (f"  {layer!r}" for layer in self.layers)
        return "\n".join(
            (
                f"NetworkSolution({len(self.layers)} layers, {nonzeros} of {total} "
                f"weights, {of_unstructured(self.kept_fraction)}, "
                f"{self.status.value}, gap {self.gap:.2g})",
                *lines,
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return one row a layer, and the network's totals, as JSON holds them."""
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
                "remainder": self.remainder,
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
                "price_of_balance": price(self.kept_fraction),
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


def price(kept_fraction: float | None) -> float | None:
    """Price of balance: what a kept fraction lacks; None where there is none."""
    return None if kept_fraction is None else 1 - kept_fraction


def of_unstructured(kept_fraction: float | None) -> str:
    """Say in words what is kept."""
    if kept_fraction is None:
        return "nothing to keep"
    return f"{kept_fraction:.4f} of the unstructured magnitude"
