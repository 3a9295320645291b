"""What masks take from the hardware before and after balancing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from balancer.array_types import BoolArray
from balancer.errors import BalancerError
from balancer.files.ticket_layer import LayerArrays
from balancer.hardware import HardwareModel, LayersOnHardware, MaskCost
from balancer.maps.schedule import Schedule

NO_HARDWARE = "no accelerator has this PE map"


@dataclass(frozen=True, slots=True)
class HardwareUse:
    """Cycles and energy of each layer, before and after.

    Attributes
    ----------
    accelerator, energy_unit : str
        What the numbers are of.
    before, after : mapping of str to MaskCost
        By layer: of the masks that were read, in the order that they had, and of the
        balanced ones in their schedule; without layers that cannot run there.
    assumption : str or None
        What had to be assumed, and which layers are missing; None if all is known.
    """

    accelerator: str
    energy_unit: str
    before: Mapping[str, MaskCost]
    after: Mapping[str, MaskCost]
    assumption: str | None

    @property
    def basis(self) -> str:
        """What the numbers rest on, each kind once."""
        kinds = dict.fromkeys(cost.basis for cost in self.after.values())
        return ", ".join(kinds)

    def of_layer(self, name: str) -> Mapping[str, float | None]:
        """Return the columns of a layer's row in the report."""
        if name not in self.after:
            return dict.fromkeys(_columns([], []))
        return _columns([self.before[name]], [self.after[name]])

    def totals(self) -> dict[str, Any]:
        """Return the columns of the network in the report."""
        return {
            "accelerator": self.accelerator,
            "basis": self.basis,
            "energy_unit": self.energy_unit,
            "hardware_note": self.assumption,
            **_columns([*self.before.values()], [*self.after.values()]),
        }


def _columns(before: list[MaskCost], after: list[MaskCost]) -> dict[str, float]:
    return {
        "cycles_before": sum(cost.cycles for cost in before),
        "cycles": sum(cost.cycles for cost in after),
        "energy_pj_before": sum(cost.energy for cost in before),
        "energy_pj": sum(cost.energy for cost in after),
    }


@dataclass(slots=True)
class HardwareMeter:
    """Collects what masks take, layer by layer, while they are in memory.

    Attributes
    ----------
    model : HardwareModel
        What it asks.
    layers : LayersOnHardware or None
        The network on it; None if it cannot run there.
    note : str or None
        Why not.
    refused : dict of str to str
        Layers that cannot run there, and why.
    """

    model: HardwareModel
    layers: LayersOnHardware | None = None
    note: str | None = None
    before: dict[str, MaskCost] = field(default_factory=dict)
    after: dict[str, MaskCost] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: HardwareModel,
        shapes: Mapping[str, tuple[int, ...]],
        about: Mapping[str, Any],
    ) -> HardwareMeter:
        """Place a network on the hardware, if it can run there."""
        try:
            return cls(model, model.layers(shapes, about))
        except BalancerError as error:
            return cls(model, None, str(error))

    def see(
        self, name: str, before: LayerArrays, after: BoolArray, schedule: Schedule
    ) -> None:
        """Evaluate the mask of a layer that was read, and a balanced one."""
        if self.layers is None:
            return
        mask, own = before.mask, None
        for one in before.schedules:
            if not one.is_natural:  # a model takes one; the others go into the mask
                mask, own = (mask if own is None else own.apply(mask)), one
        try:
            first = self.layers.mask_cost(name, mask, own)
            self.before[name], self.after[name] = (
                first,
                self.layers.mask_cost(name, after, schedule),
            )
        except BalancerError as error:
            self.refused[name] = str(error)

    def use(self, names: list[str]) -> HardwareUse | None:
        """Sum up the layers, in a given order; None if none can run there.

        One that cannot hides none of the others, and is named.
        """
        known = [name for name in names if name in self.after]
        if self.layers is None or not known:
            self.note = self.note or "; ".join(dict.fromkeys(self.refused.values()))
            return None
        said = [self.layers.assumption] if self.layers.assumption else []
        said += [
            f"in no sum: {self.refused[name]}" for name in names if name in self.refused
        ]
        return HardwareUse(
            self.model.name,
            self.model.energy_unit,
            {name: self.before[name] for name in known},
            {name: self.after[name] for name in known},
            "; ".join(said) or None,
        )
