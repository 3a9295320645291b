"""How much a command says: results alone, notes too, or also what it decides."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def add_verbosity(group: argparse._ActionsContainer) -> None:
    """Add ``--quiet`` and ``--verbose``.

    Parameters
    ----------
    group : parser or group of arguments
        Where they go. Without them the namespace has neither: what was said before the
        name of a command holds for it, too.
    """
    how_much = group.add_mutually_exclusive_group()
    for name, text in (
        ("quiet", "print results and errors: no notes, warnings or progress"),
        ("verbose", "say on stderr what is decided: solvers, fallbacks, times"),
    ):
        how_much.add_argument(
            f"-{name[0]}",
            f"--{name}",
            action="store_true",
            default=argparse.SUPPRESS,
            help=text,
        )


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Leave out whatever is no result and no error, if so asked."""
    token = _quiet.set(quiet)
    try:
        yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Tell whether only results and errors are wanted."""
    return _quiet.get()
