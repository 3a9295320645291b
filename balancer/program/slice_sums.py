"""What a ranking says of its slices, once the ranked weights are forgotten.

A slice stands for a weight of every PE of its group, so its value takes a small part of
the memory. The weights are ranked anew, from the problem, for the masks.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import AnyArray, BoolArray, FloatArray, IntArray
from balancer.maps.pe_map import PEMap
from balancer.program.ranking import Ranking, top_per_cell


class SliceSums:
    """Answers as a `Ranking` does, and keeps no weights.

    Parameters
    ----------
    keys : ndarray of float
        Ranking keys in the shape of the weights.
    pe_map : PEMap
        The cells.
    depth : int
        How many weights of every cell to rank, where it has as many.
    upper : ndarray of int64 [groups]
        Greatest load of each group; what is ranked beyond is not asked for.

    Attributes
    ----------
    depth : ndarray of int64 [groups]
        How many weights of a group's cells have been ranked.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.program.slice_sums import SliceSums
    >>> keys, pe_map = np.arange(6.0).reshape(2, 3), PEMap.output_channel((2, 3), 2)
    >>> SliceSums(keys, pe_map, 2, np.array([3])).slice_sums(np.array([2]))
    array([7., 5.])
    """

    def __init__(
        self, keys: AnyArray, pe_map: PEMap, depth: int, upper: IntArray
    ) -> None:
        self.pe_map, self._upper = pe_map, upper
        ranking = Ranking(keys, pe_map, depth)
        self.depth = ranking.depth
        self._known = np.minimum(upper, depth)
        self._sums, self._finite = _both(ranking, self._known)

    def deepen(self, keys: AnyArray, groups: BoolArray, depth: IntArray) -> None:
        """Rank the marked groups again, to a greater `depth` [groups]."""
        ranking = Ranking(keys, self.pe_map, 0)
        ranking.deepen(keys, groups, depth)
        self.depth = np.where(groups, depth, self.depth)
        deeper = np.where(groups, np.minimum(self._upper, depth), 0)
        known = np.where(groups, deeper, self._known)
        found, stays = np.repeat(groups, known), ~np.repeat(groups, self._known)
        merged = []
        for old, new in zip(
            (self._sums, self._finite), _both(ranking, deeper), strict=True
        ):
            both = np.empty(len(found))
            both[found], both[~found] = new, old[stays]
            merged.append(both)
        self._known, (self._sums, self._finite) = known, merged
        if np.isfinite(self._sums).all():
            self._finite = self._sums

    def slice_sums(self, known: IntArray) -> FloatArray:
        """Return the first sums of each group; see `Ranking.slice_sums`."""
        if np.array_equal(known, self._known):
            return self._sums
        return self._sums[self._position() < np.repeat(known, self._known)]

    def finite_sum(self, loads: IntArray) -> float:
        """Total of the finite keys in the first slices; see `Ranking.finite_sum`."""
        asked = self._position() < np.repeat(loads, self._known)
        return float(self._finite[asked].sum())

    def mask(self, keys: AnyArray, cell_loads: IntArray) -> BoolArray:
        """Keep the best weights of every cell; see `Ranking.mask`."""
        return top_per_cell(keys, self.pe_map, cell_loads)

    def _position(self) -> IntArray:
        """Count the slices that come before each known one in its group."""
        first = np.cumsum(self._known) - self._known
        position: IntArray = np.arange(len(self._sums)) - np.repeat(first, self._known)
        return position


def _both(ranking: Ranking, known: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sum slices, and their finite keys alone; one array where that is the same."""
    sums = ranking.slice_sums(known)
    if np.isfinite(sums).all():
        return sums, sums
    return sums, ranking.finite().slice_sums(known)
