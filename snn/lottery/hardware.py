"""What the masks of a round mean for the array of PEs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer import BalancerError, LayerCost, LoadMetrics, PEMap, kept_fraction
from hwmodel import Hardware, LayerReport, Report
from snn.array_types import Masks
from snn.lottery.config import LotteryConfig
from snn.lottery.pruning import Schedules
from snn.lottery.results import LayerOutcome


@dataclass(frozen=True, slots=True, eq=False)
class RunArray:
    """The array of a run: its PE map, and its hardware where there can be one."""

    pe_map: str
    pes: int
    hardware: Hardware | None

    @classmethod
    def of(cls, config: LotteryConfig) -> RunArray:
        """Read the array from the configuration.

        Raises
        ------
        AcceleratorError
            An unknown accelerator.
        """
        return cls.on(config.accelerator, config.map, config.pes)

    @classmethod
    def on(cls, accelerator: str, pe_map: str, pes: int) -> RunArray:
        """Put a PE map on an accelerator, where it can have the map.

        Raises
        ------
        AcceleratorError
            An unknown accelerator.
        """
        return cls(pe_map, pes, Hardware.if_possible(accelerator, pe_map, pes))

    def map_of(self, mask: npt.NDArray[Any]) -> PEMap:
        """PE map of a layer."""
        return PEMap.parse(self.pe_map, mask.shape, self.pes)

    def costs(self, masks: Masks, about: Mapping[str, Any]) -> dict[str, LayerCost]:
        """Say what a slice of each layer costs.

        Raises
        ------
        BalancerError
            The accelerator cannot have the PE map, or its slices have no cost of their
            own.
        """
        if self.hardware is None:
            raise BalancerError(
                f"`accelerator` cannot have the PE map {self.pe_map}, so cycles are "
                "not known; `method` 'latency' and `budgets` 'cycles' need them: use "
                "output_channel"
            )
        shapes = {name: mask.shape for name, mask in masks.items()}
        layers = self.hardware.layers(shapes, about)
        return {name: layers.slice_cost(name) for name in masks}

    def assumption(self, masks: Masks, about: Mapping[str, Any]) -> str | None:
        """Say what cycles assume about the layers; None if all is known."""
        if self.hardware is None:
            return None
        shapes = {name: mask.shape for name, mask in masks.items()}
        return self.hardware.layers(shapes, about).assumption

    def report(
        self, masks: Masks, schedules: Schedules, about: Mapping[str, Any]
    ) -> Report | None:
        """Evaluate masks in their schedules; None without hardware.

        `about` holds the geometry of the layers, time steps and spike rates, as the
        metadata of a ticket do.
        """
        if self.hardware is None:
            return None
        return self.hardware.report(masks, about, schedules)

    def load_metrics(
        self, masks: Masks, schedules: Schedules
    ) -> dict[str, LoadMetrics]:
        """Measure the loads of every layer."""
        return {
            name: LoadMetrics.of(schedules[name].apply(mask), self.map_of(mask))
            for name, mask in masks.items()
        }


def layer_outcomes(
    masks: Masks,
    scores: Mapping[str, npt.NDArray[np.float32]],
    metrics: Mapping[str, LoadMetrics],
    spike_rates: Mapping[str, float],
    report: Report | None,
    effective: Mapping[str, int] | None,
) -> tuple[LayerOutcome, ...]:
    """Put together what is known about each layer."""
    costs = {} if report is None else {layer.name: layer for layer in report.layers}
    return tuple(
        LayerOutcome(
            name=name,
            weights=mask.size,
            nonzeros=metrics[name].nonzeros,
            utilization=metrics[name].mu,
            occupancy=metrics[name].occupancy,
            kept_fraction=kept_fraction(scores[name], mask),
            spike_rate=spike_rates.get(name),
            effective=None if effective is None else effective[name],
            **_costs(costs.get(name)),
        )
        for name, mask in masks.items()
    )


def _costs(layer: LayerReport | None) -> dict[str, Any]:
    """Cycles and energy of one call, and how many there are."""
    if layer is None:
        return {"cycles": None, "energy": None}
    calls = layer.calls or 1
    whole = isinstance(layer.cycles, int) and layer.cycles % calls == 0
    return {
        "cycles": layer.cycles // calls if whole else layer.cycles / calls,
        "energy": layer.energy_pj / calls,
        "calls": layer.calls,
    }
