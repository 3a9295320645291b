"""Processes that do not outlive the one that started them, and may die before it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

TRIES = 2  # of a task whose process dies


@contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end when this one is done with them, stops or is killed.

    What is submitted must bear to be stopped at any point.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads survive no fork
    receiver, sender = context.Pipe(duplex=False)
    with receiver, sender:
        pool = ProcessPoolExecutor(jobs, context, _end_with, (receiver,))
        try:
            yield pool
        except BaseException:
            sender.close()
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def run_in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Generator[tuple[Task, Result | BrokenProcessPool]]:
    """Run tasks in processes of their own, and yield each as it ends.

    When a process dies, those at work beside it are stopped as well. Tasks that this
    cut short are tried once more, after the others; one whose process dies again ends
    with the error that says so.

    Parameters
    ----------
    work : callable
        Takes a task; both must be picklable, and bear to be stopped at any point.
    tasks : sequence
        What to do.
    jobs : int
        Processes at a time.
    """
    left = deque((task, 1) for task in tasks)
    while left:
        with worker_pool(min(jobs, len(left))) as pool:
            yield from _until_one_dies(pool, work, left, jobs)


def _until_one_dies(
    pool: ProcessPoolExecutor,
    work: Callable[[Task], Result],
    left: deque[tuple[Task, int]],
    jobs: int,
) -> Generator[tuple[Task, Result | BrokenProcessPool]]:
    """Take tasks from those that are left; put back what a death cut short."""
    running: dict[Future[Result], tuple[Task, int]] = {}
    broken = False
    while running or (left and not broken):
        while left and len(running) < jobs and not broken:
            task, tries = left.popleft()
            try:
                running[pool.submit(work, task)] = task, tries
            except BrokenProcessPool:
                broken = True
                left.appendleft((task, tries))
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task, tries = running.pop(future)
            error = future.exception()
            if not isinstance(error, BrokenProcessPool):
                yield task, future.result()
                continue
            broken = True
            if tries < TRIES:
                left.append((task, tries + 1))
            else:
                yield task, error


def _end_with(parent: Connection) -> None:
    """End this process at once when the other end of a pipe is closed.

    A run can be stopped at any point. Ctrl-C also reaches this process, but only its
    parent heeds it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent.poll(None)
        os._exit(1)

    Thread(target=wait, daemon=True).start()
