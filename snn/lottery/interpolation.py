"""The accuracy of a run between its rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from snn.lottery.results import RoundOutcome


def accuracy_at(
    outcomes: Sequence[RoundOutcome],
    basis: Literal["nonzeros", "cycles", "energy"],
    x: float,
    timesteps: int,
) -> float | None:
    """Read the accuracy of a run at a number of non-zeros or cycles, or an energy.

    Between two rounds that follow each other it is linear in log(x), as rounds prune
    a fraction of what is left. Where a run has passed `x` more than once, the first
    time counts: nobody prunes on for the same cycles.

    Parameters
    ----------
    outcomes : sequence of RoundOutcome
        Rounds of a run, in their order.
    basis : {"nonzeros", "cycles", "energy"}
        What `x` is.
    x : float
        Where to read.
    timesteps : int
        Read between rounds with so many time steps only: with fewer steps a network
        is another one.

    Returns
    -------
    float or None
        None outside of what was measured.
    """
    points = [
        (getattr(outcome, basis), outcome.accuracy)
        if outcome.timesteps == timesteps
        else (None, 0.0)
        for outcome in outcomes
    ]
    for (x0, y0), (x1, y1) in pairwise([points[0], *points]):
        if x1 == x:
            return y1
        if x0 and x1 and min(x0, x1) < x < max(x0, x1):
            share = math.log(x / x0) / math.log(x1 / x0)
            return float(y0 + share * (y1 - y0))
    return None
