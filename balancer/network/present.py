"""What is there already: the mask and the order that were read, as an answer.

Balancing what is balanced already changes nothing: neither equal scores nor equal
orders are exchanged for each other.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from balancer.errors import VerificationError
from balancer.files.ticket_layer import LayerArrays
from balancer.order.optimize import unstructured_bound
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import is_reached
from balancer.solvers.solution import Answer, Solution, Termination, conclude


def as_it_was(arrays: LayerArrays, problem: RetentionProblem) -> Solution | None:
    """Return the mask and the order that were read as a solution, if they are one.

    Its bound is infinite and its ending says nothing.
    """
    if int(np.count_nonzero(arrays.mask)) > problem.budget:
        return None  # as of most networks, and found without any copy of the weights
    schedule = arrays.schedule_along(problem.pe_map.order_axis)
    answer = Answer(arrays.mask, math.inf, Termination.COMPLETED, schedule)
    try:
        return conclude(problem, answer, solver="", fallback_reason=None, begun=0.0)
    except VerificationError:
        return None


def or_as_it_was(
    solution: Solution, arrays: LayerArrays, problem: RetentionProblem
) -> Solution:
    """Return what was read in the place of a solution, if it is as good.

    It keeps as much magnitude then, and no fewer weights.
    """
    before = as_it_was(arrays, problem)
    if before is None or before.nonzeros < solution.nonzeros:
        return solution
    bound = solution.bound
    if problem.order == "sorted" and before.schedule != solution.schedule:
        bound = unstructured_bound(problem)  # that of the sorted order says nothing
        if not is_reached(before.kept, bound):
            return solution
    if not is_reached(before.kept, solution.kept):
        return solution
    return replace(
        before,
        bound=max(bound, before.kept),
        termination=solution.termination,
        solver=solution.solver,
        fallback_reason=solution.fallback_reason,
        seconds=solution.seconds,
    )
