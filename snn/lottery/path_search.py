"""Masks that spend no weight on channels that nothing reaches or nobody reads.

Which channels are alive depends on the masks of all layers, so it is found step by
step: what the last answer leaves without a path counts for next to nothing in the next
one. Every answer is proven for its own scores; that no other sequence ends with more
weights on paths is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from snn.array_types import Masks
from snn.lottery.pruning import Pruned, Pruning

# How much a weight without a path counts, so that it is taken only where no other is.
DISCOUNT = 1e-3
# Which layers give way in each step: all, or every other one. Where two neighbours wait
# for each other, and both gave way, they would change places for ever.
STEPS: tuple[tuple[int, ...], ...] = ((0, 1), (0,), (1,), (0, 1))


def along_live_paths(pruning: Pruning, prune: Callable[[Pruning], Pruned]) -> Pruned:
    """Prune so that as many weights as possible lie on a path.

    Parameters
    ----------
    pruning : Pruning
        The question. Without `live`, it is asked once.
    prune : callable
        A method, which maximizes scores.

    Returns
    -------
    Pruned
        Of at most 1 + ``len(STEPS)`` answers the first with most effective weights.
    """
    best = prune(pruning)
    if pruning.live is None:
        return best
    live = pruning.live(best.masks)
    most = effective(best.masks, live)
    for yielding in STEPS:
        if most == sum(int(np.count_nonzero(mask)) for mask in best.masks.values()):
            break
        scores = {
            name: np.where(live[name], score, score * DISCOUNT)
            if position % 2 in yielding
            else score
            for position, (name, score) in enumerate(pruning.scores.items())
        }
        found = prune(replace(pruning, scores=scores))
        live = pruning.live(found.masks)
        count = effective(found.masks, live)
        if count > most:
            best, most = found, count
    return best


def effective(masks: Masks, live: Masks) -> int:
    """Count kept weights on a path."""
    return sum(int(np.count_nonzero(mask & live[name])) for name, mask in masks.items())
