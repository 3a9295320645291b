"""The search over exchanges of input channels, step by step."""

import math
from itertools import combinations

import numpy as np
import pytest
from block_cases import Watched, layers, worth
from cases import search_of
from exhaustive import partitions
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem, solve
from balancer.order import block_search, blocks, optimize
from balancer.order.block_search import BlockSearch
from balancer.order.blocks import Blocks
from balancer.order.clock import SearchClock


def started(drawn, **limits):
    """Begin a search with far more work than it needs, lest a fault make it endless."""
    weights, block, order, loads = drawn
    limits = {"work_limit": 0.1} | limits
    clock = SearchClock(search_of(**limits))
    return BlockSearch(Blocks(weights, block, order, loads, clock), clock)


def anneal(search, bound=np.inf):
    """Go through all cycles."""
    cycle = 0
    while search.anneal(cycle, bound):
        cycle += 1


def check_order(search, drawn):
    """The order is a permutation, and worth what the search says."""
    weights, block, _, loads = drawn
    np.testing.assert_array_equal(np.sort(search.blocks.order), np.arange(len(weights)))
    return worth(weights, block, search.blocks.order, loads)


@given(layers(uneven=True))
def test_no_exchange_improves_where_the_descent_ends(drawn):
    """The score is that of the order, not below the first, and a local optimum."""
    weights, block, order, loads = drawn
    search = started(drawn)
    search.descend()
    kept = check_order(search, drawn)
    assert kept >= worth(weights, block, order, loads) * (1 - 1e-5)
    if not loads.any() or block[-1] == 0:
        return
    assert search.blocks.kept == pytest.approx(kept, rel=1e-5)
    for i, j in combinations(range(len(block)), 2):
        other = search.blocks.order.copy()
        other[[i, j]] = other[[j, i]]
        assert worth(weights, block, other, loads) <= kept * (1 + 1e-4) + 1e-6


@given(layers(most=6), st.integers(0, 3))
def test_kicks_find_the_best_partition_of_few_channels(drawn, seed):
    """With work to spare it keeps what exhaustive search does, and never loses."""
    weights, block, _, loads = drawn
    search = started(drawn, work_limit=0.05, seed=seed)
    search.descend()
    before = check_order(search, drawn)
    anneal(search)
    kept = check_order(search, drawn)
    assert kept >= before * (1 - 1e-6)
    sizes = tuple(np.bincount(block).tolist())
    best = max(
        worth(weights, block, way, loads) for way in partitions(len(block), sizes)
    )
    assert kept == pytest.approx(best, rel=1e-5)


def large(seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(48, 12, 1)) ** 2
    return weights, np.arange(48) // 4, np.arange(48), np.full(12, 2)


def test_kicks_go_on_from_what_is_better():
    """On many channels kicks gain on the descent, and report each gain."""
    heard = []
    search = started(large(), work_limit=0.05, progress=heard.append)
    search.descend()
    before = search.blocks.best
    anneal(search, 1e9)
    assert check_order(search, large()) > before * 1.001
    kept = [report.kept for report in heard]
    assert kept == sorted(set(kept))
    assert {report.bound for report in heard} == {1e9}
    assert kept[-1] == pytest.approx(check_order(search, large()), rel=1e-5)


def test_kicks_end_at_the_bound_or_the_gap_limit():
    """Where the bound is reached, or near enough, nothing more is kicked."""
    for bound, limits in ((1.0, {}), (1.5, {"gap_limit": 0.4})):
        search = started(large(), **limits)
        search.descend()
        order = search.blocks.order
        anneal(search, bound * search.blocks.best)
        np.testing.assert_array_equal(search.blocks.order, order)


@pytest.mark.parametrize("limits", [{"work_limit": 0.0}, {"time_limit": 0.0}])
def test_without_time_the_order_stays(limits):
    """No exchange and no kick begins after the limit."""
    weights, block, order, loads = large()
    search = started((weights, block, order[::-1], loads), **limits)
    search.descend()
    anneal(search, 1e9)
    np.testing.assert_array_equal(search.blocks.order, order[::-1])
    assert search.blocks.best == 0  # as far as it knows


def test_the_same_seed_kicks_the_same():
    """Another seed may end elsewhere, the same one does not."""
    orders = []
    for seed in (1, 1, 2, 3, 4):
        search = started(large(), work_limit=0.005, seed=seed)
        search.descend()
        anneal(search, 1e9)
        orders.append(search.blocks.order.tolist())
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1


def test_a_kick_that_was_worse_is_undone(monkeypatch):
    """At no temperature the search always stands at the best order it has found."""
    monkeypatch.setattr(block_search, "TEMPERATURE", 0.0)
    search = started(large(), work_limit=0.02)
    search.descend()
    anneal(search, 1e9)
    assert search.blocks.kept == pytest.approx(check_order(search, large()), rel=1e-5)
    weights, block, _, loads = large()
    present = np.concatenate(search.blocks.members)
    assert worth(weights, block, present, loads) == pytest.approx(
        search.blocks.kept, rel=1e-5
    )


def test_two_blocks_are_kicked_too():
    """A descent that ends too early with two blocks is mended."""
    gains = 0
    for seed in range(20):
        weights = np.random.default_rng(seed).exponential(size=(10, 6, 1)) ** 2
        drawn = weights, np.arange(10) // 5, np.arange(10), np.full(6, 2)
        search = started(drawn, work_limit=0.005)
        search.descend()
        before = check_order(search, drawn)
        anneal(search, 1e9)
        gains += check_order(search, drawn) > before * (1 + 1e-5)
    assert gains


def test_kicks_end_when_nothing_more_is_found():
    """After so many kicks without success the search is complete, limit or not."""
    rng = np.random.default_rng(9)
    drawn = rng.random((6, 3, 1)), np.arange(6) // 2, np.arange(6), np.ones(3, int)
    clock = SearchClock(search_of(time_limit=20.0))
    search = BlockSearch(Blocks(*drawn, clock), clock)
    search.descend()
    anneal(search)
    assert clock.interrupted is None


@pytest.mark.parametrize("loads", [[0, 0], [1, 0]])
def test_rows_that_keep_nothing_take_no_part(loads):
    """Nothing to keep leaves the order; a row without load does not count."""
    rng = np.random.default_rng(4)
    weights = rng.random((6, 2, 1))
    block = np.arange(6) // 2
    drawn = weights, block, np.arange(6), np.array(loads)
    search = started(drawn, work_limit=0.02)
    search.descend()
    anneal(search)
    if any(loads):
        best = np.sort(weights[:, 0, 0])[-3:].sum()
        assert check_order(search, drawn) == pytest.approx(best)
    else:
        np.testing.assert_array_equal(search.blocks.order, np.arange(6))


@pytest.mark.parametrize("pattern", [True, False])
def test_the_order_is_a_local_optimum_before_any_kick(monkeypatch, pattern):
    """The descent alone keeps more than both of the orders it may begin with."""
    monkeypatch.setattr(BlockSearch, "anneal", lambda *given: False)
    scores = np.random.default_rng(6).exponential(size=(6, 24))
    shape = scores.shape
    pe_map = PEMap.n_m(shape, 1, 4) if pattern else PEMap.input_channel(shape, 6)
    kept = {
        order: solve(RetentionProblem(scores, pe_map, 36, order=order)).kept
        for order in ("fixed", "sorted", "optimized")
    }
    assert kept["optimized"] > 1.02 * max(kept["fixed"], kept["sorted"])


@given(layers(uneven=True))
def test_what_every_exchange_is_worth_is_known(drawn):
    """V: the block of one channel with another one in its place, from the definition.

    And so it stays when exchanges have changed some of the blocks.
    """
    weights, block, _, loads = drawn
    search = started(drawn)
    search.descend()
    if not loads.any() or block[-1] == 0:
        return
    for i in range(len(block)):
        mine = search.blocks.order[block == search.blocks.of_channel[i]]
        own = loads if loads.ndim == 1 else loads[search.blocks.of_channel[i]]
        for j in np.flatnonzero(
            search.blocks.of_channel != search.blocks.of_channel[i]
        ):
            other = np.where(mine == i, j, mine)
            expected = worth(weights, np.zeros(len(mine)), other, own)
            assert search._replaced[i, j] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("entries", [1, 3000, 50_000])
def test_the_pieces_of_the_work_change_nothing(monkeypatch, entries):
    """In whatever pieces blocks are evaluated, descent and work are the same."""
    whole = started(large())
    whole.descend()
    monkeypatch.setattr(blocks, "CHUNK_ENTRIES", entries)
    pieces = started(large())
    pieces.descend()
    np.testing.assert_array_equal(pieces.blocks.order, whole.blocks.order)
    assert pieces._clock._entries == whole._clock._entries
    np.testing.assert_allclose(pieces._replaced, whole._replaced, rtol=1e-5)
    np.testing.assert_allclose(pieces.blocks.worth, whole.blocks.worth, rtol=1e-6)


def test_of_exchanges_that_meet_the_best_is_made_and_the_others_wait():
    """Pairs of blocks share none, greatest gain first; the blocks left out wait."""
    search = started(large())
    search._begin()
    gain = search._replaced + search._replaced.T
    of_channel = search.blocks.worth[search.blocks.of_channel]
    gain = gain - of_channel[:, None] - of_channel
    gain[search.blocks.of_channel[:, None] == search.blocks.of_channel] = -np.inf
    exchanges, waiting = search._best_exchanges(search.blocks.all)
    made = [set(search.blocks.of_channel[[i, j]].tolist()) for i, j in exchanges]
    assert sum(map(len, made)) == len(set().union(*made)) == 2 * len(made)
    gains = [gain[i, j] for i, j in exchanges]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(gain.max())
    assert gains[-1] > 0
    rest = [
        set(search.blocks.of_channel[[i, gain[i].argmax()]].tolist())
        for i in range(len(gain))
        if gain[i].max() > 1e-3
    ]
    assert all(any(one & other for other in made) for one in rest)
    assert set(waiting.tolist()) >= set().union(
        *(one for one in rest if one not in made)
    )


def test_a_descent_without_gain_looks_at_everything_once():
    """Work: V adds up to s = 0, 1 of a row for all pairs, and every pair has a gain."""
    channels, rows = 6, 3
    drawn = np.ones((channels, rows, 1)), np.arange(6) // 2, np.arange(6), np.full(3, 1)
    clock = SearchClock(search_of())
    search = BlockSearch(Blocks(*drawn, clock), clock)
    search.descend()
    assert clock._entries == 2 * channels**2 * rows + channels**2


def test_blocks_may_have_any_ascending_numbers():
    """Numbers that are left out, of blocks without channels, change nothing."""
    weights, block, order, loads = large()
    plain = started((weights, block, order, loads))
    plain.descend()
    gaps = started((weights, 3 * block + 2, order, loads))
    gaps.descend()
    np.testing.assert_array_equal(gaps.blocks.order, plain.blocks.order)


@pytest.mark.parametrize("pattern", [True, False])
def test_kicks_follow_a_descent_after_which_the_loads_stay(monkeypatch, pattern):
    """Cycles follow each other to the end, across descents with other loads.

    In n:m maps loads never change: there is one descent, before all cycles.
    """
    steps = []

    class Told(BlockSearch):
        def descend(self):
            steps.append("descend")
            super().descend()

        def anneal(self, cycle, bound):
            steps.append(cycle)
            return super().anneal(cycle, bound)

    monkeypatch.setattr(optimize, "BlockSearch", Told)
    scores = np.random.default_rng(6).exponential(size=(6, 24))
    shape = scores.shape
    pe_map = PEMap.n_m(shape, 1, 4) if pattern else PEMap.input_channel(shape, 6)
    problem = RetentionProblem(scores, pe_map, 36, order="optimized")
    solve(problem, work_limit=0.02)
    cycles = [step for step in steps if step != "descend"]
    assert cycles == list(range(len(cycles)))
    assert steps[0] == "descend"
    assert steps[-1] == cycles[-1]
    assert not pattern or steps.count("descend") == 1


def test_a_longer_search_begins_with_the_shorter_one():
    """Whatever the limit, the same orders are found one after the other."""
    heard = []
    for work in (0.003, 0.01, 0.03):
        heard.append([])
        search = started(large(), work_limit=work, progress=heard[-1].append)
        search.descend()
        anneal(search, 1e9)
    found = [[report.kept for report in reports] for reports in heard]
    assert 0 < len(found[0]) < len(found[1]) < len(found[2])
    assert found[1][: len(found[0])] == found[0]
    assert found[2][: len(found[1])] == found[1]


@given(
    layers(),
    st.sampled_from([(np.float32, -110), (np.float32, 120)])
    | st.tuples(st.just(np.float64), st.integers(-980, 1000)),
)
def test_the_unit_of_the_scores_changes_nothing(drawn, scale):
    """Scores times a power of two, near the ends of their type, have the same order."""
    weights, block, order, loads = drawn
    dtype, exponent = scale
    weights = weights.astype(dtype)
    plain = started((weights, block, order, loads))
    scaled = started((np.ldexp(weights, exponent), block, order, loads))
    for search in (plain, scaled):
        search.descend()
        search.anneal(0, np.inf)
    np.testing.assert_array_equal(scaled.blocks.order, plain.blocks.order)
    assert scaled.blocks.best == math.ldexp(plain.blocks.best, exponent)


@pytest.mark.parametrize("most", [0, 1, 2, 5, 40, 200, 1000])
def test_a_search_stops_where_it_is(monkeypatch, most):
    """From one look at the clock to the next is one piece of work, and none follows."""
    monkeypatch.setattr(blocks, "CHUNK_ENTRIES", 1000)
    clock, (weights, block, order, loads) = Watched(most), large()
    search = BlockSearch(Blocks(weights, block, order, loads, clock), clock)
    search.descend()
    search.anneal(0, 1e9)
    channels, rows = weights.shape[:2]
    steps = 2
    assert clock.longest <= steps * channels * max(rows, channels)
    assert clock.looks <= most + 2
    if search.blocks.best:
        assert search.blocks.best == pytest.approx(check_order(search, large()))
