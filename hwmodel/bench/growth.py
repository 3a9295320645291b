"""How time grows with size: the slope of its logarithm over that of the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Below, the fixed costs of a call are most of it, and say nothing about growth.
GROWTH_FROM = 100_000
# Quantiles of Student's t, 97.5 %, for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, slots=True)
class Growth:
    """A fitted exponent: time grows as the size to this power.

    Attributes
    ----------
    exponent : float
        Slope of log time over log size.
    margin : float
        Half the width of its 95 % interval, if what is left is normal.
    points : int
        Sizes that it was fitted to.
    """

    exponent: float
    margin: float
    points: int

    @classmethod
    def of(cls, sizes: Sequence[int], seconds: Sequence[float]) -> Growth | None:
        """Fit the exponent by least squares to the sizes from `GROWTH_FROM` on.

        Parameters
        ----------
        sizes : sequence of int
            Weights, at most 12 numbers.
        seconds : sequence of float
            Time of each, above 0.

        Returns
        -------
        Growth or None
            None for fewer than three sizes.

        Examples
        --------
        >>> from hwmodel.bench.growth import Growth
        >>> Growth.of([10**5, 10**6, 10**7], [0.1, 1.0, 10.0])
        Growth(exponent=1.0, margin=0.0, points=3)
        """
        pairs = [
            (size, one)
            for size, one in zip(sizes, seconds, strict=True)
            if size >= GROWTH_FROM
        ]
        if len(pairs) < 3:
            return None
        x, y = np.log(np.array(pairs, dtype=np.float64)).T
        x = x - x.mean()
        spread = float(x @ x)
        slope = float(x @ y) / spread
        left = y - y.mean() - slope * x
        freedom = len(pairs) - 2
        error = float(np.sqrt(left @ left / freedom / spread))
        margin = _T[freedom - 1] * error
        return cls(round(slope, 6), round(margin, 6), len(pairs))

    def __str__(self) -> str:
        return f"{self.exponent:.2f} ± {self.margin:.2f}"
