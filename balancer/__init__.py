"""Exact balanced masks: equal work for every processing element, provably.

    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem, solve
    >>> scores = np.random.default_rng(0).random((32, 16, 3, 3))
    >>> pe_map = PEMap.output_channel(scores.shape, pes=16)
    >>> solution = solve(RetentionProblem(scores, pe_map, sparsity=0.98))
    >>> solution.status.value, solution.gap, solution.loads.max(axis=1).tolist()
    ('optimal', 0.0, [3, 2])

Modules, from the ground up: `pe_map`, `problem`, `multipliers`, `allocation`, `slices`,
`budgets`, `search`, `solution`, `solvers`, `metrics`, `order`, `solve`, `baselines`,
`ticket`, `layers`, `shared`, `network`, `frontier`;
`two_way`, `solve_two_way`, `expected_work`.
"""

import logging

from balancer.errors import (
    BalancerError,
    InfeasibleError,
    SolverUnavailableError,
    TicketError,
    VerificationError,
)
from balancer.expected_work import WorkSolution, balance_expected_work
from balancer.maps.pe_map import PEMap
from balancer.metrics import LoadMetrics, network_utilization, utilization
from balancer.network.balance import balance_network
from balancer.network.budgets import LayerCost, Tradeoff
from balancer.network.frontier import latency_frontier
from balancer.program.problem import RetentionProblem
from balancer.solve import solve
from balancer.solvers import register_solver, solver_names
from balancer.solvers.limits import Cancellation, Progress
from balancer.solvers.solution import Solution, Status, Termination
from balancer.two_way.problem import TransposableProblem, TwoWayProblem
from balancer.two_way.solve import TwoWaySolution, solve_two_way

__all__ = [
    "BalancerError",
    "Cancellation",
    "InfeasibleError",
    "LayerCost",
    "LoadMetrics",
    "PEMap",
    "Progress",
    "RetentionProblem",
    "Solution",
    "SolverUnavailableError",
    "Status",
    "Termination",
    "TicketError",
    "Tradeoff",
    "TransposableProblem",
    "TwoWayProblem",
    "TwoWaySolution",
    "VerificationError",
    "WorkSolution",
    "balance_expected_work",
    "balance_network",
    "latency_frontier",
    "network_utilization",
    "register_solver",
    "solve",
    "solve_two_way",
    "solver_names",
    "utilization",
]

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())
