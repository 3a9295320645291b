"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from balancer.errors import TicketError


@contextmanager
def replacing(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Give temporary names to write to; if all goes well they become `paths`.

    Whatever fails, no partial file stays, and no folder that was made for it.

    Raises
    ------
    TicketError
        A folder that cannot be made or written.
    """
    made: list[Path] = []
    try:
        with ExitStack() as stack:
            temporary = []
            for path in paths:
                made += make_folder(path.parent)
                handle, name = tempfile.mkstemp(path.suffix, ".part-", path.parent)
                os.close(handle)
                stack.callback(Path(name).unlink, missing_ok=True)
                temporary.append(Path(name))
            yield tuple(temporary)
            umask = os.umask(0)
            os.umask(umask)
            for written, path in zip(temporary, paths, strict=True):
                written.chmod(0o666 & ~umask)  # mkstemp's are for the owner alone
                written.replace(path)
            made = []
    except OSError as error:
        raise TicketError(f"cannot write {error.filename}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # somebody else has put a file there meanwhile
            for folder in reversed(made):
                folder.rmdir()


def make_folder(folder: Path) -> list[Path]:
    """Make a folder with its parents; return the missing ones, outermost first."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing
