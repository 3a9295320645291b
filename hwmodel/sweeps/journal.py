"""The rows of a sweep, and which of several with one key counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer.files.line_journal import LineJournal
from balancer.text_files import parse_text
from hwmodel.sweeps.settings import SweepError


def newer(former: dict[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row that counts: the later one, but no failure in the place of a row.

    Examples
    --------
    >>> from hwmodel.sweeps.journal import newer
    >>> newer({"state": "done", "cycles": 3}, {"state": "failed"})
    {'state': 'done', 'cycles': 3}
    """
    if former is not None and row.get("state") == "failed":
        return former if former.get("state") == "done" else row
    return row


@dataclass(frozen=True)
class RowJournal:
    r"""A file of JSON lines that only grows.

    Attributes
    ----------
    path : Path
        The file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hwmodel.sweeps.journal import RowJournal
    >>> journal = RowJournal(Path("rows.jsonl"))
    >>> with journal.writing():
    ...     journal.append([{"key": "a", "cycles": 3}])
    >>> _ = Path("rows.jsonl").open("a").write('{"key": "b", "cyc')  # killed within
    >>> journal.read()
    {'a': {'key': 'a', 'cycles': 3}}
    """

    path: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the row of each key that counts; a line that was cut off is none.

        Raises
        ------
        SweepError
            A file that something else has written.
        """
        rows: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(self._journal.lines(), start=1):
            try:
                row = parse_text("JSON", line, SweepError)
                rows[row["key"]] = newer(rows.get(row["key"]), row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SweepError(
                    f"{self.path}: line {number} is no row of a sweep; take another "
                    "folder (--out), or delete that line"
                ) from error
        return rows

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other sweeps from this file, and cut off what a kill left of a line.

        Raises
        ------
        SweepError
            Another sweep writes to it.
        WriteError
            It cannot be written.
        """
        busy = SweepError(
            f"{self.path.parent}: another process works on this sweep; wait for it, or "
            "take another folder (--out)"
        )
        with self._journal.writing(busy):
            yield

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows behind the others; see `LineJournal.append`."""
        self._journal.append(rows)

    @property
    def _journal(self) -> LineJournal:
        return LineJournal(self.path)
