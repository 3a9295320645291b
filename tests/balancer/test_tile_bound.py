"""The Lagrangian bound of the channel order against its formula and all splits."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from cases import search_of
from exhaustive import best_tiling
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem
from balancer.order import tile_bound as module
from balancer.order.clock import SearchClock
from balancer.order.tile_bound import TileBound, TileClass
from balancer.order.tile_program import TileProgram


@st.composite
def programs(draw):
    """A layer in tiles of one or two sizes, with bounds on the loads, and an answer."""
    channels, weights = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.random((channels, weights)) * rng.lognormal(0, 1, (channels, 1))
    if draw(st.booleans()):
        values = np.round(values)
    pe_map = PEMap.output_channel(values.shape, draw(st.integers(1, 4)))
    least = draw(st.integers(0, 1))
    budget = draw(st.integers(least * channels, values.size))
    most = draw(st.integers(max(1, least), weights))
    problem = RetentionProblem(
        values, pe_map, budget, min_load=least, max_load=most, order="optimized"
    )
    program = TileProgram.of(problem, weights)
    start = program.with_best_loads(program.tiles_of(rng.permutation(channels)))
    return problem, program, start, draw(st.integers(0, 60))


def lagrangian(program, prices):
    """L(lambda, u) from its formula, over all sets of channels."""
    channels = len(program.totals)
    total = prices.of_slice * program.budget + prices.of_channel.sum()
    for size, lower, upper in zip(
        program.sizes, program.lower, program.upper, strict=True
    ):
        total += max(
            sum(
                program.totals[c, k] - prices.of_slice * k - prices.of_channel[c]
                for c in chosen
            )
            for k in range(lower, upper + 1)
            for chosen in combinations(range(channels), size)
        )
    return total


def all_splits(program):
    """Loads of the tiles within bounds and budget."""
    ranges = (
        range(low, high + 1)
        for low, high in zip(program.lower, program.upper, strict=True)
    )
    splits = np.array(list(product(*ranges)), dtype=np.int64)
    return splits[splits @ program.sizes <= program.budget]


def best_of_split(program, loads):
    """Largest score of tilings with these loads, over all of them."""
    channels = frozenset(range(len(program.totals)))
    best = {channels: 0.0}
    for size, load in zip(program.sizes, loads, strict=True):
        after = {}
        for left, kept in best.items():
            for chosen in combinations(sorted(left), size):
                rest = left - set(chosen)
                value = kept + program.totals[list(chosen), load].sum()
                after[rest] = max(after.get(rest, -np.inf), value)
        best = after
    return best[frozenset()]


@given(programs())
def test_the_bound_is_the_formula_at_its_prices(drawn):
    """Bound, worth of each load, and both subgradients follow from the prices."""
    _, program, start, steps = drawn
    bound = TileBound(program, start)
    bound.descend(start.kept, steps, SearchClock(search_of()))
    prices = bound.best
    assert prices.of_slice >= program.floor_price
    expected = lagrangian(program, prices)
    assert prices.bound == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert bound.bound == min(prices.bound, program.bound)
    # A subgradient: at any other prices L is at least as much as along it; on average
    # over the loads it is one of what these are worth.
    best = bound._evaluate(prices.of_slice, prices.of_channel, np.inf)
    assert best.average == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert prices.average <= prices.bound
    rng = np.random.default_rng(steps)
    for found in (best, prices, prices):
        move = rng.normal(size=len(prices.of_channel))
        dearer = rng.random()
        other = replace(
            prices,
            of_slice=prices.of_slice + dearer,
            of_channel=prices.of_channel + move,
        )
        along = found.average + dearer * found.slack + move @ found.excess
        assert lagrangian(program, other) >= along - 1e-9 * (1 + abs(along))


@given(programs())
def test_no_tiling_exceeds_the_bound(drawn):
    """The bound holds for the best order there is, and descending only lowers it."""
    problem, program, start, steps = drawn
    bound = TileBound(program, start)
    before = bound.bound
    bound.descend(start.kept, steps, SearchClock(search_of()))
    assert bound.bound <= before
    if (
        not problem.min_load.any()
        and (problem.max_load >= problem.scores[0].size).all()
    ):
        sizes = tuple(program.sizes.tolist())
        truth = best_tiling(problem.scores, sizes, program.budget)
        assert bound.bound >= truth * (1 - 1e-9)


@given(programs())
def test_every_split_has_its_own_bound(drawn):
    """It is the formula's, and no tiling with these loads is worth more."""
    _, program, start, steps = drawn
    bound = TileBound(program, start)
    bound.descend(start.kept, steps, SearchClock(search_of()))
    prices, splits = bound.best, all_splits(program)[:12]
    for loads, most in zip(splits, bound.split_bound(splits), strict=True):
        lost = prices.of_slice * (program.budget - loads @ program.sizes)
        for tiles, worth in zip(bound.classes, prices.worth, strict=True):
            lost += sum(
                worth.max() - worth[loads[t] - tiles.lower] for t in tiles.tiles
            )
        assert most == pytest.approx(prices.bound - lost, rel=1e-9, abs=1e-9)
    for loads, most in zip(splits, bound.split_bound(splits), strict=True):
        assert best_of_split(program, loads) <= most + 1e-9 * (1 + abs(most))
        assert most <= bound.best.bound + 1e-9


@given(programs(), st.floats(0.2, 1.0))
def test_all_splits_that_may_be_better_are_listed(drawn, share):
    """Best bound first; what is left out is no better, or leaves room for a slice."""
    _, program, start, steps = drawn
    bound = TileBound(program, start)
    bound.descend(start.kept, steps, SearchClock(search_of()))
    kept = share * start.kept
    listed = bound.splits_above(kept)
    bounds = bound.split_bound(listed)
    assert (bounds > kept).all()
    assert (np.diff(bounds) <= 1e-12).all()

    def alike(loads):
        """Loads of interchangeable tiles in descending order."""
        loads = loads.copy()
        for tiles in TileClass.all_of(program):
            loads[tiles.tiles] = -np.sort(-loads[tiles.tiles])
        return tuple(loads.tolist())

    found = [tuple(loads.tolist()) for loads in listed]
    assert found == [alike(loads) for loads in listed]
    assert len(set(found)) == len(found)
    splits = all_splits(program)
    room = (program.budget - splits @ program.sizes)[:, None]
    full = ~((program.sizes <= room) & (splits < program.upper)).any(axis=1)
    above = bound.split_bound(splits) > kept + 1e-9 * (1 + kept)
    assert {alike(loads) for loads in splits[full & above]} <= set(found)
    within = {tuple(loads.tolist()) for loads in splits[full]}
    assert set(found) <= within


@given(programs())
def test_tiles_of_one_kind_are_one_class(drawn):
    """Classes hold all tiles, each those of equal size and bounds."""
    _, program, _, _ = drawn
    classes = TileClass.all_of(program)
    tiles = np.concatenate([one.tiles for one in classes])
    np.testing.assert_array_equal(np.sort(tiles), np.arange(len(program.sizes)))
    kinds = [(one.size, one.lower, one.upper) for one in classes]
    assert len(set(kinds)) == len(kinds)
    for one in classes:
        assert set(program.sizes[one.tiles]) == {one.size}
        assert set(program.lower[one.tiles]) == {one.lower}
        assert set(program.upper[one.tiles]) == {one.upper}


def knapsack():
    """Eight channels in tiles of three, of which the search does not see the end."""
    values = np.random.default_rng(8).random((8, 5)) ** 3
    problem = RetentionProblem(
        values, PEMap.output_channel(values.shape, 3), 17, order="optimized"
    )
    program = TileProgram.of(problem, 5)
    return program, program.with_best_loads(program.tiles_of(np.arange(8)))


def test_too_many_splits_are_not_listed(monkeypatch):
    """One more than may be held at once, and there is no list."""
    program, start = knapsack()
    bound = TileBound(program, start)
    assert bound.splits_above(0.0) is not None
    monkeypatch.setattr(module, "MOST_SPLITS", 5)
    assert bound.splits_above(0.0) is None


def test_descending_comes_near_the_best_tiling():
    """After enough steps little is left between the bound and the truth."""
    program, start = knapsack()
    bound = TileBound(program, start)
    truth = max(best_of_split(program, loads) for loads in all_splits(program))
    before = bound.best.bound - truth
    bound.descend(truth, 400, SearchClock(search_of()))
    assert 0 <= bound.best.bound - truth < 0.2 * before


def test_prices_without_a_slope_are_the_best():
    """One tile that uses the whole budget leaves nothing to descend to."""
    values = np.array([[3.0, 2.0], [2.0, 1.0]])
    pe_map = PEMap.output_channel(values.shape, 2)
    problem = RetentionProblem(values, pe_map, 4, order="optimized")
    program = TileProgram.of(problem, 2)
    bound = TileBound(program, program.with_best_loads(np.array([0, 0])))
    before = bound.best
    with np.errstate(all="raise"):
        bound.descend(0.0, 5, SearchClock(search_of()))
    assert bound.best is before


def test_descending_heeds_the_clock():
    """A gap that is small enough, or work that is used up, ends it at once."""
    program, start = knapsack()
    heard = []
    for search in (
        search_of(gap_limit=0.99, progress=heard.append),
        search_of(work_limit=0.0, progress=heard.append),
    ):
        bound = TileBound(program, start)
        before = bound.best
        bound.descend(start.kept, 50, SearchClock(search))
        assert bound.best is before
    assert heard == []
    bound = TileBound(program, start)
    bound.descend(start.kept, 50, SearchClock(search_of(progress=heard.append)))
    assert [one.bound for one in heard] == sorted(
        (o.bound for o in heard), reverse=True
    )
    assert {one.kept for one in heard} == {start.kept}
    clock = SearchClock(search_of(work_limit=1.0))
    TileBound(program, start).descend(start.kept, 50, clock)
    assert clock._entries > 0


@given(programs(), st.data())
def test_splits_that_lose_as_much_as_the_gap_are_affordable(drawn, data):
    """All within the budget whose losses add up to the gap at most, equality included.

    Of interchangeable tiles, the one with more slices comes first.
    """
    _, program, start, _ = drawn
    bound = TileBound(program, start)
    losses = [worth.max() - worth for worth in bound.best.worth]
    gap = data.draw(st.sampled_from([0.0, *np.concatenate(losses).tolist()]))

    def listed(loads):
        lost = 0.0
        for tiles, loss in zip(bound.classes, losses, strict=True):
            mine = loads[tiles.tiles]
            if (np.diff(mine) > 0).any():
                return False
            for load in mine:
                lost += loss[load - tiles.lower]
        return lost <= gap

    expected = [tuple(loads.tolist()) for loads in all_splits(program) if listed(loads)]
    found = [tuple(loads.tolist()) for loads in bound._affordable_splits(gap)]
    assert sorted(found) == sorted(expected)
