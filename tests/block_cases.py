"""Layers whose input channels form blocks, and what these are worth."""

import numpy as np
from cases import search_of
from hypothesis import strategies as st

from balancer import Termination
from balancer.order.clock import SearchClock


def worth(weights, block, order, loads):
    """Sum of each row's best weights of every block, straight from the definition."""
    total, blocks = 0.0, np.unique(block)
    of_blocks = np.broadcast_to(loads, (len(blocks), weights.shape[1]))
    for b, own in zip(blocks, of_blocks, strict=True):
        mine = weights[order[block == b]]  # [channels, rows, positions]
        rows = np.moveaxis(mine, 1, 0).reshape(weights.shape[1], -1)
        ordered = -np.sort(-rows, axis=1)
        total += sum(row[:load].sum() for row, load in zip(ordered, own, strict=True))
    return total


@st.composite
def layers(draw, most=8, uneven=False):
    """Weights of a few channels with one or more positions, blocks, and loads.

    `uneven`: the loads of some layers differ from block to block.
    """
    channels, rows = draw(st.integers(2, most)), draw(st.integers(1, 3))
    positions, size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.exponential(size=(channels, rows, positions))
    if draw(st.booleans()):
        weights = np.floor(2 * weights)
    loads = np.array([draw(st.integers(0, 4)) for _ in range(rows)], dtype=np.int64)
    if uneven and draw(st.booleans()):
        loads = rng.integers(0, 5, (-(-channels // size), rows))
    order = rng.permutation(channels)
    return weights, np.arange(channels) // size, order, loads


class Watched(SearchClock):
    """A clock that counts how often it is looked at, and then stops the search."""

    def __init__(self, most):
        super().__init__(search_of())
        self.looks, self.most, self.longest, self._last = 0, most, 0, 0

    @property
    def interrupted(self):
        self.looks += 1
        self.longest = max(self.longest, self._entries - self._last)
        self._last = self._entries
        return super().interrupted or (
            Termination.CANCELLED if self.looks > self.most else None
        )
