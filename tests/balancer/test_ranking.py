"""Rankings against sorting every cell by itself."""

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap
from balancer.program.keys import mark
from balancer.program.ranking import Ranking, top_per_cell
from balancer.program.slice_sums import SliceSums


@st.composite
def ranked(draw):
    """Keys with ties, infinities of both signs included, and a map of their cells."""
    pe_map = draw(pe_maps(60))
    values = draw(scores(pe_map.weights))
    marks = draw(
        st.lists(st.integers(0, 9), min_size=len(values), max_size=len(values))
    )
    marks = np.array(marks, dtype=int)
    values[marks == 0], values[marks == 1] = np.inf, -np.inf
    return values.reshape(pe_map.shape), pe_map


def cells_of(keys, pe_map):
    """Keys of each cell, best first, and where they are; of equal keys the first."""
    label = pe_map.cell_labels().reshape(-1)
    flat = keys.reshape(-1).astype(float)
    where = [np.flatnonzero(label == cell) for cell in range(pe_map.n_cells)]
    where = [places[np.argsort(-flat[places], kind="stable")] for places in where]
    return [flat[places] for places in where], where


def sum_of_slice(best, pe_map, group, j):
    """The j-th best of every cell of a group; infinities of one sign may add up."""
    mine = [best[cell][j] for cell in np.flatnonzero(pe_map.cell_group == group)]
    return sum(mine)


def slices_of(best, pe_map, group):
    mine = np.flatnonzero(pe_map.cell_group == group)
    return min(len(best[cell]) for cell in mine)


def check_sums(ranking, keys, pe_map, known):
    best, _ = cells_of(keys, pe_map)
    found = iter(ranking.slice_sums(known))
    for group, number in enumerate(known):
        for j in range(number):
            np.testing.assert_allclose(
                next(found), sum_of_slice(best, pe_map, group, j), rtol=1e-6
            )
    assert next(found, None) is None


@given(ranked(), st.integers(0, 6), st.data())
def test_slices_sum_the_best_of_every_cell(keys_and_map, depth, data):
    """Slice j of a group is the sum of its cells' j-th best, to any depth."""
    keys, pe_map = keys_and_map
    ranking = Ranking(keys, pe_map, depth)
    assert ranking.depth.tolist() == [depth] * pe_map.groups
    best, _ = cells_of(keys, pe_map)
    most = [min(depth, slices_of(best, pe_map, g)) for g in range(pe_map.groups)]
    known = np.array([data.draw(st.integers(0, top)) for top in most], dtype=int)
    with np.errstate(invalid="ignore"):
        check_sums(ranking, keys, pe_map, known)


@given(ranked(), st.lists(st.integers(0, 3), min_size=2, max_size=4), st.data())
def test_deeper_rankings_are_those_of_that_depth(keys_and_map, steps, data):
    """Deepening some groups, again and again, gives what ranking them so deep does."""
    keys, pe_map = keys_and_map
    ranking = Ranking(keys, pe_map, steps[0])
    depth = ranking.depth
    for step in steps[1:]:
        chosen = data.draw(
            st.lists(st.booleans(), min_size=pe_map.groups, max_size=pe_map.groups)
        )
        # Groups differ in how much deeper they go.
        more = depth + step + np.arange(pe_map.groups) % 2
        depth = np.where(np.array(chosen, dtype=bool), more, depth)
        ranking.deepen(keys, np.array(chosen, dtype=bool), more)
        np.testing.assert_array_equal(ranking.depth, depth)
    best, where = cells_of(keys, pe_map)
    most = np.array(
        [min(d, slices_of(best, pe_map, g)) for g, d in enumerate(depth)], dtype=int
    )
    with np.errstate(invalid="ignore"):
        check_sums(ranking, keys, pe_map, most)
    mask = ranking.mask(keys, most[pe_map.cell_group])
    np.testing.assert_array_equal(mask, expected_mask(where, pe_map, most))


def expected_mask(where, pe_map, loads):
    mask = np.zeros(pe_map.weights, dtype=bool)
    for cell, places in enumerate(where):
        mask[places[: loads[pe_map.cell_group[cell]]]] = True
    return mask.reshape(pe_map.shape)


@given(ranked(), st.data())
def test_the_best_of_a_cell_are_kept_and_of_equals_the_first(keys_and_map, data):
    """Every cell keeps as many as it is told, whatever the others keep."""
    keys, pe_map = keys_and_map
    _, where = cells_of(keys, pe_map)
    loads = np.array([data.draw(st.integers(0, len(c))) for c in where], dtype=int)
    expected = np.zeros(pe_map.weights, dtype=bool)
    for places, load in zip(where, loads, strict=True):
        expected[places[:load]] = True
    np.testing.assert_array_equal(
        top_per_cell(keys, pe_map, loads), expected.reshape(pe_map.shape)
    )


@given(ranked(), st.integers(0, 6), st.data())
def test_sums_of_what_is_kept_leave_out_the_marks(keys_and_map, depth, data):
    """Infinite keys are marks, not scores: they are no part of the sum."""
    keys, pe_map = keys_and_map
    best, _ = cells_of(keys, pe_map)
    most = [min(depth, slices_of(best, pe_map, g)) for g in range(pe_map.groups)]
    loads = np.array([data.draw(st.integers(0, top)) for top in most], dtype=int)
    total = 0.0
    for cell, values in enumerate(best):
        mine = values[: loads[pe_map.cell_group[cell]]]
        total += mine[np.isfinite(mine)].sum()
    found = Ranking(keys, pe_map, depth).finite_sum(loads)
    assert found == pytest.approx(total, rel=1e-6)


def test_a_table_has_a_row_for_each_group():
    """Groups of two cells each: the table holds the sums of their best three."""
    keys = np.random.default_rng(0).random((4, 6))
    pe_map = PEMap.input_channel((4, 6), 2)
    table = Ranking(keys, pe_map, 3).table()
    halves = -np.sort(-keys.reshape(4, 2, 3), axis=2)
    np.testing.assert_allclose(table, halves.sum(axis=1))


def test_marks_make_the_first_and_the_last():
    """What must be kept ranks above everything, what must not be kept below."""
    values = np.array([3.0, 0.0, 2.0, 1.0])
    allowed = np.array([True, True, False, True])
    must = np.array([False, True, False, False])
    assert mark(values, None, None) is values
    np.testing.assert_array_equal(mark(values, allowed, must), [3, np.inf, -np.inf, 1])
    np.testing.assert_array_equal(mark(values, allowed, None), [3, 0, -np.inf, 1])
    np.testing.assert_array_equal(mark(values, None, must), [3, np.inf, 2, 1])
    np.testing.assert_array_equal(values, [3, 0, 2, 1])


@given(ranked(), st.integers(0, 6), st.data())
def test_sums_are_those_of_the_ranking(keys_and_map, depth, data):
    """All answers are those of a ranking as deep, before and after going deeper."""
    keys, pe_map = keys_and_map
    best, _ = cells_of(keys, pe_map)
    # Upper bounds end before any weight that must not be kept.
    allowed = [int(np.count_nonzero(cell > -np.inf)) for cell in best]
    upper = np.array(
        [
            min(
                [slices_of(best, pe_map, group)]
                + [allowed[c] for c in np.flatnonzero(pe_map.cell_group == group)]
            )
            for group in range(pe_map.groups)
        ],
        dtype=np.int64,
    )
    sums, ranking = SliceSums(keys, pe_map, depth, upper), Ranking(keys, pe_map, depth)

    def compare():
        known = np.minimum(upper, ranking.depth)
        np.testing.assert_array_equal(sums.depth, ranking.depth)
        np.testing.assert_allclose(sums.slice_sums(known), ranking.slice_sums(known))
        some = np.array([data.draw(st.integers(0, int(k))) for k in known], np.int64)
        np.testing.assert_allclose(sums.slice_sums(some), ranking.slice_sums(some))
        np.testing.assert_allclose(sums.finite_sum(some), ranking.finite_sum(some))
        loads = some[pe_map.cell_group]
        np.testing.assert_array_equal(sums.mask(keys, loads), ranking.mask(keys, loads))

    compare()
    groups = np.array([data.draw(st.booleans()) for _ in upper], dtype=bool)
    deeper = np.minimum(ranking.depth + data.draw(st.integers(0, 4)), 60)
    sums.deepen(keys, groups, deeper)
    ranking.deepen(keys, groups, deeper)
    compare()
