"""Errors of writing in one line: which file, why, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from balancer.errors import WriteError

PREFIX = ".part-"  # of folders that hold what is not whole yet
_ROOM = "make room, or write elsewhere; nothing is left half-written"
_RIGHT = "permission to write there is needed, or another place"
_ADVICE = {
    **dict.fromkeys(("ENOSPC", "EDQUOT", "EFBIG"), _ROOM),
    **dict.fromkeys(("EACCES", "EPERM", "EROFS"), _RIGHT),
}


@contextmanager
def writing(*paths: Path) -> Iterator[None]:
    """Say in one line which of some files cannot be written, and what to do.

    Errors that are about other files, and those of pipes, pass as they are.

    Parameters
    ----------
    *paths : Path
        Files or folders that are written inside, under their final names.

    Raises
    ------
    WriteError
        No space, no permission, or another error of the system.

    Examples
    --------
    >>> import errno
    >>> from pathlib import Path
    >>> from balancer.files.write_errors import writing
    >>> with writing(Path("masks.npz")):
    ...     raise OSError(errno.EROFS, "Read-only file system")
    Traceback (most recent call last):
    ...
    balancer.errors.WriteError: cannot write masks.npz: Read-only file system; permission to write there is needed, or another place
    """  # noqa: E501 (the message takes one line)
    try:
        yield
    except (BrokenPipeError, ConnectionError):
        raise
    except OSError as error:
        named = None if error.filename is None else _final(Path(error.filename))
        if named is not None and not any(_touches(named, path) for path in paths):
            raise
        where = named or ", ".join(map(str, paths))
        reason = error.strerror or str(error)
        advice = _ADVICE.get(errno.errorcode.get(error.errno or 0, ""))
        said = reason if advice is None else f"{reason}; {advice}"
        raise WriteError(f"cannot write {where}: {said}") from error


def _final(path: Path) -> Path:
    """Name a file as it will be called when it is whole."""
    return Path(*(part for part in path.parts if not part.startswith(PREFIX)))


def _touches(named: Path, path: Path) -> bool:
    return named == path or named in path.parents or path in named.parents
