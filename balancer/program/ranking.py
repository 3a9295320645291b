"""Ranking: which weights every PE would keep first."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.maps.cell_arrays import CellMatrix, count_rows
from balancer.maps.pe_map import PEMap

# NumPy takes longer to begin a row of so few entries than to work on them; these are
# worked on column by column. Rows of N:M patterns are such.
NARROW = 8


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """Cells of one matrix that are ranked to the same depth.

    Attributes
    ----------
    matrix : CellMatrix
        The matrix.
    first : int
        Number, in the PE map, of the matrix's first cell; the others follow it.
    rows : ndarray of int64 [rows] or None
        Rows of the matrix, ascending; None are all.
    best : ndarray of float [rows, depth]
        Their largest keys in descending order.
    """

    matrix: CellMatrix
    first: int
    rows: IntArray | None
    best: AnyArray

    @classmethod
    def of(
        cls,
        keys: AnyArray,
        matrix: CellMatrix,
        first: int,
        rows: IntArray | None,
        depth: int,
    ) -> Tier:
        """Rank some rows of a matrix to a depth, or to the bottom if that is less."""
        depth = min(depth, matrix.width)
        n_rows = matrix.n_cells if rows is None else len(rows)
        best = np.empty((n_rows, depth), keys.dtype)
        for chunk_rows, chunk in matrix.chunks():
            if rows is None:
                best[chunk_rows] = _best(chunk.read(keys), depth)
                continue
            mine = slice(*np.searchsorted(rows, (chunk_rows.start, chunk_rows.stop)))
            if mine.start < mine.stop:
                weights = chunk.read(keys)[rows[mine] - chunk_rows.start]
                best[mine] = _best(weights, depth)
        return cls(matrix, first, rows, best)

    @property
    def cells(self) -> IntArray | slice:
        """Numbers of the cells in the PE map, [rows]."""
        if self.rows is None:
            return slice(self.first, self.first + len(self.best))
        return self.first + self.rows

    @property
    def complete(self) -> bool:
        """Whether all weights of the cells are ranked."""
        return bool(self.best.shape[1] == self.matrix.width)

    def edges(self, loads: IntArray) -> AnyArray:
        """Return the least of the best `loads` keys of each row.

        NaN, which no key reaches, where there are none.
        """
        if _are_equal(loads) and loads[0]:
            return self.best[:, loads[0] - 1]
        edges = np.full(len(loads), np.nan, dtype=self.best.dtype)
        some = np.flatnonzero(loads)
        edges[some] = self.best[some, loads[some] - 1]
        return edges

    def finite_sum(self, loads: IntArray) -> float:
        """Total of the finite ones among the best `loads` keys of each cell."""
        if _are_equal(loads) and loads[0] <= NARROW:
            columns = self.best.T[: loads[0]]
            with np.errstate(invalid="ignore"):  # +inf and -inf
                total = sum(float(column.sum(dtype=np.float64)) for column in columns)
            if np.isfinite(total):
                return total
        asked = np.arange(self.best.shape[1]) < loads[:, None]
        asked &= np.isfinite(self.best)
        return float(self.best[asked].sum(dtype=np.float64))

    def marked(self, rows: BoolArray) -> IntArray:
        """Numbers, in the matrix, of the marked ones of these rows."""
        return np.flatnonzero(rows) if self.rows is None else self.rows[rows]

    def sums(self, pe_map: PEMap) -> tuple[IntArray, npt.NDArray[np.float64]]:
        """Sum the j-th best keys over the cells of each group that are here.

        Returns
        -------
        groups : ndarray of int [groups here]
            Ascending.
        sums : ndarray of float64 [groups here, depth]
        """
        cell_group = pe_map.cell_group[self.cells]
        begins = np.ones(len(cell_group), dtype=bool)
        np.not_equal(cell_group[1:], cell_group[:-1], out=begins[1:])
        first = np.flatnonzero(begins)  # cell of each group
        # A sum of +inf (must be kept) and -inf (must not be) is not a number, and not
        # asked for: upper bounds end before any cell's -inf.
        with np.errstate(invalid="ignore"):
            sums = _sum_runs(self.best, first)
        return cell_group[first].astype(np.int64), sums


class Ranking:
    """The best weights of every cell, best first, some groups deeper than others.

    Parameters
    ----------
    keys : ndarray of float
        Ranking keys in the shape of the weights; they are not kept.
    pe_map : PEMap
        The cells.
    depth : int
        How many weights of every cell to rank, where it has as many.

    Attributes
    ----------
    depth : ndarray of int64 [groups]
        How many weights of a group's cells are ranked.
    """

    def __init__(self, keys: AnyArray, pe_map: PEMap, depth: int) -> None:
        self.pe_map = pe_map
        self.depth = np.full(pe_map.groups, depth, dtype=np.int64)
        flat = keys.reshape(-1)
        self._tiers = [
            Tier.of(flat, matrix, cells.start, None, depth)
            for cells, matrix in pe_map.numbered_matrices()
        ]

    def deepen(self, keys: AnyArray, groups: BoolArray, depth: IntArray) -> None:
        """Rank the marked groups again, to a greater `depth` [groups]."""
        flat = keys.reshape(-1)
        self.depth = np.where(groups, depth, self.depth)
        tiers = []
        for tier in self._tiers:
            group = self.pe_map.cell_group[tier.cells]
            chosen = groups[group] & (not tier.complete)
            if not chosen.all():
                stay = ~chosen
                rows, best = tier.marked(stay), tier.best[stay]
                tiers.append(Tier(tier.matrix, tier.first, rows, best))
            for deeper in np.unique(depth[group[chosen]]).tolist():
                rows = tier.marked(chosen & (depth[group] == deeper))
                tiers.append(Tier.of(flat, tier.matrix, tier.first, rows, deeper))
        self._tiers = tiers

    def slice_sums(self, known: IntArray) -> npt.NDArray[np.float64]:
        """Sum the j-th best keys over the PEs of each group.

        Parameters
        ----------
        known : ndarray of int64 [groups]
            How many sums of each group, at most `depth`.

        Returns
        -------
        ndarray of float64 [sum of `known`]
            Group after group.
        """
        if len(self._tiers) == 1:
            groups, of_tier = self._tiers[0].sums(self.pe_map)
            if len(groups) == len(known) and (known == of_tier.shape[1]).all():
                return of_tier.reshape(-1)
        start = np.cumsum(known) - known
        sums = np.zeros(int(known.sum()))
        for tier in self._tiers:
            if not tier.best.size:
                continue
            groups, of_tier = tier.sums(self.pe_map)
            group, j = groups[:, None], np.arange(tier.best.shape[1])
            asked = j < known[group]
            sums[(start[group] + j)[asked]] += of_tier[asked]
        return sums

    def table(self) -> npt.NDArray[np.float64]:
        """Sum the j-th best keys over the PEs of each group, for groups that are alike.

        Returns
        -------
        ndarray of float64 [groups, depth]
            As `slice_sums`, for cells that are all ranked to the same depth.
        """
        groups = self.pe_map.groups
        table = np.zeros((groups, int(self.depth.max(initial=0))))
        for tier in self._tiers:
            parts = len(tier.best) // groups
            for part in range(parts):  # faster than to sum over an axis of few
                table += tier.best[part::parts]
        return table

    def finite_sum(self, loads: IntArray) -> float:
        """Total of the finite ones among the best ``loads[g]`` keys of each cell."""
        total = 0.0
        for tier in self._tiers:
            total += tier.finite_sum(loads[self.pe_map.cell_group[tier.cells]])
        return total

    def finite(self) -> Ranking:
        """Return the same with 0 for what must and what must not be kept."""
        other = copy(self)
        other._tiers = [
            replace(tier, best=np.where(np.isfinite(tier.best), tier.best, 0))
            for tier in self._tiers
        ]
        return other

    def mask(self, keys: AnyArray, cell_loads: IntArray) -> BoolArray:
        """Keep the best weights of every cell; of equal keys, the first.

        Parameters
        ----------
        keys : ndarray of float
            The ranked keys, in the shape of the weights.
        cell_loads : ndarray of int64 [cells]
            How many to keep, at most the depth of the cell's group.

        Returns
        -------
        ndarray of bool
            In the shape of the weights.
        """
        least = np.empty(self.pe_map.n_cells, dtype=keys.dtype)
        for tier in self._tiers:
            least[tier.cells] = tier.edges(cell_loads[tier.cells])
        flat, mask = keys.reshape(-1), np.zeros(self.pe_map.weights, dtype=bool)
        for cells, matrix in self.pe_map.numbered_matrices():
            edges, loads = least[cells], cell_loads[cells]
            for rows, chunk in matrix.chunks():
                marked = _mark_best(chunk.read(flat), edges[rows], loads[rows])
                chunk.write(mask, marked)
        return mask.reshape(self.pe_map.shape)


def top_per_cell(keys: AnyArray, pe_map: PEMap, cell_loads: IntArray) -> BoolArray:
    """Keep the `cell_loads` best keys of every cell; see `Ranking.mask`."""
    deepest = int(cell_loads.max(initial=0))
    return Ranking(keys, pe_map, deepest).mask(keys, cell_loads)


def _are_equal(loads: IntArray) -> bool:
    return bool(len(loads) and (loads == loads[0]).all())


def _best(weights: AnyArray, depth: int) -> AnyArray:
    """Return the `depth` largest entries of each row, in descending order."""
    if depth == 0:
        return weights[:, :0]
    if weights.shape[1] <= NARROW:
        return _sorted_by_columns(weights)[:, :depth]
    rest = weights.shape[1] - depth
    if rest > depth:
        weights = np.partition(weights, rest, axis=1)[:, rest:]
        rest = 0
    return np.sort(weights, axis=1)[:, rest:][:, ::-1]


def _sorted_by_columns(rows: AnyArray) -> AnyArray:
    """Sort each row in descending order, by odd-even transposition of the columns."""
    columns = rows.T.copy()
    for turn in range(len(columns)):
        for left in range(turn % 2, len(columns) - 1, 2):
            pair = columns[left], columns[left + 1]
            columns[left], columns[left + 1] = np.maximum(*pair), np.minimum(*pair)
    return columns.T


def _sum_runs(rows: AnyArray, first: IntArray) -> npt.NDArray[np.float64]:
    """Sum up runs of rows, each from its first one, in double precision."""
    if len(first) and len(rows) % len(first) == 0:
        of_run = len(rows) // len(first)
        if (first == np.arange(0, len(rows), of_run)).all():  # three times as fast
            runs = rows.reshape(len(first), of_run, -1)
            if runs.shape[2] > NARROW:
                return np.asarray(runs.sum(axis=1, dtype=np.float64))
            of_runs = np.empty((len(first), runs.shape[2]))
            for column in range(runs.shape[2]):
                of_runs[:, column] = runs[..., column].sum(axis=1, dtype=np.float64)
            return of_runs
    sums: npt.NDArray[np.float64] = np.add.reduceat(
        rows, first, axis=0, dtype=np.float64
    )
    return sums


def _mark_best(weights: AnyArray, least: AnyArray, loads: IntArray) -> BoolArray:
    """Mark what reaches `least` in each row, but only the first of equal entries."""
    marked = np.empty(weights.shape, dtype=bool)
    if weights.shape[1] <= NARROW:
        for column in range(weights.shape[1]):
            np.greater_equal(weights[:, column], least, out=marked[:, column])
    else:
        np.greater_equal(weights, least[:, None], out=marked)
    tied = count_rows(marked) > loads
    if tied.any():
        rows, edge = weights[tied], least[tied, None]
        above, equal = rows > edge, rows == edge
        room = loads[tied] - count_rows(above)
        equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= room[:, None]
        marked[tied] = above | equal
    return marked
