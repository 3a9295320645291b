r"""What every channel is worth at the loads its tile may have, or at a few of them.

$F_c$ is concave: its slices descend. Below a load m it is under the line through
$F_c(m)$ with the slope of the slice before m, above m under that with the slope of the
slice after it. What a tile is worth on such lines, the sum of its best channels, is
convex in the load, so over an interval of loads it is largest at an end or at m. So a
table of three rows for every interval, at its ends and at m, bounds the loads between,
and with intervals that grow with the loads it has a few rows for thousands of loads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import FloatArray, IntArray

# Width of an interval, in parts of the loads in it: a bound then is about a thousandth
# above that of all loads.
WIDTH = 0.12
# Loads of an interval that are no more than the rows that bound them.
ROWS = 3


@dataclass(frozen=True, slots=True, eq=False)
class LoadTable:
    """Rows of a table of loads.

    Attributes
    ----------
    loads : ndarray of int64 [rows]
        Load of each row, never decreasing.
    totals : ndarray of float64 [rows, channels]
        What each channel is worth at that load, or more.
    """

    loads: IntArray
    totals: FloatArray

    @classmethod
    def all(cls, totals: FloatArray, lower: int, upper: int) -> LoadTable:
        """List all loads from `lower` to `upper`; `totals` is [channels, depth + 1]."""
        loads = np.arange(lower, upper + 1)
        return cls(loads, np.ascontiguousarray(totals[:, lower : upper + 1].T))

    @classmethod
    def few(cls, totals: FloatArray, lower: int, upper: int) -> LoadTable:
        """Bound all loads from `lower` to `upper` by rows for some of them.

        Parameters
        ----------
        totals : ndarray of float64 [channels, depth + 1]
            Concave along the loads.
        lower, upper : int
            The loads, at most the depth.
        """
        loads: list[int] = []
        middles: list[int] = []
        first = lower
        while first <= upper:
            last = min(upper, first + int(WIDTH * first))
            if last - first < ROWS:
                loads.append(first)
                middles.append(first)
                first += 1
            else:
                loads += [first, (first + last) // 2, last]
                middles += [(first + last) // 2] * ROWS
                first = last + 1
        load, middle = np.array(loads), np.array(middles)
        rows = totals[:, middle]
        before, after = load < middle, load > middle
        at = middle[before]
        slope = totals[:, at] - totals[:, at - 1]
        rows[:, before] -= (at - load[before]) * slope
        at = middle[after]
        slope = totals[:, at + 1] - totals[:, at]
        rows[:, after] += (load[after] - at) * slope
        return cls(load, np.ascontiguousarray(rows.T))
