"""Tasks in processes that do not outlive the one that started them, and may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from balancer.errors import BalancerError

Task = TypeVar("Task")
Result = TypeVar("Result")

TRIES = 2  # of a task whose process dies


class ProcessDiedError(BalancerError):
    """The process of a task ended without a result, as often as it was tried."""


class _Attempt(NamedTuple):
    """A task at work: its process, the end of the pipe that its result comes from."""

    task: Any
    tries: int
    process: BaseProcess
    answer: Connection


def run_in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Generator[tuple[Task, Result | ProcessDiedError]]:
    """Run each task in a process of its own, and yield it as it ends.

    A task whose process dies is tried once more, after the others; if it dies again,
    the task ends with the error that says so. No task notices the death of another,
    which a `ProcessPoolExecutor` does not promise: it breaks as a whole, and up to
    Python 3.11.7 may wait for ever if that happens while it starts a process.

    Parameters
    ----------
    work : callable
        Takes a task; both must be picklable, and bear to be stopped at any point: when
        the caller stops, is killed, or wants no more, the processes end at once.
    tasks : sequence
        What to do.
    jobs : int
        Processes at a time.

    Raises
    ------
    Exception
        What `work` raises.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads survive no fork
    left = deque((task, 1) for task in tasks)
    at_work: list[_Attempt] = []
    receiver, sender = context.Pipe(duplex=False)
    try:
        while left or at_work:
            while left and len(at_work) < jobs:
                task, tries = left.popleft()
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_answer, args=(receiver, theirs, work, task)
                )
                process.start()
                theirs.close()
                at_work.append(_Attempt(task, tries, process, mine))
            for attempt in _ended(at_work):
                at_work.remove(attempt)
                answer = _received(attempt)
                if answer is not None:
                    error, result = answer
                    if error is not None:
                        raise error
                    yield attempt.task, result
                elif attempt.tries < TRIES:
                    left.append((attempt.task, attempt.tries + 1))
                else:
                    yield (
                        attempt.task,
                        ProcessDiedError(
                            f"its process died {TRIES} times, the last time with "
                            f"status {attempt.process.exitcode}"
                        ),
                    )
    finally:
        sender.close()  # which ends those that are still at work
        receiver.close()
        for attempt in at_work:
            attempt.process.join()
            attempt.answer.close()


def _ended(at_work: Sequence[_Attempt]) -> list[_Attempt]:
    """Wait until some have answered or died; return these."""
    ready = set(
        wait(
            [attempt.answer for attempt in at_work]
            + [attempt.process.sentinel for attempt in at_work]
        )
    )
    return [
        attempt
        for attempt in at_work
        if ready & {attempt.answer, attempt.process.sentinel}
    ]


def _received(attempt: _Attempt) -> tuple[BaseException | None, Any] | None:
    """Return what the process of a task has sent; None if it died before."""
    with attempt.answer as answer:
        try:
            received = answer.recv() if answer.poll() else None
        except (EOFError, OSError):  # it died before or while it sent
            received = None
    attempt.process.join()
    return received


def _answer(
    parent: Connection, answer: Connection, work: Callable[[Task], Result], task: Task
) -> None:
    """Do a task, and send its error or its result."""
    _end_with(parent)
    try:
        result = work(task)
    except BaseException as error:
        answer.send((error, None))
    else:
        answer.send((None, result))


def _end_with(parent: Connection) -> None:
    """End this process at once when the other end of a pipe is closed.

    A run can be stopped at any point. Ctrl-C also reaches this process, but only its
    parent heeds it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_for_it() -> None:
        parent.poll(None)
        os._exit(1)

    Thread(target=wait_for_it, daemon=True).start()
