"""Disks that are full or cannot be written, for root as for anybody."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDiskError(Exception):
    """Why there is none here."""


class SmallDisk:
    """A file system in memory, of which the size can be changed.

    Parameters
    ----------
    folder : Path
        Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def change(self, options: str) -> None:
        """Mount it again with other options: ``size=64k``, ``ro``."""
        _mount("-o", f"remount,{options}", str(self.folder))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a small file system.

    Raises
    ------
    NoDiskError
        Only root may, and not in every container.
    """
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    if not hasattr(os, "geteuid") or os.geteuid():
        raise NoDiskError("only root may mount a small disk")
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoDiskError(f"no small disk can be mounted here: {error}") from error
