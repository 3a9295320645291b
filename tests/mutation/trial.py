"""Trials: the tests of a mutant in a forked process, several at a time.

The process that forks has imported what is installed, but nothing of this project. Each
child puts the changed source in the place of the module before anything imports it, so
constants, decorators and names that other modules import are all the mutant's.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .mutants import Mutant

MEMORY_BYTES = 4 * 2**30
# Of what the tests take without a change, plus some seconds for starting.
CPU_TIMES, CPU_SECONDS = 2, 5
WALL_TIMES, WALL_SECONDS = 6, 60
PASSED, FAILED, INTERRUPTED, INTERNAL = 0, 1, 2, 3


@dataclass(frozen=True)
class Limits:
    """What one trial may take, in seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Trial:
    """What came of the tests of one mutant, or of the sources as they are.

    Attributes
    ----------
    verdict : {"killed", "survived", "timed out", "no tests"}
        `no tests`: pytest could not begin, which says nothing about the mutant.
    by : str
        The test that failed first.
    seconds, cpu : float
        Time by the clock and of the processor.
    """

    verdict: str
    by: str
    seconds: float
    cpu: float


def preload(modules: Iterable[str]) -> None:
    """Import what every trial needs, where it is installed."""
    for name in modules:
        if importlib.util.find_spec(name.split(".")[0]):
            importlib.import_module(name)


def measure(root: Path, tests: Sequence[str]) -> tuple[Trial, Limits]:
    """Run tests on the sources as they are; return that and the limits of mutants."""
    trial = next(run([None], root, lambda _: tests, lambda _: None, jobs=1))[1]
    return trial, Limits(
        CPU_TIMES * trial.cpu + CPU_SECONDS, WALL_TIMES * trial.seconds + WALL_SECONDS
    )


def run(
    mutants: Iterable[Mutant | None],
    root: Path,
    tests_of: Callable[[Mutant | None], Sequence[str]],
    limits_of: Callable[[Mutant | None], Limits | None],
    jobs: int,
) -> Iterator[tuple[Mutant | None, Trial]]:
    """Try mutants, `jobs` at a time, and yield each with its trial as it ends.

    None among them stands for the sources as they are.
    """
    waiting, running = iter(mutants), {}
    try:
        while True:
            while len(running) < jobs:
                try:
                    mutant = next(waiting)
                except StopIteration:
                    break
                child = _Child(mutant, root, tests_of(mutant), limits_of(mutant))
                running[child.pid] = child
            if not running:
                return
            time.sleep(0.01)
            for pid, child in list(running.items()):
                trial = child.poll()
                if trial is not None:
                    del running[pid]
                    yield child.mutant, trial
    finally:
        for child in running.values():
            child.kill()


class _Child:
    """The process of one trial."""

    def __init__(
        self,
        mutant: Mutant | None,
        root: Path,
        tests: Sequence[str],
        limits: Limits | None,
    ) -> None:
        self.mutant, self._limits = mutant, limits
        self._begun = time.perf_counter()
        self._late = False
        self._said, say = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            code = INTERNAL
            try:
                os.setpgid(0, 0)
                os.close(self._said)
                code = _test(mutant, root, tests, limits, say)
            finally:
                os._exit(code)
        os.close(say)

    def poll(self) -> Trial | None:
        """Return the trial if it has ended."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        seconds = time.perf_counter() - self._begun
        if not pid:
            if self._limits and seconds > self._limits.wall:
                self._late = True
                self.kill()
            return None
        self.kill()  # what the tests have started and left behind
        with os.fdopen(self._said) as pipe:
            by = pipe.read().partition("\n")[0]
        verdict = self._verdict(status)
        return Trial(verdict, by, seconds, usage.ru_utime + usage.ru_stime)

    def _verdict(self, status: int) -> str:
        if os.WIFSIGNALED(status):
            late = self._late or os.WTERMSIG(status) == signal.SIGXCPU
            return "timed out" if late else "killed"
        code = os.WEXITSTATUS(status)
        if code == PASSED:
            return "survived"
        return "killed" if code in (FAILED, INTERRUPTED, INTERNAL) else "no tests"

    def kill(self) -> None:
        """End the process and what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class _Say:
    """A pytest plugin that names the tests that fail."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def _say(self, report) -> None:
        if report.failed:
            os.write(self._descriptor, f"{report.nodeid}\n".encode())

    pytest_runtest_logreport = pytest_collectreport = _say


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the changed module before the one in the folder."""

    def __init__(self, mutant: Mutant, root: Path) -> None:
        parts = Path(mutant.path).with_suffix("").parts
        self._folder = parts[-1] == "__init__"
        self._name = ".".join(parts[:-1] if self._folder else parts)
        self._path, self._source = str(root / mutant.path), mutant.mutated

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        loader = _Loader(name, self._path)
        loader.changed = self._source
        return importlib.util.spec_from_file_location(
            name,
            self._path,
            loader=loader,
            submodule_search_locations=(
                [str(Path(self._path).parent)] if self._folder else None
            ),
        )


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles another source than the file holds."""

    changed: str

    def get_code(self, fullname):
        return compile(self.changed, self.path, "exec", dont_inherit=True)


def _test(
    mutant: Mutant | None,
    root: Path,
    tests: Sequence[str],
    limits: Limits | None,
    say: int,
) -> int:
    """Run the tests in this process; return pytest's status."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    # Some shells let what runs in the background ignore Ctrl-C; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    if limits is not None:
        most = math.ceil(limits.cpu)
        resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    os.chdir(root)
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant, root))
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, *tests], plugins=[_Say(say)]))
