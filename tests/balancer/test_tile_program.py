"""The program of tiles, and the sorted order, straight from their definitions."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import BalancerError, PEMap, RetentionProblem, solve
from balancer.order import tile_program
from balancer.order.optimize import start_schedule, unstructured_bound
from balancer.order.sorting import (
    block_of_position,
    channel_nonzeros,
    sorted_schedule,
)
from balancer.order.tile_program import TileProgram, _best_slices


@st.composite
def layers(draw):
    """A layer in tiles, nested or not, with bounds on the loads or not."""
    channels, weights = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.exponential(size=(channels, weights))
    if draw(st.booleans()):
        values = np.floor(2 * values)
    cols = draw(st.integers(1, 2))
    pe_map = PEMap.grid(values.shape, draw(st.integers(1, 4)), cols)
    options = {"max_load": draw(st.integers(1, 6))}
    if draw(st.booleans()):
        options["previous_mask"] = rng.random(values.shape) < 0.7
    budget = draw(st.integers(0, values.size))
    return RetentionProblem(values, pe_map, budget, order="optimized", **options)


def slices_by_hand(problem):
    """Slices of each channel, best first: one weight of each block of inputs."""
    pe_map = problem.pe_map
    cols = pe_map.n_cells // pe_map.channels
    keys = problem.scores.astype(float)
    if problem.previous_mask is not None:
        keys = np.where(problem.previous_mask, keys, -np.inf)
    parts = [-np.sort(-part, axis=1) for part in np.array_split(keys, cols, axis=1)]
    depth = min(part.shape[1] for part in parts)
    return sum(part[:, :depth] for part in parts), cols


@given(layers())
def test_the_program_is_that_of_the_layer(problem):
    """Slices, sums, capacities, sizes and the bound are those of the definition."""
    program = TileProgram.of(problem, problem.pe_map.weights)
    slices, cols = slices_by_hand(problem)
    depth = program.values.shape[1]
    # Whole tiles never add up to more than a multiple of what their sizes share.
    budget = problem.budget // cols
    budget -= budget % np.gcd.reduce(program.sizes)
    # No load is asked for that its tile alone cannot afford.
    spare = budget - program.sizes @ problem.lower
    upper = np.minimum(problem.upper, problem.lower + spare // program.sizes)
    assert depth == upper.max()
    assert program.complete
    assert program.floor_price == 0.0
    assert program.budget == budget
    slices = slices[:, :depth]
    finite = np.isfinite(slices)
    np.testing.assert_allclose(program.values[finite], slices[finite])
    np.testing.assert_array_equal(program.capacity, finite.sum(axis=1))
    np.testing.assert_allclose(program.totals[:, 1:], np.cumsum(program.values, axis=1))
    assert not program.totals[:, 0].any()
    rows = np.bincount(problem.pe_map.cell_group) // cols
    np.testing.assert_array_equal(program.sizes, rows)
    np.testing.assert_array_equal(program.lower, problem.lower)
    np.testing.assert_array_equal(program.upper, upper)
    best = -np.sort(-np.where(finite, slices, 0.0), axis=None)[: program.budget]
    assert program.bound == pytest.approx(best.sum())
    # What a nested mask has pruned is never worth keeping.
    for values, most in zip(program.values, program.capacity, strict=True):
        if most < depth:
            assert values[most] < -program.bound or program.bound == 0 > values[most]


@given(layers(), st.randoms(use_true_random=False))
def test_loads_are_the_best_for_their_tiles(problem, random):
    """In tiles of one size no loads keep more; in others none are out of bounds."""
    program = TileProgram.of(problem, problem.pe_map.weights)
    order = list(range(problem.pe_map.channels))
    random.shuffle(order)
    tile = program.tiles_of(np.array(order))
    expected = np.repeat(np.arange(len(program.sizes)), program.sizes)
    np.testing.assert_array_equal(tile[order], expected)
    found = program.with_best_loads(tile)
    capacity = [program.capacity[tile == t].min() for t in range(len(program.sizes))]
    most = np.minimum(program.upper, capacity)
    loads = np.array(list(product(*(range(high + 1) for high in most))))
    loads = loads[loads @ program.sizes <= program.budget]
    every = [program.totals[np.arange(len(tile)), k[tile]].sum() for k in loads]
    assert found.kept == pytest.approx(program.value(tile, found.loads))
    assert found.loads.tolist() in loads.tolist()
    if len(set(program.sizes.tolist())) == 1:
        assert found.kept == pytest.approx(max(every))
    np.testing.assert_array_equal(tile[program.order_of(found.tile)], program.place)
    mask = program.mask(found)
    assert problem.scores[mask].sum() == pytest.approx(found.kept)
    cols = problem.pe_map.n_cells // problem.pe_map.channels
    np.testing.assert_array_equal(mask.sum(axis=1), cols * found.loads[tile])


def test_loads_that_cannot_be_are_none():
    """A floor above what a nested tile can carry has no loads."""
    mask = np.ones((4, 3), dtype=bool)
    mask[0, 1:] = False
    pe_map = PEMap.output_channel((4, 3), 2)
    problem = RetentionProblem(
        np.ones((4, 3)), pe_map, 12, order="optimized", previous_mask=mask, min_load=2
    )
    program = TileProgram.of(problem, 3)
    assert program.with_best_loads(program.tiles_of(np.arange(4))) is None


@pytest.mark.parametrize("seed", range(5))
def test_shallow_rankings_reach_every_slice_worth_its_price(monkeypatch, seed):
    """No slice beyond the depth is above the price, and the bound is the same."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(size=(8, 40))
    values = values * 1e-3 / values.max()  # small beside a price of 1
    pe_map = PEMap.output_channel(values.shape, 4)
    problem = RetentionProblem(values, pe_map, 80, order="optimized")
    deep = TileProgram.of(problem, 1)
    monkeypatch.setattr(tile_program, "SLICES_WORTH_RANKING", 0)
    monkeypatch.setattr(tile_program, "LEAST_DEPTH", 0)
    shallow = TileProgram.of(problem, 1)
    depth = shallow.values.shape[1]
    assert depth < deep.values.shape[1] == 20
    assert not shallow.complete
    np.testing.assert_allclose(shallow.values, deep.values[:, :depth])
    assert shallow.bound == pytest.approx(deep.bound)
    assert shallow.price == pytest.approx(deep.price)
    assert shallow.floor_price == pytest.approx(shallow.values[:, -1].max())
    assert shallow.floor_price <= shallow.price
    assert (shallow.upper == depth).all()
    # One load less would not have been enough.
    if depth > 1:
        assert deep.values[:, depth // 2 - 1].max() > shallow.price


def test_output_channels_are_sorted_by_what_they_keep():
    """Most first, equal ones in their order."""
    pe_map = PEMap.output_channel((5, 4), 2)
    order = sorted_schedule(pe_map, np.array([1, 3, 0, 3, 2])).order
    np.testing.assert_array_equal(order, [1, 3, 4, 0, 2])


def test_input_channels_are_dealt_back_and_forth():
    """Each block takes one in turn, then in reverse; longer blocks take the rest."""
    pe_map = PEMap.input_channel((2, 8), 3)  # blocks of 3, 3 and 2 channels
    np.testing.assert_array_equal(block_of_position(pe_map), [0, 0, 0, 1, 1, 1, 2, 2])
    order = sorted_schedule(pe_map, np.array([8, 7, 6, 5, 4, 3, 2, 1])).order
    np.testing.assert_array_equal(order, [0, 5, 6, 1, 4, 7, 2, 3])
    pattern = PEMap.n_m((2, 5), 1, 2)
    np.testing.assert_array_equal(block_of_position(pattern), [0, 0, 1, 1, 2])
    order = sorted_schedule(pattern, np.array([1, 2, 3, 4, 5])).order
    np.testing.assert_array_equal(order, [4, 0, 3, 1, 2])


def test_nonzeros_are_counted_along_the_axis_that_is_permuted():
    """Of output channels in tiles, of input channels in blocks, of no others."""
    mask = np.zeros((2, 3, 2), dtype=bool)
    mask[0, 1, 0] = mask[0, 2, 1] = mask[1, 2, 0] = True
    outputs = PEMap.output_channel(mask.shape, 2)
    np.testing.assert_array_equal(channel_nonzeros(mask, outputs), [2, 1])
    inputs = PEMap.input_channel(mask.shape, 2)
    np.testing.assert_array_equal(channel_nonzeros(mask, inputs), [0, 1, 2])
    with pytest.raises(BalancerError, match=r"'interleaved.*' does not permute"):
        channel_nonzeros(mask, PEMap.interleaved(mask.shape, 2))


def test_the_search_starts_from_what_unstructured_pruning_leaves():
    """Zeros and what a previous mask has pruned do not count as kept."""
    scores = np.array([[0.0, 0, 0, 9], [1, 2, 3, 0], [5, 5, 5, 5], [4, 4, 0, 0]])
    pe_map = PEMap.output_channel(scores.shape, 2)
    problem = RetentionProblem(scores, pe_map, 8, order="sorted")
    np.testing.assert_array_equal(start_schedule(problem).order, [2, 3, 0, 1])
    everything = RetentionProblem(scores, pe_map, 16, order="sorted")
    np.testing.assert_array_equal(start_schedule(everything).order, [2, 1, 3, 0])
    nested = np.ones(scores.shape, dtype=bool)
    nested[2, 1:] = False
    problem = RetentionProblem(scores, pe_map, 6, order="sorted", previous_mask=nested)
    np.testing.assert_array_equal(start_schedule(problem).order, [1, 3, 0, 2])
    assert unstructured_bound(problem) == 9 + 5 + 4 + 4 + 3 + 2


@pytest.mark.parametrize("bounds", [{}, {"min_load": 1, "max_load": 2}])
def test_the_bound_of_input_blocks_is_that_of_whole_rows(bounds):
    """Each load takes a row's next best weights, one for each block."""
    rng = np.random.default_rng(2)
    scores = rng.random((4, 6))
    pe_map = PEMap.input_channel(scores.shape, 3)
    problem = RetentionProblem(scores, pe_map, 17, order="optimized", **bounds)
    rows = -np.sort(-scores, axis=1).reshape(4, 2, 3).sum(axis=2)
    least = bounds.get("min_load", 0)
    first, rest = rows[:, :least], -np.sort(-rows[:, least:], axis=None)
    expected = first.sum() + rest[: 5 - 4 * least].sum()
    found = solve(problem, gap_limit=0.99)
    assert found.bound == pytest.approx(expected)
    pattern = RetentionProblem(scores, PEMap.n_m(scores.shape, 1, 4), order="optimized")
    # Blocks of four and two channels keep one each.
    expected = np.sort(-scores, axis=1)[:, :2].sum()
    assert solve(pattern, gap_limit=0.99).bound == pytest.approx(-expected)


def test_a_budget_of_nothing_is_worth_nothing():
    """No slice fits, so the bound is 0, and so is what is kept."""
    scores = np.array([[3.0, 1.0], [2.0, 2.0]])
    pe_map = PEMap.output_channel((2, 2), 1)
    program = TileProgram.of(RetentionProblem(scores, pe_map, 0, order="optimized"), 0)
    assert program.bound == 0.0
    assert program.with_best_loads(np.array([0, 1])).kept == 0.0


@given(layers(), st.randoms(use_true_random=False))
def test_loads_within_reach_are_all_that_are_needed(problem, random):
    """The loads are the same as if all slices were sorted."""
    program = TileProgram.of(problem, problem.pe_map.weights)
    order = list(range(problem.pe_map.channels))
    random.shuffle(order)
    tile = program.tiles_of(np.array(order))
    found = program.with_best_loads(tile)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TileProgram, "_reach", lambda self, sums, upper: upper)
        expected = program.with_best_loads(tile)
    np.testing.assert_array_equal(found.loads, expected.loads)


@given(st.integers(1, 8), st.integers(1, 80), st.floats(0, 1.1), st.booleans())
def test_the_best_slices_are_found_without_sorting_all(channels, depth, share, ties):
    """Value of the last and sum of the best, of descending rows of any length."""
    rng = np.random.default_rng([channels, depth])
    values = -np.sort(-rng.exponential(size=(channels, depth)), axis=1)
    if ties:
        values = np.floor(2 * values)
    number = int(share * values.size)
    best = -np.sort(-values, axis=None)[:number]
    last, total = _best_slices(values, number)
    assert total == pytest.approx(best.sum())
    if number == 0:
        assert last == values.max()
    else:
        assert last == (best[-1] if number < values.size else 0.0)
