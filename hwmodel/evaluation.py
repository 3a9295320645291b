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

from collections.abc import Iterable, Sequence

import numpy as np

from balancer import LoadMetrics
from balancer.maps.pe_map import PEMap
from hwmodel import sata_sim
from hwmodel.accelerator import Accelerator
from hwmodel.activity import Activity, Operations, Traffic, Transfers
from hwmodel.compute import Compute, compute
from hwmodel.energy import energy
from hwmodel.errors import WorkloadError
from hwmodel.latency import layer_cycles
from hwmodel.layer_report import Basis, LayerReport
from hwmodel.report import Report
from hwmodel.traffic import layer_traffic, weight_bits
from hwmodel.workload import LayerWorkload


def evaluate(workloads: Iterable[LayerWorkload], accelerator: Accelerator) -> Report:
    """Calculate cycles and energy of a network, one layer after another.

    Parameters
    ----------
    workloads : iterable of LayerWorkload
        The layers, each with as many samples as the others.
    accelerator : Accelerator
        What they run on.

    Returns
    -------
    Report
        Sums over layers and samples, and every layer by itself.

    Raises
    ------
    WorkloadError
        No layers, or layers with different numbers of samples.

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
    batches = {layer.samples for layer in layers}
    if len(batches) > 1:
        raise WorkloadError(
            f"layers have batches of {', '.join(map(str, sorted(batches)))} samples; "
            "all of them need the same number"
        )
    return Report(
        accelerator=accelerator,
        layers=tuple(evaluate_layer(layer, accelerator) for layer in layers),
        inferences=batches.pop(),
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
            traffic=_of_samples(traffic, workload.samples),
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
        mu=LoadMetrics.of_loads(cell_loads, pe_map).mu,
        eta=_eta(activity, array.size),
        occupancy=pe_map.occupancy,
        footprint_dense_bytes=-(-pe_map.weights * accelerator.bits.weight_bits // 8),
        footprint_bytes=-(-int(stored) // 8),
        basis=_basis(workload, accelerator),
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


def _of_samples(traffic: Traffic, samples: int) -> Traffic:
    """Traffic of one sample, times the samples."""

    def scaled(moved: Transfers) -> Transfers:
        return Transfers(moved.read_bits * samples, moved.write_bits * samples)

    return Traffic(
        dram_weight=traffic.dram_weight * samples,
        dram_input=traffic.dram_input * samples,
        dram_output=traffic.dram_output * samples,
        dram_membrane=traffic.dram_membrane * samples,
        weight=scaled(traffic.weight),
        input=scaled(traffic.input),
        output=scaled(traffic.output),
        membrane_bits=traffic.membrane_bits * samples,
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
