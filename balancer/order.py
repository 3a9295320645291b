r"""Channel order: which channels share a tile or a block, chosen to keep most.

The retention program (see `problem`) with one more variable, a permutation $\pi$ of the
channels: the PE map applies to the weights in the order $\pi$,

$$\max_{\pi,\,x,\,k} \sum_i s_i x_i \quad\text{s.t.}\quad
  \sum_{i:\ \pi(i) \in (g,p)} x_i = k_g \;\; \forall g, p, \quad
  \sum_g P_g k_g \le K, \quad \ell_g \le k_g \le u_g, \quad x_i \in \{0, 1\}.$$

In words: choose the order of the channels, the loads and the kept weights together.
What is permuted depends on the map:

* ``output_channel`` and ``grid``: output channels into lock-step tiles. Which PE of the
  tile takes a channel changes nothing. See `order_tiles`.
* ``input_channel`` and n:m: input channels into blocks, the same for all output
  channels. See `order_blocks`.

In all other maps (``interleaved``, ``banked``, labels) the order is fixed.
"""

from __future__ import annotations

import numpy as np

from balancer.blocks import Array, BoolArray, IntArray
from balancer.clock import Clock
from balancer.errors import BalancerError, InfeasibleError, SolverUnavailableError
from balancer.metrics import top_k, top_k_sum
from balancer.order_tiles import TileSearch
from balancer.pe_map import PEMap
from balancer.problem import RetentionProblem
from balancer.search import Search
from balancer.solution import Answer
from balancer.tile_program import TileProgram


ORDER_SOLVER = "assignment"


def unstructured_bound(problem: RetentionProblem) -> float:
    """Total score that no mask exceeds, in whatever order."""
    return top_k_sum(problem.allowed_scores(), problem.budget)


def sorted_order(pe_map: PEMap, nonzeros: IntArray) -> IntArray:
    """Order channels by their non-zeros.

    Output channels are cut into tiles of their like: for a mask that stays as it is,
    this minimizes the sum of the tiles' largest loads. Input channels are dealt to the
    blocks in turn, back and forth, so that every block gets its share.

    Parameters
    ----------
    pe_map : PEMap
        A map whose channels can be permuted.
    nonzeros : ndarray of int [channels]
        Non-zeros of each channel along the map's `order_axis`.

    Returns
    -------
    ndarray of int64 [channels]
        Schedule position -> channel; equal channels stay in their order.

    Raises
    ------
    BalancerError
        A map whose channels cannot be permuted.
    """
    descending = np.argsort(-nonzeros, kind="stable")
    if pe_map.order_axis == 0:
        return descending
    if pe_map.order_axis is None:
        raise BalancerError(f"the map {pe_map.name!r} does not permute channels")
    block = block_of_position(pe_map)
    sizes = np.bincount(block)
    # Deal k gives one channel to every block that still has room, every other deal in
    # reverse.
    deal = np.arange(len(block)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.where(deal % 2 == 0, block, -block)
    order = np.empty_like(descending)
    order[np.lexsort((turn, deal))] = descending
    return order


def block_of_position(pe_map: PEMap) -> IntArray:
    """Block of each schedule position, [input channels], for maps of input blocks."""
    inputs = pe_map.shape[1]
    if pe_map.fixed_load is not None:
        m = int(pe_map.name.split(":")[1])
        return np.arange(inputs) // m
    size, longer = divmod(inputs, pe_map.pes)
    sizes = np.full(pe_map.pes, size)
    sizes[:longer] += 1
    return np.repeat(np.arange(pe_map.pes), sizes)


def channel_nonzeros(mask: BoolArray, axis: int) -> IntArray:
    """Count the non-zeros of each channel along an axis of the weights."""
    others = tuple(a for a in range(mask.ndim) if a != axis)
    return np.count_nonzero(mask, axis=others)


def start_order(problem: RetentionProblem) -> IntArray:
    """Order the channels by what unstructured pruning to the budget leaves of them."""
    layer = problem.pe_map
    assert layer.order_axis is not None
    scores: Array = problem.scores
    if problem.previous_mask is not None:
        scores = np.where(problem.previous_mask, scores, 0)
    least = top_k(scores, problem.budget).min(initial=np.inf)
    kept = (scores >= least) & (scores > 0)
    return sorted_order(layer, channel_nonzeros(kept, layer.order_axis))


def optimize(problem: RetentionProblem, search: Search) -> Answer:
    """Search for the best order, loads and mask together.

    Raises
    ------
    BalancerError
        Constraints that an optimized order cannot hold: forced weights, and floors that
        differ from channel to channel.
    SolverUnavailableError
        No OR-Tools, no time, or no mask in the orders the search begins with.
    """
    _check(problem)
    if search.time_limit <= 0 or search.work_limit == 0:
        raise SolverUnavailableError("a limit of 0 leaves no time to search")
    if search.cancellation.cancelled:
        raise SolverUnavailableError("cancelled before the search began")
    return _optimize_tiles(problem, search)


def _check(problem: RetentionProblem) -> None:
    for name in ("forced", "channel_floor"):
        value = getattr(problem, name)
        if value is not None and value.any():
            raise BalancerError(
                f"`{name}` cannot be held in an optimized order; take 'sorted' or "
                "'fixed'"
            )


def _optimize_tiles(problem: RetentionProblem, search: Search) -> Answer:
    clock = Clock(search)
    program = TileProgram.of(problem)
    tiles = TileSearch(program, clock)
    tiles.begin(start_order(problem))
    tiles.begin(np.arange(problem.pe_map.channels))
    if tiles.best is None:
        raise SolverUnavailableError("no mask in sorted or natural order")
    try:
        tiles.run()
    except KeyboardInterrupt:
        search.cancellation.cancel()
    return Answer(
        program.mask(tiles.best), tiles.bound, tiles.ending(), tiles.best.order
    )
