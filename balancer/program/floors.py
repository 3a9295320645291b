"""Channel floors: what they mean for the groups and cells of a PE map.

A floor asks an output channel to keep some of its weights, which may lie in any cells:

* A channel made of whole cells of one group bounds the load of that group from below.
* A channel that lies inside one cell makes its best weights a must. Nothing is lost: an
  optimal mask without one of them holds a worse one of the same channel and cell, and
  can exchange it.
* Any other channel **crosses** the cells. Its floor couples groups in a way that slices
  cannot express; only labelled maps and n:m maps have such channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import InfeasibleError
from balancer.maps.pe_map import PEMap
from balancer.program.keys import mark
from balancer.program.ranking import top_per_cell


@dataclass(frozen=True, slots=True, eq=False)
class ChannelFloors:
    """What the floors of one layer demand.

    Attributes
    ----------
    group_floor : ndarray of int64 [groups]
        Least load of each group.
    must_keep : ndarray of bool or None
        Weights that every solution may be assumed to keep, those forced among them.
    crossing : ndarray of bool [output channels]
        Channels whose floor neither of the two expresses.
    """

    group_floor: IntArray
    must_keep: BoolArray | None
    crossing: BoolArray

    @classmethod
    def of(
        cls,
        pe_map: PEMap,
        floor: IntArray,
        *,
        scores: AnyArray,
        allowed: BoolArray | None,
        forced: BoolArray | None,
    ) -> ChannelFloors:
        """Sort the channels by the way they lie in the cells.

        Raises
        ------
        InfeasibleError
            A channel has fewer weights than its floor.
        """
        group_floor = np.zeros(pe_map.groups, dtype=np.int64)
        nothing = np.zeros(pe_map.channels, dtype=bool)
        if not floor.any():
            return cls(group_floor, forced, nothing)
        _check_enough(pe_map, floor, allowed)

        channel = np.arange(pe_map.channels)
        cell = pe_map.cell_labels().reshape(pe_map.channels, -1).astype(np.int64)
        pairs, held = np.unique(
            channel[:, None] * pe_map.n_cells + cell, return_counts=True
        )
        of_channel, of_cell = np.divmod(pairs, pe_map.n_cells)
        first = np.searchsorted(of_channel, channel)  # of each channel's cells
        cells = np.bincount(of_channel)
        group = pe_map.cell_group[of_cell]
        whole = (held == pe_map.cell_sizes()[of_cell]) & (
            group == group[first][of_channel]
        )
        bounding = np.logical_and.reduceat(whole, first) & (floor > 0)
        np.maximum.at(
            group_floor, group[first[bounding]], -(-floor[bounding] // cells[bounding])
        )
        inside = (cells == 1) & ~bounding & (floor > 0)
        must_keep = forced
        if inside.any():
            keys = mark(scores, allowed, forced)
            must_keep = best_of_channels(keys, floor * inside, forced)
        return cls(group_floor, must_keep, (floor > 0) & ~bounding & ~inside)


def best_of_channels(
    keys: AnyArray, count: IntArray, forced: BoolArray | None
) -> BoolArray:
    """Mark the best of each channel and all forced weights.

    Parameters
    ----------
    keys : ndarray of float
        Ranking keys in the shape of the weights, +inf for forced weights.
    count : ndarray of int64 [output channels]
        How many of each channel, its forced weights included.
    forced : ndarray of bool or None
        In the shape of the weights.
    """
    best = top_per_cell(keys, PEMap.output_channel(keys.shape, pes=1), count)
    return best if forced is None else best | forced


def _check_enough(pe_map: PEMap, floor: IntArray, allowed: BoolArray | None) -> None:
    if allowed is None:
        fan_in = pe_map.weights // pe_map.channels
        offer = np.full(pe_map.channels, fan_in, dtype=np.int64)
    else:
        offer = allowed.reshape(pe_map.channels, -1).sum(axis=1)
    short = np.flatnonzero(offer < floor)
    if short.size:
        c = int(short[0])
        raise InfeasibleError(
            f"output channel {c} has {offer[c]} weights to keep; its `channel_floor` "
            f"is {floor[c]}"
        )
