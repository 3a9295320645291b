"""The Pareto front: what no other point beats in both of two numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def cost_of(row: Mapping[str, Any], name: str) -> float | None:
    """Return a cost of a run: its ``energy``, or its ``cycles``.

    These with drawn spikes, where the others are only a lower bound.
    """
    drawn: float | None = row.get("cycles_drawn") if name == "cycles" else None
    cost: float | None = row.get(name)
    return cost if drawn is None else drawn


def pareto_front(points: Sequence[tuple[float | None, float | None]]) -> list[int]:
    """Find the points that no other one beats.

    Parameters
    ----------
    points : sequence of (cost, value)
        Less cost and more value are better. Points with a None are on no front.

    Returns
    -------
    list of int
        Places of the points for which no other costs at most as much and is worth at
        least as much, one of them strictly: by rising cost, equal ones together.

    Examples
    --------
    >>> from hwmodel.sweeps.pareto import pareto_front
    >>> pareto_front([(3, 0.9), (1, 0.5), (2, 0.4), (3, 0.8), (None, 1.0)])
    [1, 0]
    """
    known = sorted(
        (cost, -value, place)
        for place, (cost, value) in enumerate(points)
        if cost is not None and value is not None
    )
    front: list[int] = []
    best: tuple[float, float] | None = None
    for cost, negative, place in known:
        if best is None or negative < best[1]:
            best = (cost, negative)
        elif (cost, negative) != best:
            continue
        front.append(place)
    return front
