r"""Lagrange multipliers: the prices of several budgets on the slices.

For any prices, the value of the budgets at these prices and what every slice is worth
above the price of what it takes add up to at least the score of every answer within
the budgets (Everett 1963, 10.1287/opre.11.3.399). That sum is $D(\lambda)$ of "Network
budgets" in ``docs/programs.md``; the least of it equals the optimum of the linear
relaxation. D is convex and piecewise linear. Slices of one cost form a chain in
descending order, so that one value of D takes a binary search in every chain.

One price at a time: the tangents of D at two prices, one on each side of the minimum,
cross where D is looked at next. Along the other prices D is minimized first; the mean
of the two tangents that has no slope there is a tangent of the minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from balancer.array_types import FloatArray, IntArray

# Where tangents cross this close below D, relatively, no price is better.
TOLERANCE = 1e-13
# Tangents meet in the exact minimum after a few steps; halving, every third step, keeps
# them few where many slices have nearly the same value.
MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class _Tangent:
    """An affine function of the prices that lies nowhere above D."""

    constant: float
    slope: FloatArray

    def at(self, prices: FloatArray) -> float:
        return self.constant + float(self.slope @ prices)

    def level(self, other: _Tangent, axis: int) -> _Tangent:
        """Mix with a tangent of the opposite slope so that none is left on `axis`."""
        share = other.slope[axis] / (other.slope[axis] - self.slope[axis])
        return _Tangent(
            share * self.constant + (1 - share) * other.constant,
            share * self.slope + (1 - share) * other.slope,
        )


class Dual:
    """The Lagrangian dual of a slice program.

    Parameters
    ----------
    chains : sequence of ndarray of float64
        Values of the slices of each cost, descending.
    cost : ndarray of int64 [chains, budgets]
        What a slice of each chain takes.
    budget : ndarray of int64 [budgets]
        Most of each that may be taken.
    """

    def __init__(
        self, chains: Sequence[FloatArray], cost: IntArray, budget: IntArray
    ) -> None:
        self._falling = [-chain for chain in chains]
        self._sums = [np.concatenate([[0.0], np.cumsum(chain)]) for chain in chains]
        self._cost = cost.astype(np.float64)
        self._budget = budget.astype(np.float64)
        best = np.array([chain[0] if len(chain) else 0.0 for chain in chains])
        # Above these prices nothing that has a price is worth it, rounding included.
        worth = np.where(cost > 0, best[:, None] / np.maximum(1, cost), 0.0)
        self._highest = worth.max(axis=0, initial=0.0) * (1 + 1e-9)
        self._least = (np.zeros(len(budget)), np.inf)

    def minimize(self) -> tuple[FloatArray, float]:
        """Find prices of least D.

        Returns
        -------
        prices : ndarray of float64 [budgets]
        bound : float
            D at these prices.
        """
        self._tangent(np.zeros(len(self._budget)), 0)
        return self._least

    def _tangent(self, prices: FloatArray, axis: int) -> _Tangent:
        """Minimize D over the prices from `axis` on, the others as they are.

        Returns a tangent at the minimum that has no slope along these prices.
        """
        if axis == len(prices):
            return self._at(prices)

        def look(price: float) -> _Tangent:
            prices[axis] = price
            return self._tangent(prices.copy(), axis + 1)

        low, left = look(0.0), 0.0
        if low.slope[axis] >= 0:  # prices are not negative: this one is best at 0
            flat = low.slope.copy()
            flat[axis] = 0.0
            return _Tangent(low.constant, flat)
        high, right = look(self._highest[axis]), self._highest[axis]
        for step in range(MOST_STEPS):
            prices[axis] = 0.0
            rise = high.slope[axis] - low.slope[axis]
            crossing = (low.at(prices) - high.at(prices)) / rise
            if step % 3 == 2:
                crossing = (left + right) / 2
            if not left < crossing < right:
                break
            found = look(crossing)
            model = max(low.at(prices), high.at(prices))
            value = found.at(prices)
            if found.slope[axis] < 0:
                low, left = found, crossing
            else:
                high, right = found, crossing
            if step % 3 != 2 and value - model <= TOLERANCE * abs(value):
                break
        return low.level(high, axis)

    def _at(self, prices: FloatArray) -> _Tangent:
        """Evaluate D and remember the least value seen."""
        thresholds = self._cost @ prices
        taken = np.array(
            [
                chain.searchsorted(-threshold)
                for chain, threshold in zip(self._falling, thresholds, strict=True)
            ]
        )
        kept = sum(sums[count] for sums, count in zip(self._sums, taken, strict=True))
        slope = self._budget - taken @ self._cost
        tangent = _Tangent(float(kept), slope)
        value = tangent.at(prices)
        if value < self._least[1]:
            self._least = (prices.copy(), value)
        return tangent
