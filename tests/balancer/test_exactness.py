"""Proofs at the extremes of the numbers, against exact arithmetic."""

import numpy as np
import pytest
from exactness import check, false_claim, kept_exactly
from hypothesis import example, given
from hypothesis import strategies as st

from balancer import (
    LayerCost,
    PEMap,
    RetentionProblem,
    Status,
    Termination,
    balance_network,
    solve,
)
from balancer.program.slice_program import SliceAllocator, SliceProgram

# Groups of 5, 3, 2 and 2 PEs with one weight each, whose best four weights are pairs.
SIZES = (5, 3, 2, 2)


def of_groups(*worth, budget=4, **more):
    """A program whose groups have one slice each; a group's weights are all alike."""
    group = np.repeat(np.arange(4), SIZES).reshape(4, 3)
    pe = np.concatenate([np.arange(size) for size in SIZES]).reshape(4, 3)
    scores = np.repeat(np.array(worth), SIZES).reshape(4, 3)
    return RetentionProblem(scores, PEMap.from_labels(group, pe), budget, **more)


@given(st.integers(0, 2**40))
def test_no_solver_claims_what_is_false(seed):
    """Nothing is called optimal that is not, and no bound is below the optimum."""
    assert check(seed) == []


@pytest.mark.parametrize("seed", [30355, 30517, 31486])
def test_a_guard_never_takes_what_the_budget_has_not(seed):
    """Where the first slice of one group fits and that of another does not."""
    assert check(seed, ("global",)) == []


@pytest.mark.parametrize("solver", ["auto", "binary"])
@pytest.mark.parametrize("giant", [1e3, 1e12, 1e15, 1e16, 1e20, 1e38, 1e300])
def test_a_giant_that_cannot_be_kept_changes_nothing(solver, giant):
    """The program without it has the same mask, and the same proof."""
    found = solve(of_groups(giant, 1.1, 1.05, 1.05), solver)
    plain = solve(of_groups(0.0, 1.1, 1.05, 1.05), solver)
    np.testing.assert_array_equal(found.mask, plain.mask)
    assert found.kept == pytest.approx(4.2)
    assert found.bound == pytest.approx(4.2, rel=1e-11)
    assert (found.status, found.termination) == (Status.OPTIMAL, Termination.PROVED)


def test_a_giant_beside_a_floor_that_crosses_cells_changes_nothing():
    """The program over weights, too, is scaled by what can be kept."""
    for giant in (1e15, 1e20, 1e38):
        # The floor of the last channel needs one of the last groups.
        crossing = of_groups(giant, 1.1, 1.05, 1.05, channel_floor=[0, 0, 0, 1])
        assert not crossing.separable
        found = solve(crossing)
        assert found.kept == pytest.approx(4.2)
        assert found.status is Status.OPTIMAL


def test_a_giant_that_is_kept_is_kept_for_certain():
    """Beside it the rest is below what a proof resolves."""
    found = solve(of_groups(1e30, 1.1, 1.05, 1.05, budget=7))
    assert found.kept == pytest.approx(5e30)
    assert found.status is Status.OPTIMAL


def test_slices_beyond_a_budget_are_left_out():
    """Of each group those stay that fit alone; groups that are full are complete."""
    program = SliceProgram(
        values=np.array([9.0, 8, 7, 6, 5, 4]),
        counts=np.array([3, 2, 1]),
        cost=np.array([[2, 0], [3, 1], [1, 9]]),
        lower=np.array([1, 0, 0]),
        complete=np.array([False, False, True]),
        budget=np.array([7, 8]),
        base=0.0,
    )
    left = program.affordable()
    np.testing.assert_array_equal(left.values, [9, 8, 6])
    np.testing.assert_array_equal(left.counts, [2, 1, 0])
    np.testing.assert_array_equal(left.complete, [True, True, True])
    roomy = SliceProgram(
        values=np.array([9.0]),
        counts=np.array([1]),
        cost=np.array([[2]]),
        lower=np.array([0]),
        complete=np.array([False]),
        budget=np.array([5]),
        base=0.0,
    )
    assert roomy.affordable() is roomy


def test_what_fits_no_budget_loosens_no_bound():
    """The bound of greedy does not count a slice that is larger than the budget."""
    program = SliceProgram.of_table(
        np.array([[1e20], [3.0], [2.0]]),
        cost=np.array([5, 2, 2]),
        lower=np.zeros(3, dtype=int),
        upper=np.ones(3, dtype=int),
        budget=4,
    )
    greedy = SliceAllocator(program.affordable()).greedy
    assert (greedy.kept, greedy.bound) == (5.0, 5.0)


def test_false_claims_are_found_out():
    """The judge of this module notices a false proof and a bound that is too low."""
    solution = solve(of_groups(0.0, 1.1, 1.05, 1.05))
    kept = kept_exactly(of_groups(0.0, 1.1, 1.05, 1.05).scores, solution.mask)
    assert false_claim(solution, kept, kept) is None
    assert "below the optimum" in false_claim(solution, kept, kept * 2)
    assert "not optimal" in false_claim(
        type("Claim", (), {"bound": 9.0, "status": Status.OPTIMAL})(), kept, kept * 2
    )
    assert "the enumeration is wrong" in false_claim(solution, kept, kept - 1)


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    st.integers(0, 40),
    st.integers(0, 2**32),
)
@example([1.0, 1.0, 1.0], [1.0, 171.0, 1.0], 9, 1)  # the floors need all of it
def test_a_fraction_of_one_allows_the_layer_wise_solution(slices, each, budget, seed):
    """Whatever numbers the costs are, as much is kept within all of its cycles."""
    rng = np.random.default_rng(seed)
    layers = {name: rng.random((rng.integers(1, 5), 4)) for name in "abc"}
    costs = {
        name: LayerCost(one, one / 3, other, other / 7, one / 11)
        for name, one, other in zip(layers, slices, each, strict=True)
    }
    budget = min(budget, sum(scores.size for scores in layers.values()))
    solution = balance_network(
        layers,
        budget=budget,
        scope="global",
        pes=3,
        costs=costs,
        latency_budget=1.0,
        energy_budget=1.0,
        # Sizes of at most three PEs: all have room for a slice from nine on.
        allow_empty=budget < 9,
    )
    solution.verify()
    layer_wise = solution.alternatives["layer-wise"]
    assert solution.kept >= layer_wise.kept * (1 - 1e-12)
    assert solution.cycles <= layer_wise.cycles * (1 + 1e-12)
    assert solution.energy <= layer_wise.energy * (1 + 1e-12)


def test_costs_rounded_down_never_break_a_limit():
    """Where a slice is less than a unit, the limit holds and the bound is true."""
    layers = {"a": np.array([[2.0, 1.0]]), "b": np.array([[5.0, 4.0]])}
    costs = {
        "a": LayerCost(cycles_per_slice=1e30),
        "b": LayerCost(cycles_per_slice=1.1),
    }
    solution = balance_network(
        layers,
        budget=4,
        scope="global",
        pes=1,
        costs=costs,
        latency_budget=1.5,
        allow_empty=True,
    )
    assert solution.cycles == pytest.approx(1.1) or solution.kept == 0
    assert solution.bound >= 5
    assert solution.status is Status.FEASIBLE or solution.kept == 5
