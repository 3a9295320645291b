"""What is done to a process, from inside, before it begins to work."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Events of Python that change files.
CHANGES = (
    *("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod"),
    *("os.truncate", "shutil.rmtree", "tempfile.mkdtemp"),
)


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes
    ----------
    at_change : int or None
        Before which change of a file in its folder, counted from 1, the process sends
        itself the signal.
    signal : int
        Which one; SIGKILL, which Windows lacks.
    largest_file : int or None
        Bytes that no file may exceed, which is a disk that is full for it alone.
    clock_seed : int or None
        Seed of a wall clock that jumps back and forth by days.
    counted : str or None
        File elsewhere that is told how many changes there were.
    """

    at_change: int | None = None
    signal: int = 9
    largest_file: int | None = None
    clock_seed: int | None = None
    counted: str | None = None

    def inject(self, folder: str) -> None:
        """Let it happen to this process."""
        if self.largest_file is not None:
            import resource

            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.largest_file, limits[1]))
        if self.clock_seed is not None:
            _let_the_clock_jump(self.clock_seed)
        if self.at_change is not None or self.counted is not None:
            sys.addaudithook(self._watch(folder))

    def _watch(self, folder: str) -> Callable[[str, tuple[Any, ...]], None]:
        me, seen = os.getpid(), 0

        def heed(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event not in CHANGES or os.getpid() != me:
                return
            if not str(arguments[0]).startswith(folder):
                return
            if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                return
            seen += 1
            if self.counted is not None:
                Path(self.counted).write_text(str(seen))
            if seen == self.at_change:
                os.kill(me, self.signal)

        return heed


def _let_the_clock_jump(seed: int) -> None:
    jump = random.Random(seed)
    true, true_ns = time.time, time.time_ns
    time.time = lambda: true() + jump.uniform(-3e6, 3e6)
    time.time_ns = lambda: true_ns() + jump.randint(-(3 * 10**15), 3 * 10**15)
