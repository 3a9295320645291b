r"""Lagrange multipliers: the prices of several budgets on the slices.

For any prices, the value of the budgets at these prices and what every slice is worth
above the price of what it takes add up to at least the score of every answer within
the budgets (Everett 1963, 10.1287/opre.11.3.399). That sum is $D(\lambda)$ of "Network
budgets" in ``docs/programs.md``; the least of it equals the optimum of the linear
relaxation. D is convex and piecewise linear. Slices of one cost form a chain in
descending order, so that one value of D takes a binary search in every chain.

One price at a time: with the prices before it given, and the later ones always chosen
best for them, D is a convex function of one price. Two prices, one on each side of its
minimum, bracket it, and the tangents there cross where D is looked at next. A tangent
at the least D over the later prices has no slope along them; mixing the two tangents of
a bracket so that none is left along its own price gives such a tangent to the price
before.
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
HALVE_EVERY = 3
MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class _Tangent:
    """An affine function of the prices that lies nowhere above D."""

    constant: float
    slope: FloatArray

    def at(self, prices: FloatArray) -> float:
        return self.constant + float(self.slope @ prices)

    def without_slope(self, axis: int) -> _Tangent:
        """Drop a slope that is not negative: as no price is, it stays below D."""
        slope = self.slope.copy()
        slope[axis] = 0.0
        return _Tangent(self.constant, slope)


@dataclass(slots=True)
class _Bracket:
    """Two values of one price with the least D between them, and the tangents there.

    Attributes
    ----------
    axis : int
        Which price.
    left, right : float
        Its values.
    falling, rising : _Tangent
        Tangents at them; the first falls along the price, the second does not.
    """

    axis: int
    left: float
    right: float
    falling: _Tangent
    rising: _Tangent

    def crossing(self, start: FloatArray) -> float:
        """Find the price at which the tangents cross; `start` has it at 0."""
        rise = self.rising.slope[self.axis] - self.falling.slope[self.axis]
        return float((self.falling.at(start) - self.rising.at(start)) / rise)

    def least(self, prices: FloatArray) -> float:
        """Bound D at these prices from below, by both tangents."""
        return max(self.falling.at(prices), self.rising.at(prices))

    def narrow(self, price: float, tangent: _Tangent) -> None:
        """Take a price between the two in the place of that on its side."""
        if tangent.slope[self.axis] < 0:
            self.left, self.falling = price, tangent
        else:
            self.right, self.rising = price, tangent

    def level(self) -> _Tangent:
        """Mix the tangents so that no slope is left along the price."""
        low, high = self.falling, self.rising
        share = high.slope[self.axis] / (high.slope[self.axis] - low.slope[self.axis])
        return _Tangent(
            share * low.constant + (1 - share) * high.constant,
            share * low.slope + (1 - share) * high.slope,
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
        self._least_given(())
        return self._least

    def _least_given(self, given: tuple[float, ...]) -> _Tangent:
        """Minimize D over the prices that follow the `given` ones.

        Returns a tangent at the minimum, without slope along the prices that follow.
        """
        axis, budgets = len(given), len(self._budget)
        if axis == budgets:
            return self._at(np.array(given))

        def with_price(price: float) -> FloatArray:
            # The tangents have no slope along the later prices: these may as well be 0.
            return np.array([*given, price, *[0.0] * (budgets - axis - 1)])

        at_0 = self._least_given((*given, 0.0))
        if at_0.slope[axis] >= 0:  # prices are not negative: this one is best at 0
            return at_0.without_slope(axis)
        highest = float(self._highest[axis])
        at_highest = self._least_given((*given, highest))
        bracket = _Bracket(axis, 0.0, highest, at_0, at_highest)
        for step in range(1, MOST_STEPS + 1):
            halve = step % HALVE_EVERY == 0
            middle = (bracket.left + bracket.right) / 2
            price = middle if halve else bracket.crossing(with_price(0.0))
            if not bracket.left < price < bracket.right:
                break
            found = self._least_given((*given, price))
            prices = with_price(price)
            value, least = found.at(prices), bracket.least(prices)
            bracket.narrow(price, found)
            if not halve and value - least <= TOLERANCE * abs(value):
                break
        return bracket.level()

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
            self._least = (prices, value)
        return tangent
