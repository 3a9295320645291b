"""What a caller can say about a search: limits, seed, progress, cancellation."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypedDict

import numpy as np

from balancer.errors import BalancerError

DEFAULT_SECONDS = 30.0

ProgressCallback: TypeAlias = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """How far every search of a call may go; one object serves all of them.

    Attributes
    ----------
    time_limit : float, optional
        Wall-clock seconds for the search proper; reading, ranking and verifying a
        layer come on top, about as long as its fixed order takes. With 0 there is no
        search, and slice-greedy answers. By default 30 s, or no such limit where there
        is a `work_limit`: then a busy machine changes nothing.
    work_limit : float, optional
        Limit in CP-SAT's deterministic time, which does not depend on how busy the
        machine is: a search that it ends can be repeated exactly.
    gap_limit : float
        Relative gap that is small enough to stop. Only the search for a channel order
        heeds it: 0.01 is a small fraction of the time of the default, which stops at a
        proof or where nothing is found any more.
    seed : int
        Seed of everything random in a solver, 0 or greater.
    workers : int, optional
        Layers of a network that are solved at the same time, in threads; the masks do
        not depend on it. Each takes the memory of up to four copies of its weights.
        Default: the processors, if the network is worth it, as long as the layers are
        together no larger than the largest one.

    Raises
    ------
    BalancerError
        A number that is negative, or no number.

    Examples
    --------
    >>> from balancer import SearchLimits
    >>> SearchLimits().seconds, SearchLimits(work_limit=2.0).seconds
    (30.0, inf)
    """

    time_limit: float | None = None
    work_limit: float | None = None
    gap_limit: float = 0.0
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        for name in ("time_limit", "work_limit", "gap_limit"):
            limit = getattr(self, name)
            if limit is None and name != "gap_limit":
                continue
            if not isinstance(limit, (int, float)) or not limit >= 0:
                raise BalancerError(
                    f"`{name}` is {limit!r}; a number of at least 0 is needed"
                )
        for name, least in (("seed", 0), ("workers", 1)):
            number = getattr(self, name)
            if number is None and name == "workers":
                continue
            if not isinstance(number, (int, np.integer)) or number < least:
                raise BalancerError(
                    f"`{name}` is {number!r}; a whole number of at least {least} is "
                    "needed"
                )

    @property
    def seconds(self) -> float:
        """The wall-clock limit that holds, inf if there is none."""
        if self.time_limit is not None:
            return self.time_limit
        return DEFAULT_SECONDS if self.work_limit is None else math.inf


class GivenLimits(TypedDict, total=False):
    """The fields of `SearchLimits` as keyword arguments."""

    time_limit: float | None
    work_limit: float | None
    gap_limit: float
    seed: int
    workers: int | None


def combined_limits(limits: SearchLimits | None, given: Any) -> SearchLimits:
    """Let keyword arguments go before the fields of an object."""
    return replace(limits or SearchLimits(), **given)


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a running search.

    Attributes
    ----------
    kept : float
        Total score of the best mask so far.
    bound : float
        Total score that no mask exceeds.
    seconds : float
        Time since the search began.
    """

    kept: float
    bound: float
    seconds: float


class Cancellation:
    """A switch that asks running searches to stop with the best answer they have.

    Thread-safe; give the same one to several searches to stop them all.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import Cancellation, PEMap, RetentionProblem, solve
    >>> stop = Cancellation()
    >>> stop.cancel()  # usually from another thread
    >>> scores = np.random.default_rng(0).random((8, 16))
    >>> problem = RetentionProblem(scores, PEMap.output_channel((8, 16), 4), budget=20)
    >>> solution = solve(problem, cancellation=stop)
    >>> solution.termination.value, solution.solver
    ('cancelled', 'greedy')
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._stops: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop the running searches, and every later one as it begins."""
        with self._lock:
            self._cancelled = True
            stops = list(self._stops)
        for stop in stops:
            stop()

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` if `cancel` is called inside the context."""
        with self._lock:
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)


@dataclass(frozen=True, slots=True)
class Search:
    """One search: its limits, who hears of it, and what can stop it.

    Attributes
    ----------
    limits : SearchLimits
        How far it may go.
    progress : callable, optional
        Called with a `Progress` for every better answer or bound, from any
        thread.
    cancellation : Cancellation
        Stops the search.
    """

    limits: SearchLimits = field(default_factory=SearchLimits)
    progress: ProgressCallback | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)

    def why_not(self) -> str | None:
        """Why the search cannot begin; None if it can."""
        if self.limits.seconds <= 0 or self.limits.work_limit == 0:
            return "a limit of 0 leaves no time to search"
        if self.cancellation.cancelled:
            return "cancelled before the search began"
        return None

    def after(self, seconds: float, work: float) -> Search:
        """Return the search that is left when a first part of it has taken so much."""
        limits = self.limits
        left = replace(limits, time_limit=max(0.0, limits.seconds - seconds))
        if limits.work_limit is not None:
            left = replace(left, work_limit=max(0.0, limits.work_limit - work))
        return replace(self, limits=left)

    def report(self, kept: float, bound: float, seconds: float) -> None:
        """Tell the caller of a better answer or bound."""
        if self.progress is not None:
            self.progress(Progress(kept, bound, seconds))
