"""The clock of a search: when it stops, and what it says."""

import time

import pytest
from cases import search_of

from balancer import Cancellation, Termination
from balancer.order.clock import ENTRIES_PER_WORK, Interrupted, SearchClock
from balancer.solvers.limits import Progress


@pytest.fixture
def now(monkeypatch):
    """A clock on the wall that only the test moves."""
    reading = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: reading[0])
    return reading


def test_time_is_used_up_at_its_limit(now):
    """A search may go on until its time is over; then a check stops its step."""
    clock = SearchClock(search_of(time_limit=8.0))
    assert (clock.seconds, clock.interrupted) == (0, None)
    now[0] += 7.9
    clock.check()
    assert clock.interrupted is None
    now[0] += 0.1
    assert clock.interrupted is Termination.TIME_LIMIT
    with pytest.raises(Interrupted):
        clock.check()


def test_work_is_used_up_at_its_limit_whatever_the_time(now):
    """Work is added up; the time limit still holds."""
    clock = SearchClock(search_of(time_limit=8.0, work_limit=4.0))
    now[0] += 7
    clock.spend(int(ENTRIES_PER_WORK))
    clock.spend(int(2 * ENTRIES_PER_WORK))
    assert clock.interrupted is None
    clock.spend(int(ENTRIES_PER_WORK))
    assert clock.interrupted is Termination.TIME_LIMIT
    other = SearchClock(search_of(time_limit=8.0, work_limit=4.0))
    now[0] += 8
    assert other.interrupted is Termination.TIME_LIMIT


@pytest.mark.parametrize("limits", [{"time_limit": 0.0}, {"work_limit": 0.0}])
def test_no_time_is_used_up_at_once(now, limits):
    """A limit of 0 stops the search at its first look."""
    clock = SearchClock(search_of(**limits))
    assert clock.interrupted is Termination.TIME_LIMIT


def test_cancelling_comes_before_the_limits(now):
    """A cancelled search ends as cancelled, even if its time is over as well."""
    cancellation = Cancellation()
    clock = SearchClock(search_of(time_limit=1.0, cancellation=cancellation))
    now[0] += 1
    cancellation.cancel()
    assert clock.interrupted is Termination.CANCELLED


def test_the_gap_limit_is_a_part_of_the_bound():
    """A gap of exactly the limit is near enough, a larger one is not."""
    clock = SearchClock(search_of(gap_limit=0.25))
    assert clock.near_enough(75, 100)
    assert not clock.near_enough(74, 100)
    exact = SearchClock(search_of())
    assert exact.near_enough(100, 100)
    assert not exact.near_enough(99.999, 100)


@pytest.mark.parametrize(
    ("kept", "passed", "ending"),
    [
        (100, 0, Termination.PROVED),
        (100 * (1 - 1e-13), 9, Termination.PROVED),
        (90, 9, Termination.GAP_LIMIT),
        (80, 9, Termination.TIME_LIMIT),
        (80, 0, Termination.COMPLETED),
    ],
)
def test_the_ending_is_the_strongest_reason(now, kept, passed, ending):
    """A proof comes before the gap limit, that before a limit, else it has done all."""
    clock = SearchClock(search_of(time_limit=8.0, gap_limit=0.1))
    now[0] += passed
    assert clock.ending(kept, 100.0) is ending


def test_reports_carry_answer_bound_and_time(now):
    """Every report is one `Progress`; without a listener nothing happens."""
    heard = []
    clock = SearchClock(search_of(progress=heard.append))
    now[0] += 3
    clock.report(1.0, 2.0)
    assert heard == [Progress(1.0, 2.0, 3.0)]
    SearchClock(search_of()).report(1.0, 2.0)
