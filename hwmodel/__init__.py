"""Cycles and energy of real masks and real spikes on a described array of PEs.

>>> from hwmodel import Accelerator, LayerWorkload, evaluate
>>> Accelerator.names()[:4]
('eie', 'generic-45nm', 'loas', 'loas-scheduled')

Modules, from the ground up: `sections`, `accelerator`, `workload`, `inputs`, `counts`,
`compute`, `traffic`, `latency`, `energy`, `report`, `evaluation`; `architecture`,
`geometry`, `ticket_workloads`, `given_geometry`, `chain`; `known_chain`, `effective`;
`layer_costs`, `hardware`; `commands`; `stepped` is the slow reference. Every equation
stands in ``docs/hardware-model.md``.
"""

from typing import TYPE_CHECKING

from balancer.lazy import lazy_attributes

if TYPE_CHECKING:
    from hwmodel.accelerator import Accelerator
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
    from hwmodel.geometry import Geometry
    from hwmodel.hardware import Hardware, HardwareLayers
    from hwmodel.layer_costs import slice_costs
    from hwmodel.layer_report import Basis, LayerReport
    from hwmodel.report import Report
    from hwmodel.spike_files import load_spikes, save_spikes
    from hwmodel.ticket_workloads import NetworkWorkloads, network_workloads
    from hwmodel.workload import LayerWorkload

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "ArchitectureError",
    "Basis",
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
    "WorkloadError",
    "chain_effective",
    "evaluate",
    "evaluate_many",
    "load_spikes",
    "network_workloads",
    "place_layers",
    "save_spikes",
    "slice_costs",
]

_HOMES = {
    "Accelerator": "hwmodel.accelerator",
    "AcceleratorError": "hwmodel.errors",
    "ArchitectureError": "hwmodel.errors",
    "Basis": "hwmodel.layer_report",
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
    "WorkloadError": "hwmodel.errors",
    "chain_effective": "hwmodel.effective",
    "evaluate": "hwmodel.evaluation",
    "evaluate_many": "hwmodel.evaluation",
    "load_spikes": "hwmodel.spike_files",
    "network_workloads": "hwmodel.ticket_workloads",
    "place_layers": "hwmodel.chain",
    "save_spikes": "hwmodel.spike_files",
    "slice_costs": "hwmodel.layer_costs",
}
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
