"""Evaluate masks and spikes on an accelerator.

>>> import numpy as np
>>> from hwmodel import Accelerator, LayerWorkload, evaluate
>>> rng = np.random.default_rng(0)
>>> mask, spikes = rng.random((32, 16, 3, 3)) < 0.1, rng.random((4, 1, 16, 8, 8)) < 0.15
>>> layer = LayerWorkload("conv", mask, (16, 8, 8), padding=1, spikes=spikes)
>>> report = evaluate([layer], Accelerator.load("u-ticket"))
>>> report.cycles, report.idle_cycles
(11008, 52480)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from balancer.maps.pe_map import PEMap
from balancer.metrics import mu_of_loads
from hwmodel import sata_sim
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Activity, Operations
from hwmodel.compute import Compute, compute
from hwmodel.energy import energy
from hwmodel.errors import WorkloadError
from hwmodel.latency import layer_cycles
from hwmodel.layer_report import Basis, LayerReport
from hwmodel.report import Report
from hwmodel.traffic import layer_traffic, weight_bits
from hwmodel.workload import LayerWorkload


def evaluate(
    workloads: Iterable[LayerWorkload],
    accelerator: Accelerator,
    effective: Mapping[str, int] | None = None,
) -> Report:
    """Calculate cycles and energy of a network, one layer after another.

    Parameters
    ----------
    workloads : iterable of LayerWorkload
        The layers, each with the batch of the others. Several of one name are calls of
        one layer, on inputs of different sizes or kinds: they share its mask.
    accelerator : Accelerator
        What they run on.
    effective : mapping of str to int, optional
        Kept weights of each layer on a path through the network, where these are known
        (`chain_effective`): for the report.

    Returns
    -------
    Report
        Sums over layers and samples, and every layer by itself.

    Raises
    ------
    WorkloadError
        No layers, layers with different batches, or two layers of one name; effective
        weights of other layers.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import Accelerator, LayerWorkload, evaluate
    >>> workload = LayerWorkload("linear", np.eye(16), timesteps=4)
    >>> report = evaluate([workload], Accelerator.load("u-ticket"))
    >>> report.cycles, report.utilization
    (4, 1.0)
    """
    layers = list(workloads)
    if not layers:
        raise WorkloadError("no layers to evaluate; give at least one LayerWorkload")
    batches = {layer.inferences for layer in layers}
    if len(batches) > 1:
        raise WorkloadError(
            f"layers have batches of {', '.join(map(str, sorted(batches)))} samples; "
            "all of them need the same number"
        )
    calls: dict[str, list[LayerWorkload]] = {}
    for layer in layers:
        calls.setdefault(layer.name, []).append(layer)
    if effective is not None and not calls.keys() <= effective.keys():
        raise WorkloadError(
            f"`effective` names {', '.join(effective)}; all layers are needed: "
            f"{', '.join(calls)}"
        )
    return Report(
        accelerator=accelerator,
        layers=tuple(_evaluate_calls(one, accelerator) for one in calls.values()),
        inferences=batches.pop(),
        effective=effective,
    )


def _evaluate_calls(
    calls: Sequence[LayerWorkload], accelerator: Accelerator
) -> LayerReport:
    """Evaluate one layer on inputs of different sizes or kinds, and add up."""
    first, *others = calls
    for other in others:
        if not np.array_equal(first.mask, other.mask):
            raise WorkloadError(
                f"two layers are named {first.name!r}, and have different masks; calls "
                "of one layer share its mask: give different layers different names"
            )
    try:
        reports = [evaluate_layer(call, accelerator) for call in calls]
    except MemoryError as error:
        raise WorkloadError(
            f"layer {first.name!r}: it needs more memory than there is; evaluate fewer "
            "samples, or smaller inputs"
        ) from error
    if not others:
        return reports[0]
    activity = sum((report.activity for report in reports), Activity())
    weakest = max(reports, key=lambda report: list(Basis).index(report.basis))
    return replace(
        reports[0],
        activity=activity,
        energy=sum((report.energy for report in reports[1:]), reports[0].energy),
        eta=_eta(activity, accelerator.array.size),
        basis=weakest.basis,
        calls=sum(report.calls for report in reports),
    )


def evaluate_many(
    workloads: Sequence[LayerWorkload], accelerators: Iterable[Accelerator]
) -> list[Report]:
    """Evaluate one network on many accelerators; see `evaluate`.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import Accelerator, LayerWorkload, evaluate_many
    >>> layers = [LayerWorkload("linear", np.eye(16), timesteps=4)]
    >>> both = [Accelerator.load(name) for name in ("u-ticket", "eie")]
    >>> [report.accelerator.name for report in evaluate_many(layers, both)]
    ['u-ticket', 'eie']
    """
    return [evaluate(workloads, accelerator) for accelerator in accelerators]


def evaluate_layer(workload: LayerWorkload, accelerator: Accelerator) -> LayerReport:
    """Calculate cycles and energy of one layer; see `evaluate`."""
    alike = workload.spikes is None and workload.rate_mode == "bound"
    if workload.calls == 0 or (workload.calls > 1 and alike):
        return _of_calls(
            evaluate_layer(replace(workload, calls=1), accelerator),
            workload.calls,
            accelerator,
        )
    array = accelerator.array
    pe_map = array.pe_map(workload.weight_shape)
    cell_loads = pe_map.cell_loads(workload.mask.reshape(pe_map.shape))
    computed = compute(workload, array, pe_map, cell_loads)
    kept = int(cell_loads.sum())
    operations = _operations(workload, accelerator, pe_map, computed)
    if array.counting == "sata_sim":
        activity = sata_sim.layer_activity(workload, accelerator, operations)
    else:
        traffic, ports = layer_traffic(workload, accelerator, pe_map, cell_loads)
        activity = Activity(
            cycles=layer_cycles(computed, ports.values(), array.size),
            operations=operations,
            traffic=traffic.times(workload.samples),
        )
    stored = weight_bits(
        accelerator,
        np.array(pe_map.weights),
        np.array(kept),
        np.array(pe_map.n_cells),
    )
    return LayerReport(
        name=workload.name,
        shape=workload.mask.shape,
        nonzeros=kept,
        activity=activity,
        energy=energy(accelerator, activity),
        mu=mu_of_loads(cell_loads, pe_map),
        eta=_eta(activity, array.size),
        occupancy=pe_map.occupancy,
        footprint_dense_bytes=-(-pe_map.weights * accelerator.bits.weight_bits // 8),
        footprint_bytes=-(-int(stored) // 8),
        basis=_basis(workload, accelerator),
        calls=workload.calls,
    )


def _of_calls(once: LayerReport, calls: int, accelerator: Accelerator) -> LayerReport:
    """Report on a layer that does the same several times, or never."""
    activity = once.activity.times(calls)
    return replace(
        once,
        activity=activity,
        energy=energy(accelerator, activity),
        eta=_eta(activity, accelerator.array.size),
        calls=calls,
    )


def _operations(
    workload: LayerWorkload,
    accelerator: Accelerator,
    pe_map: PEMap,
    computed: Compute,
) -> Operations:
    pixels, samples, analog = workload.pixels, workload.samples, workload.direct_coded
    # Parts of a channel beyond the first are added to it, for each pixel and time step.
    parts = max(0, int(pe_map.channels_of_cells().sum()) - workload.outputs)
    depth, height, width = workload.image
    inputs = workload.runs * depth * height * width * samples
    return Operations(
        accumulates=0 if analog else computed.operations,
        macs=computed.operations if analog else 0,
        fan_out=computed.fan_out,
        dense=pe_map.weights * pixels * workload.runs * samples,
        psum_adds=parts * pixels * workload.runs * samples,
        joins=computed.busy if accelerator.array.skip == "dual" else 0,
        lif_updates=workload.outputs * pixels * workload.steps * samples,
        spikes=0 if analog else computed.spikes,
        inputs=0 if analog else inputs,
    )


def _eta(activity: Activity, pes: int) -> float:
    cycles = activity.cycles
    slots = pes * cycles.compute
    return 1 - cycles.idle / slots if slots else 1.0


def _basis(workload: LayerWorkload, accelerator: Accelerator) -> Basis:
    if workload.spikes is not None:
        return Basis.EXACT
    cycles_need_spikes = accelerator.array.skip in ("spike", "dual")
    if workload.spike_rate is None:
        return Basis.UPPER_BOUND if cycles_need_spikes else Basis.CYCLES_EXACT
    if workload.rate_mode == "sample":
        return Basis.SAMPLE
    return Basis.LOWER_BOUND if cycles_need_spikes else Basis.EXPECTATION
