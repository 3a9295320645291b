"""Least and greatest load of every group that all constraints together allow."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from balancer.array_types import BoolArray, IntArray
from balancer.errors import InfeasibleError
from balancer.maps.pe_map import PEMap
from balancer.program.floors import ChannelFloors


class Constraints(Protocol):
    """What a `RetentionProblem` asks of its masks; see there for the fields."""

    @property
    def pe_map(self) -> PEMap:
        """Group and PE of every weight."""

    @property
    def budget(self) -> int:
        """Most non-zeros."""

    @property
    def min_load(self) -> IntArray:
        """Least load of each group that was asked for, [groups]."""

    @property
    def max_load(self) -> IntArray:
        """Greatest load of each group that was asked for, [groups]."""

    @property
    def channel_floor(self) -> IntArray:
        """Least weights of each output channel, [output channels]."""

    @property
    def previous_mask(self) -> BoolArray | None:
        """Weights that may be kept."""

    @property
    def forced(self) -> BoolArray | None:
        """Weights that must be kept."""

    @property
    def order(self) -> str:
        """Whether the order of the channels is fixed."""

    @property
    def floors_in_any_order(self) -> bool:
        """Whether the floors bound the same loads in every order there may be."""


class _Limits:
    """Bounds of the loads, and what asks for the lower ones."""

    def __init__(self, upper: IntArray) -> None:
        self.lower, self.upper = np.zeros_like(upper), upper
        self.reasons: list[str] = []

    def at_least(self, loads: IntArray, reason: str | None) -> None:
        self.lower = np.maximum(self.lower, loads)
        if reason is not None:
            self.reasons.append(reason)

    def at_most(self, loads: IntArray) -> None:
        self.upper = np.minimum(self.upper, loads)


def load_limits(
    problem: Constraints, floors: ChannelFloors
) -> tuple[IntArray, IntArray]:
    """Combine the bounds on loads, the map's pattern, floors and masks of a problem.

    In an order that is not fixed, the channels of a group are not known: then masks say
    nothing about it, and floors only if they are the same in every order.

    Returns
    -------
    lower, upper : ndarray of int64 [groups]

    Raises
    ------
    InfeasibleError
        A group that needs more than it can have, or a budget below what all need.
    """
    pe_map, in_order = problem.pe_map, problem.order == "fixed"
    _check_forced(problem)
    capacity = _capacity(problem)
    limits = _Limits(np.minimum(problem.max_load, capacity))
    limits.at_least(problem.min_load, "`min_load`" if problem.min_load.any() else None)
    if pe_map.fixed_load is not None:
        limits.at_least(pe_map.fixed_load, f"the {pe_map.name} pattern")
        limits.at_most(pe_map.fixed_load)
    if problem.channel_floor.any() and problem.floors_in_any_order:
        limits.at_least(floors.group_floor, "`channel_floor`")
    if in_order and floors.must_keep is not None:
        needed = pe_map.largest_of_group(pe_map.cell_loads(floors.must_keep))
        limits.at_least(needed, None if problem.forced is None else "`forced`")
    _check_groups(problem, limits, capacity)
    _check_budget(problem, limits)
    return limits.lower, limits.upper


def _capacity(problem: Constraints) -> IntArray:
    """Weights that the smallest PE of each group offers."""
    pe_map, nested = problem.pe_map, problem.previous_mask
    if nested is None or problem.order != "fixed":
        return pe_map.least_of_group(pe_map.cell_sizes())
    return pe_map.least_of_group(pe_map.cell_loads(nested))


def _check_forced(problem: Constraints) -> None:
    if problem.forced is None or problem.previous_mask is None:
        return
    outside = int(np.count_nonzero(problem.forced & ~problem.previous_mask))
    if outside:
        raise InfeasibleError(f"{outside} forced weights lie outside `previous_mask`")


def _check_groups(problem: Constraints, limits: _Limits, capacity: IntArray) -> None:
    clash = np.flatnonzero(limits.lower > limits.upper)
    if clash.size:
        g = int(clash[0])
        raise InfeasibleError(
            f"group {g} needs a load of at least {limits.lower[g]} (by "
            f"{', '.join(limits.reasons)}) but can have at most {limits.upper[g]}: its "
            f"smallest PE offers {capacity[g]} weights, `max_load` is "
            f"{problem.max_load[g]}"
        )


def _check_budget(problem: Constraints, limits: _Limits) -> None:
    least = int(problem.pe_map.group_sizes() @ limits.lower)
    if least > problem.budget:
        raise InfeasibleError(
            f"budget of {problem.budget} non-zeros: {', '.join(limits.reasons)} need "
            f"at least {least}; raise the budget or lower them"
        )
