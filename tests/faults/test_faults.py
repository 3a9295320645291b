"""Whatever happens to a process, the next one makes what an undisturbed one makes."""

import contextlib
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import cache

import pytest

import cli
from faults.disks import NoDiskError, small_disk
from faults.injected import Fault
from faults.jobs import COMPARISON, JOBS, LOTTERY, SWEEPING
from faults.kills import Kills, Undisturbed, other_files
from faults.processes import ROOT, Running, run
from hwmodel.commands.stop_signals import stop_signals

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")
TORCH = importlib.util.find_spec("torch") is not None
training = pytest.mark.skipif(not TORCH, reason="training needs torch")
NAMES = [
    pytest.param(name, marks=training) if job.needs_torch else name
    for name, job in JOBS.items()
]
undisturbed = cache(Undisturbed.of)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "out"
    made.mkdir()
    return made


def finish(job, folder):
    """Run a job to its end; it makes what an undisturbed one makes."""
    ended = run(job.arguments(folder), folder)
    assert ended.status == 0, ended.said
    assert other_files(job.made(folder), undisturbed(job).made) == []
    return ended


@pytest.mark.parametrize("name", NAMES)
def test_kills_lose_nothing(name):
    """Killed before changes of files and at any time, a run ends in the same bytes."""
    job, kills = JOBS[name], Kills()
    kills.one_run(job, undisturbed(job), random.Random(name), most=3)
    assert kills.wrong == []
    assert kills.total


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_in_a_line(name, folder):
    """One file has no room: it is named, and with more room the run goes on."""
    job = JOBS[name]
    job.prepare(folder)
    largest = max(map(len, undisturbed(job).made.values()))
    ended = run(job.arguments(folder), folder, Fault(largest_file=largest // 2))
    assert ended.status == 1
    assert re.search(r"cannot write \S+: File too large; make room", ended.last_line)
    assert not list(folder.rglob(".part-*"))
    finish(job, folder)


@training
def test_a_disk_that_fills_up(tmp_path):
    """Wherever in a run the room ends: one line, all whole files kept, the same end."""
    job = LOTTERY
    folder = tmp_path / "disk"
    try:
        with small_disk(folder, "8k") as disk:
            for size in ("8k", "40k", "72k"):
                disk.change(f"size={size}")
                ended = run(job.arguments(folder), folder)
                assert ended.status == 1, size
                assert "No space left on device; make room" in ended.last_line
                assert "--resume" in ended.last_line or "same command" in ended.said
                assert not list(folder.rglob(".part-*"))
            disk.change("size=1m")
            finish(job, folder)
    except NoDiskError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written(name, tmp_path):
    """It is named in one line, with what to do; once it can be, nothing is missing."""
    job, folder = JOBS[name], tmp_path / "disk"
    try:
        with small_disk(folder, "1m") as disk:
            job.prepare(folder)
            disk.change("ro")
            ended = run(job.arguments(folder), folder)
            assert ended.status == 1
            assert "Read-only file system; permission to write" in ended.last_line
            assert "cannot write" in ended.last_line
            disk.change("rw")
            finish(job, folder)
    except NoDiskError as error:
        pytest.skip(str(error))


@training
def test_two_processes_in_one_run(folder):
    """The second is refused in one line, and harms the first in nothing."""
    job = LOTTERY
    middle = undisturbed(job).changes // 2
    first = Running(job.arguments(folder), folder, Fault(middle, signal.SIGSTOP))
    wait_until_stopped(first)
    second = run(job.arguments(folder), folder)
    first.send(signal.SIGCONT)
    assert second.status == 1
    assert "another process works on this run; wait for it" in second.last_line
    assert first.end().status == 0
    assert other_files(job.made(folder), undisturbed(job).made) == []


@training
def test_two_comparisons_share_their_runs(folder):
    """Started at once on one folder, both end well and in the same table."""
    both = [Running(COMPARISON.arguments(folder), folder) for _ in range(2)]
    ended = [one.end() for one in both]
    assert [one.status for one in ended] == [0, 0], ended
    assert other_files(COMPARISON.made(folder), undisturbed(COMPARISON).made) == []


def wait_until_stopped(running):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with open(f"/proc/{running.process.pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "T":
                return
        time.sleep(0.01)
    raise AssertionError("it does not come to the change that it should stop before")


@pytest.mark.parametrize("name", NAMES)
def test_a_clock_that_jumps(name, folder):
    """Days forth and back, in the clock and in the times of files, change nothing."""
    job = JOBS[name]
    job.prepare(folder)
    middle = undisturbed(job).changes // 2
    run(job.arguments(folder), folder, Fault(middle, clock_seed=1))
    jump = random.Random(2)
    for path in folder.rglob("*"):
        os.utime(path, (time.time() + jump.uniform(-3e6, 3e6),) * 2)
    ended = run(job.arguments(folder), folder, Fault(clock_seed=3))
    assert ended.status == 0, ended.said
    assert other_files(job.made(folder), undisturbed(job).made) == []


@training
def test_a_reader_that_has_seen_enough(folder):
    """A closed pipe ends a run without a traceback, and nothing is lost."""
    job = LOTTERY
    ended = Running(job.arguments(folder), folder, closed_stdout=True).end()
    assert ended.status == 141
    assert "Traceback" not in ended.said
    finish(job, folder)


WORKERS = [
    SWEEPING.name,
    pytest.param(COMPARISON.name, marks=training),
]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_that_is_killed(name, folder):
    """What it was doing is done by another one, and the command ends well."""
    job = {SWEEPING.name: SWEEPING, COMPARISON.name: COMPARISON}[name]
    job.prepare(folder)
    running = Running(job.arguments(folder, jobs=2), folder)
    os.kill(worker_of(running.process.pid, folder, job), signal.SIGKILL)
    ended = running.end()
    assert ended.status == 0, ended.said
    assert other_files(job.made(folder), undisturbed(job).made) == []


def worker_of(parent, folder, job):
    """Wait for a child that has begun to work; return its process id."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for entry in os.listdir("/proc"):
            if entry.isdigit() and is_worker(int(entry), parent):
                return int(entry)
        time.sleep(0.01)
    raise AssertionError("no worker has begun")


def is_worker(process, parent):
    try:
        with open(f"/proc/{process}/stat") as stat:
            of = int(stat.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{process}/cmdline") as line:
            said = line.read()
    except (OSError, IndexError):
        return False
    return of == parent and ("spawn_main" in said or "sweeps.worker" in said)


@pytest.mark.parametrize(
    ("number", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
def test_a_signal_is_heeded_with_care(number, status, folder):
    """One line says what is there and how to go on, and the same command does."""
    job = SWEEPING
    job.prepare(folder)
    middle = undisturbed(job).changes // 2
    fault = Fault(middle, getattr(signal, number))
    ended = run(job.arguments(folder), folder, fault)
    assert ended.status == status
    assert ended.last_line.startswith("balanced-sparsity: error: cancelled: finished")
    finish(job, folder)


STUBBORN = """
import signal, sys, time
import cli
from hwmodel.commands.accelerators import Accelerators

def run(self, args):
    while True:
        try:
            print("ready", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            pass

Accelerators.run = run
sys.argv[1:] = ["accelerators"]
sys.exit(cli.main())
"""


def test_a_program_that_calls_a_command_keeps_its_handlers():
    """Signals mean to it what they meant before, whether one came or not."""

    def own(number, frame):
        raise AssertionError

    former = signal.signal(signal.SIGTERM, own)
    try:
        assert cli.main(["accelerators"]) == 0
        with stop_signals(), contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, former)


class Finalized:
    """An object in whose finalizer a signal comes."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_a_finalizer_is_not_lost(capsys):
    """Python drops what is raised there; the interrupt comes all the same, silently."""
    with stop_signals() as stop, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        Finalized()
        time.sleep(60)
    assert stop.came
    assert stop.status == 128 + signal.SIGTERM
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_the_second_signal_ends_at_once(second):
    """Even a command that does not end by the first, and without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for number in ("SIGINT", second):
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, number))
    said = process.communicate(timeout=60)[1]
    assert process.returncode == -getattr(signal, second)
    assert said == ""
