"""Exact balanced masks: equal work for every processing element, provably.

    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem, solve
    >>> scores = np.random.default_rng(0).random((32, 16, 3, 3))
    >>> pe_map = PEMap.output_channel(scores.shape, pes=16)
    >>> solution = solve(RetentionProblem(scores, pe_map, sparsity=0.98))
    >>> solution.status.value, solution.gap, solution.loads.max(axis=1).tolist()
    ('optimal', 0.0, [3, 2])

Modules, from the ground up: `pe_map`, `problem`, `allocation`, `slices`, `search`,
`solution`, `solvers`, `metrics`, `order`, `solve`, `baselines`, `ticket`, `network`.
"""

import logging

from balancer.errors import (
    BalancerError,
    InfeasibleError,
    SolverUnavailableError,
    TicketError,
    VerificationError,
)
from balancer.metrics import LoadMetrics, network_utilization, utilization
from balancer.network import balance_network
from balancer.pe_map import PEMap
from balancer.problem import RetentionProblem
from balancer.search import Cancellation, Progress
from balancer.solution import Solution, Status, Termination
from balancer.solve import solve
from balancer.solvers import register_solver, solver_names

__all__ = [
    "BalancerError",
    "Cancellation",
    "InfeasibleError",
    "LoadMetrics",
    "PEMap",
    "Progress",
    "RetentionProblem",
    "Solution",
    "SolverUnavailableError",
    "Status",
    "Termination",
    "TicketError",
    "VerificationError",
    "balance_network",
    "network_utilization",
    "register_solver",
    "solve",
    "solver_names",
    "utilization",
]

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())
