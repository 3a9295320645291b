"""Minimum-cost flow by OR-Tools, with real costs and what rounding them may cost."""

from __future__ import annotations

import math

import numpy as np

from balancer.array_types import AnyArray, FloatArray, IntArray
from balancer.errors import InfeasibleError, SolverUnavailableError
from balancer.solvers import or_tools

# Costs become whole numbers below 2**COST_BITS. OR-Tools multiplies them with the
# number of nodes, and the products must stay below 2**MOST_BITS.
COST_BITS = 44
MOST_BITS = 62


def min_cost_flow(
    tails: AnyArray, heads: AnyArray, costs: FloatArray, supplies: IntArray
) -> tuple[IntArray, float]:
    """Find the cheapest flow through arcs of capacity 1.

    Parameters
    ----------
    tails, heads : ndarray of int [arcs]
        Nodes that each arc connects.
    costs : ndarray of float64 [arcs]
        Of a unit of flow, of any sign.
    supplies : ndarray of int64 [nodes]
        Flow that starts at a node, or as a negative number that ends there; their sum
        is 0.

    Returns
    -------
    flow : ndarray of int64 [arcs]
        0 or 1.
    error : float
        By how much rounding has changed the cost of any single arc, at most.

    Raises
    ------
    InfeasibleError
        No flow meets the supplies and demands.
    SolverUnavailableError
        No OR-Tools, or costs that it rejects.
    """
    solver = or_tools.load(or_tools.MIN_COST_FLOW).SimpleMinCostFlow()
    largest = float(np.abs(costs).max(initial=0.0))
    bits = min(COST_BITS, MOST_BITS - len(supplies).bit_length())
    exponent = bits - math.frexp(largest)[1] if largest else 0
    # The bulk calls truncate floats without a word, so the costs are rounded here.
    exact = np.ldexp(costs, exponent)
    whole = np.rint(exact)
    arcs = solver.add_arcs_with_capacity_and_unit_cost(
        tails.astype(np.int32),
        heads.astype(np.int32),
        np.ones(len(whole), dtype=np.int64),
        whole.astype(np.int64),
    )
    nodes = np.arange(len(supplies), dtype=np.int32)
    solver.set_nodes_supplies(nodes, supplies.astype(np.int64))
    status = solver.solve()
    if status == solver.INFEASIBLE:
        raise InfeasibleError("no flow meets all supplies and demands")
    if status != solver.OPTIMAL:
        raise SolverUnavailableError(f"min-cost flow ended with status {status.name}")
    error = float(np.abs(exact - whole).max(initial=0.0))
    return np.asarray(solver.flows(arcs)), math.ldexp(error, -exponent)
