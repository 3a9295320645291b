"""Limits and cancellation of a search."""

import numpy as np
import pytest

from balancer import BalancerError, Cancellation
from balancer.search import Search


@pytest.mark.parametrize("name", ["time_limit", "work_limit", "gap_limit"])
@pytest.mark.parametrize("value", [-1e-9, float("nan"), "1"])
def test_limits_that_are_none_are_refused(name, value):
    """A limit is a number of at least 0; the message names it."""
    with pytest.raises(BalancerError, match=f"`{name}` is .*at least 0"):
        Search(**{name: value})


@pytest.mark.parametrize("name", ["time_limit", "work_limit", "gap_limit"])
@pytest.mark.parametrize("value", [0, 0.0, 2.5])
def test_limits_from_0_are_taken(name, value):
    """Whole numbers and 0 are limits."""
    assert getattr(Search(**{name: value}), name) == value


def test_only_the_work_may_be_without_limit():
    """None is the default of the work limit, and no other limit."""
    assert Search().work_limit is None
    for name in ("time_limit", "gap_limit"):
        with pytest.raises(BalancerError, match=f"`{name}` is None"):
            Search(**{name: None})


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
def test_seeds_are_whole_numbers_from_0(seed):
    """A seed that is none is refused; NumPy's whole numbers are taken."""
    assert (Search(seed=0).seed, Search(seed=np.int64(3)).seed) == (0, 3)
    with pytest.raises(BalancerError, match=r"`seed` is .*at least 0"):
        Search(seed=seed)


def test_defaults_search_to_the_proof():
    """Without a word, half a minute, seed 0, and no gap that is small enough."""
    search = Search()
    assert (search.time_limit, search.seed, search.gap_limit) == (30.0, 0, 0.0)
    assert not search.cancellation.cancelled
    assert Search().cancellation is not search.cancellation


def test_cancelling_stops_those_who_run():
    """Each search inside its context is stopped once; one that has ended is not."""
    cancellation, stopped = Cancellation(), []
    with cancellation.calling(lambda: stopped.append("ended")):
        pass
    with (
        cancellation.calling(lambda: stopped.append("first")),
        cancellation.calling(lambda: stopped.append("second")),
    ):
        assert not cancellation.cancelled
        cancellation.cancel()
    assert cancellation.cancelled
    assert stopped == ["first", "second"]


def test_a_search_that_fails_is_forgotten():
    """An error inside the context passes on, and its search is not stopped later."""
    cancellation, stopped = Cancellation(), []
    with (
        pytest.raises(ValueError, match="lost"),
        cancellation.calling(lambda: stopped.append("failed")),
    ):
        raise ValueError("lost")
    cancellation.cancel()
    assert stopped == []
