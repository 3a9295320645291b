"""Expected work: equal within the tolerance, under the budget, below the bound."""

import math
from fractions import Fraction

import numpy as np
import pytest
from cases import pe_maps, scores
from exactness import UNIT, Work
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    PEMap,
    RetentionProblem,
    VerificationError,
    balance_expected_work,
    solve,
)
from balancer.expected_work.relaxation import (
    PricedRelaxation,
    Relaxation,
    _without_each,
)
from hwmodel import Accelerator, LayerWorkload, evaluate


@st.composite
def cases(draw, max_weights):
    """A problem with a budget, and work with ties and zeros."""
    pe_map = draw(pe_maps(max_weights).filter(lambda m: m.fixed_load is None))
    size = pe_map.weights
    values = draw(scores(size)).reshape(pe_map.shape)
    amounts = st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.5])
    work = np.array(draw(st.lists(amounts, min_size=size, max_size=size)))
    budget = draw(st.integers(0, size))
    return RetentionProblem(values, pe_map, budget), work.reshape(pe_map.shape)


def best_kept(problem, work, tolerance):
    """Largest score over all masks, by trying each."""
    size = problem.pe_map.weights
    masks = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1
    group, pe = (labels.reshape(-1) for labels in problem.pe_map.labels())
    feasible = masks.sum(axis=1) <= problem.budget
    for g in np.unique(group):
        loads = np.stack(
            [
                masks[:, (group == g) & (pe == p)]
                @ work.reshape(-1)[(group == g) & (pe == p)]
                for p in np.unique(pe[group == g])
            ]
        )
        feasible &= loads.max(axis=0) - loads.min(axis=0) <= tolerance + 1e-9
    return (masks[feasible] @ problem.scores.reshape(-1).astype(float)).max()


@given(cases(10))
def test_the_bound_holds_for_every_mask(case):
    """No mask within tolerance and budget keeps more than the bound, by exhaustion."""
    problem, work = case
    solution = balance_expected_work(problem, work)
    best = best_kept(problem, work, solution.tolerance)
    assert solution.kept <= best + 1e-9
    assert best <= solution.bound + 1e-9


@given(cases(60))
def test_loads_budget_and_claims_hold(case):
    """Loads differ by the tolerance at most, and what is said of the mask holds."""
    problem, work = case
    solution = balance_expected_work(problem, work)
    solution.verify(problem, work)
    present = problem.pe_map.present()
    for loads, here in zip(solution.loads, present, strict=True):
        assert np.ptp(loads[here]) <= solution.tolerance + 1e-9
    assert solution.nonzeros + solution.remainder == problem.budget


def layer(spread):
    """A convolution whose input channels spike at different rates."""
    rng = np.random.default_rng(0)
    values = np.abs(rng.standard_normal((64, 64, 3, 3)))
    rates = np.clip(0.15 * rng.lognormal(0, spread, 64) / np.exp(spread**2 / 2), 0, 1)
    problem = RetentionProblem(
        values, PEMap.output_channel(values.shape), sparsity=0.98
    )
    return problem, rates, rng.random((4, 1, 64, 8, 8)) < rates[:, None, None]


@pytest.mark.parametrize("tolerance", [None, 0.3, 0.1])
def test_work_balance_beats_count_balance_where_rates_differ(tolerance):
    """With dual skipping and a tile barrier, eta rises at equal non-zeros."""
    problem, rates, spikes = layer(spread=1.0)
    by_count = solve(problem)
    by_work = balance_expected_work(problem, rates[:, None, None], tolerance)
    assert abs(by_work.nonzeros - by_count.nonzeros) <= 16
    assert by_work.gap < 0.01
    array = {
        **{"mapping": "output_channel", "pes": 16, "skip": "dual"},
        **{"barrier": "tile", "source": "test"},
    }
    preset = Accelerator.load("u-ticket").model_dump(exclude_unset=True)
    accelerator = Accelerator.from_dict(preset | {"array": array})
    eta = [
        evaluate(
            [LayerWorkload("conv", mask, (64, 8, 8), padding=1, spikes=spikes)],
            accelerator,
        ).eta
        for mask in (by_count.mask, by_work.mask)
    ]
    assert eta[1] > eta[0] + 0.1


def test_equal_rates_are_the_counting_program():
    """Where every weight costs the same, the mask is as good as the optimal one."""
    problem, _, _ = layer(spread=0.0)
    by_work = balance_expected_work(problem, 0.15)
    assert by_work.kept <= by_work.bound
    assert by_work.kept >= solve(problem).kept * (1 - 1e-3)


def test_wrong_work_is_refused():
    """Work that no weight can have is refused with what is accepted."""
    problem, rates, _ = layer(spread=1.0)
    for work, message in (
        (-rates[:, None, None], "below 0, infinite or NaN"),
        (rates, "must broadcast to"),
        ("much", "real numbers are needed"),
    ):
        with pytest.raises(BalancerError, match=message):
            balance_expected_work(problem, work)
    with pytest.raises(BalancerError, match="`tolerance` is -1"):
        balance_expected_work(problem, 1.0, -1)
    floor = RetentionProblem(
        problem.scores, problem.pe_map, problem.budget, channel_floor=1
    )
    with pytest.raises(BalancerError, match="under a budget alone"):
        balance_expected_work(floor, 1.0)


def test_a_damaged_work_solution_is_found_out():
    """Another mask than the one that was measured fails verification."""
    problem, rates, _ = layer(spread=1.0)
    work = rates[:, None, None]
    solution = balance_expected_work(problem, work)
    with pytest.raises(VerificationError, match="exceed the budget"):
        balance_expected_work(problem, work).verify(
            RetentionProblem(problem.scores, problem.pe_map, 10), work
        )
    with pytest.raises(VerificationError, match="`loads` are not"):
        solution.verify(problem, 1.0001 * work)


def far_apart(seed, pe_map, work_decades=10, score_decades=38):
    """Scores and work that span many decades, and what they are as whole numbers."""
    rng = np.random.default_rng(seed)
    size, shape = pe_map.weights, pe_map.shape
    work = 10.0 ** rng.uniform(-work_decades, work_decades, size).reshape(shape)
    values = 10.0 ** rng.uniform(-score_decades, score_decades, size).reshape(shape)
    budget = int(rng.integers(0, size + 1))
    return Work(RetentionProblem(values, pe_map, budget), work, None)


@given(st.integers(0, 2**32), st.integers(1, 3), st.data())
def test_any_prices_bound_every_mask(seed, pes, data):
    """However roughly they were found, and over tens of decades, in exact numbers."""
    drawn = far_apart(seed, PEMap.output_channel((4, 2), pes))
    relaxation = Relaxation(drawn.problem, drawn.work)
    price = st.floats(0, 1) | st.sampled_from([0.0, 1e-30, 1e-8])
    slopes = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1e-20, -1e-20, 1e120, -1e150])
    mu = np.array([data.draw(slopes) for _ in relaxation.sizes])
    tolerance = data.draw(st.sampled_from([0.0, 1e-9, 1.0]))
    bound = relaxation.bound(data.draw(price), mu, tolerance)
    real = drawn.best(math.ldexp(tolerance, relaxation._work_unit), 0.0)
    assert Fraction(bound) * Fraction(2) ** relaxation._score_unit * UNIT >= real


@given(st.integers(0, 2**32))
def test_weights_of_little_work_are_told_apart_beside_large_ones(seed):
    """What a PE takes within a load does not depend on the work of other PEs."""
    rng = np.random.default_rng(seed)
    work = rng.random((3, 5)) * np.array([[1e18], [1.0], [1e-18]])
    problem = RetentionProblem(
        rng.random((3, 5)), PEMap.output_channel((3, 5), pes=1), budget=15
    )
    shared = Relaxation(problem, work)
    loads = np.ldexp(0.6 * work.sum(axis=1), -shared._work_unit)
    count = PricedRelaxation(shared, 0.25, 0.0)._fitting(loads)
    for channel in range(3):
        alone = RetentionProblem(
            problem.scores[[channel]], PEMap.output_channel((1, 5), pes=1), budget=5
        )
        one = Relaxation(alone, work[[channel]])
        price = math.ldexp(0.25, shared._score_unit - one._score_unit)
        expected = PricedRelaxation(one, price, 0.0)
        load = np.ldexp(0.6 * work[channel].sum(keepdims=True), -one._work_unit)
        assert count[channel] == expected._fitting(load)[0]


def test_loads_are_held_to_the_tolerance_in_any_unit():
    """Work of 1e-20 differs by more than a hundredth of it as work of 1 does."""
    values = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    pe_map = PEMap.output_channel(values.shape, pes=2)
    problem = RetentionProblem(values, pe_map, budget=4)
    for unit in (1.0, 1e-20, 1e200):
        work = unit * np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 3.0]])
        solution = balance_expected_work(problem, work, tolerance=unit / 100)
        assert solution.kept == 10
        assert np.ptp(solution.loads) <= unit / 100
        with pytest.raises(VerificationError, match="differ by"):
            solution.verify(problem, unit * np.array([[1.0] * 3, [2.0] * 3]))


def test_an_exchange_adds_up_what_stays():
    """To take a giant out of a load leaves what the others are, to the digit."""
    work = np.array([3.0, 1e20, 5.0, 2.0])
    np.testing.assert_array_equal(
        _without_each(work), [1e20 + 7, 10.0, 1e20 + 5, 1e20 + 8]
    )
    assert _without_each(np.array([4.0])).tolist() == [0.0]
    assert _without_each(np.empty(0)).size == 0


@pytest.mark.parametrize("unit", [2.0**-1074, 2.0**1000])
def test_scores_of_any_unit_have_the_same_mask(unit):
    """Denormal scores too, and no budget is exceeded at the highest price."""
    values = np.array([[3.0, 2.0, 1.0, 0.0], [5.0, 4.0, 1.0, 2.0]])
    work = np.array([[1.0, 1e-20, 3.0, 1.0], [2.0, 1e-20, 1.0, 1e-12]])
    pe_map = PEMap.output_channel(values.shape, pes=2)
    for budget in (0, 3, 6):
        plain = RetentionProblem(values, pe_map, budget)
        scaled = RetentionProblem(values * unit, pe_map, budget)
        one, other = (balance_expected_work(p, work) for p in (plain, scaled))
        np.testing.assert_array_equal(one.mask, other.mask)
        assert other.bound >= other.kept
