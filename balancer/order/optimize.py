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
  channels. See `block_search`.

In all other maps (``interleaved``, ``banked``, labels) the order is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError, SolverUnavailableError
from balancer.maps.schedule import Schedule
from balancer.metrics import top_k, top_k_sum
from balancer.order.block_search import BlockSearch
from balancer.order.clock import SearchClock
from balancer.order.sorting import (
    block_of_position,
    channel_nonzeros,
    sorted_schedule,
)
from balancer.order.tile_program import TileProgram
from balancer.order.tile_search import TileSearch
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import total_score
from balancer.program.slice_program import SliceAllocator, SliceProgram
from balancer.solvers.greedy import GreedySolver
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination

ORDER_SOLVER = "assignment"


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
        pe_map.schedule(tiles.best.order),
    )


def _optimize_blocks(problem: RetentionProblem, search: Search) -> Answer:
    clock, pe_map = SearchClock(search), problem.pe_map
    per_input = np.moveaxis(problem.scores.reshape(*pe_map.shape[:2], -1), 1, 0)
    if pe_map.fixed_load is not None:  # every kernel position is a row of its own
        per_input = per_input.reshape(pe_map.shape[1], -1, 1)
    best = max(
        (
            _InOrder.of(problem, schedule)
            for schedule in (start_schedule(problem), pe_map.schedule())
        ),
        key=lambda found: found.kept,
    )
    bound = max(_block_bound(problem), best.kept)
    try:
        while not (clock.interrupted or clock.near_enough(best.kept, bound)):
            loads = best.loads
            search_of_blocks = BlockSearch(
                per_input,
                block_of_position(pe_map),
                best.schedule.order.astype(np.int64),
                loads[: per_input.shape[1]],
                clock,
            )
            search_of_blocks.descend()
            found = _InOrder.of(problem, pe_map.schedule(search_of_blocks.order))
            if found.kept <= best.kept or np.array_equal(found.loads, loads):
                search_of_blocks.kick(bound)
                found = _InOrder.of(problem, pe_map.schedule(search_of_blocks.order))
            if found.kept <= best.kept:
                break
            best = found
            clock.report(best.kept, bound)
            if np.array_equal(found.loads, loads):
                break
    except KeyboardInterrupt:
        search.cancellation.cancel()
    mask = best.schedule.invert(best.mask)
    return Answer(mask, bound, clock.ending(best.kept, bound), best.schedule)


@dataclass(frozen=True, slots=True, eq=False)
class _InOrder:
    """The best mask of one order of the input channels.

    Its groups are all of one size, or of fixed load: slice-greedy is optimal.
    """

    schedule: Schedule
    mask: BoolArray  # of the scheduled weights
    loads: IntArray  # [groups]
    kept: float

    @classmethod
    def of(cls, problem: RetentionProblem, schedule: Schedule) -> _InOrder:
        pe_map, scheduled = problem.pe_map, problem.scheduled(schedule)
        mask = GreedySolver().solve(scheduled, Search()).mask
        loads = pe_map.largest_of_group(pe_map.cell_loads(mask))
        return cls(schedule, mask, loads, total_score(scheduled.scores, mask))


def _block_bound(problem: RetentionProblem) -> float:
    """Total score that no order of the input channels exceeds.

    Whatever the blocks, k weights of each of b blocks are b k weights of the row.
    """
    pe_map, blocks = problem.pe_map, problem.pe_map.input_blocks
    assert blocks is not None  # only such maps come here
    rows = problem.scores.reshape(*pe_map.shape[:2], -1)
    if pe_map.fixed_load is not None:
        n = int(pe_map.fixed_load[0])
        number = pe_map.shape[1] - int(np.minimum(blocks, n).sum())
        best = np.partition(rows, min(number, pe_map.shape[1] - 1), axis=1)[:, number:]
        return float(best.sum(dtype=np.float64))
    used = np.count_nonzero(blocks)
    deepest = int(problem.upper.max())
    best = -np.sort(-rows.reshape(pe_map.groups, -1), axis=1)[:, : deepest * used]
    values = best.reshape(pe_map.groups, deepest, used).sum(axis=2, dtype=np.float64)
    program = SliceProgram.of_table(
        values,
        cost=pe_map.group_sizes(),
        lower=problem.lower,
        upper=problem.upper,
        budget=problem.budget,
    )
    return SliceAllocator(program).greedy.bound
