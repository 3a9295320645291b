"""What a caller can say about a search: limits, seed, progress, cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from balancer.errors import BalancerError

ProgressCallback: TypeAlias = Callable[["Progress"], None]


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
    """How to search.

    Attributes
    ----------
    time_limit : float
        Seconds for the search proper; 0 allows none.
    work_limit : float, optional
        Limit in CP-SAT's deterministic time, which does not depend on how busy the
        machine is: a search that it ends can be repeated exactly.
    seed : int
        Seed of everything random in a solver.
    progress : callable, optional
        Called with a `Progress` for every better answer or bound, from any thread.
    cancellation : Cancellation
        Stops the search.
    gap_limit : float
        Relative gap that is small enough to stop; only the search for a channel order
        comes to a stop before it has a proof.
    """

    time_limit: float = 30.0
    work_limit: float | None = None
    seed: int = 0
    progress: ProgressCallback | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)
    gap_limit: float = 0.0

    def __post_init__(self) -> None:
        for name in ("time_limit", "work_limit", "gap_limit"):
            limit = getattr(self, name)
            if limit is None and name == "work_limit":
                continue
            if not isinstance(limit, (int, float)) or not limit >= 0:
                raise BalancerError(
                    f"`{name}` is {limit!r}; a number of at least 0 is needed"
                )
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise BalancerError(
                f"`seed` is {self.seed!r}; a whole number of at least 0 is needed"
            )
