"""Two-way balance as a min-cost flow: exact, by OR-Tools.

Every weight is an arc of capacity 1 from its cell of the first map to its cell of the
second; the loads are the supplies and demands. The program is totally unimodular, so
the flow is a mask.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from balancer.errors import InfeasibleError, SolverUnavailableError
from balancer.maps.cell_arrays import Array, BoolArray, IntArray
from balancer.solvers import or_tools

# Scores become whole numbers below 2**COST_BITS. OR-Tools multiplies costs with the
# number of nodes, which must stay below 2**62.
COST_BITS = 40


def transport(
    scores: Array, tails: Array, heads: Array, supplies: IntArray
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
    flow = or_tools.load(or_tools.MIN_COST_FLOW).SimpleMinCostFlow()
    largest = float(scores.max(initial=0.0))
    exponent = COST_BITS - math.frexp(largest)[1] if largest else 0
    # The bulk calls truncate floats without a word, so the costs are rounded here.
    exact = np.ldexp(scores.astype(np.float64), exponent)
    whole = np.rint(exact)
    error = float(np.abs(exact - whole).max(initial=0.0))
    costs = -whole.astype(np.int64)
    arcs = flow.add_arcs_with_capacity_and_unit_cost(
        tails.astype(np.int32), heads.astype(np.int32), np.ones_like(costs), costs
    )
    nodes = np.arange(len(supplies), dtype=np.int32)
    flow.set_nodes_supplies(nodes, supplies.astype(np.int64))
    status = flow.solve()
    if status == flow.INFEASIBLE:
        raise InfeasibleError(
            "no mask has these loads in both PE maps: some cells share too few "
            "weights; lower the loads"
        )
    if status != flow.OPTIMAL:
        raise SolverUnavailableError(f"min-cost flow ended with status {status.name}")
    chosen: BoolArray = np.asarray(flow.flows(arcs)) > 0
    # Each chosen weight, and each it was preferred to, is off by the error at most.
    return chosen, math.ldexp(2 * error * np.count_nonzero(chosen), -exponent)


def block_masks(scores: npt.NDArray[np.float64], n: int) -> tuple[BoolArray, float]:
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
    return mask, float(scores[mask].sum()) + rounding
