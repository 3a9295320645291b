"""Work on many layers in threads, which Ctrl-C cuts short but does not lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

from balancer.solvers.limits import Cancellation

Result = TypeVar("Result")


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
