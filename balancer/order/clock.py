"""When to stop: the limits of a search that runs in Python."""

from __future__ import annotations

import time

from balancer.program.rounding import is_reached
from balancer.solvers.limits import Search
from balancer.solvers.solution import Termination

# One unit of `work_limit` is roughly a second: that many array entries are looked at.
ENTRIES_PER_WORK = 5e8


class Interrupted(Exception):
    """A limit of the search was reached in the middle of a step."""


class SearchClock:
    """The limits of one search, and how near it is to them.

    Parameters
    ----------
    search : Search
        Limits, progress and cancellation; the time begins now.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self._begun = time.perf_counter()
        self._entries = 0
        self._told: tuple[float, float] | None = None

    def spend(self, entries: int) -> None:
        """Count work that does not depend on how busy the machine is."""
        self._entries += entries

    @property
    def seconds(self) -> float:
        """Time since the search began."""
        return time.perf_counter() - self._begun

    @property
    def interrupted(self) -> Termination | None:
        """Why the search must stop now, None if it may go on."""
        search = self.search
        if search.cancellation.cancelled:
            return Termination.CANCELLED
        work = search.limits.work_limit
        if work is not None and self._entries >= work * ENTRIES_PER_WORK:
            return Termination.TIME_LIMIT
        if self.seconds >= search.limits.seconds:
            return Termination.TIME_LIMIT
        return None

    def check(self) -> None:
        """Stop a long step at a limit.

        Raises
        ------
        Interrupted
            The search must stop now.
        """
        if self.interrupted:
            raise Interrupted

    def near_enough(self, kept: float, bound: float) -> bool:
        """Whether the gap limit is reached."""
        return is_reached(kept, bound, self.search.limits.gap_limit * bound)

    def ending(self, kept: float, bound: float) -> Termination:
        """Why a search with this answer and bound has stopped."""
        if is_reached(kept, bound):
            return Termination.PROVED
        if self.near_enough(kept, bound):
            return Termination.GAP_LIMIT
        return self.interrupted or Termination.COMPLETED

    def report(self, kept: float, bound: float) -> None:
        """Tell the caller of a better answer or bound, unless it was told already."""
        if (kept, bound) != self._told:
            self._told = (kept, bound)
            self.search.report(kept, bound, self.seconds)
