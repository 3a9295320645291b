"""Tables and lines of text on a terminal, in a pipe, or in a document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160  # columns of a table that no terminal limits


class TextTable(NamedTuple):
    """A table of finished text.

    Attributes
    ----------
    header : tuple of str
        Names of the columns.
    rows : sequence of tuple of str
        Cells, as many in each row as there are columns.
    left : tuple of str
        Columns that are aligned to the left; the others hold numbers.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: tuple[str, ...]


def to_markdown(table: TextTable) -> str:
    """Write a table as Markdown, for a document."""
    rules = ["---" if name in table.left else "---:" for name in table.header]
    cells = ([cell.replace("|", r"\|") for cell in row] for row in table.rows)
    lines = (table.header, rules, *cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def show(table: TextTable) -> None:
    """Print a table, as wide as the terminal."""
    from rich.table import Table
    from rich.text import Text  # what stands in a file is text, and no markup

    drawn = Table(box=None, header_style="bold")
    for name in table.header:
        drawn.add_column(
            Text(name),
            justify="left" if name in table.left else "right",
            overflow="fold",
        )
    for row in table.rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    console().print(drawn)


def say(text: str) -> None:
    """Print a line, as it is."""
    console().print(printable(text), highlight=False, markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Write control characters as escapes: a terminal would obey them.

    Names of layers come from files of others.
    """

    def shown(one: str) -> str:
        plain = one.isprintable() or one == "\n"
        return one if plain else one.encode("unicode_escape").decode()

    return "".join(map(shown, text))


def console() -> Console:
    """Return the console of stdout as it is now."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def percent(value: float | None) -> str:
    """Write a fraction as ``12.34%``; nothing if it is not known."""
    return "" if value is None else f"{value:.2%}"


def whole(value: float | None) -> str:
    """Write a number as ``1,234``; nothing if it is not known."""
    return "" if value is None else f"{value:,.0f}"
