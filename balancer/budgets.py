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
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.allocation import ROUNDING, Allocation, SliceAllocator
from balancer.blocks import IntArray
from balancer.errors import BalancerError, InfeasibleError
from balancer.slices import LayerSlices, settle

Resource: TypeAlias = Literal["cycles", "energy"]
BUDGETS: dict[Resource, str] = {"cycles": "latency_budget", "energy": "energy_budget"}

# Costs become whole units, rounded up, of which all slices together take less than
# 2**UNIT_BITS: sums stay exact in 64 bits, and costs that are whole numbers stay whole.
UNIT_BITS = 50


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What the masks of one layer take from the hardware: a fixed part, and by slice.

    Attributes
    ----------
    cycles_per_slice : float
        Cycles of one more weight on every PE of a group, as output pixels x time steps.
    energy_per_slice : float
        Energy of that many cycles of the array, in pJ (or any unit, the same for all).
    energy_per_nonzero : float
        Energy of one more kept weight beyond `energy_per_slice`, in the same unit.
    base_cycles, base_energy : float
        What the layer takes with an empty mask.

    Raises
    ------
    BalancerError
        A number that is negative, infinite or NaN.

    Examples
    --------
    >>> from balancer import LayerCost
    >>> cost = LayerCost(cycles_per_slice=64, energy_per_nonzero=0.5, base_cycles=10)
    >>> cost.cycles(slices=3), cost.energy(slices=3, nonzeros=48)
    (202, 24.0)
    """

    cycles_per_slice: float = 0
    energy_per_slice: float = 0
    energy_per_nonzero: float = 0
    base_cycles: float = 0
    base_energy: float = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise BalancerError(
                    f"`{field.name}` is {value!r}; a finite number of at least 0 is "
                    "needed"
                )

    def cycles(self, slices: int) -> float:
        """Cycles of a mask whose loads add up to `slices` over the groups."""
        return self.base_cycles + self.cycles_per_slice * slices

    def energy(self, slices: int, nonzeros: int) -> float:
        """Energy of a mask of so many slices and non-zeros."""
        by_slice = self.energy_per_slice * slices
        return self.base_energy + by_slice + self.energy_per_nonzero * nonzeros

    def per_slice(
        self, resource: Resource, group_sizes: IntArray
    ) -> npt.NDArray[np.float64]:
        """Cycles or energy of a slice of each group, [groups]."""
        if resource == "cycles":
            return np.full(len(group_sizes), self.cycles_per_slice, dtype=np.float64)
        per_nonzero = self.energy_per_nonzero * group_sizes.astype(np.float64)
        return self.energy_per_slice + per_nonzero

    def base(self, resource: Resource) -> float:
        """Cycles or energy of an empty mask."""
        return self.base_cycles if resource == "cycles" else self.base_energy


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
        return (self.bound - self.kept) / self.bound if self.bound > 0 else 0.0

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

    def of_layers(self, loads: IntArray) -> list[IntArray]:
        """Split loads into those of each layer."""
        return np.split(loads, self._ends)[:-1]

    def settle(
        self, nonzeros: int, limits: Mapping[Resource, float] | None = None
    ) -> SliceAllocator:
        """Presolve the program with a budget of non-zeros and limits of what else.

        Raises
        ------
        InfeasibleError
            The floors need more than a limit.
        """
        budgets, columns = [nonzeros], []
        for resource, limit in (limits or {}).items():
            self._require(resource, limit)
            budget, column = self._in_units(resource, limit)
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
        close = allocation.bound - allocation.kept <= ROUNDING * allocation.bound
        bound = allocation.kept if close else allocation.bound
        return Tradeoff(allocation.kept, bound, sum(nonzeros), cycles, energy, limit)

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

    def _require(self, resource: Resource, limit: float) -> None:
        least = self.least(resource)
        if limit >= least:
            return
        of_layers = self._least_of_layers(resource)
        worst = int(np.argmax(of_layers))
        load = int(self.slices[worst].lower.max(initial=0))
        floors = f"whose floors need loads up to {load}" if load else "with no weight"
        raise InfeasibleError(
            f"`{BUDGETS[resource]}` is {limit:.12g} ({resource}); the least possible "
            f"is {least:.12g}, most of it {of_layers[worst]:.12g} by layer "
            f"{self._names[worst]}, {floors}; raise the budget or lower "
            "`channel_floor` and `min_load`"
        )

    def _in_units(self, resource: Resource, limit: float) -> tuple[int, IntArray]:
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
        units = np.ceil(np.ldexp(cost, exponent)).astype(np.int64)
        left = limit - sum(c.base(resource) for c in self._costs)
        most = int(units @ upper)
        budget = min(math.ldexp(left, exponent), most)
        # Rounding up must not forbid the floors, which are within the limit.
        return max(math.floor(budget), int(units @ lower)), units


def in_absolute_terms(name: str, budget: float, of_layer_wise: float) -> float:
    """Turn a budget up to 1, a fraction of the layer-wise solution, into a number.

    Raises
    ------
    BalancerError
        A budget that is not above 0.
    """
    if not _is_number(budget) or not budget > 0:
        raise BalancerError(
            f"`{name}` is {budget!r}; a fraction of what the layer-wise solution takes "
            "(above 0, up to 1), or a larger number in absolute terms, is needed"
        )
    return float(budget) * of_layer_wise if budget <= 1 else float(budget)


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float, np.number))
    return number and not isinstance(value, bool)
