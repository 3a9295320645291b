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

from dataclasses import dataclass

import numpy as np

from balancer.errors import BalancerError, SolverUnavailableError
from balancer.maps.cell_arrays import Array, BoolArray, IntArray
from balancer.maps.pe_map import PEMap
from balancer.metrics import top_k, top_k_sum
from balancer.order.block_search import BlockSearch
from balancer.order.clock import Clock
from balancer.order.tile_program import TileProgram
from balancer.order.tile_search import TileSearch
from balancer.program.problem import RetentionProblem
from balancer.program.slice_program import SliceAllocator, SliceProgram
from balancer.solvers.greedy import GreedySolver
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination

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
    """
    descending = np.argsort(-nonzeros, kind="stable")
    if pe_map.order_axis == 0:
        return descending
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


def start_order(problem: RetentionProblem) -> IntArray:
    """Order the channels by what unstructured pruning to the budget leaves of them."""
    return sorted_order(problem.pe_map, _unstructured_nonzeros(problem))


def _unstructured_nonzeros(problem: RetentionProblem) -> IntArray:
    layer = problem.pe_map
    scores: Array = problem.scores
    if problem.previous_mask is not None:
        scores = np.where(problem.previous_mask, scores, 0)
    least = top_k(scores, problem.budget).min(initial=np.inf)
    kept = (scores >= least) & (scores > 0)
    return channel_nonzeros(kept, layer)


def optimize(problem: RetentionProblem, search: Search) -> Answer:
    """Search for the best order, loads and mask together.

    Raises
    ------
    BalancerError
        Constraints that an optimized order cannot hold, see `RetentionProblem`.
    SolverUnavailableError
        No OR-Tools, no time, or no mask in the orders the search begins with.
    """
    _check(problem)
    if search.time_limit <= 0 or search.work_limit == 0:
        raise SolverUnavailableError("a limit of 0 leaves no time to search")
    if search.cancellation.cancelled:
        raise SolverUnavailableError("cancelled before the search began")
    if problem.pe_map.cells == 0:
        return _nothing(problem)
    if problem.pe_map.order_axis == 0:
        return _optimize_tiles(problem, search)
    return _optimize_blocks(problem, search)


def _check(problem: RetentionProblem) -> None:
    """Refuse constraints whose masks the search might leave."""
    refused = {
        "forced": problem.forced is not None,
        "channel_floor": not problem.floors_in_any_order,
        "previous_mask": problem.previous_mask is not None
        and problem.pe_map.order_axis == 1,
    }
    for name in (name for name, present in refused.items() if present):
        raise BalancerError(
            f"this `{name}` cannot be held in an optimized order of the map "
            f"{problem.pe_map.name!r}; take the order 'sorted' or 'fixed'"
        )


def _nothing(problem: RetentionProblem) -> Answer:
    """Answer a layer without weights."""
    layer = problem.pe_map
    channels = layer.shape[layer.order_axis or 0]
    mask = np.zeros(layer.shape, dtype=bool)
    return Answer(mask, 0.0, Termination.PROVED, np.arange(channels))


def _optimize_tiles(problem: RetentionProblem, search: Search) -> Answer:
    clock = Clock(search)
    nonzeros = _unstructured_nonzeros(problem)
    blocks = problem.pe_map.cells // problem.pe_map.channels
    program = TileProgram.of(problem, -(-int(nonzeros.max()) // blocks))
    tiles = TileSearch(program, clock)
    tiles.begin(sorted_order(problem.pe_map, nonzeros))
    tiles.begin(np.arange(problem.pe_map.channels))
    if tiles.best is None:
        raise SolverUnavailableError("no mask in sorted or natural order")
    try:
        tiles.run()
    except KeyboardInterrupt:
        search.cancellation.cancel()
    return Answer(
        program.mask(tiles.best),
        tiles.bound,
        clock.ending(tiles.best.kept, tiles.bound),
        tiles.best.order,
    )


def _optimize_blocks(problem: RetentionProblem, search: Search) -> Answer:
    clock, layer = Clock(search), problem.pe_map
    per_input = np.moveaxis(problem.scores.reshape(*layer.shape[:2], -1), 1, 0)
    if layer.fixed_load is not None:  # every kernel position is a row of its own
        per_input = per_input.reshape(layer.shape[1], -1, 1)
    natural = np.arange(layer.shape[1])
    best = max(
        (_InOrder.of(problem, order) for order in (start_order(problem), natural)),
        key=lambda found: found.kept,
    )
    bound = max(_block_bound(problem), best.kept)
    try:
        while not (clock.interrupted or clock.near_enough(best.kept, bound)):
            loads = best.loads
            rows = loads[: per_input.shape[1]]
            blocks = BlockSearch(
                per_input, block_of_position(layer), best.order, rows, clock
            )
            blocks.descend()
            found = _InOrder.of(problem, blocks.order)
            if found.kept <= best.kept or np.array_equal(found.loads, loads):
                blocks.kick(bound)
                found = _InOrder.of(problem, blocks.order)
            if found.kept <= best.kept:
                break
            best = found
            clock.report(best.kept, bound)
            if np.array_equal(found.loads, loads):
                break
    except KeyboardInterrupt:
        search.cancellation.cancel()
    mask = layer.schedule(best.mask, np.argsort(best.order))
    return Answer(mask, bound, clock.ending(best.kept, bound), best.order)


@dataclass(frozen=True, slots=True, eq=False)
class _InOrder:
    """The best mask of one order of the input channels.

    Its groups are all of one size, or of fixed load: slice-greedy is optimal.
    """

    order: IntArray
    mask: BoolArray  # of the scheduled weights
    loads: IntArray  # [groups]
    kept: float

    @classmethod
    def of(cls, problem: RetentionProblem, order: IntArray) -> _InOrder:
        layer, scheduled = problem.pe_map, problem.scheduled(order)
        mask = GreedySolver().solve(scheduled, Search()).mask
        loads = layer.largest_of_group(layer.cell_loads(mask))
        kept = float(scheduled.scores[mask].sum(dtype=np.float64))
        return cls(order, mask, loads, kept)


def _block_bound(problem: RetentionProblem) -> float:
    """Total score that no order of the input channels exceeds.

    Whatever the blocks, k weights of each of b blocks are b k weights of the row.
    """
    layer, blocks = problem.pe_map, np.bincount(block_of_position(problem.pe_map))
    rows = problem.scores.reshape(*layer.shape[:2], -1)
    if layer.fixed_load is not None:
        n = int(layer.name.split(":")[0])
        number = layer.shape[1] - int(np.minimum(blocks, n).sum())
        best = np.partition(rows, min(number, layer.shape[1] - 1), axis=1)[:, number:]
        return float(best.sum(dtype=np.float64))
    used = np.count_nonzero(blocks)
    deepest = int(problem.upper.max())
    best = -np.sort(-rows.reshape(layer.groups, -1), axis=1)[:, : deepest * used]
    values = best.reshape(layer.groups, deepest, used).sum(axis=2, dtype=np.float64)
    position = np.arange(deepest)
    lower, upper = problem.lower[:, None], problem.upper[:, None]
    program = SliceProgram(
        values=values[(position >= lower) & (position < upper)],
        counts=problem.upper - problem.lower,
        cost=layer.group_sizes()[:, None],
        lower=problem.lower,
        complete=np.ones(layer.groups, dtype=bool),
        budget=np.array([problem.budget]),
        base=float(values[position < lower].sum()),
    )
    return SliceAllocator(program).greedy.bound
