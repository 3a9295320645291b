r"""Cycle canceling in many small square blocks at once: exact, and anytime.

A block keeps n weights in every row and column. Moving one weight of row i from column
j to column l changes the score by $s_{il} - s_{ij}$; a cycle of such moves leaves all
loads as they are, and a mask is optimal if no cycle gains anything (Klein 1967,
10.1287/mnsc.14.3.205). The best move between two columns over all rows makes a graph of
m nodes; Bellman-Ford finds in it either a cycle that gains, which is taken, or
potentials, which prove that there is none. NumPy does each step for all blocks.

Any potentials v of the columns and u of the rows bound the score:

$$\sum_{ij} s_{ij} x_{ij} \le n \sum_i u_i + n \sum_j v_j + \sum_{ij} \max(0, s_{ij} -
  u_i - v_j).$$
"""

from __future__ import annotations

import time

import numpy as np

from balancer.array_types import BoolArray, FloatArray, IntArray

# Gains below this part of a block's largest score are rounding errors.
TOLERANCE = 1e-13
# Times that the potentials of rows and columns are adapted to each other.
SWEEPS = 4


def greedy_masks(scores: FloatArray, n: int) -> BoolArray:
    """Take the best weights whose row and column have room, then mend what is short.

    Parameters
    ----------
    scores : ndarray of float64 [blocks, m, m]
        Scores.
    n : int
        Weights to keep in every row and column.

    Returns
    -------
    ndarray of bool [blocks, m, m]
        With exactly `n` in every row and column.
    """
    count, m, _ = scores.shape
    order = np.argsort(-scores.reshape(count, m * m), axis=1, kind="stable")
    block = np.arange(count)
    mask = np.zeros(scores.shape, dtype=bool)
    row_room = np.full((count, m), n)
    column_room = np.full((count, m), n)
    for place in order.T:
        row, column = np.divmod(place, m)
        fits = (row_room[block, row] > 0) & (column_room[block, column] > 0)
        mask[block, row, column] = fits
        row_room[block, row] -= fits
        column_room[block, column] -= fits
    while (short := np.flatnonzero(row_room.any(axis=1))).size:
        row = row_room[short].argmax(axis=1)
        column = column_room[short].argmax(axis=1)
        _mend(scores, mask, short, row, column)
        row_room[short, row] -= 1
        column_room[short, column] -= 1
    return mask


def _mend(
    scores: FloatArray,
    mask: BoolArray,
    block: IntArray,
    row: IntArray,
    column: IntArray,
) -> None:
    """Add one weight to a row and a column, of each block, that are one short.

    Their own weight is kept already. So weight (row, l) comes, (k, l) goes and
    (k, column) comes, for the best k and l; every l outside the row is full, so there
    is such a k.
    """
    come_row = np.where(mask[block, row], -np.inf, scores[block, row])
    come_column = np.where(mask[block, :, column], -np.inf, scores[block, :, column])
    go = np.where(mask[block], -scores[block], -np.inf)
    gain = go + come_row[:, None, :] + come_column[:, :, None]
    m = mask.shape[1]
    k, l = np.divmod(gain.reshape(len(block), -1).argmax(axis=1), m)  # noqa: E741
    mask[block, row, l] = True
    mask[block, k, l] = False
    mask[block, k, column] = True


def cancel_cycles(
    scores: FloatArray, mask: BoolArray, deadline: float
) -> tuple[FloatArray, bool]:
    """Improve masks, in place, until no cycle gains or the time is over.

    Parameters
    ----------
    scores : ndarray of float64 [blocks, m, m]
        Scores.
    mask : ndarray of bool [blocks, m, m]
        Equally many in every row and column; changed.
    deadline : float
        Reading of `time.perf_counter` after which no further round begins.

    Returns
    -------
    potentials : ndarray of float64 [blocks, m]
        Of the columns, for `dual_bound`.
    done : bool
        Whether all masks are optimal, up to rounding.
    """
    potentials = np.zeros(scores.shape[:2])
    active = np.arange(len(scores))
    tolerance = TOLERANCE * scores.max(axis=(1, 2), initial=0.0)
    while active.size:
        loss, row = _moves(scores[active], mask[active])
        distance, parent, improved = _bellman_ford(loss, tolerance[active])
        potentials[active] = -distance
        column = _back_to_cycle(parent, improved.argmax(axis=1))
        # A column that is its own parent is where a path begins: what was improved
        # there lies within the tolerance.
        root = parent[np.arange(len(active)), column] == column
        gains = improved.any(axis=1) & ~root
        if gains.any() and time.perf_counter() >= deadline:
            return potentials, False
        active = active[gains]
        _take_cycles(mask, active, row[gains], parent[gains], column[gains])
    return potentials, True


def _moves(scores: FloatArray, mask: BoolArray) -> tuple[FloatArray, IntArray]:
    """Score lost by the best move from column j to column l, and its row.

    Returns arrays [blocks, m, m]; infinity where no row has such a move.
    """
    kept = np.where(mask, scores, np.inf)
    pruned = np.where(mask, np.inf, -scores)
    loss = kept[:, 0, :, None] + pruned[:, 0, None, :]
    row = np.zeros(loss.shape, dtype=np.int64)
    for i in range(1, scores.shape[1]):
        other = kept[:, i, :, None] + pruned[:, i, None, :]
        better = other < loss
        np.copyto(loss, other, where=better)
        np.copyto(row, i, where=better)
    return loss, row


def _bellman_ford(
    loss: FloatArray, tolerance: FloatArray
) -> tuple[FloatArray, IntArray, BoolArray]:
    """Shortest distances to every column from anywhere, and how they came about.

    Returns
    -------
    distance, parent : ndarray [blocks, m]
    improved : ndarray of bool [blocks, m]
        What the m-th round still shortened: there a cycle leads to this column.
    """
    count, m, _ = loss.shape
    distance = np.zeros((count, m))
    parent = np.tile(np.arange(m), (count, 1))
    improved = np.ones((count, m), dtype=bool)
    for _ in range(m):
        through = distance[:, :, None] + loss
        nearest = through.argmin(axis=1)
        shortest = np.take_along_axis(through, nearest[:, None], axis=1)[:, 0]
        improved = shortest < distance - tolerance[:, None]
        if not improved.any():
            break
        distance = np.where(improved, shortest, distance)
        parent = np.where(improved, nearest, parent)
    return distance, parent, improved


def _back_to_cycle(parent: IntArray, column: IntArray) -> IntArray:
    """Follow the path to a column of each block back until surely on its cycle."""
    each = np.arange(len(parent))
    for _ in range(parent.shape[1]):
        column = parent[each, column]
    return column


def _take_cycles(
    mask: BoolArray, block: IntArray, row: IntArray, parent: IntArray, first: IntArray
) -> None:
    """Make the moves of the cycle through column `first` of each block."""
    each = np.arange(len(block))
    column = first
    going = np.ones(len(block), dtype=bool)
    while going.any():
        before = parent[each, column]
        moved = row[each, before, column][going]
        mask[block[going], moved, before[going]] = False
        mask[block[going], moved, column[going]] = True
        column = np.where(going, before, column)
        going &= column != first


def dual_bound(scores: FloatArray, n: int, potentials: FloatArray) -> FloatArray:
    """Score that no mask with `n` in every row and column exceeds, [blocks].

    Parameters
    ----------
    scores : ndarray of float64 [blocks, m, m]
        Scores, not negative.
    n : int
        Weights to keep in every row and column.
    potentials : ndarray of float64 [blocks, m]
        Of the columns; any are valid, those of an optimal mask make the bound exact.
    """
    bound = np.full(len(scores), np.inf)
    of_column = potentials
    for _ in range(SWEEPS):
        of_row = _thresholds(scores - of_column[:, None, :], n, axis=2)
        left = scores - of_column[:, None, :] - of_row[:, :, None]
        total = n * (of_row.sum(axis=1) + of_column.sum(axis=1))
        total += np.maximum(0.0, left).sum(axis=(1, 2))
        bound = np.minimum(bound, total)
        of_column = _thresholds(scores - of_row[:, :, None], n, axis=1)
    not_less: FloatArray = np.maximum(bound, 0.0)  # which rounding may fall below
    return not_less


def _thresholds(values: FloatArray, n: int, axis: int) -> FloatArray:
    """Best potential of each row or column: between its n-th and next largest value."""
    m = values.shape[axis]
    ordered = np.partition(values, [m - n, max(0, m - n - 1)], axis=axis)
    nth: FloatArray = np.take(ordered, m - n, axis=axis)
    if n == m:
        return nth
    after: FloatArray = np.take(ordered, m - n - 1, axis=axis)
    between: FloatArray = (nth + after) / 2
    return between
