"""Kill a command again and again, until it comes to its end between two kills."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from .injected import Fault
from .jobs import Job
from .processes import Running, run

OVER = {signal.SIGTERM: 143, signal.SIGINT: 130}
MOST_KILLS = 12  # of one run, which then may come to its end


@dataclass(frozen=True)
class Undisturbed:
    """What a job makes if nothing happens to it.

    Attributes
    ----------
    made : dict of str to bytes
        Its files.
    changes : int
        How often it changes one.
    seconds : float
        How long it takes.
    """

    made: dict[str, bytes]
    changes: int
    seconds: float

    @classmethod
    def of(cls, job: Job) -> Undisturbed:
        """Run a job in peace."""
        run(("accelerators",), Path.cwd())  # what all of them load is loaded then
        with TemporaryDirectory() as root:
            folder, counted = Path(root) / "out", Path(root) / "changes"
            folder.mkdir()
            job.prepare(folder)
            begun = time.perf_counter()
            ended = run(job.arguments(folder), folder, Fault(counted=str(counted)))
            seconds = time.perf_counter() - begun
            assert ended.status == 0, ended.said
            made = job.made(folder)
            job.check(made)
            return cls(made, int(counted.read_text()), seconds)


def other_files(made: dict[str, bytes], known: dict[str, bytes]) -> list[str]:
    """Name the files that are not what they should be, or not there."""
    names = made.keys() | known.keys()
    return sorted(name for name in names if made.get(name) != known.get(name))


@dataclass
class Kills:
    """What came of killing.

    Attributes
    ----------
    kills : Counter of str
        Processes that a signal ended, by its name and by when it came: before a change
        of a file, or at any time.
    runs : int
        Runs that came to their end.
    wrong : list of str
        What was not as it should be.
    """

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Kills of all kinds."""
        return self.kills.total()

    def one_run(
        self,
        job: Job,
        known: Undisturbed,
        draw: random.Random,
        most: int = MOST_KILLS,
    ) -> None:
        """Kill a run up to `most` times, and see what the last process makes."""
        with TemporaryDirectory() as root:
            folder = Path(root) / "out"
            folder.mkdir()
            job.prepare(folder)
            told: list[str] = []
            for _ in range(most):
                number = draw.choice([signal.SIGKILL, signal.SIGKILL, *OVER])
                status, kind = self._kill(job, known, folder, number, draw)
                told.append(kind)
                if status == 0:
                    break
                self.kills[kind] += 1
                if status not in (-number, OVER.get(number)):  # before it began, after
                    self.wrong.append(f"{job.name}: {kind} ended with {status}")
            else:
                ended = run(job.arguments(folder), folder)
                if ended.status:
                    self.wrong.append(f"{job.name}: {told}: {ended.said}")
            self.runs += 1
            different = other_files(job.made(folder), known.made)
            if different:
                self.wrong.append(f"{job.name}: {told}: other files: {different}")

    def _kill(
        self,
        job: Job,
        known: Undisturbed,
        folder: Path,
        number: signal.Signals,
        draw: random.Random,
    ) -> tuple[int, str]:
        """Kill one process; return its status and what was done to it."""
        if draw.random() < 0.6:
            at = draw.randint(1, known.changes)
            fault = Fault(at_change=at, signal=number)
            running = Running(job.arguments(folder), folder, fault)
            kind = f"{number.name} before a change"
        else:
            running = Running(job.arguments(folder), folder)
            running.wait_until_begun()
            running.process.join(draw.uniform(0, known.seconds))
            running.send(number, to_all=number == signal.SIGKILL)
            kind = f"{number.name} at any time"
        ended = running.end()
        if "Traceback" in ended.said:
            self.wrong.append(f"{job.name}: {kind}: {ended.said}")
        return ended.status, kind
