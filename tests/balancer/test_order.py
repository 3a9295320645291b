"""Channel order: the joint program against exhaustive search, and its promises."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from cases import repeated, scores, search_of, shapes
from exhaustive import best_blocks, best_tiling
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    Cancellation,
    InfeasibleError,
    PEMap,
    RetentionProblem,
    Schedule,
    SolverUnavailableError,
    Status,
    Termination,
    VerificationError,
    balance_network,
    solve,
    top_k_sum,
)
from balancer.order import optimize, tile_bound, tile_program
from balancer.order.clock import SearchClock
from balancer.order.optimize import start_schedule

PERMUTING = ("output_channel", "input_channel", "grid", "n_m")


def layer_scores(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw channels of different scales, with ties and zeros in every second layer."""
    values = rng.random(shape) * rng.lognormal(0, 1, (shape[0], 1))
    return np.round(values) if rng.random() < 0.5 else values


@st.composite
def ordered_problems(draw, order: str, max_weights: int = 120):
    """A problem whose channels can be permuted, with the constraints that allow it."""
    shape = draw(shapes(max_weights, draw(st.integers(0, 1))))
    kind = draw(st.sampled_from(PERMUTING))
    if kind == "grid":
        pe_map = PEMap.grid(shape, draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    elif kind == "n_m":
        m = draw(st.integers(1, 4))
        pe_map = PEMap.n_m(shape, draw(st.integers(1, m)), m)
    else:
        pe_map = getattr(PEMap, kind)(shape, draw(st.integers(1, 6)))
    options = {}
    if pe_map.fixed_load is None:
        options["budget"] = draw(st.integers(0, pe_map.weights))
        options["max_load"] = draw(st.sampled_from([pe_map.weights, 1, 3]))
    if pe_map.order_axis == 0 and draw(st.booleans()):
        drawn = draw(scores(pe_map.weights)).reshape(shape)
        options["previous_mask"] = drawn > 0.5
    elif pe_map.fixed_load is None and draw(st.booleans()):
        options["channel_floor"] = 1
    values = draw(scores(pe_map.weights)).reshape(shape)
    try:
        return RetentionProblem(values, pe_map, order=order, **options)
    except InfeasibleError:  # the floor
        del options["channel_floor"]
        return RetentionProblem(values, pe_map, order=order, **options)


def with_order(problem: RetentionProblem, order: str) -> RetentionProblem:
    return RetentionProblem(
        problem.scores,
        problem.pe_map,
        problem.budget,
        max_load=problem.max_load,
        previous_mask=problem.previous_mask,
        channel_floor=problem.channel_floor,
        order=order,
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 24))
def test_what_may_not_be_kept_sorts_no_channel(seed, budget):
    """The sorted order is that of scores in which the previous mask left zeros."""
    rng = np.random.default_rng(seed)
    values, previous = rng.random((6, 8)), rng.random((6, 8)) < 0.5
    pe_map = PEMap.output_channel(values.shape, 2)
    problem = RetentionProblem(
        values, pe_map, budget, previous_mask=previous, order="sorted"
    )
    zeroed = RetentionProblem(values * previous, pe_map, budget, order="sorted")
    orders = [start_schedule(one).order.tolist() for one in (problem, zeroed)]
    assert orders[0] == orders[1]


def test_tiles_equal_exhaustive_search():
    """In 1000 cases at least 99 % keep the true optimum, and no proof is false."""
    rng = np.random.default_rng(0)
    optimal, times = 0, repeated(1000)
    for _ in range(times):
        pes = int(rng.integers(1, 6))
        # Tiles of two have the most partitions: ten channels already have 945.
        channels = int(rng.integers(1, {1: 7, 2: 11}.get(pes, 13)))
        values = layer_scores(rng, (channels, int(rng.integers(1, 6))))
        budget = int(rng.integers(0, values.size + 1))
        pe_map = PEMap.output_channel(values.shape, pes)
        nested = rng.random(values.shape) < 0.8 if rng.random() < 0.3 else None
        problem = RetentionProblem(
            values, pe_map, budget, previous_mask=nested, order="optimized"
        )
        solution = solve(problem)
        tiles = tuple(np.bincount(np.arange(channels) // pes).tolist())
        allowed = values if nested is None else np.where(nested, values, -np.inf)
        truth = best_tiling(allowed, tiles, budget)
        reached = bool(np.isclose(solution.kept, truth, rtol=1e-9))
        assert solution.kept <= truth * (1 + 1e-9)
        assert solution.bound >= truth * (1 - 1e-9)
        assert reached or solution.status is Status.FEASIBLE
        optimal += reached
    assert optimal >= 0.99 * times


def test_grid_tiles_equal_exhaustive_search():
    """With several blocks a channel, a slice is one weight of each block."""
    rng = np.random.default_rng(6)
    for _ in range(100):
        rows, cols = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        values = layer_scores(rng, (int(rng.integers(1, 9)), int(rng.integers(3, 8))))
        budget = int(rng.integers(0, values.size + 1))
        pe_map = PEMap.grid(values.shape, rows, cols)
        solution = solve(RetentionProblem(values, pe_map, budget, order="optimized"))
        parts = [-np.sort(-p, axis=1) for p in np.array_split(values, cols, axis=1)]
        depth = min(part.shape[1] for part in parts)
        slices = sum(part[:, :depth] for part in parts)
        tiles = tuple(np.bincount(np.arange(len(values)) // rows).tolist())
        assert solution.kept == pytest.approx(
            best_tiling(slices, tiles, budget // cols), rel=1e-9
        )
        assert solution.status is Status.OPTIMAL


@pytest.mark.parametrize("splits", [0, tile_bound.MOST_SPLITS])
def test_large_layers_are_bounded_too(monkeypatch, splits):
    """Ranked no deeper than needed, or with no splits listed, no bound is false."""
    monkeypatch.setattr(tile_program, "SLICES_WORTH_RANKING", 0)
    monkeypatch.setattr(tile_program, "LEAST_DEPTH", 0)
    monkeypatch.setattr(tile_bound, "MOST_SPLITS", splits)
    rng = np.random.default_rng(4)
    optimal, times = 0, repeated(100)
    for _ in range(times):
        values = layer_scores(rng, (int(rng.integers(4, 11)), 6))
        budget = int(rng.integers(1, values.size // 2))
        pe_map = PEMap.output_channel(values.shape, 3)
        problem = RetentionProblem(values, pe_map, budget, order="optimized")
        solution = solve(problem)
        solution.verify(problem)
        tiles = tuple(np.bincount(np.arange(len(values)) // 3).tolist())
        truth = best_tiling(values, tiles, budget)
        assert solution.kept <= truth * (1 + 1e-9) <= solution.bound * (1 + 2e-9)
        optimal += bool(np.isclose(solution.kept, truth, rtol=1e-9))
    assert optimal >= 0.85 * times


def test_n_m_blocks_equal_exhaustive_search():
    """In 200 cases at least 99 % keep the true optimum, and no proof is false."""
    rng = np.random.default_rng(1)
    optimal, times = 0, repeated(200)
    for _ in range(times):
        n, m = [(1, 2), (2, 4), (1, 3), (2, 3), (1, 4)][int(rng.integers(5))]
        channels = int(rng.integers(m, 10))
        values = layer_scores(rng, (channels, int(rng.integers(1, 5)))).T
        problem = RetentionProblem(
            values, PEMap.n_m(values.shape, n, m), order="optimized"
        )
        solution = solve(problem, work_limit=1.0)
        sizes = tuple(np.bincount(np.arange(channels) // m).tolist())
        truth = best_blocks(values, sizes, [n] * len(values))
        reached = bool(np.isclose(solution.kept, truth, rtol=1e-6))
        assert solution.kept <= truth * (1 + 1e-9)
        assert solution.bound >= truth * (1 - 1e-9)
        assert reached or solution.status is Status.FEASIBLE
        optimal += reached
    assert optimal >= 0.99 * times


def test_input_blocks_equal_exhaustive_search():
    """In 100 cases at least 99 % keep the true optimum, and no proof is false."""
    rng = np.random.default_rng(2)
    optimal = 0
    for _ in range(100):
        pes, rows = int(rng.integers(2, 4)), int(rng.integers(1, 4))
        values = layer_scores(rng, (int(rng.integers(pes, 8)), rows)).T
        budget = int(rng.integers(0, values.size + 1))
        pe_map = PEMap.input_channel(values.shape, pes)
        problem = RetentionProblem(values, pe_map, budget, order="optimized")
        solution = solve(problem, work_limit=1.0)
        sizes = tuple(pe_map.cell_sizes()[pe_map.cell_group == 0].tolist())
        truth = max(
            best_blocks(values, sizes, list(loads))
            for loads in product(range(min(sizes) + 1), repeat=rows)
            if sum(loads) * pes <= budget
        )
        reached = bool(np.isclose(solution.kept, truth, rtol=1e-6))
        assert solution.kept <= truth * (1 + 1e-9)
        assert solution.bound >= truth * (1 - 1e-9)
        assert reached or solution.status is Status.FEASIBLE
        optimal += reached
    assert optimal >= 99


@given(ordered_problems("optimized"))
def test_a_better_order_never_keeps_less(problem):
    """Fixed and sorted order <= optimized <= its bound, over all orders."""
    solution = solve(problem, work_limit=1.0)
    solution.verify(problem)
    assert solution.order.dtype == np.int32
    assert solution.fallback_reason is None
    for order in ("fixed", "sorted"):
        other = solve(with_order(problem, order), "greedy")
        other.verify(with_order(problem, order))
        assert other.kept <= solution.kept * (1 + 1e-9)
        assert other.kept <= solution.bound * (1 + 1e-9)


@given(ordered_problems("optimized"))
def test_the_schedule_is_balanced(problem):
    """In the order of the schedule all PEs of a group have equal loads."""
    solution = solve(problem, work_limit=1.0)
    pe_map, axis = problem.pe_map, problem.pe_map.order_axis
    scheduled = np.take(solution.mask, solution.order, axis=axis)
    for load, here in zip(pe_map.loads(scheduled), pe_map.present(), strict=True):
        assert len(set(load[here])) <= 1
    assert solution.nonzeros <= problem.budget
    if problem.previous_mask is not None:
        assert not (solution.mask & ~problem.previous_mask).any()


@given(ordered_problems("optimized"), st.integers(0, 3))
def test_the_same_seed_gives_the_same_order(problem, seed):
    """A search that ends by itself or by its work limit can be repeated exactly."""
    one, other = (solve(problem, work_limit=0.1, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(one.order, other.order)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.bound == other.bound


def spread_layer(channels: int = 96, weights: int = 200) -> np.ndarray:
    """Draw a layer too large to be proven at once."""
    rng = np.random.default_rng(3)
    drawn = rng.random((channels, weights)) * rng.lognormal(0, 0.5, (channels, 1))
    return drawn.astype(np.float32)


def test_unequal_channels_gain_by_their_order():
    """Fixed < sorted < optimized where the scales of channels differ."""
    values = spread_layer()
    pe_map = PEMap.output_channel(values.shape, 16)
    kept = [
        solve(RetentionProblem(values, pe_map, sparsity=0.95, order=order)).kept
        for order in ("fixed", "sorted", "optimized")
    ]
    assert kept[0] < kept[1] < kept[2] <= top_k_sum(values, int(0.05 * values.size))


def test_an_optimized_order_never_keeps_less_than_the_natural_one():
    """With a ragged tile of one channel, too, where loads are harder than the order."""
    values = np.random.default_rng(0).standard_normal((65, 2100)) ** 2
    pe_map = PEMap.output_channel(values.shape, 64)
    kept = {
        order: solve(RetentionProblem(values, pe_map, sparsity=0.984, order=order)).kept
        for order in ("fixed", "optimized")
    }
    assert kept["optimized"] >= kept["fixed"]


def test_the_gap_limit_ends_the_search():
    """A search with a gap limit stops when it is reached, and says so."""
    values = spread_layer()
    pe_map = PEMap.output_channel(values.shape, 16)
    problem = RetentionProblem(values, pe_map, sparsity=0.95, order="optimized")
    near = solve(problem, gap_limit=0.05)
    assert near.termination is Termination.GAP_LIMIT
    assert 0 < near.gap <= 0.05
    assert near.kept <= solve(problem).kept


def test_two_of_four_reaches_published_searches():
    """64 x 128 uniform weights keep more than exchanges of stripes and channels do."""
    values = np.random.RandomState(1).rand(64, 128)
    pe_map = PEMap.n_m(values.shape, 2, 4)
    assert solve(RetentionProblem(values, pe_map)).kept == pytest.approx(2852.377)
    problem = RetentionProblem(values, pe_map, order="optimized")
    solution = solve(problem, work_limit=0.5)
    assert solution.kept >= 2955.03
    assert solution.bound == pytest.approx(3051.789)
    assert solution.termination is Termination.TIME_LIMIT


@pytest.mark.parametrize("pe_map", ["output_channel", "2:4", "input_channel"])
def test_a_search_without_time_sorts(pe_map):
    """Without time, or cancelled, the sorted order answers and the reason is given."""
    values = spread_layer(24, 24)
    problem = RetentionProblem(
        values,
        PEMap.parse(pe_map, values.shape, 4),
        None if ":" in pe_map else 200,
        order="optimized",
    )
    cancelled = Cancellation()
    cancelled.cancel()
    for options, reason in (
        ({"time_limit": 0.0}, "no time"),
        ({"cancellation": cancelled}, "cancelled"),
    ):
        solution = solve(problem, **options)
        solution.verify(problem)
        assert reason in solution.fallback_reason
        assert solution.bound >= solve(problem, work_limit=0.1).kept
    assert solution.termination is Termination.CANCELLED


@pytest.mark.parametrize("pe_map", ["output_channel", "2:4"])
def test_cancelling_a_running_search_leaves_its_best_order(pe_map):
    """A search that is cancelled by its first progress report ends with an answer."""
    values = spread_layer()
    problem = RetentionProblem(
        values,
        PEMap.parse(pe_map, values.shape),
        None if ":" in pe_map else 1000,
        order="optimized",
    )
    switch = Cancellation()
    solution = solve(
        problem, cancellation=switch, progress=lambda progress: switch.cancel()
    )
    solution.verify(problem)
    assert solution.termination is Termination.CANCELLED
    assert solution.kept <= solution.bound


@pytest.mark.parametrize("pe_map", ["output_channel", "2:4"])
@pytest.mark.parametrize("reports", [1, 3])
def test_ctrl_c_leaves_the_best_order(pe_map, reports):
    """An interrupt at any report of progress ends the search with an answer."""
    values = spread_layer()
    problem = RetentionProblem(
        values,
        PEMap.parse(pe_map, values.shape),
        None if ":" in pe_map else 1000,
        order="optimized",
    )
    seen = []

    def interrupt(progress):
        seen.append(progress)
        if len(seen) == reports:
            raise KeyboardInterrupt

    solution = solve(problem, progress=interrupt)
    solution.verify(problem)
    assert len(seen) == reports
    assert solution.termination is Termination.CANCELLED
    assert solution.kept >= max(progress.kept for progress in seen) * (1 - 1e-12)


@pytest.mark.parametrize("pe_map", ["interleaved", "banked"])
def test_maps_without_channels_to_permute_are_refused(pe_map):
    """Where an order is not defined, the message says which maps have one."""
    with pytest.raises(BalancerError, match="takes only 'fixed'"):
        RetentionProblem(
            np.ones((4, 4)), PEMap.parse(pe_map, (4, 4)), 4, order="sorted"
        )


def test_constraints_that_an_order_cannot_hold_are_refused():
    """Forced weights, floors, unknown orders and the global scope are named."""
    values, pe_map = np.ones((4, 4)), PEMap.output_channel((4, 4), 2)
    with pytest.raises(BalancerError, match="accepted: fixed, sorted, optimized"):
        RetentionProblem(values, pe_map, 4, order="best")
    floors = np.arange(4) % 2
    for options in ({"forced": values > 0}, {"channel_floor": floors}):
        problem = RetentionProblem(values, pe_map, 16, order="optimized", **options)
        with pytest.raises(BalancerError, match="cannot be held in an optimized"):
            solve(problem)
    nested = RetentionProblem(
        values,
        PEMap.n_m((4, 4), 1, 2),
        previous_mask=values > 0,
        order="optimized",
    )
    with pytest.raises(BalancerError, match="`previous_mask` cannot be held"):
        solve(nested)
    with pytest.raises(BalancerError, match="global scope takes only 'fixed'"):
        balance_network({"a": values}, budget=4, scope="global", order="sorted")


def test_a_wrong_order_does_not_verify():
    """An order of other channels, or one that unbalances the mask, is found."""
    values = spread_layer(32, 20)
    problem = RetentionProblem(
        values, PEMap.output_channel(values.shape, 4), 100, order="optimized"
    )
    solution = solve(problem)
    wrong = [
        Schedule(0, np.arange(31)),
        Schedule(1, np.arange(32)),
    ]
    for schedule in wrong:
        with pytest.raises(VerificationError, match="not a permutation of 32 channels"):
            replace(solution, schedule=schedule).verify(problem)
    rolled = Schedule(0, np.roll(solution.order, 1))
    with pytest.raises(VerificationError, match="unequal loads"):
        replace(solution, schedule=rolled).verify(problem)


def test_a_network_is_measured_in_its_schedule():
    """With an optimized order every layer is balanced, and keeps at least as much."""
    rng = np.random.default_rng(5)
    layers = {f"l{i}": np.exp(rng.standard_normal((32, 40))) for i in range(2)}
    fixed = balance_network(layers, sparsity=0.9)
    best = balance_network(layers, sparsity=0.9, order="optimized", gap_limit=0.01)
    for one, other in zip(fixed.layers, best.layers, strict=True):
        assert other.after.idle_unbalanced == 0
        assert one.solution.kept <= other.solution.kept
        assert sorted(other.solution.order) == list(range(32))


def planted_blocks(seed: int) -> np.ndarray:
    """Draw rows with one weight in each of 16 hidden blocks of four channels."""
    rng = np.random.default_rng(seed)
    values = np.zeros((12, 16, 4))
    place = rng.integers(0, 4, (12, 16, 1))
    np.put_along_axis(values, place, 1.0, axis=2)
    return values.reshape(12, 64)[:, rng.permutation(64)]


def found_blocks(seed: int, work: float):
    values = planted_blocks(seed)
    problem = RetentionProblem(values, PEMap.n_m(values.shape, 1, 4), order="optimized")
    return solve(problem, work_limit=work)


def test_hidden_blocks_are_found():
    """A search that goes back from kicks that were worse finds what was hidden.

    Of all partitions only those that keep one weight of every row in every block keep
    all of them; a walk that never goes back does not come near one.
    """
    for seed in (0, 3):
        assert found_blocks(seed, 0.1).kept == 12 * 16


def test_a_work_limit_ends_the_search_for_an_order():
    """A thousandth of a unit of work is not enough for what a tenth of one proves."""
    enough = found_blocks(0, 0.1)
    short = found_blocks(0, 0.001)
    assert (enough.termination, enough.gap) == (Termination.PROVED, 0)
    assert short.termination is Termination.TIME_LIMIT
    assert short.kept < enough.kept


def test_a_layer_ranked_too_shallow_is_not_proven():
    """No bound over all orders lies below what the natural order keeps.

    65 channels on 64 PEs: the optimum gives what the large tile leaves of the budget
    to the single channel of the last, deeper than a layer of that size is ranked.
    """
    values = np.full((65, 2100), 0.9)
    values[:, :32], values[:, 32] = 10.0, 1.0
    pe_map, budget = PEMap.output_channel(values.shape, 64), 65 * 32 + 63
    natural = solve(RetentionProblem(values, pe_map, budget))
    found = solve(RetentionProblem(values, pe_map, budget, order="optimized"))
    assert natural.kept <= found.bound


def test_without_a_search_no_other_order_exceeds_the_bound():
    """The sorted order that answers instead is bounded over all orders."""
    values = spread_layer(24, 24)
    pe_map = PEMap.output_channel(values.shape, 4)
    problem = RetentionProblem(values, pe_map, 200, order="optimized")
    fallback, best = solve(problem, time_limit=0.0), solve(problem)
    assert fallback.kept < best.kept <= fallback.bound
    assert fallback.status is Status.FEASIBLE


@pytest.mark.parametrize("spec", ["output_channel", "grid:4x2", "input_channel", "2:4"])
def test_more_work_never_keeps_less(spec):
    """Both searches keep at least as much with a greater limit."""
    rng = np.random.default_rng(8)
    values = rng.random((32, 48)) * rng.lognormal(0, 0.5, (32, 1))
    pe_map = PEMap.parse(spec, values.shape, 6)
    problem = RetentionProblem(
        values,
        pe_map,
        500 if pe_map.fixed_load is None else None,
        order="optimized",
    )
    kept = [
        solve(problem, work_limit=work).kept
        for work in (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
    ]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1]


@pytest.mark.parametrize("seed", [2, 6, 54])
def test_what_a_limit_cuts_short_keeps_less_than_what_it_does_not(seed):
    """Also where other loads would keep more at once, and lead elsewhere later."""
    values = np.random.default_rng(seed).exponential(size=(12, 18)) ** 2
    pe_map = PEMap.input_channel(values.shape, 6)
    problem = RetentionProblem(values, pe_map, 72, order="optimized")
    works = np.geomspace(2e-5, 6e-4, 25).tolist()
    kept = [solve(problem, work_limit=work).kept for work in works]
    assert kept == sorted(kept)
    assert len(set(kept)) > 3


@pytest.mark.parametrize("spec", ["output_channel", "grid:2x2", "input_channel", "1:3"])
@pytest.mark.parametrize(
    ("dtype", "exponent"), [("f4", -120), ("f4", 122), ("f8", -1000), ("f8", 1010)]
)
def test_the_unit_of_the_scores_changes_no_order(spec, dtype, exponent):
    """Near the ends of their type scores have the same order, times a power of two."""
    values = np.random.default_rng(2).random((6, 9)).astype(dtype)
    pe_map = PEMap.parse(spec, values.shape, 3)
    budget = 30 if pe_map.fixed_load is None else None

    def solved(scores):
        problem = RetentionProblem(scores, pe_map, budget, order="optimized")
        return solve(problem, work_limit=0.01)

    plain, scaled = solved(values), solved(np.ldexp(values, exponent))
    np.testing.assert_array_equal(scaled.order, plain.order)
    np.testing.assert_array_equal(scaled.mask, plain.mask)
    assert scaled.kept == np.ldexp(plain.kept, exponent)
    assert scaled.bound == pytest.approx(np.ldexp(plain.bound, exponent))
    assert scaled.termination is plain.termination


def test_a_mask_that_both_first_orders_forbid_is_refused():
    """Where neither the sorted nor the natural order has a mask, it says so.

    The second tile needs a weight of both of its channels; two of four have one, and
    they are neither neighbours nor sorted to the end.
    """
    values = np.array([[4.0, 1.0], [3.0, 1.0], [4.0, 1.0], [3.0, 1.0]])
    previous = np.array([[True, False], [False, False]] * 2)
    problem = RetentionProblem(
        values,
        PEMap.output_channel(values.shape, 2),
        4,
        min_load=[0, 1],
        previous_mask=previous,
        order="optimized",
    )
    with pytest.raises(SolverUnavailableError, match="sorted or natural order"):
        optimize.optimize(problem, search_of())
    with pytest.raises(InfeasibleError):
        solve(problem)


@pytest.mark.parametrize("spec", ["input_channel", "2:4"])
def test_without_time_to_sort_rows_the_bound_is_of_unstructured_pruning(spec):
    """It is looser than that of rows, which is looser than what an order keeps."""
    values = spread_layer(24, 24)
    pe_map = PEMap.parse(spec, values.shape, 4)
    budget = 200 if pe_map.fixed_load is None else None
    problem = RetentionProblem(values, pe_map, budget, order="optimized")
    bounds = [
        optimize._block_bound(problem, SearchClock(search_of(work_limit=work)))
        for work in (1.0, 0.0)
    ]
    assert solve(problem, work_limit=0.01).kept < bounds[0] < bounds[1]
    assert bounds[1] == top_k_sum(values, problem.budget)
