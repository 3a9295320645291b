"""Channel order for blocks of input channels: local search over exchanges.

Row r (an output channel, or one kernel position of it in n:m maps) keeps its best
weights of every block, so a partition of the input channels is worth the sum of those.
"Blocks of input channels" in ``docs/programs.md`` defines T, X and V: the best weights
of a block without channel i, those of channel j, and what i's block is worth with j in
the place of i. The matrix V holds all exchanges at once, and after one only the rows of
the two blocks change. Exchanges between different pairs of blocks do not interfere: the
best of all pairs are made together.

1. **Descend** to an order that no exchange improves.
2. **Kick**: shuffle a few blocks, descend again, and go back if that was worse, or at
   first if it was much worse. (Iterated local search with annealed acceptance:
   Lourenço, Martin & Stützle 2003, 10.1007/0-306-48056-5_11.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, FloatArray, IntArray
from balancer.order.clock import SearchClock

Floats: TypeAlias = npt.NDArray[np.float32]
Undo: TypeAlias = dict[int, tuple[IntArray, float, Floats]]
"""Members, worth and rows of V of some blocks."""

# Entries of one piece of work on V: they should stay in the processor's cache.
CHUNK_ENTRIES = 2**18

# A kick permutes a few channels of a few blocks. Of 2 to 8 blocks, 3 came furthest in
# four seconds on 64 x 128 weights and 2:4; so did this temperature, in parts of what a
# block is worth.
KICKED_BLOCKS = 3
KICKED_CHANNELS = 4
TEMPERATURE = 0.006
# The search is complete after so many kicks without success, in squares of the number
# of blocks: each pair of blocks is then kicked about eighty times.
PATIENCE = 4

# Sums in single precision differ by rounding: a smaller part of what a block is worth
# is no gain, and could go back and forth.
LEAST_GAIN = 1e-6


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
    loads : ndarray of int64 [rows]
        Weights that each row keeps of each block (or all, of a block with fewer).
    clock : SearchClock
        Limits of the search.
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
        used = loads > 0
        self._loads = loads[used]
        channels, _, positions = weights.shape
        depth = min(positions, int(loads.max(initial=0)))
        # Best first, so that sums of the first s are sums of the s best.
        best = -np.sort(-weights[:, used].astype(np.float32), axis=2)
        self._weights = best[:, :, :depth]
        sums = np.cumsum(self._weights, axis=2)
        self._sums = np.ascontiguousarray(np.moveaxis(sums, 2, 0))  # X: [s - 1, j, r]
        self._members = np.split(order, np.flatnonzero(np.diff(block)) + 1)
        self._block = np.empty(channels, dtype=np.int64)
        self._block[order] = np.unique(block, return_inverse=True)[1]
        self._worth = np.zeros(len(self._members))
        self._replaced = np.zeros((channels, channels), dtype=np.float32)  # V
        self._all = np.arange(len(self._members))
        self.order = order
        """The best order so far: schedule position -> channel."""

    @property
    def kept(self) -> float:
        """Total score of the present order, in single precision."""
        return float(self._worth.sum())

    def descend(self) -> None:
        """Exchange channels until no exchange is a gain."""
        if self._loads.size and len(self._members) > 1:
            self._evaluate(self._all)
            self._descend(self._all, {})
            self.order = np.concatenate(self._members)

    def kick(self, bound: float) -> None:
        """Kick and descend until a limit ends the search, or nothing is found.

        `bound` is a total score that no order exceeds.
        """
        blocks = len(self._members)
        if not self._loads.size or blocks < 2:
            return
        failures, best = 0, self.kept
        while failures < PATIENCE * blocks**2 and not self._clock.interrupted:
            if self._clock.near_enough(best * (1 + LEAST_GAIN / blocks), bound):
                return
            before = self.kept
            undo: Undo = {}
            self._descend(self._shuffle(undo), undo)
            warmth = TEMPERATURE * before / blocks * (1 - self._clock.progress)
            if self.kept < before - warmth * self._rng.exponential():
                self._restore(undo)
            if self.kept > best * (1 + LEAST_GAIN / blocks):
                self.order = np.concatenate(self._members)
                failures, best = 0, self.kept
                self._clock.report(best, bound)
            else:
                failures += 1

    # ------------------------------------------------------------------------- moves

    def _descend(self, touched: IntArray, undo: Undo) -> None:
        """Exchange channels while it helps, at first only of `touched` blocks."""
        while touched.size and not self._clock.interrupted:
            exchanges, touched = self._best_exchanges(touched)
            if not exchanges:
                return
            changed = self._block[np.array(exchanges).reshape(-1)]
            self._save(changed, undo)
            for i, j in exchanges:
                first, second = self._block[i], self._block[j]
                self._put(i, j, first)
                self._put(j, i, second)
            self._evaluate(np.unique(changed))
            touched = np.union1d(touched, changed)

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

    def _evaluate(self, blocks: IntArray) -> None:
        """Compute the worth of some blocks and the rows of V of their channels."""
        sizes = np.array([len(self._members[b]) for b in blocks])
        for size in np.unique(sizes).tolist():
            alike = blocks[sizes == size]
            weights = len(self._loads) * size * self._weights.shape[2]
            piece = max(1, CHUNK_ENTRIES // max(1, weights * size))
            for first in range(0, len(alike), piece):
                part = alike[first : first + piece]
                members = np.stack([self._members[b] for b in part])
                self._worth[part] = self._sum_best(members)
                rest = self._rest_sums(members)
                self._replaced[members.reshape(-1)] = self._replacements(rest)

    def _sorted(self, members: IntArray) -> Floats:
        """Weights of sets of channels, best first: [*sets, rows, weights]."""
        weights = np.moveaxis(self._weights[members], -3, -2)
        *shape, channels, positions = weights.shape
        return -np.sort(-weights.reshape(*shape, channels * positions), axis=-1)

    def _sum_best(self, members: IntArray) -> FloatArray:
        best = self._sorted(members)
        kept = np.arange(best.shape[-1]) < self._loads[:, None]
        total: FloatArray = np.where(kept, best, 0).sum(axis=(1, 2), dtype=np.float64)
        return total

    def _rest_sums(self, members: IntArray) -> Floats:
        """Compute T_i(s) for all channels of some blocks: [s, channels, rows]."""
        size = members.shape[1]
        place = np.arange(size)
        others = (place[:, None] + place[1:]) % size  # of each place, all others
        rest = members[:, others].reshape(members.size, size - 1)  # of each channel
        best = self._sorted(rest)
        *shape, width = best.shape
        sums = np.zeros((*shape, width + 1), dtype=np.float32)  # of the first 0, 1, ...
        np.cumsum(best, axis=-1, out=sums[..., 1:])
        table = np.full((len(self._sums) + 1, *shape), -np.inf, dtype=np.float32)
        for s, left in enumerate(table):
            rows = np.flatnonzero(self._loads >= s)  # the others do not keep s weights
            kept = np.minimum(self._loads[rows] - s, width)
            left[:, rows] = sums[:, rows, kept]
        return table

    def _replacements(self, rest: Floats) -> Floats:
        """Compute the rows of V from their T_i(s).

        Every row keeps a weight, so T_i(1) is finite, and
        V_ij = sum_r T_i(1) + sum_r max_s (T_i(s) - T_i(1) + X_j(s)).
        Of the terms in the second sum that of s = 0 does not depend on j (X_j(0) = 0)
        and that of s = 1 is X_j(1): where channels have one weight in a row, V takes no
        addition of large arrays.
        """
        steps, members, rows = rest.shape
        channels = self._sums.shape[1]
        self._clock.spend(steps * members * channels * rows)
        one_less = rest[1]
        beyond = rest - one_less
        result = np.empty((members, channels), dtype=np.float32)
        ones = np.ones(rows, dtype=np.float32)
        piece = max(1, CHUNK_ENTRIES // (channels * rows))
        for first in range(0, members, piece):
            part = slice(first, first + piece)
            # [members of the part, channels, rows]
            best = np.maximum(beyond[0, part, None], self._sums[0])
            for s in range(2, steps):
                np.maximum(best, beyond[s, part, None] + self._sums[s - 1], out=best)
            # A matrix product sums over the rows three times as fast as `sum`.
            result[part] = (best.reshape(-1, rows) @ ones).reshape(-1, channels)
        result += one_less.sum(axis=1)[:, None]
        return result
