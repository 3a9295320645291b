r"""Channel order: which channels share a tile or a block, chosen to keep most.

The retention program (see `problem`) with one more variable, a permutation $\pi$ of the
channels: the PE map applies to the weights in the order $\pi$,

$$\max_{\pi,\,x,\,k} \sum_i s_i x_i \quad\text{s.t.}\quad
  \sum_{i:\ \pi(i) \in (g,p)} x_i = k_g \;\; \forall g, p, \quad
  \sum_g P_g k_g \le K, \quad \ell_g \le k_g \le u_g, \quad x_i \in \{0, 1\}.$$

In words: choose the order of the channels, the loads and the kept weights together.
What is permuted depends on the map:

* ``output_channel`` and ``grid``: output channels into lock-step tiles. Which PE of the
  tile takes a channel changes nothing. See `tile_search`.
* ``input_channel`` and n:m: input channels into blocks, the same for all output
  channels. See `block_stages` and `block_search`.
* Maps of one's own: whichever of the two `balancer.maps.exchange` finds, of output or
  input channels. Blocks may lie in several groups, and keep as many as these.

In all other maps (``interleaved``, ``banked``, labels in which no channel can take the
place of another) the order is fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError, SolverUnavailableError
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule
from balancer.metrics import top_k, top_k_sum
from balancer.order.block_search import BlockSearch
from balancer.order.block_stages import BlockStages
from balancer.order.blocks import Blocks
from balancer.order.clock import Interrupted, SearchClock
from balancer.order.sorting import (
    block_of_position,
    channel_nonzeros,
    sorted_schedule,
)
from balancer.order.tile_program import TileProgram
from balancer.order.tile_search import TileSearch
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.problem import RetentionProblem
from balancer.program.ranking import top_per_cell
from balancer.program.rounding import is_reached
from balancer.program.slice_program import SliceAllocator, SliceProgram
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination

ORDER_SOLVER = "assignment"
# Weights that are ranked between two looks at the clock.
BOUND_ENTRIES = 2**22


def unstructured_bound(problem: RetentionProblem) -> float:
    """Total score that no mask exceeds, in whatever order."""
    return top_k_sum(problem.allowed_scores(), problem.budget)


def start_schedule(problem: RetentionProblem) -> Schedule:
    """Order the channels by what unstructured pruning to the budget leaves of them."""
    return sorted_schedule(problem.pe_map, _unstructured_nonzeros(problem))


def _unstructured_nonzeros(problem: RetentionProblem) -> IntArray:
    scores: AnyArray = problem.scores
    if problem.previous_mask is not None:
        scores = np.where(problem.previous_mask, scores, 0)
    least = top_k(scores, problem.budget).min(initial=np.inf)
    kept = (scores >= least) & (scores > 0)
    return channel_nonzeros(kept, problem.pe_map)


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
    reason = search.why_not()
    if reason is not None:
        raise SolverUnavailableError(reason)
    if problem.pe_map.n_cells == 0:
        return _nothing(problem)
    if problem.pe_map.order_kind == "tiles":
        return _optimize_tiles(problem, search)
    return _optimize_blocks(problem, search)


def _check(problem: RetentionProblem) -> None:
    """Refuse constraints whose masks the search might leave."""
    refused = {
        "forced": problem.forced is not None,
        "channel_floor": not problem.floors_in_any_order,
        "previous_mask": problem.previous_mask is not None
        and problem.pe_map.order_kind == "blocks",
    }
    for name in (name for name, present in refused.items() if present):
        raise BalancerError(
            f"this `{name}` cannot be held in an optimized order of the map "
            f"{problem.pe_map.name!r}; take the order 'sorted' or 'fixed'"
        )


def _nothing(problem: RetentionProblem) -> Answer:
    """Answer a layer without weights."""
    mask = np.zeros(problem.pe_map.shape, dtype=bool)
    return Answer(mask, 0.0, Termination.PROVED)


def _optimize_tiles(problem: RetentionProblem, search: Search) -> Answer:
    clock, pe_map = SearchClock(search), problem.pe_map
    nonzeros = _unstructured_nonzeros(problem)
    parts = pe_map.n_cells // pe_map.channels
    program = TileProgram.of(problem, -(-int(nonzeros.max()) // parts))
    tiles = TileSearch(program, clock)
    tiles.begin(sorted_schedule(pe_map, nonzeros).order.astype(np.int64))
    tiles.begin(np.arange(pe_map.channels))
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
        pe_map.schedule(program.order_of(tiles.best.tile)),
    )


def _optimize_blocks(problem: RetentionProblem, search: Search) -> Answer:
    clock = SearchClock(search)
    best = _InOrder.natural(problem)
    if problem.pe_map.fixed_load is None and not clock.interrupted:
        other = _InOrder.of(problem, start_schedule(problem))
        best = max(other, best, key=lambda found: found.kept)
    bound = max(_block_bound(problem, clock), best.kept)
    try:
        for better in _better_orders(problem, best, bound, clock):
            best = better
            clock.report(best.kept, bound)
    except KeyboardInterrupt:
        search.cancellation.cancel()
    mask = best.schedule.invert(best.mask(problem))
    return Answer(mask, bound, clock.ending(best.kept, bound), best.schedule)


def _better_orders(
    problem: RetentionProblem, best: _InOrder, bound: float, clock: SearchClock
) -> Iterator[_InOrder]:
    """Search for orders of the input channels, each of which keeps more than the last.

    Loads are chosen anew after a descent and after each cycle of annealing. What a
    limit cuts short keeps the loads that it was searched for: only of these a longer
    search never keeps less.
    """
    pe_map = problem.pe_map
    per_channel = _rows_of_channels(problem)
    block = block_of_position(pe_map)
    place = np.argsort(block, kind="stable")  # positions, block by block
    cycle, more = 0, True
    while more and not (clock.interrupted or clock.near_enough(best.kept, bound)):
        loads = best.loads
        blocks = Blocks(
            per_channel,
            block[place],
            best.schedule.order[place].astype(np.int64),
            _loads_of_rows(pe_map, loads, per_channel.shape[1]),
            clock,
        )
        exchanges = BlockSearch(blocks, clock)
        with _cancelled_by_ctrl_c(clock):
            if pe_map.fixed_load is not None:
                _begin(blocks, problem, place)
            BlockStages(blocks, clock).run(bound)
            if not clock.near_enough(blocks.best, bound):
                exchanges.descend()
        while True:
            schedule = pe_map.schedule(blocks.order[np.argsort(place)])
            if clock.interrupted or pe_map.fixed_load is not None:
                found = _InOrder(schedule, loads, blocks.best)
            else:
                found = _InOrder.of(problem, schedule)
            if not is_reached(best.kept, found.kept):
                best = found
                yield best
            if not (more and np.array_equal(best.loads, loads)):
                break
            with _cancelled_by_ctrl_c(clock):
                more = exchanges.anneal(cycle, bound)
            cycle += 1


def _begin(blocks: Blocks, problem: RetentionProblem, place: IntArray) -> None:
    """Find out what the natural order keeps, and take the sorted one if it is more."""
    try:
        blocks.read()
        if blocks.matter:
            blocks.offer(start_schedule(problem).order[place].astype(np.int64))
    except Interrupted:
        return


def _rows_of_channels(problem: RetentionProblem) -> AnyArray:
    """Lay out the scores by channel and part of it, [channels, rows, positions].

    Parts with fewer weights than others are filled up with zeros.
    """
    pe_map, exchange = problem.pe_map, problem.pe_map.exchange
    scores = problem.scores.reshape(*pe_map.shape[:2], -1)
    if exchange is None:
        per_input = np.moveaxis(scores, 1, 0)
        if pe_map.fixed_load is None:
            return per_input
        # Every kernel position is a row of its own.
        return per_input.reshape(pe_map.shape[1], -1, 1)
    of_channel = np.moveaxis(scores, exchange.axis, 0).reshape(len(exchange.block), -1)
    sizes = np.bincount(exchange.part)
    by_part = np.argsort(exchange.part, kind="stable")
    place = np.arange(len(by_part)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = np.zeros((len(of_channel), len(sizes), sizes.max()), of_channel.dtype)
    rows[:, exchange.part[by_part], place] = of_channel[:, by_part]
    return rows


def _loads_of_rows(pe_map: PEMap, loads: IntArray, rows: int) -> IntArray:
    """Take loads of all blocks' rows, [rows], or of each block's, [blocks, rows]."""
    exchange = pe_map.exchange
    return loads[:rows] if exchange is None else loads[exchange.group]


@contextmanager
def _cancelled_by_ctrl_c(clock: SearchClock) -> Iterator[None]:
    """Stop a search at Ctrl-C as at any other limit, so that its best order counts."""
    try:
        yield
    except KeyboardInterrupt:
        clock.search.cancellation.cancel()


@dataclass(frozen=True, slots=True, eq=False)
class _InOrder:
    """One order of the input channels, its loads, and what they keep.

    Where its groups are all of one size, or of fixed load, slice-greedy is optimal.
    """

    schedule: Schedule
    loads: IntArray  # [groups]
    kept: float
    slices: LayerSlices | None = None  # for the mask, where there are any

    @classmethod
    def natural(cls, problem: RetentionProblem) -> _InOrder:
        """Take the natural order; of fixed loads it is not yet known what they keep."""
        schedule = problem.pe_map.schedule()
        if problem.pe_map.fixed_load is not None:
            return cls(schedule, problem.lower, 0.0)
        return cls.of(problem, schedule)

    @classmethod
    def of(cls, problem: RetentionProblem, schedule: Schedule) -> _InOrder:
        """Find the best loads of one order."""

        def read() -> RetentionProblem:
            return problem.scheduled(schedule)

        slices = LayerSlices(read(), read=read)
        greedy = settle([slices], problem.budget).greedy
        return cls(schedule, greedy.loads, greedy.kept, slices)

    def mask(self, problem: RetentionProblem) -> BoolArray:
        """Mask of the scheduled weights."""
        scheduled, pe_map = problem.scheduled(self.schedule), problem.pe_map
        if self.slices is not None:
            return self.slices.mask(self.loads, scheduled)
        return top_per_cell(scheduled.scores, pe_map, self.loads[pe_map.cell_group])


def _block_bound(problem: RetentionProblem, clock: SearchClock) -> float:
    """Total score that no order of the input channels exceeds.

    Whatever the blocks, k weights of each of b blocks are b k weights of the row. That
    of unstructured pruning where there is no time to sort the rows.
    """
    pe_map, blocks = problem.pe_map, problem.pe_map.input_blocks
    if blocks is None:  # blocks may lie in several groups, whose loads differ
        return unstructured_bound(problem)
    rows = problem.scores.reshape(*pe_map.shape[:2], -1)
    step = max(1, BOUND_ENTRIES // max(1, rows[0].size))
    pieces = [slice(first, first + step) for first in range(0, len(rows), step)]
    if pe_map.fixed_load is not None:
        n = int(pe_map.fixed_load[0])
        number = pe_map.shape[1] - int(np.minimum(blocks, n).sum())
        edge, total = min(number, pe_map.shape[1] - 1), 0.0
        for piece in pieces:
            if clock.interrupted:
                return unstructured_bound(problem)
            best = np.partition(rows[piece], edge, axis=1)[:, number:]
            total += float(best.sum(dtype=np.float64))
        return total
    used = np.count_nonzero(blocks)
    deepest = int(problem.upper.max())
    values = np.empty((pe_map.groups, deepest))
    for piece in pieces:
        if clock.interrupted:
            return unstructured_bound(problem)
        part = rows[piece].reshape(len(rows[piece]), -1)
        best = -np.sort(-part, axis=1)[:, : deepest * used]
        best = best.reshape(len(part), deepest, used)
        values[piece] = best.sum(axis=2, dtype=np.float64)
    program = SliceProgram.of_table(
        values,
        cost=pe_map.group_sizes(),
        lower=problem.lower,
        upper=problem.upper,
        budget=problem.budget,
    )
    return SliceAllocator(program).greedy.bound
