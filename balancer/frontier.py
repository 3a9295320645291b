"""The frontier of magnitude and latency: what a network keeps in how many cycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from balancer.budgets import LayerCost, Tradeoff
from balancer.errors import BalancerError
from balancer.layers import Floors, Job, Layer, MapMaker, as_layers, map_maker
from balancer.network import given_limits
from balancer.search import Cancellation, Search
from balancer.shared import RankedNetwork
from balancer.ticket import Ticket


def latency_frontier(
    layers: Mapping[str, npt.ArrayLike] | Iterable[Layer] | Ticket,
    costs: Mapping[str, LayerCost],
    *,
    points: int = 10,
    budget: int | None = None,
    sparsity: float | None = None,
    energy_budget: float | None = None,
    pe_map: str | MapMaker = "output_channel",
    pes: int = 16,
    channel_floor: int | Mapping[str, int] = 0,
    min_load: int | Mapping[str, int] = 0,
    nested: bool = False,
    solver: str = "auto",
    time_limit: float = 30.0,
    work_limit: float | None = None,
    seed: int = 0,
    cancellation: Cancellation | None = None,
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
    budget, sparsity, energy_budget
        What else is limited, as in `balance_network` with the global scope.
    pe_map, pes, channel_floor, min_load, nested
        As in `balance_network`.
    solver, time_limit, work_limit, seed, cancellation
        As in `balancer.solve`, for each point.

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
    [(18, 148.0), (36, 280.0), (54, 396.0)]
    """
    whole = isinstance(points, (int, np.integer)) and not isinstance(points, bool)
    if not whole or points < 1:
        raise BalancerError(
            f"`points` is {points!r}; a whole number of at least 1 is needed"
        )
    chosen = as_layers(layers)
    search = Search(time_limit, work_limit, seed, None, cancellation or Cancellation())
    floors, make_map = Floors(channel_floor, min_load), map_maker(pe_map, pes)
    job = Job(budget, sparsity, make_map, floors, nested, solver, search, costs)
    job.check([layer.name for layer in chosen], "global")
    network = RankedNetwork.of(job, chosen)
    limits = network.limits(given_limits(None, energy_budget))
    program = network.program
    unlimited = program.tradeoff(network.answer(limits)[0]).cycles
    assert unlimited is not None  # the costs are given
    found = []
    for latency in np.linspace(program.least("cycles"), unlimited, points + 1)[1:]:
        limits["cycles"] = float(latency)
        allocation, *_ = network.answer(limits)
        found.append(program.tradeoff(allocation, float(latency)))
    return found
