"""A bar of epochs on stderr, where there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from snn.training.trainer import EpochReport


class Advance(Protocol):
    """Moves the bar."""

    def __call__(self, done: int, what: str, report: EpochReport) -> None:
        """Show that so many epochs are done, and how the last one went."""


@contextmanager
def epoch_bar(total: int) -> Iterator[Advance]:
    """Yield what moves a bar of so many epochs; without a terminal nothing is shown."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(
        *columns,
        TextColumn("{task.fields[accuracy]}"),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # rows go above the bar, or to a file
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=total, accuracy="")

    def advance(done: int, what: str, report: EpochReport) -> None:
        said = f"epoch {report.epoch}: {report.accuracy:.1%}"
        bar.update(task, completed=done, description=what, accuracy=said)

    with bar:
        yield advance
