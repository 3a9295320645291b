"""An accelerator with its PE map, as the balancer asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from balancer.array_types import BoolArray
from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from balancer.hardware import LayerCost, MaskCost, PETime
from balancer.maps.registry import settle_map
from balancer.maps.schedule import Schedule
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Cycles
from hwmodel.defaults import DEFAULT_ACCELERATOR
from hwmodel.errors import AcceleratorError
from hwmodel.evaluation import evaluate
from hwmodel.geometry import Shapes
from hwmodel.layer_costs import slice_costs
from hwmodel.layer_report import Basis
from hwmodel.report import Report
from hwmodel.ticket_workloads import Schedules, TicketWorkloads, network_workloads
from hwmodel.workload import LayerWorkload

# Weights x pixels x time steps of a layer for which spikes are drawn: about a second.
MOST_DRAWN = 2**31


def pe_time(spent: Cycles, pes: int) -> PETime:
    """Say where the time of so many PEs goes."""
    return PETime(
        busy=spent.busy,
        gated=spent.gated,
        idle=spent.idle - spent.idle_structural,
        structural=spent.idle_structural,
        stalled=spent.waiting * pes,
    )


@dataclass(frozen=True)
class HardwareLayers:
    """The layers of one network on one accelerator (`balancer.LayersOnHardware`).

    Attributes
    ----------
    workloads : TicketWorkloads
        Geometry and input of the layers.
    accelerator : Accelerator
        What they run on.
    """

    workloads: TicketWorkloads
    accelerator: Accelerator

    @property
    def assumption(self) -> str | None:
        """What had to be assumed about the layers; None if all is known."""
        return self.workloads.assumption

    def slice_cost(self, name: str) -> LayerCost:
        """Say what a slice of a layer costs; raises as `slice_costs` does."""
        any_mask = np.broadcast_to(np.False_, self.workloads.shapes[name])
        calls = self.workloads.workloads(name, any_mask)
        costs = [slice_costs([call], self.accelerator)[name] for call in calls]
        return sum(costs, LayerCost())

    def mask_cost(
        self, name: str, mask: BoolArray, schedule: Schedule | None = None
    ) -> MaskCost:
        """Say what a mask of a layer takes, in the order of a schedule."""
        calls = self.workloads.workloads(name, mask, schedule)
        cost = self._cost(calls)
        work = sum(call.mask.size * call.pixels * call.runs for call in calls)
        if cost.basis != Basis.LOWER_BOUND.value or work > MOST_DRAWN:
            return cost
        sampled = [replace(call, rate_mode="sample") for call in calls]
        return replace(cost, drawn=self._cost(sampled))

    def _cost(self, calls: Sequence[LayerWorkload]) -> MaskCost:
        (report,) = evaluate(calls, self.accelerator).layers
        return MaskCost(
            report.cycles,
            report.energy_pj,
            report.basis.value,
            pe_time(report.activity.cycles, self.accelerator.array.size),
            report.energy.breakdown,
        )


@dataclass(frozen=True)
class Hardware:
    """An accelerator, as `balancer.balance_ticket` takes it (`balancer.HardwareModel`).

    Attributes
    ----------
    accelerator : Accelerator
        The description, with the PE map in its array.

    Examples
    --------
    >>> from hwmodel import Hardware
    >>> hardware = Hardware.of("u-ticket", "grid:4x4")
    >>> hardware.name, hardware.pe_map, hardware.pes
    ('u-ticket', 'grid:4x4', 16)
    """

    accelerator: Accelerator

    @classmethod
    def of(
        cls,
        accelerator: Accelerator | str | Path = DEFAULT_ACCELERATOR,
        pe_map: str | None = None,
        pes: int | None = None,
    ) -> Hardware:
        """Give an accelerator a PE map.

        Parameters
        ----------
        accelerator : Accelerator, str or path
            A description, the name of a preset, or a YAML file.
        pe_map : str, optional
            Text of the map, as `balancer.PEMap.parse` reads it. Default: its own.
        pes : int, optional
            PEs, where the map does not say it. Default: its own.

        Raises
        ------
        AcceleratorError
            A wrong description, or a map that no array has (n:m).
        BalancerError
            A map that cannot be read.
        """
        if not isinstance(accelerator, Accelerator):
            accelerator = Accelerator.load(accelerator)
        own_map, own_pes = accelerator.array.map_spec
        if pe_map is not None:
            pe_map, pes = settle_map(pe_map, pes)
        asked = (pe_map or own_map, own_pes if pes is None else pes)
        if asked == (own_map, own_pes):
            return cls(accelerator)
        return cls(accelerator.on_map(*asked))

    @classmethod
    def if_possible(
        cls,
        accelerator: Accelerator | str | Path = DEFAULT_ACCELERATOR,
        pe_map: str = DEFAULT_MAP,
        pes: int = DEFAULT_PES,
    ) -> Hardware | None:
        """Give an accelerator a PE map; None if no array has the map.

        Raises
        ------
        AcceleratorError
            A wrong description.
        """
        if not isinstance(accelerator, Accelerator):
            accelerator = Accelerator.load(accelerator)
        try:
            return cls(accelerator.on_map(pe_map, pes))
        except AcceleratorError:
            return None

    @property
    def name(self) -> str:
        """Name of the accelerator."""
        return self.accelerator.name

    @property
    def pe_map(self) -> str:
        """Text of its PE map, for `PEMap.parse`."""
        return self.accelerator.array.map_spec[0]

    @property
    def pes(self) -> int:
        """PEs of its PE map."""
        return self.accelerator.array.map_spec[1]

    @property
    def energy_unit(self) -> str:
        """Unit of its energies."""
        return self.accelerator.energy_unit

    def layers(self, shapes: Shapes, about: Mapping[str, Any]) -> HardwareLayers:
        """Place the layers of a network; see `balancer.HardwareModel`."""
        workloads = TicketWorkloads.of(shapes, about)
        return HardwareLayers(workloads, self.accelerator)

    def report(
        self,
        masks: Mapping[str, BoolArray],
        about: Mapping[str, Any],
        schedules: Schedules | None = None,
    ) -> Report:
        """Evaluate all masks of a network, in the order of their schedules."""
        network = network_workloads(masks, about, schedules=schedules)
        return evaluate(network.workloads, self.accelerator)
