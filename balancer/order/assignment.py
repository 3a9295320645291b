r"""Channels to tiles of given loads, optimally.

With values $F_c(k)$ of channel $c$ at load $k$ and tiles $t$ of $n_t$ channels and load
$k_t$, the best assignment is a transportation problem,

$$\max_y \sum_{c,t} F_c(k_t)\, y_{ct} \quad\text{s.t.}\quad \sum_t y_{ct} = 1,\;
  \sum_c y_{ct} = n_t,\; y \ge 0,$$

whose corners are integral. Tiles of equal load are one sink, so it has far fewer arcs
than the linear assignment problem of channels and PEs.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import FloatArray, IntArray
from balancer.solvers.min_cost_flow import min_cost_flow


def assign(
    totals: FloatArray, loads: IntArray, sizes: IntArray
) -> tuple[IntArray, float]:
    """Put every channel into a tile, so that all together are worth most.

    Parameters
    ----------
    totals : ndarray of float64 [channels, depth + 1]
        Value of each channel at each load.
    loads : ndarray of int64 [tiles]
        Load of each tile, at most the depth.
    sizes : ndarray of int64 [tiles]
        Channels of each tile; they add up to all channels.

    Returns
    -------
    tile : ndarray of int64 [channels]
        Tile of each channel.
    slack : float
        How much more another choice may be worth, as the flow counts in whole numbers.

    Raises
    ------
    SolverUnavailableError
        OR-Tools is missing or finds no assignment.
    """
    channels = len(totals)
    levels, level_of_tile = np.unique(loads, return_inverse=True)
    room = np.bincount(level_of_tile, weights=sizes).astype(np.int64)
    if len(levels) == 1:
        return np.repeat(np.arange(len(loads)), sizes), 0.0
    values = totals[:, levels]
    cost = values.max(axis=1, keepdims=True) - values
    tail = np.repeat(np.arange(channels), len(levels))
    head = channels + np.tile(np.arange(len(levels)), channels)
    supplies = np.concatenate([np.ones(channels, dtype=np.int64), -room])
    flow, error = min_cost_flow(tail, head, cost.reshape(-1), supplies)
    level = flow.reshape(channels, -1).argmax(axis=1)

    # Deal the channels of a level to its tiles, both in the order of their numbers.
    tiles = np.argsort(level_of_tile, kind="stable")
    places = np.repeat(tiles, sizes[tiles])
    tile = np.empty(channels, dtype=np.int64)
    tile[np.argsort(level, kind="stable")] = places
    return tile, 2 * channels * error
