"""What is disturbed: commands that leave files, as small as they can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from .processes import run

TRAINING = (
    *("--network", "2c3-fc10", "--train-size", "60", "--epochs", "3"),
    *("--timesteps", "1", "--rewind", "1", "--threads", "1"),
)
SWEEP = """
pes = [8, 16]
sparsity = [0.8, 0.9]
accelerator = ["u-ticket", "loas"]
masks = true
"""


class Arguments(Protocol):
    """Makes the arguments of a command."""

    def __call__(self, out: Path, jobs: int = 1) -> tuple[str, ...]:
        """Of a command that works in a folder, with so many processes."""


@dataclass(frozen=True)
class Job:
    """A command, and what it leaves.

    Attributes
    ----------
    name : str
        What it is called here.
    arguments : callable
        Makes its arguments from the folder it works in, in which it also finds what
        `prepare` put there, and from how many processes it starts.
    results : tuple of str
        Patterns of the files that are the same whenever it is run.
    passing : tuple of str
        Patterns of files that may be there beside these.
    prepare : callable
        Puts its inputs into a folder.
    needs_torch : bool
        Whether it trains.
    """

    name: str
    arguments: Arguments
    results: tuple[str, ...]
    passing: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda folder: None
    needs_torch: bool = True

    def made(self, folder: Path) -> dict[str, bytes]:
        """Read the results; whatever else is there is one, too."""
        files = (path for path in folder.rglob("*") if path.is_file())
        named = {path.relative_to(folder).as_posix(): path for path in files}
        return {
            name: path.read_bytes()
            for name, path in sorted(named.items())
            if not any(fnmatchcase(name, pattern) for pattern in self.passing)
        }

    def check(self, made: Mapping[str, bytes]) -> None:
        """Make sure that a whole run leaves all that is to be compared."""
        for pattern in self.results:
            assert any(fnmatchcase(name, pattern) for name in made), pattern


@cache
def _tiny_ticket() -> bytes:
    """Return the ticket of the first round of `LOTTERY`."""
    with TemporaryDirectory() as root:
        ended = run(LOTTERY.arguments(Path(root)), Path(root))
        assert ended.status == 0, ended.said
        [path] = Path(root).glob("*/round-01.safetensors")
        return path.read_bytes()


def _write_ticket(folder: Path) -> None:
    (folder / "tiny.safetensors").write_bytes(_tiny_ticket())


def _write_design(folder: Path, more: str = "") -> None:
    (folder / "design.toml").write_text(SWEEP + more)


LOTTERY = Job(
    "lottery",
    lambda out, jobs=1: (
        *("lottery", *TRAINING, "--rounds", "2", "--resume", "--out", str(out)),
    ),
    ("lottery-*/round-0[012].safetensors", "lottery-*/report.json"),
    ("*/log.jsonl", "*/lock"),
)
RETRAIN = Job(
    "retrain",
    lambda out, jobs=1: (
        *("retrain", str(out / "tiny.safetensors"), "--epochs", "4"),
        *("--threads", "1", "--resume", "--out", str(out)),
    ),
    ("retrain-*/round-*.safetensors", "retrain-*/report.json"),
    ("*/log.jsonl", "*/lock", "tiny.safetensors"),
    _write_ticket,
)
SWEEPING = Job(
    "sweep",
    lambda out, jobs=1: (
        # Of one job, this process does everything.
        *("sweep", str(out / "design.toml"), "--workers", str(jobs - 1 and jobs)),
        *("--out", str(out / "s")),
    ),
    ("s/table.csv", "s/masks/*.safetensors"),
    ("s/rows.jsonl", "s/sweep.svg", "design.toml"),
    _write_design,
    needs_torch=False,
)
LAYERS = replace(
    SWEEPING,
    name="layers",
    passing=(*SWEEPING.passing, "s/layers.jsonl"),
    prepare=lambda folder: _write_design(folder, "by_layer = true\n"),
)
BALANCE = Job(
    "balance",
    lambda out, jobs=1: ("balance", "--pes", "8", "--resume", "--out", str(out / "b")),
    ("b/masks.safetensors",),
    ("b/report.json",),
    needs_torch=False,
)
COMPARISON = Job(
    "comparison",
    lambda out, jobs=1: (
        *("lottery", *TRAINING, "--rounds", "1", "--compare", "lth,optimal"),
        *("--seeds", "1", "--jobs", str(jobs), "--out", str(out)),
    ),
    ("*/round-*.safetensors", "compare-*/comparison.csv"),
    ("*/log.jsonl", "*/lock", "*/comparison.json"),
)
JOBS = {job.name: job for job in (LOTTERY, RETRAIN, SWEEPING, LAYERS, BALANCE)}
