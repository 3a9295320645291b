"""Locks that end with their process, so that nobody waits for one that is dead."""

from __future__ import annotations

from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows, where nobody is kept from anything
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None


def take_lock(file: int | IO[bytes] | IO[str]) -> bool | None:
    """Take the lock of an open file, which goes when the file is closed.

    Parameters
    ----------
    file : int or IO
        The file, or its descriptor.

    Returns
    -------
    bool or None
        Whether the lock is ours; if not, another process has it, or this one by
        another opening. None: nobody knows, since this system or the file's has none.

    Examples
    --------
    >>> from balancer.files.locks import take_lock
    >>> with open("lock", "w") as ours, open("lock", "w") as theirs:
    ...     take_lock(ours), take_lock(theirs)
    (True, False)
    """
    if not HAS_LOCKS:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True
