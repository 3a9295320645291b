"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from balancer.files.parts import part_folder
from balancer.files.write_errors import writing


@contextmanager
def replacing(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Give temporary names to write to; if all goes well they become `paths`.

    Whatever fails, no partial file stays, and no folder that was made for it. What a
    kill leaves is removed by the next process that writes into the folder. Files are on
    the disk before they get their names, so that a machine that loses its power leaves
    none with half its content either.

    Raises
    ------
    WriteError
        A folder that cannot be made or written, for want of space or permission, say.
    """
    made: list[Path] = []
    try:
        with writing(*paths), ExitStack() as stack:
            parts: dict[Path, Path] = {}
            for folder in dict.fromkeys(path.parent for path in paths):
                made += missing_folders(folder)
                folder.mkdir(parents=True, exist_ok=True)
                parts[folder] = stack.enter_context(part_folder(folder))
            temporary = tuple(parts[path.parent] / path.name for path in paths)
            yield temporary
            for written in temporary:
                settle(written, 0o666)
            for written, path in zip(temporary, paths, strict=True):
                written.replace(path)
            made = []
    finally:
        remove_empty(made)


def settle(written: Path, mode: int) -> None:
    """Give a file the permissions of any new one, and wait until the disk has it."""
    umask = os.umask(0)
    os.umask(umask)
    written.chmod(mode & ~umask)  # writers with temporary names withhold more
    handle = os.open(written, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def missing_folders(folder: Path) -> list[Path]:
    """List a folder and its parents that are not there yet, outermost first."""
    return [f for f in (folder, *folder.parents) if not f.exists()][::-1]


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, the last first, where nobody has put anything meanwhile."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()
