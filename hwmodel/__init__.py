"""Cycles and energy of real masks and real spikes on a described array of PEs.

>>> from hwmodel import Accelerator, LayerWorkload, evaluate
>>> Accelerator.names()
('eie', 'generic-45nm', 'loas', 'sata', 'systolic', 'u-ticket')

Modules, from the ground up: `sections`, `accelerator`, `workload`, `inputs`, `counts`,
`compute`, `traffic`, `latency`, `energy`, `report`, `evaluate`; `architecture`,
`geometry`, `network`; `slice_costs`; `stepped` is the slow reference. Every
equation stands in ``docs/hardware-model.md``.
"""

from hwmodel.accelerator import Accelerator
from hwmodel.compare import Comparison
from hwmodel.errors import (
    AcceleratorError,
    HardwareModelError,
    MixedNodesWarning,
    WorkloadError,
)
from hwmodel.evaluate import evaluate, evaluate_many
from hwmodel.layer_report import Basis, LayerReport
from hwmodel.network import network_workloads
from hwmodel.report import Report
from hwmodel.slice_costs import slice_costs
from hwmodel.spike_files import load_spikes, save_spikes
from hwmodel.workload import LayerWorkload

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "Basis",
    "Comparison",
    "HardwareModelError",
    "LayerReport",
    "LayerWorkload",
    "MixedNodesWarning",
    "Report",
    "WorkloadError",
    "evaluate",
    "evaluate_many",
    "load_spikes",
    "network_workloads",
    "save_spikes",
    "slice_costs",
]
