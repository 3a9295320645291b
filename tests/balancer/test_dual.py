"""The Lagrangian dual: bound and prices against all corners and all answers."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.program.dual import Dual


@st.composite
def duals(draw):
    """Chains of few slices, whole values with ties or any; up to three budgets."""
    budgets = draw(st.sampled_from([1, 1, 2, 2, 2, 3]))
    value = draw(st.sampled_from([st.integers(0, 5), st.floats(0, 8, width=32)]))
    chains = draw(
        st.lists(st.lists(value, max_size=3), max_size=4 if budgets < 3 else 3)
    )
    cost = [
        [draw(st.integers(int(not budget), 4)) for budget in range(budgets)]
        for _ in chains
    ]
    return (
        [np.array(sorted(chain, reverse=True), dtype=np.float64) for chain in chains],
        np.array(cost, dtype=np.int64).reshape(len(chains), budgets),
        np.array([draw(st.integers(0, 12)) for _ in range(budgets)], dtype=np.int64),
    )


def slices_of(chains, cost):
    """Value and cost of every slice."""
    of_slice = np.repeat(cost, [len(chain) for chain in chains], axis=0)
    return np.concatenate([np.empty(0), *chains]), of_slice


def value_at(prices, chains, cost, budget):
    """D: the budgets at these prices, and what the slices are worth beyond theirs."""
    values, of_slice = slices_of(chains, cost)
    return budget @ prices + np.maximum(0, values - of_slice @ prices).sum()


def least_at_corners(chains, cost, budget):
    """Least D, at a point where as many slices break even, or prices are 0, as needed.

    D is linear in between, and nowhere negative.
    """
    values, of_slice = slices_of(chains, cost)
    normals = np.concatenate([of_slice, np.eye(len(budget))])
    levels = np.concatenate([values, np.zeros(len(budget))])
    found = []
    for chosen in map(list, combinations(range(len(levels)), len(budget))):
        if abs(np.linalg.det(normals[chosen])) > 1e-9:
            prices = np.linalg.solve(normals[chosen], levels[chosen])
            if (prices >= -1e-12).all():
                found.append(value_at(np.maximum(0, prices), chains, cost, budget))
    return min(found)


@given(duals())
def test_the_bound_is_the_least_value_of_the_dual(dual):
    """No corner of D is below the bound, which is D at the prices, none negative."""
    prices, bound = Dual(*dual).minimize()
    assert prices.shape == dual[2].shape
    assert (prices >= 0).all()
    assert bound == pytest.approx(value_at(prices, *dual), abs=1e-11)
    assert bound == pytest.approx(least_at_corners(*dual), abs=1e-9)


@given(duals())
def test_no_answer_within_the_budgets_exceeds_the_bound(dual):
    """Of every chain any number of slices, the best first: all that fit are below."""
    chains, cost, budget = dual
    bound = Dual(*dual).minimize()[1]
    for loads in product(*(range(len(chain) + 1) for chain in chains)):
        if (np.array(loads, dtype=np.int64) @ cost <= budget).all():
            kept = sum(chain[:n].sum() for chain, n in zip(chains, loads, strict=True))
            assert kept <= bound + 1e-11


@given(duals())
def test_slices_worth_more_than_their_price_leave_nothing_to_gain(dual):
    """At the prices, no other price alone gives a lower bound: D is least there."""
    prices, bound = Dual(*dual).minimize()
    for budget in range(len(prices)):
        for changed in (0.0, prices[budget] / 2, prices[budget] * 1.01 + 0.01):
            other = prices.copy()
            other[budget] = changed
            assert value_at(other, *dual) >= bound - 1e-11


def dual_of(chains, cost, budget):
    return Dual(
        [np.array(chain, dtype=np.float64) for chain in chains],
        np.array(cost, dtype=np.int64),
        np.array(budget, dtype=np.int64),
    )


def test_ample_budgets_have_no_price():
    """Where everything fits, prices are 0 and the bound is the worth of all slices."""
    prices, bound = dual_of([[3, 2], [4]], [[2, 1], [3, 5]], [7, 7]).minimize()
    assert prices.tolist() == [0, 0]
    assert bound == 9


@pytest.mark.parametrize("budget", [[0], [0, 0], [0, 9], [9, 0]])
def test_nothing_fits_an_empty_budget(budget):
    """Everything has a cost in every budget: where one is 0, the bound is 0."""
    cost = np.array([[2, 3], [1, 4]])[:, : len(budget)]
    bound = dual_of([[7, 5.5], [3]], cost, budget).minimize()[1]
    assert bound == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("chains", [[], [[]], [[], []]])
def test_without_slices_nothing_is_kept_and_nothing_has_a_price(chains):
    """No chains, or empty ones: the bound is 0, at prices of 0."""
    cost = np.ones((len(chains), 2), dtype=np.int64)
    prices, bound = dual_of(chains, cost, [3, 4]).minimize()
    assert (prices.tolist(), bound) == ([0, 0], 0)


def test_only_what_is_scarce_has_a_price():
    """Slices that fill the second budget alone: its price is theirs, the other's 0."""
    prices, bound = dual_of([[6, 4, 2]], [[1, 2]], [9, 3]).minimize()
    assert prices.tolist() == [0, 2]
    assert bound == 6 + 4 / 2


def test_many_slices_of_nearly_one_value_are_priced_exactly():
    """A thousand values in a narrow range: the price is that of the first to miss."""
    values = 1 + np.linspace(1e-3, 0, 1000) ** 2
    prices, bound = dual_of([values], [[3]], [3 * 400]).minimize()
    assert values[400] <= 3 * prices[0] <= values[399]
    assert bound == pytest.approx(values[:400].sum(), rel=1e-13)
