"""Which channels may change places: found for every map, and used by no other."""

from itertools import permutations

import numpy as np
import pytest
from cases import pe_maps
from hypothesis import given, settings
from hypothesis import strategies as st
from own_maps import in_formulas

from balancer import BalancerError, PEMap, RetentionProblem, Schedule, solve
from balancer.order.sorting import sorted_schedule

PAIRS = "pes=12; group=out // 8; pe=out // 2 % 4 * 3 + row"


def labels_by_channel(pe_map):
    """Cell and group of every weight, [channels, weights of one]."""
    axis = pe_map.order_axis
    cell, group = pe_map.cell_labels(), pe_map.labels()[0]
    return (
        np.moveaxis(label.reshape(*pe_map.shape[:2], -1), axis, 0).reshape(
            pe_map.shape[axis], -1
        )
        for label in (cell, group)
    )


def of_labels(pe_map):
    return PEMap.from_labels(*pe_map.labels(), pe_map.pes)


@given(pe_maps(60, 1))
def test_cells_are_blocks_times_parts(drawn):
    """Where channels may change places, block and part tell cell and group."""
    pe_map = of_labels(drawn)
    found = pe_map.exchange
    assert (pe_map.order_axis is None) == (found is None)
    if found is None:
        return
    cell, group = labels_by_channel(pe_map)
    product = found.block[:, None] * len(found.group[0]) + found.part
    pairs = set(zip(cell.reshape(-1), product.reshape(-1), strict=True))
    assert len(pairs) == pe_map.n_cells == found.group.size
    np.testing.assert_array_equal(found.group[found.block][:, found.part], group)


@given(pe_maps(40, 1), st.randoms(use_true_random=False))
def test_any_order_of_the_channels_is_the_same_program(drawn, random):
    """All channels of a found axis meet PEs and groups of the same kinds.

    What a cell holds of a channel, and which cells wait for each other, is alike for
    all orders: only the weights are others.
    """
    pe_map = of_labels(drawn)
    if pe_map.order_axis is None:
        return
    cell, _ = labels_by_channel(pe_map)
    first, other = random.choice(cell), random.choice(cell)
    numbers = [np.unique(one, return_inverse=True)[1] for one in (first, other)]
    parts = [
        {frozenset(np.flatnonzero(n == part).tolist()) for part in np.unique(n)}
        for n in numbers
    ]
    assert parts[0] == parts[1]


@pytest.mark.parametrize(
    ("formulas", "kind", "axis"),
    [
        (PAIRS, "blocks", 0),
        ("pes=8; group=out // 8; pe=out % 8", "tiles", 0),
        ("pes=8; group=out % 2; pe=out // 2", "tiles", 0),
        ("pes=24; group=out // 8; pe=out % 8 * 3 + row", "tiles", 0),
        ("pes=8; group=0; pe=out % 8", "blocks", 0),
        ("pes=8; group=out; pe=in % 8", "blocks", 1),
        ("pes=8; group=row; pe=in % 8", "blocks", 1),
        ("pes=3; group=out // 8; pe=row", "blocks", 0),
        ("pes=16; group=0; pe=(out + in) % 16", None, None),
        ("pes=16; group=0; pe=out if in < 2 else 15 - out", None, None),
        ("pes=9; group=0; pe=position", None, None),
        ("pes=9; group=out; pe=position", None, None),
    ],
)
def test_what_is_permuted_is_found(formulas, kind, axis):
    """Output channels where these can change places, else inputs, else nothing."""
    pe_map = PEMap.parse(formulas, (16, 8, 3, 3))
    assert (pe_map.order_kind, pe_map.order_axis) == (kind, axis)
    values = np.random.default_rng(0).random(pe_map.shape)
    if kind is not None:
        solution = solve(
            RetentionProblem(values, pe_map, 300, order="sorted"), time_limit=5
        )
        assert solution.schedule.axis == axis
        return
    for order in ("sorted", "optimized"):
        with pytest.raises(BalancerError, match=r"takes only .fixed..*change places"):
            RetentionProblem(values, pe_map, 300, order=order)


@given(
    drawn=pe_maps(48, 1).filter(
        lambda pe_map: pe_map.name.startswith(("output_channel", "grid"))
    ),
    data=st.data(),
)
@settings(deadline=None)
def test_tiles_of_ones_own_are_ordered_as_those_of_the_package(drawn, data):
    """The same kept score, bound and status, wherever the places of a tile lie."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.exponential(size=drawn.shape)
    budget = data.draw(st.integers(0, drawn.weights))
    own = PEMap.parse(in_formulas(drawn), drawn.shape)
    if own.order_kind != "tiles":  # a single tile, or a channel in each
        return
    order = Schedule(0, rng.permutation(drawn.channels))
    group, pe = (order.apply(labels) for labels in drawn.labels())
    spread = PEMap.from_labels(group, pe, drawn.pes)
    expected = solve(RetentionProblem(values, drawn, budget, order="optimized"))
    for pe_map in (own, spread):
        problem = RetentionProblem(values, pe_map, budget, order="optimized")
        found = solve(problem)
        found.verify(problem)
        assert found.kept == pytest.approx(expected.kept, rel=1e-9)
        assert found.bound == pytest.approx(expected.bound, rel=1e-9)
        assert found.status == expected.status


@given(
    formulas=st.sampled_from(
        [
            "pes=4; group=out // 4; pe=out % 4 // 2 * 2 + position % 2",
            "pes=2; group=0; pe=out % 2",
            "pes=2; group=out // 2 % 2; pe=position % 2",
            "pes=2; group=row; pe=in % 2",
        ]
    ),
    seed=st.integers(0, 2**32 - 1),
    budget=st.integers(0, 20),
)
@settings(deadline=None, max_examples=30)
def test_no_order_of_blocks_is_above_the_bound(formulas, seed, budget):
    """What is found lies between the natural order and the best of all orders."""
    rng = np.random.default_rng(seed)
    shape = (5, 2, 2, 1) if "out" in formulas else (2, 5, 2, 1)
    values = rng.exponential(size=shape)
    pe_map = PEMap.parse(formulas, shape)
    problem = RetentionProblem(values, pe_map, budget, order="optimized")
    found = solve(problem, work_limit=0.02)
    found.verify(problem)
    kept = [
        solve(
            RetentionProblem(np.take(values, order, pe_map.order_axis), pe_map, budget)
        )
        for order in permutations(range(5))
    ]
    best = max(one.kept for one in kept)
    assert kept[0].kept <= found.kept * (1 + 1e-9)
    assert found.kept <= best * (1 + 1e-9)
    assert best <= found.bound * (1 + 1e-9)


def test_pairs_in_a_better_order_keep_more():
    """Channels of like magnitude share PEs and tiles; the mask stays in its shape."""
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(32, 8, 3, 3)) * rng.lognormal(size=(32, 1, 1, 1))
    pe_map = PEMap.parse(PAIRS, values.shape)
    kept = {
        order: solve(
            RetentionProblem(values, pe_map, sparsity=0.95, order=order), work_limit=0.1
        ).kept
        for order in ("fixed", "sorted", "optimized")
    }
    assert kept["fixed"] * 1.1 < kept["sorted"] < kept["optimized"]


def test_places_of_a_tile_may_lie_anywhere():
    """Even and odd channels as two tiles keep what two tiles of neighbours keep."""
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(16, 20)) * rng.lognormal(size=(16, 1))
    dealt = PEMap.parse("pes=8; group=out % 2; pe=out // 2", values.shape)
    found, expected = (
        solve(RetentionProblem(values, pe_map, 64, order="optimized"))
        for pe_map in (dealt, PEMap.output_channel(values.shape, 8))
    )
    assert (found.solver, found.fallback_reason) == (expected.solver, None)
    assert found.kept == pytest.approx(expected.kept, rel=1e-12)
    tiles = {frozenset(found.order[first::2].tolist()) for first in (0, 1)}
    assert tiles == {frozenset(half.tolist()) for half in np.split(expected.order, 2)}


def test_sorted_channels_fill_one_set_of_blocks_after_another():
    """The densest eight channels share the first tile, dealt to its four pairs."""
    pe_map = PEMap.parse(PAIRS, (16, 8, 3, 3))
    nonzeros = np.random.default_rng(0).permutation(16)
    order = sorted_schedule(pe_map, nonzeros).order
    np.testing.assert_array_equal(
        nonzeros[order[::2]], [*range(15, 11, -1), 7, 6, 5, 4]
    )
    np.testing.assert_array_equal(nonzeros[order[1::2]], [8, 9, 10, 11, 0, 1, 2, 3])
