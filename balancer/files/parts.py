"""Folders for what is not whole yet; those of dead processes are swept."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from balancer.files.locks import HAS_LOCKS, take_lock
from balancer.files.write_errors import PREFIX

FORMER = "former"  # in such a folder: what had the final name until now
_LOCK = ".lock"


@contextmanager
def part_folder(folder: Path) -> Iterator[Path]:
    """Make a folder inside another, and remove it in the end, whatever happens.

    A lock on a file in it says that its process lives, on whatever machine. The first
    time that a process comes to `folder`, it sweeps what dead ones have left there.

    Parameters
    ----------
    folder : Path
        Where the whole files will be, so that renaming them is enough.

    Raises
    ------
    OSError
        It cannot be made.

    Examples
    --------
    >>> from pathlib import Path
    >>> from balancer.files.parts import part_folder
    >>> with part_folder(Path(".")) as folder:
    ...     _ = (folder / "masks.npz").write_text("half")
    >>> folder.exists()
    False
    """
    _sweep_once(folder.resolve())
    made, lock = _locked_folder(folder)
    try:
        yield made
    finally:
        os.close(lock)  # first: Windows removes no open files
        shutil.rmtree(made, ignore_errors=True)


def sweep_parts(folder: Path) -> None:
    """Remove what processes have left in a folder that are surely dead.

    What such a process had moved aside to put something new in its place, and did not,
    goes back there.
    """
    if not HAS_LOCKS:  # so nobody knows what is dead
        return
    with suppress(OSError):  # a folder that cannot be listed or changed is no obstacle
        for made in folder.glob(f"{PREFIX}*"):
            _sweep(made)


_sweep_once = cache(sweep_parts)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        try:
            lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # another process has just swept it
            continue
        except OSError:
            with suppress(OSError):
                made.rmdir()
            raise
        if take_lock(lock) is not False and (made / _LOCK).exists():
            return made, lock
        os.close(lock)


def _sweep(made: Path) -> None:
    try:
        lock = os.open(made / _LOCK, os.O_RDWR)
    except FileNotFoundError:  # nothing came of it yet
        with suppress(OSError):
            made.rmdir()
        return
    except NotADirectoryError:  # somebody's file
        return
    try:
        if not take_lock(lock):  # its process lives, or nobody knows
            return
        for kept in (made / FORMER).glob("*"):
            if not (made.parent / kept.name).exists():
                kept.rename(made.parent / kept.name)
        shutil.rmtree(made, ignore_errors=True)
    finally:
        os.close(lock)
