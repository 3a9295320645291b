"""What a balanced mask costs: from an accelerator to the budgets of `balancer`.

With equal loads in every group, an array that skips zero weights and nothing else takes
the same cycles for every slice of a layer. So two evaluations of each layer, with the
empty and with the full mask, tell the costs of all balanced masks between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from balancer import LayerCost
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Activity, Cycles
from hwmodel.energy import energy
from hwmodel.errors import WorkloadError
from hwmodel.evaluation import evaluate_layer
from hwmodel.workload import LayerWorkload

BARRIERS = ("pixel", "timestep", "tile")


def slice_costs(
    workloads: Iterable[LayerWorkload], accelerator: Accelerator
) -> dict[str, LayerCost]:
    """Derive the cost of a slice of each layer, for `balancer.balance_network`.

    For masks that are balanced on the accelerator's own PE map (``array.map_spec``) the
    cycles are exact but for memory stalls, fill and drain, which are neglected: they
    are those of the same accelerator with memories of unlimited bandwidth. The energy
    is exact, that of the neglected cycles aside, if workloads have no spikes; with
    spikes or rates every kept weight counts as the mean weight of its layer, which
    neglects that some meet more spikes than others.

    Parameters
    ----------
    workloads : iterable of LayerWorkload
        The layers; their masks do not matter.
    accelerator : Accelerator
        An array that skips zero weights only, with a barrier after every pixel, time
        step or tile.

    Returns
    -------
    dict of str to LayerCost
        By the names of the layers; energies in pJ.

    Raises
    ------
    WorkloadError
        An accelerator whose cycles are not the same for every slice, or two layers of
        one name.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import Accelerator, LayerWorkload, slice_costs
    >>> mask = np.ones((32, 16, 3, 3), dtype=bool)
    >>> layer = LayerWorkload("conv", mask, (16, 8, 8), padding=1, timesteps=4)
    >>> costs = slice_costs([layer], Accelerator.load("u-ticket"))
    >>> costs["conv"].cycles_per_slice  # 64 output pixels, 4 time steps
    256
    """
    array = accelerator.array
    if array.counting != "array" or array.skip != "weight":
        raise WorkloadError(
            f"{accelerator.name}: with skip {array.skip!r} and counting "
            f"{array.counting!r} cycles do not follow from the loads; slice costs need "
            "skip 'weight' and counting 'array'"
        )
    if array.is_scheduled:
        raise WorkloadError(
            f"{accelerator.name}: with mapping {array.mapping!r} cycles follow from "
            "the order of the tasks; slice costs need a PE map"
        )
    if array.barrier not in BARRIERS:
        raise WorkloadError(
            f"{accelerator.name}: with barrier {array.barrier!r} the slices of a group "
            f"cost different cycles; accepted: {', '.join(BARRIERS)}"
        )
    endless = _without_stalls(accelerator)
    per_cycle = energy(endless, Activity(cycles=Cycles(compute=1))).total_pj
    costs: dict[str, LayerCost] = {}
    for workload in workloads:
        if workload.name in costs:
            raise WorkloadError(f"two layers are named {workload.name!r}")
        costs[workload.name] = _layer_cost(workload, endless, per_cycle)
    return costs


def _layer_cost(
    workload: LayerWorkload, accelerator: Accelerator, per_cycle: float
) -> LayerCost:
    pe_map = accelerator.array.pe_map(workload.weight_shape)
    slices = int(pe_map.largest_of_group(pe_map.cell_sizes()).sum())
    empty, full = (
        evaluate_layer(replace(workload, mask=mask), accelerator)
        for mask in (np.zeros_like(workload.mask), np.ones_like(workload.mask))
    )
    base, most = empty.activity.cycles.total, full.activity.cycles.total
    base_energy, most_energy = empty.energy.total_pj, full.energy.total_pj
    by_weights = most_energy - base_energy - per_cycle * (most - base)
    return LayerCost(
        cycles_per_slice=(most - base) // slices,
        energy_per_slice=per_cycle * ((most - base) // slices),
        # Differences of large energies leave rounding errors where there is none.
        energy_per_nonzero=max(0.0, by_weights / pe_map.weights),
        base_cycles=base,
        base_energy=base_energy,
    )


def _without_stalls(accelerator: Accelerator) -> Accelerator:
    """Return the accelerator with memories of unlimited bandwidth."""

    def endless(memory: Any) -> Any:
        unlimited = {"bandwidth_bits_per_cycle": None}
        return None if memory is None else memory.model_copy(update=unlimited)

    buffers = {name: endless(buffer) for name, buffer in accelerator.buffers}
    return accelerator.model_copy(
        update={
            "dram": endless(accelerator.dram),
            "buffers": accelerator.buffers.model_copy(update=buffers),
        }
    )
