"""Processes of tasks: they end with whoever started them, and may die."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest

from snn.lottery.task_processes import ProcessDiedError, run_in_processes

SLEEPER = """
import os, sys, time
sys.path.append(sys.argv[1])
from snn.lottery.task_processes import run_in_processes
from test_task_processes import sleep_long
if __name__ == "__main__":
    list(run_in_processes(sleep_long, [sys.argv[2]], 1))
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_every_task_ends_with_its_result():
    """Whatever the number of processes, each task is yielded once, with its result."""
    for jobs in (1, 3):
        ended = list(run_in_processes(len, ["", "a", "bb", "ccc"], jobs))
        assert sorted(ended) == [("", 0), ("a", 1), ("bb", 2), ("ccc", 3)]


def test_an_error_of_the_work_is_raised():
    """It is that of the task, and the others end at once."""
    with pytest.raises(ZeroDivisionError):
        list(run_in_processes(one_by, [0], 2))


def one_by(number):
    return 1 / number


def sleep_long(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


def nap(seconds):
    time.sleep(seconds)
    return seconds


def test_who_wants_no_more_does_not_wait():
    """Leaving ends the processes, however long they would have worked."""
    with closing(run_in_processes(nap, [0, 600], 2)) as running:
        assert next(running) == (0, 0)
    assert multiprocessing.active_children() == []


def die_until(marker, times):
    """Kill the process that does this, so many times."""
    for number in range(times):
        try:
            (marker / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)


def work_on(task):
    name, marker, deaths = task
    die_until(marker, deaths)
    return name


@posix
def test_a_task_whose_process_dies_is_tried_once_more(tmp_path):
    """One death costs nothing; after two the task fails, and no other does."""
    tasks = []
    for name, deaths in (("once", 1), ("healthy", 0), ("always", 9), ("too", 0)):
        marker = tmp_path / name
        marker.mkdir()
        tasks.append((name, marker, deaths))
    ended = {task[0]: end for task, end in run_in_processes(work_on, tasks, jobs=1)}
    error = ended.pop("always")
    assert isinstance(error, ProcessDiedError)
    assert "died 2 times, the last time with status -9" in str(error)
    assert ended == {name: name for name in ("once", "healthy", "too")}


@posix
def test_workers_do_not_survive_a_kill(tmp_path):
    """When their parent is killed, nothing holds its output open any more."""
    said = tmp_path / "pid"
    parent = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, Path(__file__).parent, said],
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (said.exists() and said.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert int(said.read_text()) != parent.pid
    parent.kill()
    parent.communicate(timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_death_while_others_start_costs_nothing():
    """A process that dies as it begins is replaced, and nobody waits for ever."""
    tasks = [f"task-{number}" for number in range(6)]
    for _ in range(3):
        killer = Thread(target=kill_the_first_worker, args=(set(children()),))
        killer.start()
        ended = dict(run_in_processes(str.upper, tasks, jobs=2))
        killer.join()
        assert ended == {task: task.upper() for task in tasks}


def children():
    """Process ids of the children of this process."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(one) for one in file.read().split()]


def kill_the_first_worker(before):
    """Kill a child that is not from before and is no tracker of resources."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in set(children()) - before:
            with suppress(OSError), open(f"/proc/{child}/cmdline") as line:
                if "spawn_main" in line.read():
                    os.kill(child, signal.SIGKILL)
                    return
    raise AssertionError("no worker has begun")
