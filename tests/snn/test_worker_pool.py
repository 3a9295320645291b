"""Worker processes: they end with whoever started them."""

import os
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from snn.lottery.worker_pool import worker_pool

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


def test_workers_do_not_survive_a_kill():
    """When their parent is killed, nothing holds its output open any more."""
    parent = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True
    )
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    parent.communicate(timeout=60)
