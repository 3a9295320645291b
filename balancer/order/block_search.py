"""Channel order for blocks of input channels: local search over exchanges.

Row r (an output channel, or one kernel position of it in n:m maps) keeps its best
weights of every block, so a partition of the input channels is worth the sum of those.
"Blocks of input channels" in ``docs/programs.md`` defines T, X and V: the best weights
of a block without channel i, those of channel j, and what i's block is worth with j in
the place of i. The matrix V holds all exchanges at once, and after one only the rows of
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

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, IntArray
from balancer.order.clock import Interrupted, SearchClock

Floats: TypeAlias = npt.NDArray[np.float32]
Undo: TypeAlias = dict[int, tuple[IntArray, float, Floats]]
"""Members, worth and rows of V of some blocks."""

# Entries of one piece of work: they should stay in the processor's cache. The clock is
# looked at before each.
CHUNK_ENTRIES = 2**18

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

# Sums in single precision differ by rounding: a smaller part of what a block is worth
# is no gain, and could go back and forth.
LEAST_GAIN = 1e-6

# V is computed in single precision, which ends near 2**128, and near 2**-126 becomes
# coarse. Scores whose largest has a greater exponent than this are scaled.
COMFORTABLE_EXPONENT = 64


class BlockSearch:
    """Search for the partition of the input channels that keeps most.

    Parameters
    ----------
    weights : ndarray of float [channels, rows, positions]
        Scores of each input channel in each row; the positions of one channel stay in
        one block.
    block : ndarray of int64 [channels]
        Block of each schedule position, never decreasing.
    order : ndarray of int64 [channels]
        Schedule position -> channel, to begin with.
    loads : ndarray of int64 [rows] or [blocks, rows]
        Weights that each row keeps of each block (or all, of a block with fewer).
    clock : SearchClock
        Limits of the search.

    Attributes
    ----------
    order : ndarray of int64 [channels]
        The best order so far: schedule position -> channel.
    best : float
        Total score of that order, once it is known; 0 before.
    """

    def __init__(
        self,
        weights: AnyArray,
        block: IntArray,
        order: IntArray,
        loads: IntArray,
        clock: SearchClock,
    ) -> None:
        self._clock = clock
        self._rng = np.random.default_rng(clock.search.limits.seed)
        self._given = weights
        channels = len(weights)
        self._members = np.split(order, np.flatnonzero(np.diff(block)) + 1)
        self._block = np.empty(channels, dtype=np.int64)
        self._block[order] = np.unique(block, return_inverse=True)[1]
        loads = np.broadcast_to(loads, (len(self._members), weights.shape[1]))
        self._used = loads.any(axis=0)
        self._loads = loads[:, self._used]
        self._worth = np.zeros(len(self._members))
        self._all = np.arange(len(self._members))
        self._exponent = 0
        self.order, self.best = order, 0.0

    @property
    def kept(self) -> float:
        """Total score of the present order."""
        return math.ldexp(float(self._worth.sum()), self._exponent)

    def descend(self) -> None:
        """Exchange channels until no exchange is a gain, or a limit is reached."""
        if not self._loads.size or len(self._members) < 2:
            return
        try:
            self._read()
            self._appraise(self._all)
            self._remember()
            self._evaluate(self._all)
            self._descend(self._all, {})
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
        blocks = len(self._members)
        if not self._loads.size or blocks < 2:
            return False
        kicks, before = FIRST_KICKS * blocks * 2**cycle, self.best
        for kick in range(kicks):
            reached = self.best * (1 + LEAST_GAIN / blocks)
            if self._clock.interrupted or self._clock.near_enough(reached, bound):
                return False
            best = self.best
            try:
                self._kick(1 - kick / kicks)
            except Interrupted:
                return False
            if self.best > best:
                self._clock.report(self.best, bound)
        return self.best > before or kicks < PATIENCE * blocks**2

    # ------------------------------------------------------------------------- moves

    def _kick(self, temperature: float) -> None:
        """Shuffle, descend, and go back if that was much worse for the temperature."""
        before, undo = self._worth.sum(), Undo()
        try:
            self._descend(self._shuffle(undo), undo)
        except Interrupted:
            self._restore(undo)
            raise
        warmth = TEMPERATURE * temperature * before / len(self._members)
        if self._worth.sum() < before - warmth * self._rng.exponential():
            self._restore(undo)

    def _descend(self, touched: IntArray, undo: Undo) -> None:
        """Exchange channels while it helps, at first only of `touched` blocks."""
        while touched.size:
            before = self._worth.sum()
            exchanges, touched = self._best_exchanges(touched)
            if not exchanges:
                return
            changed = self._block[np.array(exchanges).reshape(-1)]
            self._save(changed, undo)
            for i, j in exchanges:
                first, second = self._block[i], self._block[j]
                self._put(i, j, first)
                self._put(j, i, second)
            changed = np.unique(changed)
            self._appraise(changed)
            self._remember()
            self._evaluate(changed)
            if self._worth.sum() <= before:
                return  # a gain in single precision only
            touched = np.union1d(touched, changed)

    def _remember(self) -> None:
        """Keep the present order if it is better than all before."""
        kept = self.kept
        if kept > self.best * (1 + LEAST_GAIN / len(self._members)):
            self.order, self.best = np.concatenate(self._members), kept

    def _put(self, old: int, new: int, block: int) -> None:
        """Let a channel take the place of another one in its block."""
        members = self._members[block]
        members = np.where(members == old, new, members)
        self._members[block] = members
        self._block[new] = block

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
        channels = np.concatenate([self._members[b] for b in touched])
        mine, worth = self._block[channels], self._worth
        gains = self._replaced[channels] + self._replaced[:, channels].T
        gains -= worth[mine].astype(np.float32)[:, None]
        gains -= worth[self._block].astype(np.float32)
        gains[mine[:, None] == self._block] = -np.inf
        self._clock.spend(gains.size)
        partner = gains.argmax(axis=1)
        gain = gains[np.arange(len(channels)), partner]
        least = LEAST_GAIN * float(worth.max())
        found = np.flatnonzero(gain > least)
        found = found[np.argsort(-gain[found], kind="stable")]
        taken = np.zeros(len(worth), dtype=bool)
        exchanges, waiting = [], []
        for i, j in zip(channels[found], partner[found], strict=True):
            first, second = self._block[i], self._block[j]
            if taken[first] or taken[second]:
                waiting += [first, second]
            else:
                taken[[first, second]] = True
                exchanges.append((i, j))
        return exchanges, np.unique(np.array(waiting, dtype=np.int64))

    def _shuffle(self, undo: Undo) -> IntArray:
        """Permute some channels of some blocks at random; return the blocks."""
        number = min(KICKED_BLOCKS, len(self._members))
        blocks = np.sort(self._rng.choice(len(self._members), number, replace=False))
        self._save(blocks, undo)
        places = [
            self._rng.permutation(len(self._members[b]))[:KICKED_CHANNELS]
            for b in blocks
        ]
        chosen = [self._members[b][p] for b, p in zip(blocks, places, strict=True)]
        mixed = self._rng.permutation(np.concatenate(chosen))
        first = 0
        for b, place in zip(blocks, places, strict=True):
            members = self._members[b].copy()
            members[place] = mixed[first : first + len(place)]
            first += len(place)
            self._members[b] = members
            self._block[members] = b
        self._appraise(blocks)
        self._evaluate(blocks)
        return blocks

    def _save(self, blocks: IntArray, undo: Undo) -> None:
        """Remember blocks as they are, unless they are remembered already."""
        for b in blocks.tolist():
            if b not in undo:
                members = self._members[b]
                undo[b] = (members, self._worth[b], self._replaced[members])

    def _restore(self, undo: Undo) -> None:
        for b, (members, worth, replaced) in undo.items():
            self._members[b], self._worth[b] = members, worth
            self._replaced[members] = replaced
            self._block[members] = b

    # -------------------------------------------------------------------- evaluation

    def _read(self) -> None:
        """Read the weights: the best of each channel in each row, as many as count."""
        weights, rows = self._given, self._loads.shape[1]
        channels, _, positions = weights.shape
        depth = min(positions, int(self._loads.max()))
        largest = math.frexp(float(weights.max(initial=0.0)))[1]
        if abs(largest) > COMFORTABLE_EXPONENT:
            self._exponent = largest
        best = np.empty((channels, rows, depth), dtype=weights.dtype)
        piece = max(1, CHUNK_ENTRIES // (rows * positions))
        for first in range(0, channels, piece):
            self._clock.check()
            part = weights[first : first + piece, self._used]
            if positions > 1:
                part = -np.sort(-part, axis=2)
            part = part[:, :, :depth]
            if self._exponent:
                part = np.ldexp(part, -self._exponent)
            best[first : first + piece] = part
        # Best first, so that sums of the first s are sums of the s best.
        self._exact = best
        self._weights: Floats = best.astype(np.float32, copy=False)
        sums = self._weights if depth == 1 else np.cumsum(self._weights, axis=2)
        self._sums = np.ascontiguousarray(np.moveaxis(sums, 2, 0))  # X: [s - 1, j, r]
        self._replaced: Floats = np.zeros((channels, channels), dtype=np.float32)  # V

    def _alike(self, blocks: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
        """Sort blocks by size: their numbers, and members [blocks, size]."""
        sizes = np.array([len(self._members[b]) for b in blocks])
        for size in np.unique(sizes).tolist():
            mine = blocks[sizes == size]
            yield mine, np.stack([self._members[b] for b in mine])

    def _pieces(self, number: int, size: int) -> Iterator[slice]:
        """Cut so many sets of `size` channels into pieces of work, time permitting."""
        weights = self._loads.shape[1] * size * self._weights.shape[2]
        piece = max(1, CHUNK_ENTRIES // max(1, weights))
        for first in range(0, number, piece):
            self._clock.check()
            yield slice(first, first + piece)

    def _appraise(self, blocks: IntArray) -> None:
        """Compute what some blocks are worth, in the precision of the scores."""
        for mine, members in self._alike(blocks):
            for part in self._pieces(*members.shape):
                best = _sorted(self._exact, members[part])
                kept = np.arange(best.shape[-1]) < self._loads[mine[part], :, None]
                best = np.where(kept, best, 0)
                self._worth[mine[part]] = best.sum(axis=(1, 2), dtype=np.float64)

    def _evaluate(self, blocks: IntArray) -> None:
        """Compute the rows of V of the channels of some blocks."""
        for _, members in self._alike(blocks):
            size = members.shape[1]
            place = np.arange(size)
            others = (place[:, None] + place[1:]) % size  # of each place, all others
            rest = members[:, others].reshape(members.size, size - 1)  # of each channel
            channels = members.reshape(-1)
            for part in self._pieces(members.size, size):
                loads = self._loads[self._block[channels[part]]]
                sums = self._rest_sums(rest[part], loads)
                self._replaced[channels[part]] = self._replacements(sums)

    def _rest_sums(self, rest: IntArray, loads: IntArray) -> Floats:
        """Compute T_i(s) of channels whose blocks hold the `rest`: [s, channels, rows].

        `rest` is [channels, size of their blocks - 1], `loads` [channels, rows]. Where
        a row keeps nothing of a block, T_i(1) is so small that no X_j(1) makes up for
        it, and finite: then T_i(0), which is 0, counts.
        """
        best = _sorted(self._weights, rest)
        *shape, width = best.shape
        sums = np.zeros((*shape, width + 1), dtype=np.float32)  # of the first 0, 1, ...
        np.cumsum(best, axis=-1, out=sums[..., 1:])
        table = np.full((len(self._sums) + 1, *shape), -np.inf, dtype=np.float32)
        for s, left in enumerate(table):
            kept = np.clip(loads - s, 0, width)[..., None]
            some = np.take_along_axis(sums, kept, axis=-1)[..., 0]
            np.copyto(left, some, where=loads >= s)  # the others do not keep s weights
        if not loads.all():
            np.copyto(table[1], -self._sums[0].max(axis=0), where=loads == 0)
        return table

    def _replacements(self, rest: Floats) -> Floats:
        """Compute the rows of V from their T_i(s).

        T_i(1) is finite, and
        V_ij = sum_r T_i(1) + sum_r max_s (T_i(s) - T_i(1) + X_j(s)).
        Of the terms in the second sum that of s = 0 does not depend on j (X_j(0) = 0)
        and that of s = 1 is X_j(1): where channels have one weight in a row, V takes no
        addition of large arrays.
        """
        steps, members, rows = rest.shape
        channels = self._sums.shape[1]
        one_less = rest[1]
        beyond = rest - one_less
        result = np.empty((members, channels), dtype=np.float32)
        ones = np.ones(rows, dtype=np.float32)
        piece = max(1, CHUNK_ENTRIES // (channels * rows))
        for first in range(0, members, piece):
            self._clock.check()
            part = slice(first, min(first + piece, members))
            self._clock.spend(steps * (part.stop - first) * channels * rows)
            # [members of the part, channels, rows]
            best = np.maximum(beyond[0, part, None], self._sums[0])
            for s in range(2, steps):
                np.maximum(best, beyond[s, part, None] + self._sums[s - 1], out=best)
            # A matrix product sums over the rows three times as fast as `sum`.
            result[part] = (best.reshape(-1, rows) @ ones).reshape(-1, channels)
        result += one_less.sum(axis=1)[:, None]
        return result


def _sorted(weights: AnyArray, members: IntArray) -> AnyArray:
    """Weights of sets of channels, best first: [*sets, rows, weights]."""
    mine = np.moveaxis(weights[members], -3, -2)
    *shape, channels, positions = mine.shape
    return -np.sort(-mine.reshape(*shape, channels * positions), axis=-1)
