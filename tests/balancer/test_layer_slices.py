"""Slices of a layer, ranked as deep as needed, against all slices there are."""

from unittest.mock import patch

import numpy as np
import pytest
from cases import cases
from hypothesis import assume, given
from hypothesis import strategies as st

from balancer import BalancerError, PEMap, RetentionProblem
from balancer.program import layer_slices
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.slice_program import SliceAllocator

EVERYTHING = 10**6  # a mean load beyond which no cell has weights


@st.composite
def problems(draw):
    """A feasible problem whose groups only the budget couples."""
    try:
        problem = draw(cases(40)).problem()
    except BalancerError:
        problem = None
    assume(problem is not None and problem.separable)
    return problem


def shallow(problem, **more):
    """Slices of which the first alone is ranked, or those below the lower bounds."""
    with patch.object(layer_slices, "LEAST_DEPTH", 1):
        return LayerSlices(problem, mean_load=0.0, **more)


def by_hand(problem):
    """Sums of the j-th best keys of each group's cells, finite ones alone."""
    label = problem.pe_map.cell_labels().reshape(-1)
    keys = problem.keys().reshape(-1).astype(float)
    scores = problem.scores.reshape(-1).astype(float)
    table = []
    for group in range(problem.pe_map.groups):
        cells = np.flatnonzero(problem.pe_map.cell_group == group)
        places = [np.flatnonzero(label == cell) for cell in cells]
        ranked = [scores[p[np.argsort(-keys[p], kind="stable")]] for p in places]
        most = int(problem.upper[group])
        table.append(
            np.sum([r[:most] for r in ranked], axis=0) if most else np.zeros(0)
        )
    return table


@given(problems())
def test_a_program_of_all_slices_is_that_of_the_weights(problem):
    """Values, costs, bounds and base are sums over the weights of each group."""
    slices = LayerSlices(problem, mean_load=EVERYTHING)
    program, table = slices.program(), by_hand(problem)
    free = [own[low:] for own, low in zip(table, problem.lower, strict=True)]
    sizes = problem.pe_map.group_sizes()
    assert program.complete.all()
    assert slices.groups == problem.pe_map.groups
    np.testing.assert_array_equal(program.counts, problem.upper - problem.lower)
    np.testing.assert_array_equal(program.cost, sizes[:, None])
    np.testing.assert_array_equal(program.lower, problem.lower)
    np.testing.assert_array_equal(program.budget, [problem.budget])
    below = sum(own[:low].sum() for own, low in zip(table, problem.lower, strict=True))
    best = program.base + program.values.sum()
    assert best == pytest.approx(sum(own.sum() for own in table), rel=1e-5)
    if problem.must_keep is None:
        np.testing.assert_allclose(
            program.values, np.concatenate([[], *free]), rtol=1e-5
        )
        assert program.base == pytest.approx(below, rel=1e-5)
    assert slices.least == slices.nonzeros(problem.lower) == sizes @ problem.lower


@given(problems())
def test_settled_slices_are_ranked_as_deep_as_their_answer_needs(problem):
    """However shallow they begin, bound and mask are those of all slices."""
    slices = shallow(problem)
    settled = settle([slices], problem.budget).greedy
    every = LayerSlices(problem, mean_load=EVERYTHING)
    whole = SliceAllocator(every.program().affordable()).greedy
    assert settled.bound == pytest.approx(whole.bound, rel=1e-9)
    assert LayerSlices(problem).bound(problem) == pytest.approx(whole.bound, rel=1e-9)
    assert settled.kept <= settled.bound * (1 + 1e-9)
    mask = slices.mask(settled.loads, problem)
    scores = problem.scores[mask].sum(dtype=np.float64)
    assert settled.kept == pytest.approx(scores, rel=1e-6)
    expected = settled.loads[problem.pe_map.cell_group]
    np.testing.assert_array_equal(problem.pe_map.cell_loads(mask), expected)


@given(problems(), problems())
def test_layers_are_settled_together(first, second):
    """Under one budget, groups of all layers follow each other."""
    budget = first.budget + second.budget
    layers = [shallow(first), shallow(second)]
    joint = settle(layers, budget)
    whole = [LayerSlices(own, mean_load=EVERYTHING) for own in (first, second)]
    expected = settle(whole, budget).greedy
    assert joint.greedy.bound == pytest.approx(expected.bound, rel=1e-9)
    sizes = np.concatenate([own.group_sizes for own in layers])
    assert len(joint.greedy.loads) == sum(own.groups for own in layers)
    assert joint.nonzeros(joint.greedy) == sizes @ joint.greedy.loads <= budget


def test_weights_are_read_again_only_to_rank_deeper():
    """A problem that is not kept is asked for where the ranking ends too early."""
    scores = np.concatenate([[[9.0, 8, 7, 6]], np.ones((1, 4))])
    problem = RetentionProblem(scores, PEMap.output_channel((2, 4), 1), budget=4)
    read = []

    def again():
        read.append(problem)
        return problem

    slices = shallow(problem, read=again)
    assert not read
    greedy = settle([slices], 4).greedy
    assert read
    np.testing.assert_array_equal(greedy.loads, [4, 0])
    read.clear()
    settle([LayerSlices(problem, read=again)], 4)
    assert not read


def test_only_marked_groups_are_ranked_deeper():
    """The others keep their depth; no group is deeper than its greatest load."""
    problem = RetentionProblem(
        np.arange(40.0).reshape(2, 20), PEMap.output_channel((2, 20), 1), budget=9
    )
    slices = shallow(problem)
    slices.deepen(np.array([True, False]))
    np.testing.assert_array_equal(slices.program().counts, [4, 1])
    for _ in range(3):
        slices.deepen(np.array([True, False]))
    np.testing.assert_array_equal(slices.program().counts, [20, 1])
    np.testing.assert_array_equal(slices.program().complete, [True, False])
