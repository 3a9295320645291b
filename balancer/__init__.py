"""Exact balanced masks: equal work for every processing element, provably.

    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem, solve
    >>> scores = np.random.default_rng(0).random((32, 16, 3, 3))
    >>> pe_map = PEMap.output_channel(scores.shape, pes=16)
    >>> solution = solve(RetentionProblem(scores, pe_map, sparsity=0.98))
    >>> solution.status.value, solution.gap, solution.loads.max(axis=1).tolist()
    ('optimal', 0.0, [3, 2])

Packages, from the ground up: `maps`, `program`, `solvers`, `order`, `two_way`, `pair`,
`expected_work`, `files`, `export`, `network`, `report`. What is listed here is public
and is loaded when it is asked for.
"""

import logging
from typing import TYPE_CHECKING

from balancer.lazy import lazy_attributes

if TYPE_CHECKING:
    from balancer.baselines import (
        BaselineRow,
        compare_baselines,
        lth_mask,
        lth_sorted_schedule,
        top_k_per_pe_mask,
        u_ticket_mask,
    )
    from balancer.errors import (
        BalancerError,
        ExportError,
        InfeasibleError,
        SolverUnavailableError,
        TicketError,
        VerificationError,
    )
    from balancer.expected_work.solve import WorkSolution, balance_expected_work
    from balancer.export.export_source import ExportSource, WeightedLayer
    from balancer.export.layer_streams import LayerStreams, PEStream, layer_streams
    from balancer.export.scipy_folder import export_scipy
    from balancer.export.sparse_matrices import SparseLayer, sparse_layer
    from balancer.export.stream_files import read_streams, write_streams
    from balancer.export.streams_of_ticket import export_streams
    from balancer.files.mask_files import save_masks
    from balancer.files.ticket import (
        Ticket,
        open_ticket,
        shipped_ticket,
    )
    from balancer.files.ticket_layer import LayerArrays, TicketLayer
    from balancer.hardware import (
        HardwareModel,
        LayerCost,
        LayersOnHardware,
        MaskCost,
        PETime,
    )
    from balancer.maps.kinds import MapKind
    from balancer.maps.own_maps import OwnMap
    from balancer.maps.pe_map import PEMap
    from balancer.maps.registry import map_kinds, register_map
    from balancer.maps.schedule import Schedule
    from balancer.metrics import (
        LoadMetrics,
        kept_fraction,
        network_eta,
        network_utilization,
        top_k_sum,
        utilization,
    )
    from balancer.network.balance import balance_network
    from balancer.network.budgets import Tradeoff
    from balancer.network.frontier import latency_frontier
    from balancer.network.job import ArrayLayer
    from balancer.network.layer_counts import lamp_scores, layer_counts
    from balancer.network.network_solution import LayerResult, NetworkSolution
    from balancer.network.request import BalanceRequest
    from balancer.pair.problem import PairProblem
    from balancer.pair.solve import PairSolution, solve_pair
    from balancer.program.problem import RetentionProblem
    from balancer.program.validation import budget_of_sparsity
    from balancer.report.accuracy_meter import AccuracyMeter
    from balancer.report.balance_files import BalanceFiles
    from balancer.report.balance_report import BalanceReport
    from balancer.report.balance_ticket import balance_ticket
    from balancer.report.hardware_use import HardwareUse
    from balancer.solvers import register_solver, solver_names
    from balancer.solvers.limits import Cancellation, Progress, Search, SearchLimits
    from balancer.solvers.solution import Answer, Solution, Status, Termination
    from balancer.solving import solve
    from balancer.two_way.problem import TransposableProblem, TwoWayProblem
    from balancer.two_way.solve import TwoWaySolution, solve_two_way

__all__ = [
    "AccuracyMeter",
    "Answer",
    "ArrayLayer",
    "BalanceFiles",
    "BalanceReport",
    "BalanceRequest",
    "BalancerError",
    "BaselineRow",
    "Cancellation",
    "ExportError",
    "ExportSource",
    "HardwareModel",
    "HardwareUse",
    "InfeasibleError",
    "LayerArrays",
    "LayerCost",
    "LayerResult",
    "LayerStreams",
    "LayersOnHardware",
    "LoadMetrics",
    "MapKind",
    "MaskCost",
    "NetworkSolution",
    "OwnMap",
    "PEMap",
    "PEStream",
    "PETime",
    "PairProblem",
    "PairSolution",
    "Progress",
    "RetentionProblem",
    "Schedule",
    "Search",
    "SearchLimits",
    "Solution",
    "SolverUnavailableError",
    "SparseLayer",
    "Status",
    "Termination",
    "Ticket",
    "TicketError",
    "TicketLayer",
    "Tradeoff",
    "TransposableProblem",
    "TwoWayProblem",
    "TwoWaySolution",
    "VerificationError",
    "WeightedLayer",
    "WorkSolution",
    "balance_expected_work",
    "balance_network",
    "balance_ticket",
    "budget_of_sparsity",
    "compare_baselines",
    "export_scipy",
    "export_streams",
    "kept_fraction",
    "lamp_scores",
    "latency_frontier",
    "layer_counts",
    "layer_streams",
    "lth_mask",
    "lth_sorted_schedule",
    "map_kinds",
    "network_eta",
    "network_utilization",
    "open_ticket",
    "read_streams",
    "register_map",
    "register_solver",
    "save_masks",
    "shipped_ticket",
    "solve",
    "solve_pair",
    "solve_two_way",
    "solver_names",
    "sparse_layer",
    "top_k_per_pe_mask",
    "top_k_sum",
    "u_ticket_mask",
    "utilization",
    "write_streams",
]

_HOMES = {
    "AccuracyMeter": "balancer.report.accuracy_meter",
    "Answer": "balancer.solvers.solution",
    "ArrayLayer": "balancer.network.job",
    "BalanceFiles": "balancer.report.balance_files",
    "BalanceReport": "balancer.report.balance_report",
    "BalanceRequest": "balancer.network.request",
    "BalancerError": "balancer.errors",
    "BaselineRow": "balancer.baselines",
    "Cancellation": "balancer.solvers.limits",
    "ExportError": "balancer.errors",
    "ExportSource": "balancer.export.export_source",
    "HardwareModel": "balancer.hardware",
    "HardwareUse": "balancer.report.hardware_use",
    "InfeasibleError": "balancer.errors",
    "LayerArrays": "balancer.files.ticket_layer",
    "LayerCost": "balancer.hardware",
    "LayerResult": "balancer.network.network_solution",
    "LayerStreams": "balancer.export.layer_streams",
    "LayersOnHardware": "balancer.hardware",
    "LoadMetrics": "balancer.metrics",
    "MapKind": "balancer.maps.kinds",
    "MaskCost": "balancer.hardware",
    "NetworkSolution": "balancer.network.network_solution",
    "OwnMap": "balancer.maps.own_maps",
    "PEMap": "balancer.maps.pe_map",
    "PEStream": "balancer.export.layer_streams",
    "PETime": "balancer.hardware",
    "PairProblem": "balancer.pair.problem",
    "PairSolution": "balancer.pair.solve",
    "Progress": "balancer.solvers.limits",
    "RetentionProblem": "balancer.program.problem",
    "Schedule": "balancer.maps.schedule",
    "Search": "balancer.solvers.limits",
    "SearchLimits": "balancer.solvers.limits",
    "Solution": "balancer.solvers.solution",
    "SolverUnavailableError": "balancer.errors",
    "SparseLayer": "balancer.export.sparse_matrices",
    "Status": "balancer.solvers.solution",
    "Termination": "balancer.solvers.solution",
    "Ticket": "balancer.files.ticket",
    "TicketError": "balancer.errors",
    "TicketLayer": "balancer.files.ticket_layer",
    "Tradeoff": "balancer.network.budgets",
    "TransposableProblem": "balancer.two_way.problem",
    "TwoWayProblem": "balancer.two_way.problem",
    "TwoWaySolution": "balancer.two_way.solve",
    "VerificationError": "balancer.errors",
    "WeightedLayer": "balancer.export.export_source",
    "WorkSolution": "balancer.expected_work.solve",
    "balance_expected_work": "balancer.expected_work.solve",
    "balance_network": "balancer.network.balance",
    "balance_ticket": "balancer.report.balance_ticket",
    "budget_of_sparsity": "balancer.program.validation",
    "compare_baselines": "balancer.baselines",
    "export_scipy": "balancer.export.scipy_folder",
    "export_streams": "balancer.export.streams_of_ticket",
    "kept_fraction": "balancer.metrics",
    "lamp_scores": "balancer.network.layer_counts",
    "latency_frontier": "balancer.network.frontier",
    "layer_counts": "balancer.network.layer_counts",
    "layer_streams": "balancer.export.layer_streams",
    "lth_mask": "balancer.baselines",
    "lth_sorted_schedule": "balancer.baselines",
    "map_kinds": "balancer.maps.registry",
    "network_eta": "balancer.metrics",
    "network_utilization": "balancer.metrics",
    "open_ticket": "balancer.files.ticket",
    "read_streams": "balancer.export.stream_files",
    "register_map": "balancer.maps.registry",
    "register_solver": "balancer.solvers",
    "save_masks": "balancer.files.mask_files",
    "shipped_ticket": "balancer.files.ticket",
    "solve": "balancer.solving",
    "solve_pair": "balancer.pair.solve",
    "solve_two_way": "balancer.two_way.solve",
    "solver_names": "balancer.solvers",
    "sparse_layer": "balancer.export.sparse_matrices",
    "top_k_per_pe_mask": "balancer.baselines",
    "top_k_sum": "balancer.metrics",
    "u_ticket_mask": "balancer.baselines",
    "utilization": "balancer.metrics",
    "write_streams": "balancer.export.stream_files",
}
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)

__version__ = "0.2.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())
