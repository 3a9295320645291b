"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread


@contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end when this one is done with them, stops or is killed.

    What is submitted must bear to be stopped at any point.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads survive no fork
    receiver, sender = context.Pipe(duplex=False)
    with receiver, sender:
        pool = ProcessPoolExecutor(jobs, context, _end_with, (receiver,))
        try:
            yield pool
        except BaseException:
            sender.close()
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def _end_with(parent: Connection) -> None:
    """End this process at once when the other end of a pipe is closed.

    A run can be stopped at any point. Ctrl-C also reaches this process, but only its
    parent heeds it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent.poll(None)
        os._exit(1)

    Thread(target=wait, daemon=True).start()
