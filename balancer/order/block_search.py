"""Channel order for blocks of input channels: local search over exchanges.

The matrix V (see `blocks`) holds all exchanges at once, and after one only the rows of
the two blocks change. Exchanges between different pairs of blocks do not interfere: the
best of all pairs are made together.

1. **Descend** to an order that no exchange improves.
2. **Anneal** in cycles, each twice as long as the one before: shuffle a few blocks,
   descend again, and go back if that was worse, or early in a cycle if it was much
   worse. (Iterated local search with annealed acceptance: Lourenço, Martin & Stützle
   2003, 10.1007/0-306-48056-5_11.)

What a search does next depends on the seed and on what it has found, never on its
limits. So a longer one begins with all that a shorter one does, and as the best order
is remembered, it never keeps less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from balancer.array_types import IntArray
from balancer.order.blocks import LEAST_GAIN, Blocks, Floats, alike
from balancer.order.clock import Interrupted, SearchClock

Undo: TypeAlias = dict[int, tuple[IntArray, float, Floats]]
"""Members, worth and rows of V of some blocks."""

# A kick permutes a few channels of a few blocks. Of 2 to 8 blocks, 3 came furthest in
# four seconds on 64 x 128 weights and 2:4; so did this temperature, in parts of what a
# block is worth.
KICKED_BLOCKS = 3
KICKED_CHANNELS = 4
TEMPERATURE = 0.006
# Kicks of the first cycle, for each block.
FIRST_KICKS = 8
# The search is complete after a cycle without success of so many kicks, in squares of
# the number of blocks: each pair of blocks is then kicked about eighty times.
PATIENCE = 4


class BlockSearch:
    """Search for the partition of the input channels that keeps most.

    Parameters
    ----------
    blocks : Blocks
        The partition to begin with, and to change.
    clock : SearchClock
        Limits of the search.
    """

    def __init__(self, blocks: Blocks, clock: SearchClock) -> None:
        self.blocks, self._clock = blocks, clock
        self._rng = np.random.default_rng(clock.search.limits.seed)

    def descend(self) -> None:
        """Exchange channels until no exchange is a gain, or a limit is reached."""
        if not self.blocks.matter:
            return
        try:
            self._begin()
            self._descend(self.blocks.all, {})
        except Interrupted:
            return

    def anneal(self, cycle: int, bound: float) -> bool:
        """Kick and descend for a cycle, after a descent.

        Parameters
        ----------
        cycle : int
            Number of the cycle, from 0; each has twice as many kicks as the last.
        bound : float
            Total score that no order exceeds.

        Returns
        -------
        bool
            Whether another cycle may find more: neither is a limit or the bound
            reached, nor was this cycle long and in vain.
        """
        if not self.blocks.matter:
            return False
        blocks = len(self.blocks.members)
        kicks, before = FIRST_KICKS * blocks * 2**cycle, self.blocks.best
        for kick in range(kicks):
            reached = self.blocks.best * (1 + LEAST_GAIN / blocks)
            if self._clock.interrupted or self._clock.near_enough(reached, bound):
                return False
            best = self.blocks.best
            try:
                self._kick(1 - kick / kicks)
            except Interrupted:
                return False
            if self.blocks.best > best:
                self._clock.report(self.blocks.best, bound)
        return self.blocks.best > before or kicks < PATIENCE * blocks**2

    # ------------------------------------------------------------------------- moves

    def _kick(self, temperature: float) -> None:
        """Shuffle, descend, and go back if that was much worse for the temperature."""
        before, undo = self.blocks.worth.sum(), Undo()
        try:
            self._descend(self._shuffle(undo), undo)
        except Interrupted:
            self._restore(undo)
            raise
        warmth = TEMPERATURE * temperature * before / len(self.blocks.members)
        if self.blocks.worth.sum() < before - warmth * self._rng.exponential():
            self._restore(undo)

    def _descend(self, touched: IntArray, undo: Undo) -> None:
        """Exchange channels while it helps, at first only of `touched` blocks."""
        while touched.size:
            before = self.blocks.worth.sum()
            exchanges, touched = self._best_exchanges(touched)
            if not exchanges:
                return
            changed = self.blocks.of_channel[np.array(exchanges).reshape(-1)]
            self._save(changed, undo)
            for i, j in exchanges:
                first, second = self.blocks.of_channel[i], self.blocks.of_channel[j]
                self._put(i, j, first)
                self._put(j, i, second)
            changed = np.unique(changed)
            self._appraise(changed)
            self.blocks.remember()
            self._evaluate(changed)
            if self.blocks.worth.sum() <= before:
                return  # a gain in single precision only
            touched = np.union1d(touched, changed)

    def _put(self, old: int, new: int, block: int) -> None:
        """Let a channel take the place of another one in its block."""
        members = self.blocks.members[block]
        members = np.where(members == old, new, members)
        self.blocks.members[block] = members
        self.blocks.of_channel[new] = block

    def _best_exchanges(self, touched: IntArray) -> tuple[Sequence[Any], IntArray]:
        """Choose exchanges between disjoint pairs of blocks, greedily by their gain.

        Returns
        -------
        exchanges : list of (int, int)
            Pairs of channels.
        waiting : ndarray of int64
            Blocks with a gain that had to stand back.
        """
        self._clock.check()
        channels = np.concatenate([self.blocks.members[b] for b in touched])
        mine, worth = self.blocks.of_channel[channels], self.blocks.worth
        gains = self._replaced[channels] + self._replaced[:, channels].T
        gains -= worth[mine].astype(np.float32)[:, None]
        gains -= worth[self.blocks.of_channel].astype(np.float32)
        gains[mine[:, None] == self.blocks.of_channel] = -np.inf
        self._clock.spend(gains.size)
        partner = gains.argmax(axis=1)
        gain = gains[np.arange(len(channels)), partner]
        least = LEAST_GAIN * float(worth.max())
        found = np.flatnonzero(gain > least)
        found = found[np.argsort(-gain[found], kind="stable")]
        taken = np.zeros(len(worth), dtype=bool)
        exchanges, waiting = [], []
        for i, j in zip(channels[found], partner[found], strict=True):
            first, second = self.blocks.of_channel[i], self.blocks.of_channel[j]
            if taken[first] or taken[second]:
                waiting += [first, second]
            else:
                taken[[first, second]] = True
                exchanges.append((i, j))
        return exchanges, np.unique(np.array(waiting, dtype=np.int64))

    def _shuffle(self, undo: Undo) -> IntArray:
        """Permute some channels of some blocks at random; return the blocks."""
        number = min(KICKED_BLOCKS, len(self.blocks.members))
        blocks = np.sort(
            self._rng.choice(len(self.blocks.members), number, replace=False)
        )
        self._save(blocks, undo)
        places = [
            self._rng.permutation(len(self.blocks.members[b]))[:KICKED_CHANNELS]
            for b in blocks
        ]
        chosen = [
            self.blocks.members[b][p] for b, p in zip(blocks, places, strict=True)
        ]
        mixed = self._rng.permutation(np.concatenate(chosen))
        first = 0
        for b, place in zip(blocks, places, strict=True):
            members = self.blocks.members[b].copy()
            members[place] = mixed[first : first + len(place)]
            first += len(place)
            self.blocks.members[b] = members
            self.blocks.of_channel[members] = b
        self._appraise(blocks)
        self._evaluate(blocks)
        return blocks

    def _save(self, blocks: IntArray, undo: Undo) -> None:
        """Remember blocks as they are, unless they are remembered already."""
        for b in blocks.tolist():
            if b not in undo:
                members = self.blocks.members[b]
                undo[b] = (members, self.blocks.worth[b], self._replaced[members])

    def _restore(self, undo: Undo) -> None:
        for b, (members, worth, replaced) in undo.items():
            self.blocks.members[b], self.blocks.worth[b] = members, worth
            self._replaced[members] = replaced
            self.blocks.of_channel[members] = b

    # -------------------------------------------------------------------- evaluation

    def _begin(self) -> None:
        """Read the weights, and evaluate all exchanges."""
        self.blocks.read()
        channels = len(self.blocks.of_channel)
        self._replaced: Floats = np.zeros((channels, channels), dtype=np.float32)  # V
        self._evaluate(self.blocks.all)

    def _members(self, numbers: IntArray) -> list[IntArray]:
        return [self.blocks.members[b] for b in numbers]

    def _appraise(self, numbers: IntArray) -> None:
        """Compute what some blocks are worth, in the precision of the scores."""
        for mine, members in alike(numbers, self._members(numbers)):
            self.blocks.worth[mine] = self.blocks.appraise(mine, members)

    def _evaluate(self, numbers: IntArray) -> None:
        """Compute the rows of V of the channels of some blocks."""
        blocks = self.blocks
        for _, members in alike(numbers, self._members(numbers)):
            size = members.shape[1]
            place = np.arange(size)
            others = (place[:, None] + place[1:]) % size  # of each place, all others
            rest = members[:, others].reshape(members.size, size - 1)  # of each channel
            channels = members.reshape(-1)
            for part in blocks.pieces(members.size, size):
                loads = blocks.loads[blocks.of_channel[channels[part]]]
                sums = blocks.rest_sums(rest[part], loads)
                self._replaced[channels[part]] = blocks.replacements(sums)
