"""Expected work: equal within the tolerance, under the budget, below the bound."""

import numpy as np
import pytest
from cases import pe_maps, scores
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
