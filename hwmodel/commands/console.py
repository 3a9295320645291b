"""Tables and lines of text on a terminal, in a pipe, or in a document."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwmodel.commands.safe_text import LONGEST, printable, shorten
from hwmodel.commands.text_tables import TextTable, draw
from hwmodel.commands.verbosity import is_quiet

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160  # columns of a table that no terminal limits


def to_markdown(table: TextTable) -> str:
    """Write a table as Markdown, for a document."""
    rules = ["---" if name in table.left else "---:" for name in table.header]
    cells = ([cell.replace("|", r"\|") for cell in row] for row in table.rows)
    lines = (table.header, rules, *cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def show(table: TextTable) -> None:
    """Print a table as wide as the terminal, and which columns that leaves out."""
    out = console()
    drawn = draw(table.on_a_terminal(out.width), out.width)
    for line in drawn.header:
        out.print(line, style="bold", highlight=False, markup=False, soft_wrap=True)
    for line in drawn.rows:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if drawn.left_out:
        say(left_out_at(out.width, drawn.left_out))


def left_out_at(width: int, names: Sequence[str]) -> str:
    """Say which columns a terminal has no room for."""
    return f"Left out at {width} columns: {', '.join(names)} (--json has all)."


def say(text: str, *, whole: bool = False) -> None:
    """Print text of a result.

    Parameters
    ----------
    text : str
        One or more lines; a terminal gets them broken between words.
    whole : bool
        Leave the lines as they are: commands, to be copied.
    """
    out = console()
    for line in printable(text).split("\n"):
        fitted = shorten(line, LONGEST)
        if sys.stdout.isatty() and not whole:
            fitted = _fitted(fitted, out.width)
        out.print(fitted, highlight=False, markup=False, soft_wrap=True)


def remark(text: str, *, whole: bool = False) -> None:
    """Print a note beside a result, as `say` does; with ``--quiet`` none."""
    if not is_quiet():
        say(text, whole=whole)


def console() -> Console:
    """Return the console of stdout as it is now: a terminal, COLUMNS, or 160 wide."""
    from rich.console import Console

    class OutConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # whoever called the command knows what it means

    if sys.stdout.isatty():
        return OutConsole()
    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdecimal() and int(asked) else PIPE_WIDTH
    return OutConsole(width=width)


def percent(value: float | None) -> str:
    """Write a fraction as ``12.34%``; nothing if it is not known."""
    return "" if value is None else f"{value:.2%}"


def whole(value: float | None) -> str:
    """Write a number as ``1,234``; nothing if it is not known."""
    return "" if value is None else f"{value:,.0f}"


def _fitted(line: str, width: int) -> str:
    """Break a line between words; names of files and ``a → b`` stay whole."""
    from rich.cells import cell_len

    if cell_len(line) <= width:
        return line
    together = line.replace(" → ", "\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}")
    return textwrap.fill(
        together,
        width,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}", " → ")
