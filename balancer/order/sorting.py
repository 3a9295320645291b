"""Channels in the order of their non-zeros: a start, a baseline, and a fallback."""

from __future__ import annotations

import numpy as np

from balancer.array_types import BoolArray, IntArray
from balancer.errors import BalancerError
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule


def sorted_schedule(pe_map: PEMap, nonzeros: IntArray) -> Schedule:
    """Order channels by their non-zeros.

    Output channels are cut into tiles of their like: for a mask that stays as it is,
    this minimizes the sum of the tiles' largest loads. Channels that share PEs are
    dealt to the blocks in turn, back and forth, so that every block gets its share.

    Parameters
    ----------
    pe_map : PEMap
        A map whose channels can be permuted.
    nonzeros : ndarray of int [channels]
        Non-zeros of each channel along the map's `order_axis`.

    Returns
    -------
    Schedule
        Equal channels stay in their order.
    """
    descending = np.argsort(-nonzeros, kind="stable")
    exchange = pe_map.exchange
    if exchange is None and pe_map.order_axis == 0:
        return pe_map.schedule(descending)
    block = block_of_position(pe_map)
    # Deal k gives one channel to every block that still has room, every other deal in
    # reverse; blocks that no group connects are filled one set after another.
    by_block = np.argsort(block, kind="stable")
    sizes = np.bincount(block)
    deal = np.empty_like(block)
    deal[by_block] = np.arange(len(block)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.where(deal % 2 == 0, block, -block)
    of_set = np.zeros_like(block) if exchange is None else exchange.components()[block]
    order = np.empty_like(descending)
    order[np.lexsort((turn, deal, of_set))] = descending
    return pe_map.schedule(order)


def block_of_position(pe_map: PEMap) -> IntArray:
    """Block of each schedule position, [channels], for maps with blocks of channels."""
    if pe_map.exchange is not None:
        return pe_map.exchange.block
    assert pe_map.input_blocks is not None  # the caller asks for no other maps
    return np.repeat(np.arange(len(pe_map.input_blocks)), pe_map.input_blocks)


def channel_nonzeros(mask: BoolArray, pe_map: PEMap) -> IntArray:
    """Count the non-zeros of each channel that the map permutes, [channels].

    Raises
    ------
    BalancerError
        A map whose channels cannot be permuted.
    """
    if pe_map.order_axis is None:
        raise BalancerError(f"the map {pe_map.name!r} does not permute channels")
    others = tuple(axis for axis in range(mask.ndim) if axis != pe_map.order_axis)
    counts: IntArray = np.count_nonzero(mask, axis=others)
    return counts
