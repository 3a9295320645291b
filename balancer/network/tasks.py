"""Work on many layers in threads, which Ctrl-C cuts short but does not lose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from balancer.solvers.limits import Cancellation

Result = TypeVar("Result")


class Room:
    """Room for so many weights in memory, which tasks that run together share.

    Parameters
    ----------
    weights : int
        How many; a task that needs more runs alone.
    """

    def __init__(self, weights: int) -> None:
        self._left, self._running = weights, 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, weights: int) -> Iterator[None]:
        """Wait for room, and take it for as long as the context lasts."""
        with self._changed:
            self._changed.wait_for(lambda: weights <= self._left or not self._running)
            self._left -= weights
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._left += weights
                self._running -= 1
                self._changed.notify_all()


def run_tasks(
    tasks: Sequence[Callable[[], Result]],
    workers: int,
    cancellation: Cancellation,
    done: Callable[[Result], None],
) -> list[Result]:
    """Run tasks in threads; the first Ctrl-C cancels their searches, the second all.

    Parameters
    ----------
    tasks : sequence of callable
        Each returns its result.
    workers : int
        Threads.
    cancellation : Cancellation
        What the tasks look at.
    done : callable
        Called with each result, from this thread, as it comes.
    """
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures = [pool.submit(task) for task in tasks]
        waiting = list(futures)
        while waiting:
            try:
                wait(waiting, return_when=FIRST_COMPLETED)
                for future in [future for future in waiting if future.done()]:
                    waiting.remove(future)
                    done(future.result())
            except KeyboardInterrupt:
                if cancellation.cancelled:
                    raise
                cancellation.cancel()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)
