"""Sums of scores, and when two of them are equal but for rounding.

What is kept, how far it may be from the optimum, and whether a bound is reached are
defined here once, for every program.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.maps.cell_arrays import true_positions

# Sums of the same numbers in another order differ by rounding, by less than this part.
ROUNDING = 1e-12
# CP-SAT maximizes integers. A relative gap below this comes from scaling the scores.
PROOF_TOLERANCE = 1e-9


def total_score(scores: AnyArray, mask: BoolArray) -> float:
    """Add up the scores of the kept weights, in double precision."""
    return total_at(scores, true_positions(mask))


def total_at(scores: AnyArray, positions: IntArray) -> float:
    """Add up the scores at flat positions, in double precision."""
    return float(scores.reshape(-1).take(positions).sum(dtype=np.float64))


def relative_gap(kept: float, bound: float) -> float:
    """Part of a bound that is not kept: ``(bound - kept) / bound``; 0 of nothing."""
    return (bound - kept) / bound if bound > 0 else 0.0


def is_reached(kept: float, bound: float, slack: float = 0.0) -> bool:
    """Whether a bound is not above what is kept, but for rounding and a slack."""
    return bound - kept <= slack + ROUNDING * bound


def rounded_bound(bound: float, kept: float) -> float:
    """Make a bound equal to `kept` if only the order of summation is between them."""
    return kept if is_reached(kept, bound) else bound


def same_sum(one: float, other: float) -> bool:
    """Whether two sums may be of the same numbers, added up in another order."""
    return bool(np.isclose(one, other, rtol=ROUNDING, atol=0))
