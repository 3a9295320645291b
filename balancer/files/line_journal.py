"""Journals: rows that are never lost, one line each, whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer.errors import BalancerError
from balancer.files.locks import take_lock
from balancer.files.write_errors import writing


@dataclass(frozen=True)
class LineJournal:
    r"""A file of JSON lines that only grows.

    Attributes
    ----------
    path : Path
        The file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from balancer.errors import BalancerError
    >>> from balancer.files.line_journal import LineJournal
    >>> journal = LineJournal(Path("rows.jsonl"))
    >>> with journal.writing(BalancerError("another process writes to it")):
    ...     journal.append([{"layer": "a"}])
    >>> _ = Path("rows.jsonl").open("a").write('{"layer": "b')  # killed within
    >>> journal.lines()
    [b'{"layer": "a"}']
    """

    path: Path

    def lines(self) -> list[bytes]:
        """Return the whole lines; one that was cut off is none."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return data[: data.rfind(b"\n") + 1].splitlines()

    @contextmanager
    def writing(self, busy: BalancerError) -> Iterator[None]:
        """Keep other processes from this file, and cut off what a kill left of a line.

        Parameters
        ----------
        busy : BalancerError
            What to raise if another process writes to it.

        Raises
        ------
        WriteError
            It cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("ab")
        with file:
            if take_lock(file) is False:
                raise busy
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

    def clear(self) -> None:
        """Forget all rows."""
        with writing(self.path):
            os.truncate(self.path, 0)
