"""A bar of epochs on stderr, where there is a terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hwmodel.commands.asides import progress_bar

if TYPE_CHECKING:
    from snn.training.trainer import EpochReport

logger = logging.getLogger(__name__)


class Advance(Protocol):
    """Moves the bar."""

    def __call__(self, done: int, what: str, report: EpochReport) -> None:
        """Show that so many epochs are done, and how the last one went."""


@contextmanager
def epoch_bar(total: int) -> Iterator[Advance]:
    """Yield what moves a bar of so many epochs; without a terminal nothing is shown."""
    with progress_bar("accuracy") as bar:
        task = bar.add_task("", total=total, accuracy="")

        def advance(done: int, what: str, report: EpochReport) -> None:
            said = f"epoch {report.epoch}: {report.accuracy:.1%}"
            bar.update(task, completed=done, description=what, accuracy=said)
            logger.info("%s, %s", what, said)

        yield advance
