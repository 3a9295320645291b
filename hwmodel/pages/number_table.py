"""A table of numbers: for reading, for sorting, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from urllib.parse import quote

NOT_KNOWN = "-"
SHORT = 14  # rows that a page shows at once


class NumberColumn(NamedTuple):
    """A column: its name in the CSV, its title, and how its numbers are written.

    `form` is a format of Python's; None for text.
    """

    name: str
    title: str
    form: str | None = None


class Cell(NamedTuple):
    """A cell as it is read, and the value that it is sorted by."""

    text: str
    value: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class NumberTable:
    r"""Numbers that a page shows.

    Attributes
    ----------
    name : str
        Of the CSV file, without its suffix.
    title : str
        What the numbers are.
    columns : tuple of NumberColumn
        What each column holds.
    rows : tuple of tuple
        Numbers, text, or None where nothing is known.

    Examples
    --------
    >>> from hwmodel.pages.number_table import NumberColumn, NumberTable
    >>> columns = (NumberColumn("layer", "layer"), NumberColumn("eta", "eta", ".0%"))
    >>> table = NumberTable("eta", "Use of the array", columns, (("conv", 0.25),))
    >>> table.to_csv()
    'layer,eta\nconv,0.25\n'
    >>> [cell.text for cell in next(table.cells())]
    ['conv', '25%']
    """

    name: str
    title: str
    columns: tuple[NumberColumn, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        columns: Sequence[NumberColumn],
        rows: Iterable[Mapping[str, Any]],
    ) -> Self:
        """Take the columns out of rows; without those that no row knows."""
        known = list(rows)
        used = tuple(
            column
            for column in columns
            if any(row.get(column.name) is not None for row in known)
        )
        values = (tuple(row.get(column.name) for column in used) for row in known)
        return cls(name, title, used, tuple(values))

    @property
    def is_short(self) -> bool:
        """Whether a page shows it at once."""
        return len(self.rows) <= SHORT

    def cells(self) -> Iterator[list[Cell]]:
        """Yield the cells of each row."""
        for row in self.rows:
            yield [
                _cell(value, column.form)
                for value, column in zip(row, self.columns, strict=True)
            ]

    def to_csv(self) -> str:
        """Write the values as they are, with a header line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(column.name for column in self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    @property
    def href(self) -> str:
        """The CSV as an address that holds it."""
        return f"data:text/csv;charset=utf-8,{quote(self.to_csv())}"


def _cell(value: Any, form: str | None) -> Cell:
    if value is None:
        return Cell(NOT_KNOWN, "", form is not None)
    if form is None or isinstance(value, str):
        return Cell(str(value), str(value), False)
    return Cell(format(value, form), repr(value), True)
