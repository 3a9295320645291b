"""Channel order for blocks of input channels: the steps that wide layers can afford.

A **stage** takes one channel out of each of some blocks and puts them back where
together they are worth most, by a linear assignment problem: one channel for each
block, as in the channel permutation of RIA (Zhang et al. 2024, "Plug-and-play: an
efficient post-training pruning method for large language models"). To leave everything
in its place is one of the answers, so no stage loses anything.

A stage of g blocks evaluates g^2 exchanges, those of `block_search` all pairs of
channels. Which of g channels suits a block best gains little more than which of g/2
does, so the first **passes** over the layer deal the blocks into sets of a few, and
later ones into larger sets, each time at random.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import IntArray
from balancer.order.blocks import LEAST_GAIN, Blocks, alike
from balancer.order.clock import Interrupted, SearchClock

# Blocks of a stage: after so many passes twice as many, as 4096 x 11008 weights and 2:4
# gain most by in 10 and 40 seconds, of 1 to 4 passes from 8 to 64 blocks. An assignment
# of the most blocks takes a fifth of a second, in which no clock is looked at.
FIRST_BLOCKS = 16
MOST_BLOCKS = 1024
PASSES = 2
# A pass over sets of the most blocks that gains less than this part of what all passes
# gained is the last one; the exchanges of pairs of channels then find more.
LAST_GAIN = 0.001


class BlockStages:
    """Improve a partition of the input channels stage by stage.

    Parameters
    ----------
    blocks : Blocks
        The partition to begin with, and to change.
    clock : SearchClock
        Limits of the search.
    """

    def __init__(self, blocks: Blocks, clock: SearchClock) -> None:
        self.blocks, self._clock = blocks, clock
        # Other numbers than those of `block_search`.
        self._rng = np.random.default_rng([clock.search.limits.seed, 1])

    def run(self, bound: float) -> None:
        """Go through the passes until they gain nothing more, or a limit is reached.

        Parameters
        ----------
        bound : float
            Total score that no order exceeds.
        """
        blocks = self.blocks
        if not blocks.matter:
            return
        try:
            blocks.read()
            first, most = blocks.kept, min(MOST_BLOCKS, len(blocks.members))
            number = 0
            while not self._clock.near_enough(blocks.kept, bound):
                width = min(most, FIRST_BLOCKS * 2 ** (number // PASSES))
                before = blocks.kept
                self._pass(width)
                self._clock.report(blocks.best, bound)
                gain = blocks.kept - before
                if width == most and gain <= LAST_GAIN * (blocks.kept - first):
                    return
                number += 1
        except Interrupted:
            return

    def _pass(self, width: int) -> None:
        """Deal the blocks into sets of `width` at most, with a stage for each."""
        dealt = self._rng.permutation(self.blocks.all)
        try:
            for some in np.array_split(dealt, -(-len(dealt) // width)):
                self._stage(np.sort(some))
        finally:
            self.blocks.remember()

    def _stage(self, numbers: IntArray) -> None:
        """Take a channel out of each of some blocks, and assign them anew."""
        from scipy.optimize import linear_sum_assignment  # takes a while to load

        blocks = self.blocks
        sizes = np.array([len(blocks.members[b]) for b in numbers])
        places = self._rng.integers(0, sizes)
        out = np.array(
            [blocks.members[b][p] for b, p in zip(numbers, places, strict=True)]
        )
        values = np.empty((len(numbers), len(numbers)), dtype=np.float32)
        for mine, members in alike(
            np.arange(len(numbers)), [blocks.members[b] for b in numbers]
        ):
            size = members.shape[1]
            self._clock.spend(blocks.loads.shape[1] * members.size)
            staying = np.arange(size) != places[mine, None]
            rest = members[staying].reshape(len(mine), size - 1)
            for part in blocks.pieces(len(mine), size):
                loads = blocks.loads[numbers[mine[part]]]
                sums = blocks.rest_sums(rest[part], loads)
                values[mine[part]] = blocks.replacements(sums, out)
        _, chosen = linear_sum_assignment(values, maximize=True)
        moved = np.flatnonzero(chosen != np.arange(len(numbers)))
        if moved.size:
            self._take(numbers[moved], places[moved], out[chosen[moved]])

    def _take(self, numbers: IntArray, places: IntArray, channels: IntArray) -> None:
        """Put channels into places of blocks, if these are then worth more."""
        blocks = self.blocks
        members = [blocks.members[b].copy() for b in numbers]
        for mine, place, channel in zip(members, places, channels, strict=True):
            mine[place] = channel
        worth = np.empty(len(numbers))
        for own, some in alike(np.arange(len(numbers)), members):
            worth[own] = blocks.appraise(numbers[own], some)
        least = LEAST_GAIN * float(blocks.worth.max())
        if worth.sum() <= blocks.worth[numbers].sum() + least:
            return
        for b, mine in zip(numbers, members, strict=True):
            blocks.members[b] = mine
        blocks.worth[numbers] = worth
        blocks.of_channel[channels] = numbers
