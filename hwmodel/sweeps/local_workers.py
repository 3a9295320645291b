"""Tasks in processes of this machine, which may die without taking others with them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from hwmodel.sweeps.attempt import TRIES, Ends, TaskEnd
from hwmodel.sweeps.worker import receive, send

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class LocalWorkers:
    """Runs tasks in processes of their own, each with one thread (`attempt.Executor`).

    Attributes
    ----------
    workers : int
        Processes at a time.
    """

    workers: int

    def run(self, work: Callable[[T], R], tasks: Sequence[T]) -> Ends[R]:
        """Yield how each task ended; see `Executor`."""
        crew: _Crew = _Crew()
        for number, task in enumerate(tasks):
            crew.todo.put((number, pickle.dumps((work, task))))
        threads = [
            Thread(target=crew.work, daemon=True)
            for _ in range(min(self.workers, len(tasks)))
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in tasks:
                yield crew.ended.get()
        finally:
            crew.stop()
            for thread in threads:
                thread.join()


@dataclass
class _Crew:
    """What the threads share, each of which looks after one process."""

    todo: SimpleQueue[tuple[int, bytes]] = field(default_factory=SimpleQueue)
    ended: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    _stopped: bool = False

    def work(self) -> None:
        """Hand tasks to a process, and to another one where it dies."""
        process = None
        while True:
            try:
                number, message = self.todo.get_nowait()
            except Empty:
                break
            end: TaskEnd[Any] | None = None
            died = ""
            tries = 0
            while end is None and tries < TRIES:
                process = process or self._start()
                if process is None:
                    return
                tries += 1
                end = _ask(process, message)
                if end is None:
                    died = _cause(process.wait())
                    self._forget(process)
                    process = None
            if end is None:
                end = TaskEnd(number, None, f"its worker died {tries} times: {died}")
            self.ended.put(end._replace(number=number, tries=tries))
        if process is not None:
            self._forget(process)

    def stop(self) -> None:
        """End all processes, and let none begin."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopped:
                return None
            path = os.pathsep.join(one for one in sys.path if one)
            process = subprocess.Popen(
                [sys.executable, "-m", "hwmodel.sweeps.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path},
            )
            self._processes.add(process)
            return process

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.discard(process)
        process.kill()
        process.communicate()


def _ask(process: subprocess.Popen[bytes], message: bytes) -> TaskEnd[Any] | None:
    """Send a task and wait for how it ends; None if the process dies first."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        send(process.stdin, message)
    except OSError:
        return None
    answer = receive(process.stdout)
    if answer is None:
        return None
    end: TaskEnd[Any] = pickle.loads(answer)
    return end


def _cause(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"{name}{hint}"
