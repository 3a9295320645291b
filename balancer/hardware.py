"""What the balancer asks of a model of the hardware, and gets as data.

`hwmodel.Hardware` answers for the accelerators that `hwmodel` describes; anything else
with these methods does as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from balancer.array_types import BoolArray, FloatArray, IntArray
from balancer.errors import BalancerError
from balancer.maps.schedule import Schedule

Resource: TypeAlias = Literal["cycles", "energy"]


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
    >>> LayerCost(cycles_per_slice=256, base_cycles=40).cycles(3)
    808
    """

    cycles_per_slice: float = 0
    energy_per_slice: float = 0
    energy_per_nonzero: float = 0
    base_cycles: float = 0
    base_energy: float = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not is_number(value) or not 0 <= value < math.inf:
                raise BalancerError(
                    f"`{field.name}` is {value!r}; a finite number of at least 0 is "
                    "needed"
                )

    def __add__(self, other: LayerCost) -> LayerCost:
        """Add what the same slice takes where the layer runs again."""
        names = [field.name for field in fields(self)]
        return LayerCost(
            **{name: getattr(self, name) + getattr(other, name) for name in names}
        )

    def cycles(self, slices: int) -> float:
        """Cycles of a mask whose loads add up to `slices` over the groups."""
        return self.base_cycles + self.cycles_per_slice * slices

    def energy(self, slices: int, nonzeros: int) -> float:
        """Energy of a mask of so many slices and non-zeros."""
        by_slice = self.energy_per_slice * slices
        return self.base_energy + by_slice + self.energy_per_nonzero * nonzeros

    def per_slice(self, resource: Resource, group_sizes: IntArray) -> FloatArray:
        """Cycles or energy of a slice of each group, [groups]."""
        if resource == "cycles":
            return np.full(len(group_sizes), self.cycles_per_slice, dtype=np.float64)
        per_nonzero = self.energy_per_nonzero * group_sizes.astype(np.float64)
        return self.energy_per_slice + per_nonzero

    def base(self, resource: Resource) -> float:
        """Cycles or energy of an empty mask."""
        return self.base_cycles if resource == "cycles" else self.base_energy


def is_number(value: object) -> bool:
    """Whether a value is a real number, which True and False are not."""
    number = isinstance(value, (int, float, np.number))
    return number and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class PETime:
    """Where the time of the PEs goes, in PE cycles: PEs x cycles in total.

    Attributes
    ----------
    busy : float
        Kept weights meet spikes.
    gated : float
        Zeros that are not skipped.
    idle : float
        PEs that hold weights wait for others at a barrier.
    structural : float
        PEs without weights wait for others.
    stalled : float
        The whole array waits for memory.

    Examples
    --------
    >>> from balancer import PETime
    >>> PETime(busy=5, gated=20, stalled=3).largest
    'gated'
    """

    busy: float = 0
    gated: float = 0
    idle: float = 0
    structural: float = 0
    stalled: float = 0

    @property
    def total(self) -> float:
        """All PE cycles."""
        return self.busy + self.gated + self.idle + self.structural + self.stalled

    @property
    def largest(self) -> str | None:
        """Name of the largest part; None if there is no time at all."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        name = max(parts, key=lambda part: parts[part])
        return name if parts[name] > 0 else None


@dataclass(frozen=True, slots=True)
class MaskCost:
    """What one mask takes from the hardware.

    Attributes
    ----------
    cycles, energy : float
        Of one inference; the energy in the unit of the hardware.
    basis : str
        What the numbers rest on: exact, a bound, or an expectation.
    time : PETime or None
        Where the cycles go; None if the model does not tell.
    breakdown : mapping of str to float, or None
        Where the energy goes, by component; None if the model does not tell.
    drawn : MaskCost or None
        The same with spikes drawn from their rates, where the cycles are only a bound
        of what is expected; None if they are more, or if drawing takes too long.
    """

    cycles: float
    energy: float
    basis: str
    time: PETime | None = None
    breakdown: Mapping[str, float] | None = None
    drawn: MaskCost | None = None


class LayersOnHardware(Protocol):
    """The layers of one network on one array of PEs."""

    @property
    def assumption(self) -> str | None:
        """What had to be assumed about the layers; None if all is known."""

    def slice_cost(self, name: str) -> LayerCost:
        """Say what a slice of a layer costs.

        Raises
        ------
        BalancerError
            The cycles of this hardware do not follow from the loads.
        """

    def mask_cost(
        self, name: str, mask: BoolArray, schedule: Schedule | None = None
    ) -> MaskCost:
        """Say what a mask of a layer takes, in the order of a schedule."""


class HardwareModel(Protocol):
    """A model of an array of PEs."""

    @property
    def name(self) -> str:
        """Name of the accelerator."""

    @property
    def pe_map(self) -> str:
        """Text of its PE map, for `PEMap.parse`."""

    @property
    def pes(self) -> int:
        """PEs of its PE map."""

    @property
    def energy_unit(self) -> str:
        """Unit of its energies."""

    def layers(
        self, shapes: Mapping[str, tuple[int, ...]], about: Mapping[str, Any]
    ) -> LayersOnHardware:
        """Place the layers of a network.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            Weight shapes of **all** layers of the network.
        about : mapping
            What its ticket says of it (`balancer.Ticket.about`).

        Raises
        ------
        BalancerError
            Layers that cannot run on it.
        """
