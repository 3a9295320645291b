"""Budgets across the layers of a network: non-zeros, cycles and energy.

Keep the largest total score with at most K non-zeros, T cycles and E of energy, and no
load below its floor. A slice of layer l costs as many non-zeros as its group has PEs,
as many cycles as the layer has passes over its weights (output pixels x time steps),
and energy for both. Costs come as data, from any model of the hardware. In LaTeX:
"Network budgets" in ``docs/programs.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from balancer.array_types import IntArray
from balancer.errors import BalancerError, InfeasibleError
from balancer.hardware import LayerCost, Resource, is_number
from balancer.network.guard import ASK
from balancer.network.request import BUDGET_OF
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.rounding import is_reached, relative_gap, rounded_bound
from balancer.program.slice_program import Allocation, SliceAllocator

# Costs become whole units, of which all slices together take less than 2**UNIT_BITS:
# sums stay exact in doubles, and costs that are whole numbers stay whole. Other costs
# take nearly as many bits as whole numbers have.
UNIT_BITS = 50
MOST_UNIT_BITS = 61


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """What masks of a network keep and what they take.

    Attributes
    ----------
    kept, bound : float
        Total score, and one that no masks within the same budgets exceed.
    nonzeros : int
        Kept weights.
    cycles, energy : float or None
        By the costs of the layers; energy in their unit. None without costs.
    latency_budget : float or None
        Most cycles that were allowed.
    """

    kept: float
    bound: float
    nonzeros: int
    cycles: float | None
    energy: float | None
    latency_budget: float | None = None

    @property
    def gap(self) -> float:
        """``(bound - kept) / bound``; 0 if nothing can be kept."""
        return relative_gap(self.kept, self.bound)

    def to_dict(self) -> dict[str, Any]:
        """Return a row of a JSON report."""
        return asdict(self) | {"gap": self.gap}


class NetworkProgram:
    """The slice program of all layers under budgets.

    Parameters
    ----------
    names : sequence of str
        Names of the layers.
    slices : sequence of LayerSlices
        Their slices.
    costs : mapping of str to LayerCost, optional
        Needed for budgets of cycles or energy.
    """

    def __init__(
        self,
        names: Sequence[str],
        slices: Sequence[LayerSlices],
        costs: Mapping[str, LayerCost] | None = None,
    ) -> None:
        self.slices = slices
        self._names = names
        self._costs = None if costs is None else [costs[name] for name in names]
        self._ends = np.cumsum([own.groups for own in slices], dtype=np.int64)

    def keeping(self, group_of_layer: Mapping[int, int]) -> NetworkProgram:
        """Return the program in which layers, by position, keep a group's first slice.

        The layers and their groups are numbered as in `slices`.
        """
        other = copy(self)
        other.slices = [
            own.keeping(group_of_layer[layer]) if layer in group_of_layer else own
            for layer, own in enumerate(self.slices)
        ]
        return other

    @property
    def least_nonzeros(self) -> dict[str, int]:
        """Non-zeros that the floors of each layer need."""
        least = [own.least for own in self.slices]
        return dict(zip(self._names, least, strict=True))

    def of_layers(self, loads: IntArray) -> list[IntArray]:
        """Split loads into those of each layer."""
        return np.split(loads, self._ends)[:-1]

    def settle(
        self,
        nonzeros: int,
        limits: Mapping[Resource, float] | None = None,
        strict: bool = False,
    ) -> SliceAllocator:
        """Presolve the program with a budget of non-zeros and limits of what else.

        Costs that are no whole units are rounded down, so that nothing within the
        limits is forbidden; or up if it is `strict`, so that nothing else is allowed.

        Raises
        ------
        InfeasibleError
            The floors need more than a limit.
        """
        budgets, columns = [nonzeros], []
        for resource, limit in (limits or {}).items():
            self.require(resource, limit)
            budget, column = self._in_units(resource, limit, strict)
            budgets.append(budget)
            columns.append(column)
        further = np.stack(columns, axis=1) if columns else None
        return settle(self.slices, np.array(budgets), further)

    def tradeoff(self, allocation: Allocation, limit: float | None = None) -> Tradeoff:
        """Sum up what an allocation takes, `limit` being its latency budget."""
        split = list(zip(self.slices, self.of_layers(allocation.loads), strict=True))
        nonzeros = [own.nonzeros(loads) for own, loads in split]
        cycles = energy = None
        if self._costs is not None:
            total = [int(loads.sum()) for _, loads in split]
            cycles = sum(c.cycles(s) for c, s in zip(self._costs, total, strict=True))
            energy = sum(
                cost.energy(*taken)
                for cost, *taken in zip(self._costs, total, nonzeros, strict=True)
            )
        bound = rounded_bound(allocation.bound, allocation.kept)
        return Tradeoff(allocation.kept, bound, sum(nonzeros), cycles, energy, limit)

    def exceeds(self, allocation: Allocation, limits: Mapping[Resource, float]) -> bool:
        """Whether an allocation takes more than a limit, but for rounding."""
        spent = self.tradeoff(allocation)
        return not all(
            is_reached(limit, getattr(spent, resource))
            for resource, limit in limits.items()
        )

    def least(self, resource: Resource) -> float:
        """Cycles or energy that the floors of all layers need."""
        return sum(self._least_of_layers(resource))

    def _least_of_layers(self, resource: Resource) -> list[float]:
        assert self._costs is not None  # the caller checks that they are given
        return [
            cost.base(resource)
            + float(cost.per_slice(resource, own.group_sizes) @ own.lower)
            for cost, own in zip(self._costs, self.slices, strict=True)
        ]

    def require(self, resource: Resource, limit: float) -> None:
        """Refuse a limit below what the floors need.

        Raises
        ------
        InfeasibleError
            The message says the least possible, and which layer needs most of it.
        """
        least = self.least(resource)
        if is_reached(limit, least):
            return
        of_layers = self._least_of_layers(resource)
        worst = int(np.argmax(of_layers))
        load = int(self.slices[worst].lower.max(initial=0))
        floors = f"whose floors need loads up to {load}" if load else "with no weight"
        raise InfeasibleError(
            f"`{BUDGET_OF[resource]}` is {limit:.12g} ({resource}); the least possible "
            f"is {least:.12g}, most of it {of_layers[worst]:.12g} by layer "
            f"{self._names[worst]}, {floors}; raise the budget, lower `channel_floor` "
            f"and `min_load` {ASK}"
        )

    def _in_units(
        self, resource: Resource, limit: float, strict: bool
    ) -> tuple[int, IntArray]:
        """State a limit and the cost of each group's slices in whole units."""
        assert self._costs is not None  # the caller checks that they are given
        empty = np.empty(0)
        pairs = list(zip(self._costs, self.slices, strict=True))
        cost = np.concatenate(
            [empty, *(c.per_slice(resource, own.group_sizes) for c, own in pairs)]
        )
        lower, upper = (
            np.concatenate([empty, *arrays]).astype(np.int64)
            for arrays in (
                [own.lower for own in self.slices],
                [own.upper for own in self.slices],
            )
        )
        exponent = UNIT_BITS - math.frexp(float(cost @ upper))[1]
        exact = np.ldexp(cost, exponent)
        if (exact != np.floor(exact)).any():
            exponent += MOST_UNIT_BITS - UNIT_BITS
            exact = np.ldexp(cost, exponent)
        units = (np.ceil(exact) if strict else np.floor(exact)).astype(np.int64)
        left = limit - sum(c.base(resource) for c in self._costs)
        if not strict:  # what adds up to the limit may be above it in the last digits
            left += limit * (8 + len(pairs)) * np.finfo(np.float64).eps
        most = int(units @ upper)
        # In units a very large limit would be beyond all floats.
        enough = left >= math.ldexp(most, -exponent)
        budget = most if enough else math.ldexp(left, exponent)
        # Rounding up must not forbid the floors, which are within the limit.
        return max(math.floor(budget), int(units @ lower)), units


def in_absolute_terms(name: str, budget: float, of_layer_wise: float) -> float:
    """Turn a budget up to 1, a fraction of the layer-wise solution, into a number.

    Raises
    ------
    BalancerError
        A budget that is not above 0.
    """
    if not is_number(budget) or not budget > 0:
        raise BalancerError(
            f"`{name}` is {budget!r}; a fraction of what the layer-wise solution takes "
            "(above 0, up to 1), or a larger number in absolute terms, is needed"
        )
    return float(budget) * of_layer_wise if budget <= 1 else float(budget)
