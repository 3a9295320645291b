"""A process that reads hostile inputs under limits, and reports what went wrong."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import mmap
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

MEMORY = 2**30  # bytes that reading may take beside what is loaded
SECONDS = 10  # that one input may take
ROOT = Path(__file__).resolve().parent.parent.parent
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What changes something on disk, starts programs or opens connections, with the places
# of the paths among the arguments of the audit event.
_CHANGES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2}
_CHANGES |= {"os.symlink": 2, "os.truncate": 1, "os.chmod": 1, "shutil.rmtree": 1}
_NEVER = ("os.system", "subprocess.Popen", "os.exec", "os.fork", "socket.connect")


class Hang(BaseException):
    """An input that takes too long."""


def seed_of(target: str, number: int) -> int:
    """Return the seed of an input: the same everywhere, another for each reader."""
    digest = hashlib.sha256(f"{target} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def limit_memory() -> None:
    """Let this process take so much address space beside what it has now."""
    status = Path("/proc/self/statm")
    if status.exists():
        taken = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def watch_writes(folder: Path, found: list[str]) -> None:
    """Note everything that is written outside a folder, whoever writes it."""

    def inside(path: Any) -> bool:
        if isinstance(path, int) or path is None:
            return True
        name = os.path.abspath(os.fsdecode(path))
        return name.startswith(str(folder)) or name in (os.devnull,)

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            writes = isinstance(args[2], int) and args[2] & _WRITES
            if writes and not inside(args[0]):
                found.append(f"opened {args[0]} to write")
        elif event in _CHANGES:
            found.extend(
                f"{event} {path}"
                for path in args[: _CHANGES[event]]
                if not inside(path)
            )
        elif event in _NEVER:
            found.append(event)

    sys.addaudithook(note)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Hang` after some seconds of processor time."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} s")

    signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def emptied(folder: Path) -> None:
    """Remove what an input and its reader have left in their folder."""
    for one in folder.iterdir():
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()


def checked(
    check: Callable[[random.Random, Path], bool],
    seed: int,
    folder: Path,
    written: list[str],
) -> tuple[str, str | None]:
    """Read one input.

    Returns
    -------
    str
        ``taken``, ``refused`` or ``failed``.
    str or None
        What went wrong, in which line of which module.
    """
    written.clear()
    try:
        with time_limit(SECONDS):
            taken = check(random.Random(seed), folder)
    except Hang as error:
        return "failed", f"Hang at {_place(error)}: {error}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = " ".join(str(error).split())[:160]
        return "failed", f"{type(error).__name__} at {_place(error)}: {said}"
    if written:
        return "failed", f"Write outside at reader: {written[0]}"
    return ("taken" if taken else "refused"), None


def _place(error: BaseException) -> str:
    """Name the innermost line of ours that an error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        f for f in frames if re.search(r"/(balancer|hwmodel|snn|cli)[/.]", f.filename)
    ]
    frame = (ours or frames)[-1]
    name = frame.filename.replace(f"{ROOT}/", "")
    return f"{name}:{frame.lineno}"


def main() -> int:
    """Read the inputs of one reader: TARGET FIRST COUNT FOLDER."""
    target, folder = sys.argv[1], Path(sys.argv[4])
    first, count = int(sys.argv[2]), int(sys.argv[3])
    # A file of torch is read by an entry point; those of a process do not change.
    importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)
    from .targets import TARGETS

    check = TARGETS[target].check
    for name in TARGETS[target].needs:
        importlib.import_module(name)
    inputs = folder / "inputs"
    inputs.mkdir()
    os.chdir(inputs)
    os.environ["TMPDIR"] = str(folder)
    for number in range(12):  # loads what the reader loads, before the limits
        with contextlib.suppress(Exception):
            check(random.Random(seed_of(target, number)), inputs)
        emptied(inputs)
    written: list[str] = []
    watch_writes(folder, written)
    limit_memory()
    progress = mmap.mmap(os.open(folder / "progress", os.O_RDWR), 8)
    told: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    slowest = 0.0
    stopped: list[int] = []  # by the process that began this one
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    for number in range(first, first + count):
        if stopped:
            break
        progress[:] = number.to_bytes(8, "little")
        at = time.perf_counter()
        outcome, wrong = checked(check, seed_of(target, number), inputs, written)
        slowest = max(slowest, time.perf_counter() - at)
        emptied(inputs)
        counts[outcome] += 1
        if wrong is not None:
            told[wrong.partition(": ")[0]] += 1
            if told[wrong.partition(": ")[0]] <= 3:
                print(json.dumps({"number": number, "wrong": wrong}), flush=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {"counts": counts, "told": told, "slowest": slowest, "peak_kib": grown}
    print(json.dumps(report | {"seconds": time.process_time()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
