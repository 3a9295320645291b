"""A worker process: takes tasks from its standard input, and writes how they ended.

Not started by fork or by `multiprocessing`, so a script that sweeps is not run again in
every worker, and needs no guard.
"""

from __future__ import annotations

import os
import pickle
import signal
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from hwmodel.sweeps.attempt import attempt


def serve() -> None:
    """Do what comes in, until the other end is closed: by its end, whatever it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent heeds it
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what tasks print is no answer
    tasks: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=(incoming, tasks), daemon=True).start()
    while True:
        try:
            work, task = pickle.loads(tasks.get())
        except Exception as error:  # of a module that is not here, say
            ended: Any = attempt(_refuse, error)
        else:
            ended = attempt(work, task)
        send(outgoing, ended)


def _refuse(error: Exception) -> None:
    raise error


def _read(incoming: IO[bytes], tasks: SimpleQueue[bytes]) -> None:
    """Pass tasks on; end this process in the middle of one when nobody waits for it."""
    while (message := receive(incoming)) is not None:
        tasks.put(message)
    os._exit(1)


def send(stream: IO[bytes], item: Any) -> None:
    """Write an object with its length before it."""
    data = item if isinstance(item, bytes) else pickle.dumps(item)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read what `send` wrote; None if the other end is closed, even within it."""
    header = stream.read(8)
    if len(header) < 8:
        return None
    size = int.from_bytes(header, "little")
    data = stream.read(size)
    return data if len(data) == size else None


if __name__ == "__main__":
    serve()
