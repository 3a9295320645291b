"""Pairs of layers: as good as the best of all pairs of masks, or bounded."""

import itertools
import sys

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    Cancellation,
    InfeasibleError,
    PairProblem,
    PEMap,
    RetentionProblem,
    Status,
    Termination,
    solve_pair,
)
from balancer.pair.program import search_pair
from balancer.solvers.limits import Search


def all_masks(layer):
    """Every mask within a layer's constraints."""
    bits = itertools.product([False, True], repeat=layer.pe_map.weights)
    for mask in (np.array(one, bool).reshape(layer.pe_map.shape) for one in bits):
        loads = layer.pe_map.cell_loads(mask)
        largest = layer.pe_map.largest_of_group(loads)
        if (
            mask.sum() <= layer.budget
            and np.array_equal(loads, largest[layer.pe_map.cell_group])
            and (largest >= layer.min_load).all()
            and (largest <= layer.max_load).all()
            and (layer.previous_mask is None or not (mask & ~layer.previous_mask).any())
        ):
            yield mask


@st.composite
def layers(draw, pe_map):
    """A layer's program with any budget, bounds and previous mask."""
    size = pe_map.weights
    bits = st.lists(st.booleans(), min_size=size, max_size=size)
    previous = np.array(draw(bits), bool).reshape(pe_map.shape)
    try:
        return RetentionProblem(
            draw(scores(size)).reshape(pe_map.shape),
            pe_map,
            draw(st.integers(0, size)),
            min_load=draw(st.sampled_from([0, 0, 0, 1])),
            max_load=draw(st.sampled_from([size, size, 1, 2])),
            previous_mask=draw(st.sampled_from([None, previous])),
        )
    except InfeasibleError:
        assume(False)


@st.composite
def pairs(draw, most=8):
    """Two small layers, of any maps, that meet in any way."""
    first = draw(pe_maps(most).filter(lambda one: one.fixed_load is None))
    second = draw(pe_maps(most).filter(lambda one: one.fixed_load is None))
    channels = first.channels
    assume(channels)

    def array(shape, values):
        size = int(np.prod(shape))
        drawn = draw(st.lists(values, min_size=size, max_size=size))
        return np.array(drawn).reshape(shape)

    mostly = st.sampled_from([True, True, True, False])
    seldom = st.sampled_from([False, False, False, True])
    return PairProblem(
        draw(layers(first)),
        draw(layers(second)),
        source=array(second.shape, st.integers(0, channels - 1)).astype(int),
        reached=array(first.shape, mostly).astype(bool),
        read=array(second.shape, mostly).astype(bool),
        reached_anyway=array((channels,), seldom).astype(bool),
        read_anyway=array((channels,), seldom).astype(bool),
    )


def value_by_hand(problem, first, second):
    """Add up what works, weight by weight, as the formulation says."""
    total = 0.0
    writes = [(i, i[0]) for i in zip(*np.nonzero(first & problem.reached), strict=True)]
    reads = [
        (j, problem.source[j])
        for j in zip(*np.nonzero(second & problem.read), strict=True)
    ]
    for i, channel in writes:
        if problem.read_anyway[channel] or channel in {c for _, c in reads}:
            total += float(problem.first.scores[i])
    for j, channel in reads:
        if problem.reached_anyway[channel] or channel in {c for _, c in writes}:
            total += float(problem.second.scores[j])
    return total


@settings(max_examples=60, deadline=None)
@given(pairs(most=6))
def test_the_program_is_as_good_as_every_pair_of_masks(problem):
    """Exhaustive search finds nothing better, and the bound of turns is true."""
    best = max(
        value_by_hand(problem, first, second)
        for first, second in itertools.product(
            list(all_masks(problem.first)), list(all_masks(problem.second))
        )
    )
    exact = solve_pair(problem)
    assert exact.kept == pytest.approx(best, rel=1e-9)
    assert exact.status is Status.OPTIMAL
    by_turns = solve_pair(problem, "alternation")
    assert by_turns.kept <= best * (1 + 1e-12)
    assert by_turns.bound >= best * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(pairs(most=40))
def test_every_answer_is_balanced_within_budget_and_not_below_its_hint(problem):
    """Also where the program has no time, or is cancelled before it begins."""
    hint = solve_pair(problem, "alternation")
    masks = hint.first, hint.second
    assert hint.kept == pytest.approx(value_by_hand(problem, *masks))
    stopped = Cancellation()
    stopped.cancel()
    for more in ({"time_limit": 0.0}, {"cancellation": stopped}, {"work_limit": 0.1}):
        found = solve_pair(problem, hint=masks, **more)
        found.verify(problem)
        assert found.kept >= hint.kept * (1 - 1e-12)
        assert found.bound >= found.kept


def two_by_two(**more):
    """The second layer's best weights read what the first cannot afford."""
    first, second = np.array([[9.0, 8], [7, 1]]), np.array([[2.0, 5], [1, 5]])
    return PairProblem(
        RetentionProblem(first, PEMap.output_channel((2, 2), pes=1), budget=2),
        RetentionProblem(second, PEMap.output_channel((2, 2), pes=2), budget=2),
        **more,
    )


def test_a_channel_is_woken_where_both_layers_gain():
    """Alone the first keeps 9 + 8 and the second 5 + 5, of which nothing meets."""
    solution = solve_pair(two_by_two())
    assert solution.kept == 9 + 7 + 2 + 5
    assert solution.idle == 0
    anyway = solve_pair(two_by_two(reached_anyway=[False, True], read_anyway=True))
    assert anyway.kept == 9 + 8 + 5 + 5


def test_a_flattened_channel_is_read_by_each_of_its_pixels():
    """Without `source`, equally many neighbouring inputs belong to each."""
    first = RetentionProblem(np.ones((2, 3)), PEMap.output_channel((2, 3), 1), 3)
    second = RetentionProblem(np.ones((1, 6)), PEMap.output_channel((1, 6), 1), 3)
    problem = PairProblem(first, second)
    assert problem.source.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_without_or_tools_turns_answer(monkeypatch):
    """The answer says so, and keeps the bound of the layers alone."""
    monkeypatch.setitem(sys.modules, "ortools.sat.python.cp_model", None)
    solution = solve_pair(two_by_two())
    assert (solution.solver, solution.termination) == (
        "alternation",
        Termination.COMPLETED,
    )
    assert "OR-Tools" in solution.fallback_reason
    assert solution.bound == 9 + 8 + 5 + 5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"source": [[0, 2], [0, 1]]}, "`source` holds 0 to 2"),
        ({"source": [[0.0, 1.0]]}, "`source` is float64"),
        ({"reached": [1, 0]}, "`reached` is int64; bool"),
        ({"read": np.ones((3, 2), bool)}, "`read` has shape"),
    ],
)
def test_wrong_arrays_are_named(more, said):
    """With what was given and what is needed."""
    with pytest.raises(BalancerError, match=said):
        two_by_two(**more)


def test_programs_with_more_are_refused():
    """Floors, forced weights and orders are no part of the pair program."""
    pe_map = PEMap.output_channel((2, 2), pes=1)
    plain = RetentionProblem(np.ones((2, 2)), pe_map, 2)
    for more, said in (
        ({"channel_floor": 1}, "a channel floor"),
        ({"forced": np.eye(2, dtype=bool)}, "forced weights"),
        ({"order": "optimized"}, "an order to choose"),
    ):
        with pytest.raises(BalancerError, match=said):
            PairProblem(RetentionProblem(np.ones((2, 2)), pe_map, 2, **more), plain)
    wide = RetentionProblem(np.ones((2, 3)), PEMap.output_channel((2, 3), 1), 2)
    with pytest.raises(BalancerError, match="3 input channels, the first 2"):
        PairProblem(plain, wide)


def test_a_hint_that_breaks_a_constraint_is_refused():
    """It is named, before anything is searched."""
    with pytest.raises(BalancerError, match="`hint`: 3 non-zeros exceed the budget"):
        solve_pair(two_by_two(), hint=(np.array([[1, 1], [1, 0]], bool), np.eye(2) > 0))
    with pytest.raises(BalancerError, match="unknown solver 'magic'"):
        solve_pair(two_by_two(), "magic")


def test_the_program_finds_what_turns_do_not():
    """Two layers whose channels must change together: no single turn gains."""
    problem = two_by_two()
    stuck = np.array([[1, 1], [0, 0]], bool), np.array([[1, 0], [1, 0]], bool)
    found, bound, termination = search_pair(problem, Search(), stuck)
    assert termination is Termination.PROVED
    assert problem.value(found) == bound == 23
