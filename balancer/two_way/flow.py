"""Two-way balance as a min-cost flow: exact, by OR-Tools.

Every weight is an arc of capacity 1 from its cell of the first map to its cell of the
second; the loads are the supplies and demands. The program is totally unimodular, so
the flow is a mask.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import AnyArray, BoolArray, FloatArray, IntArray
from balancer.errors import InfeasibleError
from balancer.program.rounding import total_score
from balancer.solvers.min_cost_flow import min_cost_flow


def transport(
    scores: AnyArray, tails: AnyArray, heads: AnyArray, supplies: IntArray
) -> tuple[BoolArray, float]:
    """Choose the weights of largest score that meet all supplies and demands exactly.

    Parameters
    ----------
    scores : ndarray of float [weights]
        Non-negative.
    tails, heads : ndarray of int [weights]
        Nodes that each weight connects.
    supplies : ndarray of int64 [nodes]
        Weights that start at a node, or as a negative number that end there; their sum
        is 0.

    Returns
    -------
    chosen : ndarray of bool [weights]
    rounding : float
        What rounding the scores to whole numbers can have cost, at most.

    Raises
    ------
    InfeasibleError
        No choice meets the supplies and demands.
    SolverUnavailableError
        No OR-Tools, or a flow that it rejects.
    """
    try:
        flow, error = min_cost_flow(tails, heads, -scores.astype(np.float64), supplies)
    except InfeasibleError as reason:
        raise InfeasibleError(
            "no mask has these loads in both PE maps: some cells share too few "
            "weights; lower the loads"
        ) from reason
    chosen: BoolArray = flow > 0
    # Each chosen weight, and each it was preferred to, is off by the error at most.
    return chosen, 2 * error * np.count_nonzero(chosen)


def block_masks(scores: FloatArray, n: int) -> tuple[BoolArray, float]:
    """Solve many square blocks as the components of one flow.

    Parameters
    ----------
    scores : ndarray of float64 [blocks, m, m]
        Non-negative.
    n : int
        Weights to keep in every row and column.

    Returns
    -------
    mask : ndarray of bool [blocks, m, m]
    bound : float
        Total score that no masks exceed.
    """
    count, m, _ = scores.shape
    row = np.arange(count * m).reshape(count, m, 1)
    column = count * m + np.arange(count * m).reshape(count, 1, m)
    tails, heads = (
        np.broadcast_to(nodes, scores.shape).reshape(-1) for nodes in (row, column)
    )
    supplies = np.repeat([n, -n], count * m)
    chosen, rounding = transport(scores.reshape(-1), tails, heads, supplies)
    mask = chosen.reshape(scores.shape)
    return mask, total_score(scores, mask) + rounding
