r"""Values over seeds, and what they say about their mean.

With :math:`d_i` the value of seed :math:`i`, say a difference of two accuracies,
:math:`\bar d` their mean and :math:`s` their sample standard deviation, the interval of
Student's t at 95 % is

.. math:: \bar d \pm t_{0.975, n-1} \, s / \sqrt{n} .

It is each value's own. For how many are looked at, the p of their t-tests are corrected
(`holm`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """Values over seeds.

    Attributes
    ----------
    n : int
        How many.
    mean : float
        Their mean.
    sd : float or None
        Sample standard deviation (n - 1); None of a single value.
    """

    n: int
    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Summarize values; None if there are none, or not all are known."""
        known = list(values)
        numbers = [float(value) for value in known if value is not None]
        if not numbers or len(numbers) < len(known):
            return None
        n = len(numbers)
        mean = math.fsum(numbers) / n
        if n == 1:
            return cls(1, mean, None)
        squares = math.fsum((value - mean) ** 2 for value in numbers)
        return cls(n, mean, math.sqrt(squares / (n - 1)))

    def interval(self) -> tuple[float, float] | None:
        """Return the confidence interval of the mean by Student's t.

        None of a single value, which says nothing about how others would differ.
        """
        if self.sd is None:
            return None
        from scipy import stats  # takes a while to load

        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.n - 1))
        half = quantile * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def p(self) -> float | None:
        """Return the two-sided p of Student's t-test that the mean is 0.

        Below 0.05 exactly where the 95 % interval leaves 0 out. None of a single value;
        of values that are all alike 1.0 if they are 0, and else 0.0.
        """
        if self.sd is None:
            return None
        from scipy import stats

        if not self.sd:
            return float(not self.mean)
        t = abs(self.mean) * math.sqrt(self.n) / self.sd
        return float(2 * stats.t.sf(t, self.n - 1))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    r"""Correct the p of several tests for how many they are, as Holm does (1979).

    With :math:`p_{(1)} \le \dots \le p_{(m)}` the corrected values are

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1) \, p_{(j)}) .

    Who believes in the differences with a corrected p below 0.05 errs in one or more
    with a probability of at most 0.05, however the tests depend on each other.

    Parameters
    ----------
    ps : sequence of float or None
        None are no tests: they stay, and do not count.

    Examples
    --------
    >>> from snn.lottery.spread import holm
    >>> holm([0.03, 0.01, None, 0.04])
    [0.06, 0.03, None, 0.06]
    """
    tests = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    found: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, place) in enumerate(tests):
        least = max(least, min(1.0, (len(tests) - rank) * p))
        found[place] = least
    return found
