"""What the masks of a round mean for the array of PEs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.errors import BalancerError
from balancer.maps.pe_map import PEMap
from balancer.metrics import LoadMetrics, kept_fraction
from balancer.network.budgets import LayerCost
from hwmodel import (
    Accelerator,
    AcceleratorError,
    Report,
    evaluate,
    network_workloads,
    slice_costs,
)
from snn.lottery.config import LotteryConfig
from snn.lottery.pruning import Masks, Orders
from snn.lottery.results import LayerOutcome


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """The array of a run: its PE map, and its accelerator where one can have it."""

    pe_map: str
    pes: int
    accelerator: Accelerator | None

    @classmethod
    def of(cls, config: LotteryConfig) -> Array:
        """Read the array from the configuration.

        Raises
        ------
        AcceleratorError
            An unknown accelerator.
        """
        described = Accelerator.load(config.accelerator)
        try:
            accelerator = described.on_map(config.map, config.pes)
        except AcceleratorError:
            return cls(config.map, config.pes, None)
        return cls(config.map, config.pes, accelerator)

    def map_of(self, mask: npt.NDArray[Any]) -> PEMap:
        """PE map of a layer."""
        return PEMap.parse(self.pe_map, mask.shape, self.pes)

    def costs(self, masks: Masks, about: Mapping[str, Any]) -> dict[str, LayerCost]:
        """Say what a slice of each layer costs.

        Raises
        ------
        BalancerError
            The accelerator cannot have the PE map.
        WorkloadError
            Its slices have no cost of their own.
        """
        if self.accelerator is None:
            raise BalancerError(
                f"`method` is 'latency', but `accelerator` cannot have the PE map "
                f"{self.pe_map}, so cycles are not known; use output_channel"
            )
        return slice_costs(network_workloads(masks, about).workloads, self.accelerator)

    def report(
        self, masks: Masks, orders: Orders, about: Mapping[str, Any]
    ) -> Report | None:
        """Evaluate masks in their orders; None without an accelerator.

        `about` holds the geometry of the layers, time steps and spike rates, as the
        metadata of a ticket do.
        """
        if self.accelerator is None:
            return None
        scheduled = {
            name: self.scheduled(mask, orders[name]) for name, mask in masks.items()
        }
        return evaluate(network_workloads(scheduled, about).workloads, self.accelerator)

    def load_metrics(self, masks: Masks, orders: Orders) -> dict[str, LoadMetrics]:
        """Measure the loads of every layer."""
        return {
            name: LoadMetrics.of(self.scheduled(mask, orders[name]), self.map_of(mask))
            for name, mask in masks.items()
        }

    def scheduled(
        self, mask: npt.NDArray[np.bool_], order: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.bool_]:
        """Put the channels of a mask in the order in which the PEs take them."""
        pe_map = self.map_of(mask)
        return mask if pe_map.order_axis is None else pe_map.schedule(mask, order)


def layer_outcomes(
    masks: Masks,
    scores: Mapping[str, npt.NDArray[np.float32]],
    metrics: Mapping[str, LoadMetrics],
    spike_rates: Mapping[str, float],
    report: Report | None,
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
            cycles=costs[name].cycles if name in costs else None,
            energy=costs[name].energy_pj if name in costs else None,
        )
        for name, mask in masks.items()
    )
