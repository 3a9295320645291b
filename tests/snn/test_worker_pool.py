"""Worker processes: they end with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from snn.lottery.worker_pool import run_in_processes, worker_pool

SLEEPER = """
import os, time
from snn.lottery.worker_pool import worker_pool
with worker_pool(1) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600).result()
"""


def test_workers_finish_what_was_submitted():
    """Leaving the context in peace waits for the results."""
    with worker_pool(2) as pool:
        futures = [pool.submit(pow, 2, n) for n in range(5)]
    assert [future.result() for future in futures] == [1, 2, 4, 8, 16]


def test_interrupt_ends_what_a_worker_does():
    """An interrupt does not wait for a task that takes long."""
    futures = []

    def work():
        with worker_pool(1) as pool:
            assert pool.submit(os.getpid).result() != os.getpid()
            futures.append(pool.submit(time.sleep, 600))
            while not futures[0].running():
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert isinstance(futures[0].exception(), BrokenProcessPool)


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


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_task_whose_process_dies_is_tried_once_more(tmp_path):
    """One death costs nothing; after two the task fails, and no other does."""
    tasks = []
    for name, deaths in (("once", 1), ("healthy", 0), ("always", 9), ("too", 0)):
        marker = tmp_path / name
        marker.mkdir()
        tasks.append((name, marker, deaths))
    ended = {task[0]: end for task, end in run_in_processes(work_on, tasks, jobs=1)}
    assert isinstance(ended.pop("always"), BrokenProcessPool)
    assert ended == {name: name for name in ("once", "healthy", "too")}


def test_workers_do_not_survive_a_kill():
    """When their parent is killed, nothing holds its output open any more."""
    parent = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True
    )
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    parent.communicate(timeout=60)
