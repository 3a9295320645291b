"""Rows that are never lost: one line each, whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer.files.write_errors import writing
from balancer.text_files import parse_text
from hwmodel.sweeps.settings import SweepError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]


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
        for number, line in enumerate(self._lines(), start=1):
            try:
                row = parse_text("JSON", line, SweepError)
                rows[row["key"]] = newer(rows.get(row["key"]), row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SweepError(
                    f"{self.path}: line {number} is no row of a sweep; take another "
                    "folder (--out), or delete that line"
                ) from error
        return rows

    def _lines(self) -> list[bytes]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return data[: data.rfind(b"\n") + 1].splitlines()

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
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("ab")
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise SweepError(
                        f"{self.path.parent}: another process works on this sweep; "
                        "wait for it, or take another folder (--out)"
                    ) from error
            data = self.path.read_bytes()
            os.truncate(self.path, data.rfind(b"\n") + 1)
            yield

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows behind the others, in one piece, and wait for the disk.

        Raises
        ------
        WriteError
            They cannot be written.
        """
        text = "".join(json.dumps(row) + "\n" for row in rows)
        with writing(self.path), self.path.open("ab", buffering=0) as file:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
