"""Standard streams that are closed, full, or cannot write every character."""

from __future__ import annotations

import io
import os
import sys


def open_streams() -> None:
    """Make stdout and stderr writable, whatever the shell has done with them.

    A stream that the shell has closed (``>&-``) takes everything and keeps nothing;
    characters that its encoding lacks are written as escapes.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_unwritten() -> None:
    """Let stdout lead nowhere if it refuses to be written to.

    Otherwise the interpreter would try again at its end, and complain.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
