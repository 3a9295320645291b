"""Limits and cancellation of a search."""

import math

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


def test_a_gap_is_always_told():
    """Time and work have a default of None, the gap has not."""
    assert SearchLimits(time_limit=None, work_limit=None) == SearchLimits()
    with pytest.raises(BalancerError, match="`gap_limit` is None"):
        SearchLimits(gap_limit=None)


def test_work_alone_decides_where_it_is_limited():
    """Without a word the clock ends a search after 30 s, beside a work limit never."""
    assert SearchLimits().seconds == 30
    assert SearchLimits(work_limit=1.0).seconds == math.inf
    assert SearchLimits(time_limit=5.0, work_limit=1.0).seconds == 5
    left = Search(SearchLimits(work_limit=3.0)).after(1e9, 1.0).limits
    assert (left.seconds, left.work_limit) == (math.inf, 2.0)


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
    assert (limits.seconds, limits.seed, limits.gap_limit) == (30.0, 0, 0.0)
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
