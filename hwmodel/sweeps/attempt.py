"""One try at a task, wherever it runs: an error is an answer and not the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
R = TypeVar("R")

TRIES = 2  # of a task whose worker dies


class TaskEnd(NamedTuple, Generic[R]):
    """How a task ended.

    Attributes
    ----------
    number : int
        Its place among the tasks.
    result : object or None
        What it returned.
    error : str or None
        Why it failed, in one line.
    seconds : float
        How long the last try took, on its worker.
    tries : int
        How often it was begun.
    """

    number: int
    result: R | None
    error: str | None = None
    seconds: float = 0.0
    tries: int = 1


Ends: TypeAlias = Generator[TaskEnd[R], None, None]


class Executor(Protocol):
    """Where tasks run."""

    def run(self, work: Callable[[T], R], tasks: Sequence[T]) -> Ends[R]:
        """Yield how each task ended, as they end.

        A task whose worker dies is tried again; if that one dies, too, it has failed.
        When the iterator is closed, what runs is stopped.
        """


def attempt(work: Callable[[T], R], task: T, number: int = 0) -> TaskEnd[R]:
    """Try a task.

    Examples
    --------
    >>> from hwmodel.sweeps.attempt import attempt
    >>> attempt(len, "task").result, attempt(len, 4).error
    (4, "TypeError: object of type 'int' has no len()")
    """
    begun = time.perf_counter()
    try:
        result = work(task)
    except Exception as error:  # whatever it is, the other tasks are worth their time
        return TaskEnd(number, None, _said(error), time.perf_counter() - begun)
    return TaskEnd(number, result, None, time.perf_counter() - begun)


def _said(error: Exception) -> str:
    text = str(error) or type(error).__name__
    known = isinstance(error, ValueError | OSError)
    return " ".join((text if known else f"{type(error).__name__}: {text}").split())


class InThisProcess:
    """Runs one task after another, right here; a crash is the end of all."""

    def run(self, work: Callable[[T], R], tasks: Sequence[T]) -> Ends[R]:
        """Yield how each task ended; see `Executor`."""
        for number, task in enumerate(tasks):
            yield attempt(work, task, number)
