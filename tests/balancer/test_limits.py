"""Limits and cancellation of a search."""

import numpy as np
import pytest

from balancer import BalancerError, Cancellation, Search, SearchLimits


@pytest.mark.parametrize("name", ["time_limit", "work_limit", "gap_limit"])
@pytest.mark.parametrize("value", [-1e-9, float("nan"), "1"])
def test_limits_that_are_none_are_refused(name, value):
    """A limit is a number of at least 0; the message names it."""
    with pytest.raises(BalancerError, match=f"`{name}` is .*at least 0"):
        SearchLimits(**{name: value})


@pytest.mark.parametrize("name", ["time_limit", "work_limit", "gap_limit"])
@pytest.mark.parametrize("value", [0, 0.0, 2.5])
def test_limits_from_0_are_taken(name, value):
    """Whole numbers and 0 are limits."""
    assert getattr(SearchLimits(**{name: value}), name) == value


def test_only_the_work_may_be_without_limit():
    """None is the default of the work limit, and no other limit."""
    assert SearchLimits().work_limit is None
    for name in ("time_limit", "gap_limit"):
        with pytest.raises(BalancerError, match=f"`{name}` is None"):
            SearchLimits(**{name: None})


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
def test_seeds_are_whole_numbers_from_0(seed):
    """A seed that is none is refused; NumPy's whole numbers are taken."""
    assert (SearchLimits(seed=0).seed, SearchLimits(seed=np.int64(3)).seed) == (0, 3)
    with pytest.raises(BalancerError, match=r"`seed` is .*at least 0"):
        SearchLimits(seed=seed)


@pytest.mark.parametrize("workers", [0, -1, 0.5, "1"])
def test_workers_are_whole_numbers_from_1(workers):
    """Nobody works with no worker; without a word, the network decides."""
    assert SearchLimits().workers is None
    with pytest.raises(BalancerError, match=r"`workers` is .*at least 1"):
        SearchLimits(workers=workers)


def test_defaults_search_to_the_proof():
    """Without a word, half a minute, seed 0, and no gap that is small enough."""
    limits = SearchLimits()
    assert (limits.time_limit, limits.seed, limits.gap_limit) == (30.0, 0, 0.0)
    assert Search().limits == limits
    assert not Search().cancellation.cancelled
    assert Search().cancellation is not Search().cancellation


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
