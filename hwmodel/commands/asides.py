"""What goes to stderr: errors, warnings, and the progress of what takes long."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.commands.safe_text import in_one_line
from hwmodel.commands.verbosity import is_quiet, quietly

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRAM = "balanced-sparsity"
STYLES = {"error": "bold red", "warning": "yellow"}
LOGGERS = ("balancer", "hwmodel", "snn")

logger = logging.getLogger(__name__)


def called() -> str:
    """Return what the program was started as, for commands that are to be copied."""
    return "python cli.py" if Path(sys.argv[0]).name == "cli.py" else PROGRAM


def complain(kind: str, message: str) -> None:
    """Print an error or a warning; with ``--quiet`` no warning.

    Parameters
    ----------
    kind : {"error", "warning"}
        What it is.
    message : str
        Of any length, from anywhere: it is cut and escaped.
    """
    if kind == "warning" and is_quiet():
        return
    text = in_one_line(message)
    if not (sys.stderr.isatty() or os.environ.get("FORCE_COLOR")):
        print(f"{PROGRAM}: {kind}: {text}", file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(f"{PROGRAM}: ", (f"{kind}: ", STYLES[kind]), text)
    # A terminal gets it broken between words, a pipe in one line.
    out = Console(stderr=True, highlight=False)
    out.print(line, soft_wrap=not sys.stderr.isatty())


def tell(message: str) -> None:
    """Print a line about what goes on; with ``--quiet`` none."""
    if not is_quiet():
        print(in_one_line(message), file=sys.stderr)


class _LogToStderr(logging.Handler):
    """Writes records as lines of the stderr that there is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


@contextmanager
def speaking(args: argparse.Namespace) -> Iterator[None]:
    """Say as much as the options ask for, for as long as the context lasts.

    Parameters
    ----------
    args : Namespace
        With ``quiet``, notes, warnings and progress are left out; with ``verbose``,
        what our packages log goes to stderr, and at the end how long it all took.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [one.level for one in loggers]
    handler, begun = _LogToStderr(), time.perf_counter()
    if getattr(args, "verbose", False):
        for one in loggers:
            one.addHandler(handler)
            one.setLevel(logging.INFO)
    try:
        with quietly(getattr(args, "quiet", False)):
            yield
    finally:
        logger.info("all of it took %.2f s", time.perf_counter() - begun)
        for one, level in zip(loggers, levels, strict=True):
            one.removeHandler(handler)
            one.setLevel(level)


def shows_progress() -> bool:
    """Tell whether somebody sees bars: stderr is a terminal, and may be talked to."""
    return sys.stderr.isatty() and not is_quiet()


@contextmanager
def progress_bar(*fields: str) -> Iterator[Progress]:
    """Yield a bar on stderr that vanishes; it is off where nobody would see it.

    Parameters
    ----------
    *fields : str
        Names of texts to show behind the bar, which every task has to give.

    Yields
    ------
    rich.progress.Progress
        Its descriptions and fields are text: nothing in them is taken for markup.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    texts = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in fields)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        *texts,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # lines go above the bar, or to a file
        disable=not shows_progress(),
    )
    if bar.disable:  # rich before 14.3 prints an empty line when it stops
        yield bar
    else:
        with bar:
            yield bar
