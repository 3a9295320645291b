"""A few loads that stand for all, and all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from balancer.order.load_table import ROWS, LoadTable


@st.composite
def totals(draw, deepest=120):
    """Sums of descending slices of a few channels, with ties and zeros."""
    channels, depth = draw(st.integers(1, 6)), draw(st.integers(0, deepest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.exponential(size=(channels, depth)) ** draw(st.sampled_from([1, 4]))
    if draw(st.booleans()):
        values = np.floor(values)
    sums = np.zeros((channels, depth + 1))
    np.cumsum(-np.sort(-values, axis=1), axis=1, out=sums[:, 1:])
    lower = draw(st.integers(0, depth))
    return sums, lower, draw(st.integers(lower, depth))


@given(totals())
def test_all_loads_are_rows_of_their_own(drawn):
    """Each load once, with what every channel is worth at it."""
    sums, lower, upper = drawn
    table = LoadTable.all(sums, lower, upper)
    np.testing.assert_array_equal(table.loads, np.arange(lower, upper + 1))
    np.testing.assert_array_equal(table.totals, sums.T[lower : upper + 1])


@given(totals(), st.floats(-1.0, 3.0), st.integers(0, 2**32))
def test_no_load_is_worth_more_than_the_rows(drawn, price, seed):
    """Whatever the prices, the largest tile of all loads is below that of the rows."""
    sums, lower, upper = drawn
    own = np.random.default_rng(seed).normal(size=len(sums)) * sums.max()
    size = 1 + seed % len(sums)

    def most(table):
        gain = table.totals - price * table.loads[:, None] - own
        return np.sort(gain, axis=1)[:, -size:].sum(axis=1).max()

    exact = most(LoadTable.all(sums, lower, upper))
    bound = most(LoadTable.few(sums, lower, upper))
    assert bound >= exact - 1e-9 * (1 + abs(exact))


@given(totals(deepest=30))
def test_rows_of_few_loads_are_exact(drawn):
    """Where an interval holds no more loads than rows, every load is one."""
    sums, lower, upper = drawn
    few, every = (make(sums, lower, upper) for make in (LoadTable.few, LoadTable.all))
    np.testing.assert_array_equal(few.loads[:ROWS], every.loads[:ROWS])
    assert len(few.loads) <= len(every.loads)
    assert few.loads[0] == lower
    assert few.loads[-1] == upper
    np.testing.assert_array_equal(few.totals[:ROWS], every.totals[:ROWS])


def test_few_rows_stand_for_thousands_of_loads():
    """Rows grow with the logarithm of the loads, and are near what they stand for."""
    values = -np.sort(-np.random.default_rng(1).exponential(size=(8, 3000)), axis=1)
    sums = np.concatenate([np.zeros((8, 1)), np.cumsum(values, axis=1)], axis=1)
    table = LoadTable.few(sums, 0, 3000)
    assert len(table.loads) < 180
    exact = sums[:, table.loads].T
    assert (table.totals >= exact * (1 - 1e-12)).all()
    assert (table.totals <= exact * 1.003 + 1e-9).all()
