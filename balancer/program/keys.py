"""Ranking keys: scores, and what must or must not be kept."""

from __future__ import annotations

import numpy as np

from balancer.array_types import AnyArray, BoolArray


def mark(
    scores: AnyArray, allowed: BoolArray | None, must_keep: BoolArray | None
) -> AnyArray:
    """Make ranking keys: scores, +inf for what must be kept, -inf for what must not.

    `scores` itself is returned where there is nothing to mark.
    """
    if allowed is None and must_keep is None:
        return scores
    keys = scores.copy()
    if allowed is not None:
        keys[~allowed] = -np.inf
    if must_keep is not None:
        keys[must_keep] = np.inf
    return keys
