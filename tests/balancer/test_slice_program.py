"""The slice program: greedy answer, bound and core against all loads there are."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.program.slice_program import (
    SliceAllocator,
    SliceProgram,
    _open_range,
)


@st.composite
def programs(draw, most_budgets=2):
    """Programs of a few groups, whole values with ties or any, all slices known."""
    groups = draw(st.integers(0, 4))
    budgets = draw(st.integers(1, most_budgets))
    value = draw(st.sampled_from([st.integers(0, 5), st.floats(0, 8, width=32)]))
    counts = [draw(st.integers(0, 4)) for _ in range(groups)]
    values = [sorted(draw(fixed(value, n)), reverse=True) for n in counts]
    costs = [draw(fixed(st.integers(1, 4), budgets)) for _ in range(groups)]
    cost = np.array(costs, dtype=np.int64).reshape(groups, budgets)
    lower = np.array(draw(fixed(st.integers(0, 2), groups)), dtype=np.int64)
    free = np.array(draw(fixed(st.integers(0, 20), budgets)), dtype=np.int64)
    return SliceProgram(
        values=np.array([v for mine in values for v in mine], dtype=np.float64),
        counts=np.array(counts, dtype=np.int64),
        cost=cost,
        lower=lower,
        complete=np.ones(groups, dtype=bool),
        budget=lower @ cost + free,
        base=float(draw(st.integers(0, 3))),
    )


def fixed(elements, size):
    return st.lists(elements, min_size=size, max_size=size)


def every_answer(program):
    """Loads and score of all answers within the budgets."""
    ends = np.cumsum(program.counts)
    chains = np.split(program.values, ends[:-1]) if len(ends) else []
    for taken in product(*(range(n + 1) for n in program.counts.tolist())):
        loads = program.lower + np.array(taken, dtype=np.int64)
        if (loads @ program.cost <= program.budget).all():
            kept = sum(c[:k].sum() for c, k in zip(chains, taken, strict=True))
            yield loads, program.base + float(kept)


@given(programs())
def test_greedy_is_within_the_budgets_and_the_optimum_within_the_bound(program):
    """Greedy's score is that of its loads; optimum <= bound; nothing else fits."""
    allocator = SliceAllocator(program)
    greedy = allocator.greedy
    every = list(every_answer(program))
    best = max(kept for _, kept in every)
    scores = {tuple(loads.tolist()): kept for loads, kept in every}
    assert greedy.kept == pytest.approx(scores[tuple(greedy.loads.tolist())])
    assert greedy.bound >= best - 1e-9
    assert not greedy.exhausted.any()
    room = program.budget - greedy.loads @ program.cost
    more = greedy.loads - program.lower < program.counts
    assert not (more & (program.cost <= room).all(axis=1)).any()
    assert allocator.nonzeros(greedy) == greedy.loads @ program.cost[:, 0]


@given(programs(most_budgets=1))
def test_the_bound_of_one_budget_is_that_of_the_relaxation(program):
    """Slices by value per cost, the last one in part, and no more."""
    cost = np.repeat(program.cost[:, 0], program.counts)
    allocator = SliceAllocator(program)
    free = allocator.free_budget[0]
    given_free = program.budget[0] - program.lower @ program.cost[:, 0]
    divisor = np.gcd.reduce(program.cost[program.counts > 0, 0], initial=0)
    assert free == given_free - given_free % max(1, divisor)
    bound, left = program.base, float(free)
    for place in np.argsort(-program.values / cost, kind="stable"):
        part = min(1.0, left / cost[place])
        bound += part * program.values[place]
        left -= part * cost[place]
    assert allocator.greedy.bound == pytest.approx(bound)


@given(programs())
def test_the_core_holds_an_optimum(program):
    """Between the sure and the open slices of each cost lies an answer that is best."""
    allocator = SliceAllocator(program)
    core = allocator.core()
    every = [kept for _, kept in every_answer(program)]
    best = max(every)
    if best <= allocator.greedy.kept + 1e-9:
        return  # any core will do: greedy is as good
    ways = product(*(range(c.sure, c.sure + len(c.values) + 1) for c in core))
    reached = []
    for numbers in ways:
        number = {c.cost: n for c, n in zip(core, numbers, strict=True)}
        found = allocator.take(number, fill=False)
        if (found.loads @ program.cost <= program.budget).all():
            reached.append(found.kept)
    assert max(reached) == pytest.approx(best)


@given(programs())
def test_the_core_lists_the_slices_of_each_cost_best_first(program):
    """What is open comes next after what is sure, and greedy's hint counts in it."""
    allocator = SliceAllocator(program)
    core = allocator.core()
    cost = np.repeat(program.cost, program.counts, axis=0)
    costs = [c.cost for c in core]
    assert costs == sorted(set(map(tuple, program.cost.tolist())))
    for cls in core:
        mine = -np.sort(-program.values[(cost == cls.cost).all(axis=1)])
        assert 0 <= cls.sure <= len(mine)
        np.testing.assert_array_equal(
            cls.values, mine[cls.sure : cls.sure + len(cls.values)]
        )
    taken = allocator.greedy.loads - program.lower
    for cls, hint in zip(core, allocator.hint(core), strict=True):
        mine = (program.cost == cls.cost).all(axis=1)
        assert hint + cls.sure == taken[mine].sum()


@given(programs(), st.data())
def test_slices_taken_by_number_are_the_best_of_their_cost(program, data):
    """Of each cost the best so many, and with `fill` what else fits."""
    allocator = SliceAllocator(program)
    cost = np.repeat(program.cost, program.counts, axis=0)
    number, value = {}, program.base
    for one in sorted(set(map(tuple, program.cost.tolist()))):
        mine = -np.sort(-program.values[(cost == one).all(axis=1)])
        number[one] = data.draw(st.integers(0, len(mine)))
        value += mine[: number[one]].sum()
    plain = allocator.take(number, fill=False)
    assert plain.kept == pytest.approx(value)
    assert plain.bound == allocator.greedy.bound
    if (plain.loads @ program.cost > program.budget).any():
        return
    filled = allocator.take(number)
    assert (filled.loads >= plain.loads).all()
    room = program.budget - filled.loads @ program.cost
    assert (room >= 0).all()
    more = filled.loads - program.lower < program.counts
    assert not (more & (program.cost <= room).all(axis=1)).any()


def one_budget(values, counts, sizes, budget, complete):
    return SliceProgram(
        values=np.array(values, dtype=np.float64),
        counts=np.array(counts),
        cost=np.array(sizes)[:, None],
        lower=np.zeros(len(counts), dtype=np.int64),
        complete=np.array(complete),
        budget=np.array([budget]),
        base=0.0,
    )


def test_unknown_slices_matter_while_they_may_be_worth_their_price():
    """Beyond a last known slice above the price, more must be known; below it, not."""
    # Values per non-zero 9 8 | 7 2 | 6 1, budget of four: the price is 2.
    counts, sizes = [2, 2, 2], [1, 1, 1]
    program = one_budget([9, 8, 7, 2, 6, 1], counts, sizes, 4, [False] * 3)
    np.testing.assert_array_equal(
        SliceAllocator(program).greedy.exhausted, [True, False, False]
    )
    known = one_budget([9, 8, 7, 2, 6, 1], counts, sizes, 4, [True] * 3)
    assert not SliceAllocator(known).greedy.exhausted.any()


def test_groups_of_which_nothing_is_known_are_asked_for():
    """A group without a known slice may hold anything, if there is a price at all."""
    program = one_budget([5, 4], [2, 0], [1, 1], 1, [True, False])
    np.testing.assert_array_equal(
        SliceAllocator(program).greedy.exhausted, [False, True]
    )


def test_room_that_is_left_asks_for_more_slices():
    """Where all known slices fit, groups with unknown ones are exhausted."""
    program = one_budget([5, 4, 3], [2, 1], [1, 1], 9, [True, False])
    np.testing.assert_array_equal(
        SliceAllocator(program).greedy.exhausted, [False, True]
    )


def test_within_the_gap_unknown_slices_matter_too():
    """A knapsack: what is worth its price but for less than the gap stays open."""
    # Budget 4: greedy takes the 10, and nothing else fits; the bound adds two thirds of
    # the 9, whose value per non-zero is the price, 3. So the gap is 6.
    counts, sizes = [1, 1, 1], [2, 3, 3]
    near = one_budget([10, 9, 3], counts, sizes, 4, [True, True, False])
    greedy = SliceAllocator(near).greedy
    assert (greedy.kept, greedy.bound) == (10, pytest.approx(16))
    # A slice worth 3 at a price of 9 may well belong to an answer 6 below the bound.
    np.testing.assert_array_equal(greedy.exhausted, [False, False, True])
    far = one_budget([10, 9, 2], counts, sizes, 4, [True, True, False])
    assert not SliceAllocator(far).greedy.exhausted.any()


def test_layers_join_into_one_program():
    """Groups follow each other; further budgets add a column of costs."""
    one = one_budget([5, 4], [1, 1], [2, 3], 7, [True, False])
    other = one_budget([9], [1], [4], 7, [True])
    both = SliceProgram.join([one, other], np.array([11, 6]), np.array([[1], [2], [3]]))
    np.testing.assert_array_equal(both.values, [5, 4, 9])
    np.testing.assert_array_equal(both.counts, [1, 1, 1])
    np.testing.assert_array_equal(both.cost, [[2, 1], [3, 2], [4, 3]])
    np.testing.assert_array_equal(both.complete, [True, False, True])
    np.testing.assert_array_equal(both.budget, [11, 6])
    nothing = SliceProgram.join([], np.array([3]))
    assert SliceAllocator(nothing).greedy.kept == 0.0
    assert nothing.cost.shape == (0, 1)


@given(st.lists(st.integers(-4, 4), max_size=8), st.integers(0, 9))
def test_open_are_all_numbers_whose_loss_is_within_the_gap(surplus, gap):
    """Against the loss of every number: least and greatest that may still be best."""
    falling = np.array(sorted(surplus, reverse=True), dtype=np.float64)
    most = falling[falling > 0].sum()
    open_numbers = [
        n for n in range(len(falling) + 1) if most - falling[:n].sum() <= gap
    ]
    assert _open_range(falling, gap) == (min(open_numbers), max(open_numbers))


@pytest.mark.filterwarnings("error")
def test_what_is_worth_nothing_takes_no_room_from_what_is():
    """Slices without worth and price come last, and divide nothing by zero aloud."""
    # The second budget alone is scarce. One slice of 3 leaves one of it, for the 1; the
    # first budget has room for two slices, not for those of no worth besides.
    program = SliceProgram(
        values=np.array([3.0, 3, 1, 0, 0]),
        counts=np.array([2, 1, 2]),
        cost=np.array([[1, 2], [1, 1], [1, 0]]),
        lower=np.zeros(3, dtype=np.int64),
        complete=np.ones(3, dtype=bool),
        budget=np.array([2, 3]),
        base=0.0,
    )
    greedy = SliceAllocator(program).greedy
    np.testing.assert_array_equal(greedy.loads, [1, 1, 0])
    assert (greedy.kept, greedy.bound) == (4, pytest.approx(4.5))


def test_a_table_counts_the_slices_below_the_lower_bounds_in_any_case():
    """Between its bounds a group's slices are free; those below are its base."""
    program = SliceProgram.of_table(
        np.array([[9.0, 5, 2], [8, 4, 1]]),
        cost=np.array([2, 3]),
        lower=np.array([1, 0]),
        upper=np.array([3, 2]),
        budget=7,
    )
    np.testing.assert_array_equal(program.values, [5, 2, 8, 4])
    np.testing.assert_array_equal(program.counts, [2, 2])
    assert program.base == 9
    assert program.complete.all()
    # 7 - 2 leave room for one slice of each group: the densities are 2.5, 1 and 2.67.
    greedy = SliceAllocator(program).greedy
    np.testing.assert_array_equal(greedy.loads, [2, 1])
    assert (greedy.kept, greedy.bound) == (22, 22)
