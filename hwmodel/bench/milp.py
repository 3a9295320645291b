"""The program of a layer as textbooks write it, for SciPy's `milp` (HiGHS).

One binary for each weight and one whole number for each group's load: see
`balancer.program.problem`. Written from that formulation alone.
"""

from __future__ import annotations

import numpy as np

from balancer import RetentionProblem
from balancer.array_types import BoolArray


def solve_by_milp(
    problem: RetentionProblem, time_limit: float
) -> tuple[BoolArray | None, float | None]:
    """Solve a program without floors, nested or forced weights.

    Parameters
    ----------
    problem : RetentionProblem
        The program; bounds on loads are heeded.
    time_limit : float
        Seconds; HiGHS may take longer.

    Returns
    -------
    mask : ndarray of bool or None
        In the shape of the weights; None if none was found in time.
    bound : float or None
        Total score that no mask exceeds, as HiGHS proves it, by tolerances of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem
    >>> from hwmodel.bench.milp import solve_by_milp
    >>> scores = np.array([[9.0, 8.0, 7.0], [3.0, 2.0, 1.0]])
    >>> problem = RetentionProblem(scores, PEMap.output_channel((2, 3), pes=2), 5)
    >>> solve_by_milp(problem, time_limit=10.0)[0].astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_matrix

    pe_map, scores = problem.pe_map, problem.scores.reshape(-1)
    weights, cells, groups = pe_map.weights, pe_map.n_cells, pe_map.groups
    # A row for each cell, "what it keeps - the load of its group = 0"; then the budget.
    weight, cell = np.arange(weights), np.arange(cells)
    row = np.concatenate([pe_map.cell_labels().ravel(), cell, np.full(weights, cells)])
    column = np.concatenate([weight, weights + pe_map.cell_group, weight])
    entry = np.concatenate([np.ones(weights), -np.ones(cells), np.ones(weights)])
    matrix = coo_matrix(
        (entry, (row, column)), shape=(cells + 1, weights + groups), dtype=np.float64
    )
    least, most = np.zeros(cells + 1), np.zeros(cells + 1)
    least[-1], most[-1] = -np.inf, problem.budget
    found = milp(
        np.concatenate([-scores.astype(np.float64), np.zeros(groups)]),
        integrality=np.ones(weights + groups),
        bounds=Bounds(
            np.concatenate([np.zeros(weights), problem.lower]),
            np.concatenate([np.ones(weights), problem.upper]),
        ),
        constraints=LinearConstraint(matrix.tocsr(), least, most),
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None, None
    bound = getattr(found, "mip_dual_bound", None)
    mask: BoolArray = (found.x[:weights] > 0.5).reshape(pe_map.shape)
    return mask, None if bound is None else -float(bound)
