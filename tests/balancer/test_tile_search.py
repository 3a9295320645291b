"""The search for tiles: its moves, its proof, and how it ends."""

from itertools import permutations

import numpy as np
import pytest
from cases import search_of
from exhaustive import best_tiling
from hypothesis import given
from hypothesis import strategies as st

from balancer import Cancellation, PEMap, RetentionProblem
from balancer.order import tile_bound, tile_search
from balancer.order.clock import SearchClock
from balancer.order.tile_bound import TileBound
from balancer.order.tile_program import TileProgram
from balancer.order.tile_search import MOVES, TileSearch


def program_of(seed, channels=8, pes=3, weights=5, budget=17, **options):
    rng = np.random.default_rng(seed)
    values = rng.random((channels, weights)) * rng.lognormal(0, 1, (channels, 1))
    pe_map = PEMap.output_channel(values.shape, pes)
    problem = RetentionProblem(values, pe_map, budget, order="optimized", **options)
    program = TileProgram.of(problem, weights)
    sizes = tuple(program.sizes.tolist())
    return program, best_tiling(values, sizes, program.budget)


def started(program, **limits):
    """Begin a search with far more work than it needs, lest a fault make it endless."""
    limits = {"work_limit": 0.01} | limits
    search = TileSearch(program, SearchClock(search_of(**limits)))
    search.begin(np.arange(len(program.totals)))
    return search


@st.composite
def loads_of_programs(draw):
    """A program with tiles of one or two sizes, bounds, and loads that it allows."""
    channels, pes = draw(st.integers(2, 9)), draw(st.integers(1, 4))
    budget = draw(st.integers(2 * channels, 6 * channels))
    limits = {"min_load": draw(st.integers(0, 1)), "max_load": draw(st.integers(2, 6))}
    program, _ = program_of(
        draw(st.integers(0, 99)), channels, pes, 6, budget, **limits
    )
    loads = [draw(st.integers(low, low + 1)) for low in program.lower.tolist()]
    return program, np.minimum(np.array(loads, dtype=np.int64), program.upper)


@given(loads_of_programs())
def test_moves_are_all_that_bounds_and_budget_allow(drawn):
    """Slices move between any two tiles, but for tiles that are alike only once."""
    check_moves(*drawn)


@pytest.mark.parametrize(
    "loads", [[1, 1, 2, 3], [3, 2, 1, 1], [1, 2, 2, 2], [4, 1, 1, 1], [2, 2, 2, 2]]
)
def test_moves_between_tiles_some_of_which_are_alike(loads):
    """Wherever those that are alike stand, they give to and take from each other."""
    program, _ = program_of(0, channels=8, pes=2, weights=6, budget=24)
    check_moves(program, np.array(loads))


def check_moves(program, loads):
    search = TileSearch(program, SearchClock(search_of()))

    def alike(split):
        kind = zip(split, program.sizes, program.lower, program.upper, strict=True)
        return tuple(sorted(tuple(map(int, one)) for one in kind))

    expected = set()
    for giver, taker in permutations(range(len(loads)), 2):
        for step in MOVES:
            split = loads.copy()
            split[giver] -= step
            split[taker] += step * program.sizes[giver] // program.sizes[taker]
            fits = (split >= program.lower).all() and (split <= program.upper).all()
            if fits and split @ program.sizes <= program.budget:
                expected.add(alike(split))
    found = [alike(split) for split in search._neighbours(loads)]
    assert set(found) == expected
    kinds = len(
        set(zip(loads, program.sizes, program.lower, program.upper, strict=True))
    )
    assert len(found) <= len(MOVES) * kinds**2


@pytest.mark.parametrize("seed", range(12))
def test_the_search_proves_the_best_tiling(seed):
    """With few tiles the answer is that of exhaustive search, and the bound too."""
    program, truth = program_of(seed)
    search = started(program)
    search.run()
    assert search.best.kept == pytest.approx(truth, rel=1e-9)
    assert search.bound == pytest.approx(truth, rel=1e-9)
    assert program.value(search.best.tile, search.best.loads) == search.best.kept


def test_moves_find_the_best_tilings_where_splits_are_too_many(monkeypatch):
    """Without a list of splits it never loses, seldom misses, and its bound holds."""
    monkeypatch.setattr(tile_bound, "MOST_SPLITS", 0)
    reached, gained = 0, 0
    for seed in range(12):
        program, truth = program_of(seed, channels=9, budget=20)
        search = started(program)
        first = search.best.kept
        search.run()
        assert first <= search.best.kept <= truth * (1 + 1e-9)
        assert search.bound >= truth * (1 - 1e-9)
        reached += search.best.kept >= truth * (1 - 1e-9)
        gained += search.best.kept > first * (1 + 1e-9)
    assert reached >= 10
    assert gained >= 10


def test_moves_alone_gain(monkeypatch):
    """From where alternating ends, moving slices between tiles goes further."""
    monkeypatch.setattr(tile_bound, "MOST_SPLITS", 0)
    gains = 0
    for seed in range(12):
        program, _ = program_of(seed, channels=9, budget=20)
        plain = started(program)
        plain._alternate(plain.best.loads)
        search = started(program)
        search.run()
        assert search.best.kept >= plain.best.kept
        gains += search.best.kept > plain.best.kept * (1 + 1e-9)
    assert gains >= 3


def test_the_better_beginning_is_kept():
    """A second order replaces the first only if it keeps more; each gain is told."""
    program, _ = program_of(3)
    heard = []
    best = TileSearch(program, SearchClock(search_of(progress=heard.append)))
    assert best.best is None
    kept = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(8)
        best.begin(order)
        kept.append(program.with_best_loads(program.tiles_of(order)).kept)
        assert best.best.kept == max(kept)
    gains = [one for n, one in enumerate(kept) if one > max(kept[:n], default=-1)]
    assert [report.kept for report in heard] == gains
    assert {report.bound for report in heard} == {program.bound}


def test_a_wide_gap_limit_ends_after_alternating():
    """Where the gap is small enough nothing is bounded or proven, but alternated."""
    gains = 0
    for seed in range(6):
        program, truth = program_of(seed)
        search = started(program, gap_limit=0.9)
        first = search.best.kept
        search.run()
        assert search.bound == program.bound
        assert first <= search.best.kept <= truth * (1 + 1e-9)
        gains += search.best.kept > first * (1 + 1e-9)
    assert gains >= 3


def test_a_cancelled_search_keeps_a_bound_that_holds(monkeypatch):
    """Stopped in the middle of its proof it claims no more than it knows."""
    for after in range(1, 12):
        program, truth = program_of(7, channels=10, pes=2, budget=22)
        cancellation, looks = Cancellation(), []
        assign = tile_search.assign

        def counted(*given, looks=looks, after=after, stop=cancellation, do=assign):
            looks.append(given)
            if len(looks) == after:
                stop.cancel()
            return do(*given)

        monkeypatch.setattr(tile_search, "assign", counted)
        search = started(program, cancellation=cancellation)
        first = search.best.kept
        search.run()
        monkeypatch.setattr(tile_search, "assign", assign)
        assert len(looks) <= after + 1
        assert first <= search.best.kept <= truth * (1 + 1e-9)
        assert search.bound >= truth * (1 - 1e-9)


def test_alternating_ends_where_neither_tiles_nor_loads_can_be_bettered():
    """Its answer has the best loads for its tiles, and the best tiles for its loads."""
    gains = 0
    for seed in range(12):
        program, _ = program_of(seed, channels=9, pes=2, budget=20)
        search = started(program)
        first = search.best.kept
        improved = search._alternate(search.best.loads)
        assert improved == (search.best.kept > first)
        gains += improved
        kept = search.best.kept
        best_loads = program.with_best_loads(search.best.tile)
        assert best_loads is None or best_loads.kept <= kept * (1 + 1e-9)
        assert search._assigned(search.best.loads).kept <= kept * (1 + 1e-9)
    assert gains >= 6


def test_choosing_tiles_is_work_for_every_channel_and_tile():
    """The clock counts an entry for each pair of them."""
    program, _ = program_of(1, channels=8, pes=3)
    clock = SearchClock(search_of())
    search = TileSearch(program, clock)
    search._assigned(program.lower)
    assert clock._entries == 8 * 3


def test_a_search_without_work_left_claims_only_the_first_bound():
    """Nothing is bounded or moved any more; the answer it began with stays."""
    program, _ = program_of(5)
    search = started(program, work_limit=0.0)
    first = search.best
    search.run()
    assert search.best.kept >= first.kept
    assert search.bound == program.bound


def test_moves_tell_whether_they_gained():
    """Moving slices is a gain if and only if more is kept; at last no move is one."""
    said = []
    for seed in range(12):
        program, _ = program_of(seed, channels=9, budget=20)
        search = started(program)
        search._alternate(search.best.loads)
        lagrangian = TileBound(program, search.best)
        first = search.best.kept
        said.append(search._improve(lagrangian))
        assert said[-1] == (search.best.kept > first)
        assert not search._improve(lagrangian)
    assert set(said) == {True, False}


def test_a_proof_carries_what_assignments_may_have_lost(monkeypatch):
    """The bound of all splits is what is kept and the largest slack of a choice."""
    assign = tile_search.assign

    def rounded(*given):
        tile, slack = assign(*given)
        return tile, slack + 0.25

    monkeypatch.setattr(tile_search, "assign", rounded)
    program, truth = program_of(3)
    search = started(program)
    search.run()
    assert search.best.kept == pytest.approx(truth, rel=1e-9)
    assert search.bound == pytest.approx(search.best.kept + 0.25)
