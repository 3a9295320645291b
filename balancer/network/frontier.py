"""The frontier of magnitude and latency: what a network keeps in how many cycles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import numpy as np

from balancer.errors import BalancerError
from balancer.hardware import LayerCost
from balancer.network.budgets import Tradeoff
from balancer.network.job import Given, Job, Layers, as_layers
from balancer.network.ranked_network import RankedNetwork
from balancer.network.request import BalanceRequest
from balancer.solvers.limits import Cancellation, SearchLimits

MOST_POINTS = 1000  # each is a search of its own


def latency_frontier(
    layers: Layers,
    costs: Mapping[str, LayerCost],
    request: BalanceRequest | None = None,
    *,
    points: int = 10,
    limits: SearchLimits | None = None,
    solver: str = "auto",
    cancellation: Cancellation | None = None,
    **given: Unpack[Given],
) -> list[Tradeoff]:
    """Find how much magnitude each budget of cycles keeps.

    The weights are ranked once for all points, and no masks are made.

    Parameters
    ----------
    layers, costs
        As in `balance_network`.
    points : int
        Number of budgets, evenly spaced: from above the least cycles that the floors
        need to what the network takes when its cycles are not limited.
    request : BalanceRequest, optional
        What to keep, with the global scope and no latency budget.
    limits, solver, cancellation
        As in `balancer.solve`, for each point.
    **given
        Fields of `BalanceRequest` and `SearchLimits`, as ``sparsity=0.98``; they go
        before those of `request` and `limits`.

    Returns
    -------
    list of Tradeoff
        In the order of rising budgets.

    Raises
    ------
    BalancerError, InfeasibleError
        As `balance_network` does.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import LayerCost, latency_frontier
    >>> scores = {"a": np.arange(32.0).reshape(4, 8), "b": np.ones((4, 8))}
    >>> costs = {"a": LayerCost(cycles_per_slice=9), "b": LayerCost(cycles_per_slice=1)}
    >>> points = latency_frontier(scores, costs, points=3, budget=24, pes=4)
    >>> [(point.cycles, point.kept) for point in points]
    [(22, 164.0), (30, 228.0), (46, 344.0)]
    """
    check_points(points)
    job = Job.of(
        request,
        limits,
        {"scope": "global", **given},
        solver=solver,
        costs=costs,
        cancellation=cancellation,
    )
    if job.request.latency_budget is not None:
        raise BalancerError(
            "`latency_budget` is what the frontier varies; leave it out"
        )
    chosen = as_layers(layers)
    job.check([layer.name for layer in chosen])
    return frontier_of(RankedNetwork.of(job, chosen), points)


def check_points(points: int) -> None:
    """Refuse a number of points that is none.

    Raises
    ------
    BalancerError
        No whole number of at least 1, or more than `MOST_POINTS`.
    """
    whole = isinstance(points, (int, np.integer)) and not isinstance(points, bool)
    if not whole or points < 1:
        raise BalancerError(
            f"`points` is {points!r}; a whole number of at least 1 is needed"
        )
    if points > MOST_POINTS:
        raise BalancerError(f"`points` is {points}; the most is {MOST_POINTS}")


def frontier_of(network: RankedNetwork, points: int) -> list[Tradeoff]:
    """Find the frontier of a network that is ranked already; see `latency_frontier`."""
    asked = network.job.request.limits
    limits = network.limits({name: asked[name] for name in asked if name != "cycles"})
    program = network.program
    unlimited = program.tradeoff(network.answer(limits).allocation).cycles
    assert unlimited is not None  # the costs are given
    found = []
    least = network.least_program.least("cycles")
    for latency in np.linspace(least, unlimited, points + 1)[1:]:
        limits["cycles"] = float(latency)
        allocation = network.answer(limits).allocation
        found.append(program.tradeoff(allocation, float(latency)))
    return found
