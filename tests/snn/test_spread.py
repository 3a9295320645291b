"""Values over seeds: intervals and tests are scipy's, corrections are Holm's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

stats = pytest.importorskip("scipy.stats")

from snn.lottery.spread import Spread, holm  # noqa: E402


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=8))
def test_spread_and_interval_are_those_of_scipy(thousandths):
    """Mean, standard deviation and interval are what scipy says of the same values."""
    values = [each / 1000 for each in thousandths]
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(sum(values) / len(values), abs=1e-12)
    assert spread.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    low, high = spread.interval()
    assert low <= spread.mean <= high
    if len(set(values)) > 1:
        known = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (low, high) == pytest.approx((known.low, known.high), abs=1e-9)
        test = stats.ttest_1samp(values, 0)
        assert spread.p() == pytest.approx(test.pvalue, abs=1e-9)
        if abs(spread.p() - 0.05) > 1e-6:
            assert (spread.p() < 0.05) == (not low <= 0 <= high)


def test_values_that_are_all_alike_are_certain():
    """Without any deviation a mean is 0 for sure, or it is not."""
    assert Spread.of([0.0, 0.0]).p() == 1.0
    assert Spread.of([0.1, 0.1]).p() == 0.0
    assert Spread.of([0.1]).p() is None


def rejected(ps, level):
    """Places of the tests that Holm's steps reject at a level, the least p first."""
    tests = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    places = set()
    for rank, (p, place) in enumerate(tests):
        if p * (len(tests) - rank) > level:
            break
        places.add(place)
    return places


@given(st.lists(st.none() | st.floats(0.001, 1), max_size=8))
def test_corrected_p_are_the_levels_at_which_holm_rejects(ps):
    """Just above its corrected p a test is rejected, just below it is not."""
    found = holm(ps)
    assert [new is None for new in found] == [p is None for p in ps]
    for place, new in enumerate(found):
        if new is not None and new < 1:
            assert place in rejected(ps, new * (1 + 1e-9))
            assert place not in rejected(ps, new * (1 - 1e-9))
        elif new is not None:
            assert new == 1
            assert place not in rejected(ps, 1 - 1e-9)
