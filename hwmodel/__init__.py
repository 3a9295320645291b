"""Cycles and energy of real masks and real spikes on a described array of PEs.

>>> from hwmodel import Accelerator, LayerWorkload, evaluate
>>> Accelerator.names()[:4]
('eie', 'generic-45nm', 'loas', 'loas-scheduled')

Modules, from the ground up: `sections`, `accelerator`, `workload`, `inputs`, `counts`,
`compute`, `traffic`, `latency`, `energy`, `report`, `evaluation`; `architecture`,
`geometry`, `ticket_workloads`, `given_geometry`, `chain`; `known_chain`, `effective`;
`layer_costs`, `hardware`; `sweeps`, `export`; `commands`; `stepped` is the slow
reference. Every
equation stands in ``docs/hardware-model.md``.
"""

from typing import TYPE_CHECKING

from balancer.lazy import lazy_attributes

if TYPE_CHECKING:
    from hwmodel.accelerator import Accelerator
    from hwmodel.bench.bench_result import BenchResult
    from hwmodel.bench.run import run_bench
    from hwmodel.bench.settings import BenchError, BenchSettings
    from hwmodel.chain import place_layers
    from hwmodel.comparison import ReportComparison
    from hwmodel.effective import chain_effective
    from hwmodel.errors import (
        AcceleratorError,
        ArchitectureError,
        HardwareModelError,
        MixedNodesWarning,
        WorkloadError,
    )
    from hwmodel.evaluation import evaluate, evaluate_many
    from hwmodel.export.sanafe_files import export_sanafe
    from hwmodel.export.sanafe_run import run_sanafe
    from hwmodel.export.sparseloop import export_sparseloop, read_mask_text
    from hwmodel.geometry import Geometry
    from hwmodel.hardware import Hardware, HardwareLayers
    from hwmodel.layer_costs import slice_costs
    from hwmodel.layer_report import Basis, LayerReport
    from hwmodel.report import Report
    from hwmodel.spike_files import load_spikes, save_spikes
    from hwmodel.sweeps.plan import SweepPlan
    from hwmodel.sweeps.result import SweepResult
    from hwmodel.sweeps.run import SweepProgress, sweep
    from hwmodel.sweeps.settings import SweepError
    from hwmodel.ticket_workloads import NetworkWorkloads, network_workloads
    from hwmodel.workload import LayerWorkload

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "ArchitectureError",
    "Basis",
    "BenchError",
    "BenchResult",
    "BenchSettings",
    "Geometry",
    "Hardware",
    "HardwareLayers",
    "HardwareModelError",
    "LayerReport",
    "LayerWorkload",
    "MixedNodesWarning",
    "NetworkWorkloads",
    "Report",
    "ReportComparison",
    "SweepError",
    "SweepPlan",
    "SweepProgress",
    "SweepResult",
    "WorkloadError",
    "chain_effective",
    "evaluate",
    "evaluate_many",
    "export_sanafe",
    "export_sparseloop",
    "load_spikes",
    "network_workloads",
    "place_layers",
    "read_mask_text",
    "run_bench",
    "run_sanafe",
    "save_spikes",
    "slice_costs",
    "sweep",
]

_HOMES = {
    "Accelerator": "hwmodel.accelerator",
    "AcceleratorError": "hwmodel.errors",
    "ArchitectureError": "hwmodel.errors",
    "Basis": "hwmodel.layer_report",
    "BenchError": "hwmodel.bench.settings",
    "BenchResult": "hwmodel.bench.bench_result",
    "BenchSettings": "hwmodel.bench.settings",
    "Geometry": "hwmodel.geometry",
    "Hardware": "hwmodel.hardware",
    "HardwareLayers": "hwmodel.hardware",
    "HardwareModelError": "hwmodel.errors",
    "LayerReport": "hwmodel.layer_report",
    "LayerWorkload": "hwmodel.workload",
    "MixedNodesWarning": "hwmodel.errors",
    "NetworkWorkloads": "hwmodel.ticket_workloads",
    "Report": "hwmodel.report",
    "ReportComparison": "hwmodel.comparison",
    "SweepError": "hwmodel.sweeps.settings",
    "SweepPlan": "hwmodel.sweeps.plan",
    "SweepProgress": "hwmodel.sweeps.run",
    "SweepResult": "hwmodel.sweeps.result",
    "WorkloadError": "hwmodel.errors",
    "chain_effective": "hwmodel.effective",
    "evaluate": "hwmodel.evaluation",
    "evaluate_many": "hwmodel.evaluation",
    "export_sanafe": "hwmodel.export.sanafe_files",
    "export_sparseloop": "hwmodel.export.sparseloop",
    "load_spikes": "hwmodel.spike_files",
    "network_workloads": "hwmodel.ticket_workloads",
    "place_layers": "hwmodel.chain",
    "read_mask_text": "hwmodel.export.sparseloop",
    "run_bench": "hwmodel.bench.run",
    "run_sanafe": "hwmodel.export.sanafe_run",
    "save_spikes": "hwmodel.spike_files",
    "slice_costs": "hwmodel.layer_costs",
    "sweep": "hwmodel.sweeps.run",
}
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
