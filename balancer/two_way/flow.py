"""Two-way balance as a min-cost flow: exact, by OR-Tools.

Every weight is an arc of capacity 1 from its cell of the first map to its cell of the
second; the loads are the supplies and demands. The program is totally unimodular, so
the flow is a mask.
"""

from __future__ import annotations

import math

import numpy as np

from balancer.array_types import AnyArray, BoolArray, FloatArray, IntArray
from balancer.errors import InfeasibleError
from balancer.program.rounding import (
    PROOF_TOLERANCE,
    ROUNDING,
    relative_gap,
    total_score,
)
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
    bound : float
        Total score that no choice exceeds: that of the chosen, and what rounding the
        scores to whole numbers can have cost.

    Raises
    ------
    InfeasibleError
        No choice meets the supplies and demands.
    SolverUnavailableError
        No OR-Tools, or a flow that it rejects.
    """
    values = scores.astype(np.float64)
    may = np.ones(len(values), dtype=bool)  # weights that some best choice may hold
    best, kept, bound = ~may, -math.inf, math.inf
    while True:
        try:
            flow, error = min_cost_flow(tails[may], heads[may], -values[may], supplies)
        except InfeasibleError as reason:
            raise InfeasibleError(
                "no mask has these loads in both PE maps: some cells share too few "
                "weights; lower the loads"
            ) from reason
        chosen = np.zeros(len(values), dtype=bool)
        chosen[may] = flow > 0
        found = total_score(values, chosen)
        # Each chosen weight, and each it was preferred to, is off by the error at most.
        bound = min(bound, found + 2 * error * int(np.count_nonzero(chosen)))
        if found > kept:
            best, kept = chosen, found
        # The largest score sets the unit. Those beyond the bound are in no choice, and
        # without them the unit is finer.
        beyond = may & (values > bound * (1 + ROUNDING))
        if relative_gap(kept, bound) <= PROOF_TOLERANCE or not beyond.any():
            return best, max(kept, bound)
        may &= ~beyond


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
    chosen, bound = transport(scores.reshape(-1), tails, heads, supplies)
    return chosen.reshape(scores.shape), bound
