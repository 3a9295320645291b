"""Read hostile inputs by every reader, in processes with limits, and count failures."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from . import __doc__ as about
from .targets import TARGETS
from .worker import ROOT, seed_of

CHUNK = 4000  # inputs of one process, which takes seconds to load what it reads with
STUCK = 120  # seconds without another input, after which a process is killed
Chunk = tuple[str, int, int]  # a reader, its first input, how many
Found = list[tuple[str, Any]]  # what came of a process, and of those behind it

_stopping = threading.Event()
_running: set[subprocess.Popen[str]] = set()  # to be ended with this process


@dataclass(frozen=True)
class ChunkJournal:
    """Chunks that are done, a line each: the same command goes on behind them."""

    path: Path | None

    def read(self) -> dict[Chunk, Found]:
        """Return what came of each; a line that was cut off counts as none."""
        if self.path is None or not self.path.exists():
            return {}
        whole = self.path.read_text()
        whole = whole[: whole.rfind("\n") + 1]
        self.path.write_text(whole)
        lines = map(json.loads, whole.splitlines())
        return {tuple(line["chunk"]): line["found"] for line in lines}

    def add(self, chunk: Chunk, found: Found) -> None:
        """Write a line."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"chunk": chunk, "found": found}) + "\n")


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    counts: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, str]] = field(default_factory=dict)
    slowest: float = 0.0
    peak_kib: int = 0
    seconds: float = 0.0

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Add what a process has printed."""
        for line in lines:
            if "wrong" in line:
                place = line["wrong"].partition(": ")[0]
                if place not in self.examples:
                    print(f"failure: {line['wrong']}", file=sys.stderr, flush=True)
                self.examples.setdefault(place, (line["number"], line["wrong"]))
            else:
                self.counts.update(line["counts"])
                self.told.update(line["told"])
                self.slowest = max(self.slowest, line["slowest"])
                self.peak_kib = max(self.peak_kib, line["peak_kib"])
                self.seconds += line["seconds"]

    def take(self, results: Found) -> None:
        """Add what came of a process and of those that went on behind it."""
        for kind, what in results:
            self.add(what) if kind == "lines" else self.killed(*what)

    def killed(self, number: int, how: str) -> None:
        """Count an input that ended its process."""
        self.counts["failed"] += 1
        self.told[how] += 1
        self.examples.setdefault(how, (number, f"{how}: the process was ended"))


def run_chunk(target: str, first: int, count: int) -> Found:
    """Read some inputs in a process of their own; go on behind one that ends it."""
    found: Found = []
    while count > 0 and not _stopping.is_set():
        folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_memory_folder()))
        try:
            (folder / "progress").write_bytes(first.to_bytes(8, "little"))
            lines, at, how = _process(target, first, count, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        found.append(("lines", lines))
        if how is None or _stopping.is_set():
            break
        found.append(("killed", (at, how)))
        if at > first:  # the counts of those before are in no report
            found.append(("lines", [_report(at - first)]))
        count -= at - first + 1
        first = at + 1
    return found


def _report(taken: int) -> dict[str, Any]:
    counts = {"read before a process was ended": taken}
    return {"counts": counts, "told": {}, "slowest": 0, "peak_kib": 0, "seconds": 0}


def _process(
    target: str, first: int, count: int, folder: Path
) -> tuple[list[dict[str, Any]], int, str | None]:
    arguments = [target, str(first), str(count), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.worker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=ROOT,
        env=environment,
    )
    _running.add(process)
    last, since, how = -1, time.monotonic(), None
    while True:
        try:
            out, err = process.communicate(timeout=2)
            break
        except subprocess.TimeoutExpired:
            at = int.from_bytes((folder / "progress").read_bytes(), "little")
            if at != last:
                last, since = at, time.monotonic()
            elif time.monotonic() - since > STUCK:
                process.kill()
                how = f"Hang beyond {STUCK} s"
    _running.discard(process)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    at = int.from_bytes((folder / "progress").read_bytes(), "little")
    if process.returncode and how is None:
        code = process.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        print(err[-1500:], file=sys.stderr)
    return lines, at, how


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def store(target: str, number: int, folder: Path) -> Path:
    """Write an input that a reader failed on, to look at."""
    place = folder / f"{target}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    return TARGETS[target].write(Random(seed_of(target, number)), place)


def chunks(inputs: int, seed: int, targets: list[str]) -> list[Chunk]:
    """Share inputs out among all readers, and return those of some."""
    whole = sum(target.share for target in TARGETS.values())
    found = []
    for target in targets:
        left, first = -(-inputs * TARGETS[target].share // whole), seed
        while left > 0:
            found.append((target, first, min(CHUNK, left)))
            first, left = first + CHUNK, left - CHUNK
    return sorted(found, key=lambda chunk: chunk[1])


def main() -> int:
    """Read as many inputs as asked; exit with 1 if a reader failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=about)
    parser.add_argument("--inputs", type=int, default=10_000, help="of all readers")
    parser.add_argument("--seed", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--readers",
        nargs="+",
        choices=TARGETS,
        default=[*TARGETS],
        metavar="READER",
        help=f"read the inputs of these alone: {', '.join(TARGETS)}",
    )
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-failures"), help="where failures go"
    )
    parser.add_argument(
        "--journal", type=Path, help="what is done; the same command goes on with it"
    )
    asked = parser.parse_args()
    tallies = {target: Tally() for target in asked.readers}
    journal = ChunkJournal(asked.journal)
    known, todo = journal.read(), chunks(asked.inputs, asked.seed, asked.readers)
    for chunk in todo:
        tallies[chunk[0]].take(known.get(chunk, []))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
        running = {
            pool.submit(run_chunk, *chunk): chunk
            for chunk in todo
            if chunk not in known
        }
        try:
            for one in concurrent.futures.as_completed(running):
                chunk, found = running[one], one.result()
                journal.add(chunk, found)
                tallies[chunk[0]].take(found)
                del running[one]
        except KeyboardInterrupt:
            print("stopped; what follows is of the inputs read so far")
            _stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in [*_running]:
                process.terminate()
            for one, (target, _, _) in running.items():
                if not one.cancelled():
                    tallies[target].take(one.result())
    return _print(tallies, asked.keep)


def _print(tallies: dict[str, Tally], keep: Path) -> int:
    header = (
        "reader",
        "inputs",
        "taken",
        "refused",
        "failed",
        "slowest",
        "peak memory",
    )
    print(f"{header[0]:<12}" + "".join(f"{name:>13}" for name in header[1:]))
    total: Counter[str] = Counter()
    for target, tally in tallies.items():
        counts = tally.counts
        total.update(counts)
        cells = [f"{n:,}" for n in (counts.total(), counts["taken"], counts["refused"])]
        cells += [f"{counts['failed']:,}", f"{tally.slowest:.2f} s"]
        cells += [f"{tally.peak_kib / 1024:,.0f} MiB"]
        print(f"{target:<12}" + "".join(f"{cell:>13}" for cell in cells))
    seconds = sum(tally.seconds for tally in tallies.values())
    print(
        f"{total.total():,} inputs in {seconds:,.0f} s of processor time, "
        f"{total['failed']:,} failures"
    )
    for target, tally in tallies.items():
        for place, times in tally.told.most_common():
            number, wrong = tally.examples[place]
            kept = _kept(target, number, keep)
            print(f"{target}: {times} x {wrong} (input {number}: {kept})")
    return 1 if total["failed"] else 0


def _kept(target: str, number: int, keep: Path) -> str:
    try:
        return str(store(target, number, keep))
    except Exception as error:  # the writer itself is at fault
        return f"cannot be written: {error}"


if __name__ == "__main__":
    sys.exit(main())
