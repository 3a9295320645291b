"""A partition of the channels into blocks, and what its blocks are worth.

Row r (an output channel, or one kernel position of it in n:m maps) keeps its best
weights of every block, so a partition is worth the sum of those. "Blocks of input
channels" in ``docs/programs.md`` defines T, X and V: the best weights of a block
without channel i, those of channel j, and what i's block is worth with j in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, FloatArray, IntArray
from balancer.order.clock import SearchClock

Floats: TypeAlias = npt.NDArray[np.float32]

# Entries of one piece of work: they should stay in the processor's cache. The clock is
# looked at before each.
CHUNK_ENTRIES = 2**16

# Sets of so many weights are cheaper to compare in pairs than to sort.
FEW = 12

# Sums in single precision differ by rounding: a smaller part of what a block is worth
# is no gain, and could go back and forth.
LEAST_GAIN = 1e-6

# V is computed in single precision, which ends near 2**128, and near 2**-126 becomes
# coarse. Scores whose largest has a greater exponent than this are scaled.
COMFORTABLE_EXPONENT = 64


class Blocks:
    """The present partition, and the best one so far.

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
    members : list of ndarray of int64
        Channels of each block.
    of_channel : ndarray of int64 [channels]
        Block of each channel.
    worth : ndarray of float64 [blocks]
        What each block is worth, as far as `appraise` was asked, in the unit of
        `read`.
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
        self._given = weights
        self.members = np.split(order, np.flatnonzero(np.diff(block)) + 1)
        self.of_channel = np.empty(len(weights), dtype=np.int64)
        self.of_channel[order] = np.unique(block, return_inverse=True)[1]
        loads = np.broadcast_to(loads, (len(self.members), weights.shape[1]))
        self._used = loads.any(axis=0)
        self.loads = loads[:, self._used]
        self.worth = np.zeros(len(self.members))
        self._exponent = 0
        self._is_read = False
        self.order, self.best = order, 0.0

    @property
    def all(self) -> IntArray:
        """Numbers of the blocks."""
        return np.arange(len(self.members))

    @property
    def matter(self) -> bool:
        """Whether another partition may be worth more."""
        return bool(self.loads.size) and len(self.members) > 1

    @property
    def kept(self) -> float:
        """Total score of the present order."""
        return math.ldexp(float(self.worth.sum()), self._exponent)

    def remember(self) -> None:
        """Keep the present order if it is better than all before."""
        kept = self.kept
        if kept > self.best * (1 + LEAST_GAIN / len(self.members)):
            self.order, self.best = np.concatenate(self.members), kept

    # -------------------------------------------------------------------- evaluation

    def read(self) -> None:
        """Read the weights, and appraise all blocks, unless it is done.

        Of each channel and row as many of the best weights are read as count.

        Raises
        ------
        Interrupted
            A limit was reached.
        """
        if self._is_read or not self.loads.size:
            return
        weights, rows = self._given, self.loads.shape[1]
        channels, _, positions = weights.shape
        depth = min(positions, int(self.loads.max()))
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
        self.offer(self.order)
        self._is_read = True

    def offer(self, order: IntArray) -> None:
        """Take an order if it is worth more than the present one.

        Raises
        ------
        Interrupted
            A limit was reached; the present one stays.
        """
        ends = np.cumsum([len(channels) for channels in self.members])
        members, worth = np.split(order, ends[:-1]), np.empty_like(self.worth)
        for mine, some in alike(self.all, members):
            worth[mine] = self.appraise(mine, some)
        if worth.sum() > self.worth.sum():
            self.members, self.worth = members, worth
            self.of_channel[order] = np.repeat(self.all, np.diff(ends, prepend=0))
            self.remember()

    def appraise(self, blocks: IntArray, members: IntArray) -> FloatArray:
        """Compute what blocks with these members [blocks, size] are worth.

        In the precision of the scores.
        """
        worth = np.empty(len(blocks))
        for part in self.pieces(*members.shape):
            loads = self.loads[blocks[part]]
            best = _best(self._exact, members[part], int(loads.max()))
            total = np.zeros(len(loads))
            for number, weights in enumerate(best):
                if loads.min() <= number:
                    weights = np.where(loads > number, weights, 0)
                total += weights.sum(axis=1, dtype=np.float64)
            worth[part] = total
        return worth

    def pieces(self, number: int, size: int) -> Iterator[slice]:
        """Cut so many sets of `size` channels into pieces of work, time permitting."""
        weights = self.loads.shape[1] * size * self._weights.shape[2]
        piece = max(1, CHUNK_ENTRIES // max(1, weights))
        for first in range(0, number, piece):
            self._clock.check()
            yield slice(first, first + piece)

    def rest_sums(self, rest: IntArray, loads: IntArray) -> Floats:
        """Compute T_i(s) of channels whose blocks hold the `rest`: [s, channels, rows].

        `rest` is [channels, size of their blocks - 1], `loads` [channels, rows]. Where
        a row keeps nothing of a block, T_i(1) is so small that no X_j(1) makes up for
        it, and finite: then T_i(0), which is 0, counts.
        """
        most = int(loads.max(initial=0))
        sums = [np.zeros(loads.shape, dtype=np.float32)]  # of the best 0, 1, ...
        for weights in _best(self._weights, rest, most):
            sums.append(sums[-1] + weights)
        width = len(sums) - 1
        shape = (len(self._sums) + 1, *loads.shape)
        table = np.full(shape, -np.inf, dtype=np.float32)
        # Rows with loads below s do not keep s weights.
        if loads.min(initial=most) == most:
            for s, left in enumerate(table[: most + 1]):
                left[:] = sums[min(most - s, width)]
        else:
            stacked = np.array(sums)
            for s, left in enumerate(table):
                kept = np.clip(loads - s, 0, width)[None]
                some = np.take_along_axis(stacked, kept, axis=0)[0]
                np.copyto(left, some, where=loads >= s)
        if not loads.all():
            np.copyto(table[1], -self._sums[0].max(axis=0), where=loads == 0)
        return table

    def replacements(self, rest: Floats, channels: IntArray | None = None) -> Floats:
        """Compute rows of V from their T_i(s), for all or some channels j.

        T_i(1) is finite, and
        V_ij = sum_r T_i(1) + sum_r max_s (T_i(s) - T_i(1) + X_j(s)).
        Of the terms in the second sum that of s = 0 does not depend on j (X_j(0) = 0)
        and that of s = 1 is X_j(1): where channels have one weight in a row, V takes no
        addition of large arrays.
        """
        steps, members, rows = rest.shape
        sums = self._sums if channels is None else self._sums[:, channels]
        others = sums.shape[1]
        one_less = rest[1]
        beyond = rest - one_less
        result = np.empty((members, others), dtype=np.float32)
        ones = np.ones(rows, dtype=np.float32)
        piece = max(1, CHUNK_ENTRIES // (others * rows))
        width = others if piece > 1 else max(1, CHUNK_ENTRIES // rows)
        for first in range(0, members, piece):
            part = slice(first, min(first + piece, members))
            for left in range(0, others, width):
                self._clock.check()
                some = slice(left, min(left + width, others))
                mine = sums[:, some]
                self._clock.spend(steps * (part.stop - first) * mine[0].size)
                # [members of the part, channels of the piece, rows]
                best = np.maximum(beyond[0, part, None], mine[0])
                for s in range(2, steps):
                    np.maximum(best, beyond[s, part, None] + mine[s - 1], out=best)
                # A matrix product sums over the rows three times as fast as `sum`.
                result[part, some] = (best.reshape(-1, rows) @ ones).reshape(
                    -1, mine.shape[1]
                )
        result += one_less.sum(axis=1)[:, None]
        return result


def alike(
    numbers: IntArray, members: Sequence[IntArray]
) -> Iterator[tuple[IntArray, IntArray]]:
    """Sort blocks by size: their numbers, and members [blocks, size] of all of them.

    `members` are those of each block, in the order of `numbers`.
    """
    sizes = np.array([len(channels) for channels in members])
    for size in np.unique(sizes).tolist():
        mine = np.flatnonzero(sizes == size)
        yield numbers[mine], np.stack([members[b] for b in mine.tolist()])


def _best(weights: AnyArray, members: IntArray, most: int) -> Sequence[AnyArray]:
    """Best weights of sets of channels, best first: `most` or all, each [sets, rows].

    `members` is [sets, channels]. Sets of a few weights are compared in pairs, all sets
    and rows at once, which is twenty times as fast as to sort each of them.
    """
    mine = weights[members]
    sets, channels, rows, positions = mine.shape
    width = channels * positions
    most = min(most, width)
    if width > FEW:
        flat = np.moveaxis(mine, 1, 2).reshape(sets, rows, width)
        best = -np.sort(-flat, axis=-1)[..., :most]
        return [best[..., number] for number in range(most)]
    planes = [mine[:, c, :, p] for c in range(channels) for p in range(positions)]
    for first in range(most):
        for right in range(width - 1, first, -1):
            one, other = planes[right - 1 : right + 1]
            planes[right - 1] = np.maximum(one, other)
            if first < most - 1:
                planes[right] = np.minimum(one, other)
    return planes[:most]
