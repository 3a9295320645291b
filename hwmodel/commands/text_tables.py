"""Tables of text that fit a terminal: no column vanishes unsaid, no header is split.

A table that is too wide takes, in this order: headers in several lines, broken between
words; two lines for a row, the first for its columns of text; fewer columns, which is
said below; and as many lines for a row as it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hwmodel.commands.safe_text import printable, shorten

GAP = 2  # spaces between columns
MARGIN = 1  # spaces before a line
INDENT = 4  # spaces before the further lines of a row


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
    spare : tuple of str
        Columns that a narrow terminal can do without, the first of them first.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: tuple[str, ...]
    spare: tuple[str, ...] = ()

    def without(self, names: Sequence[str]) -> TextTable:
        """Leave out some columns."""
        stay = [n for n, name in enumerate(self.header) if name not in names]
        return self._replace(
            header=tuple(self.header[n] for n in stay),
            rows=[tuple(row[n] for n in stay) for row in self.rows],
        )

    def on_a_terminal(self, width: int) -> TextTable:
        """Escape what a terminal would obey, and let every text fit a line.

        A text that is longer loses its middle; a number never does.

        Parameters
        ----------
        width : int
            Columns of the terminal.
        """
        texts = [name in self.left for name in self.header]
        most = max(width - MARGIN - INDENT, 1)
        escaped = ([printable(cell, lines=False) for cell in row] for row in self.rows)
        return self._replace(
            rows=[
                tuple(
                    shorten(cell, most) if is_text else cell
                    for cell, is_text in zip(row, texts, strict=True)
                )
                for row in escaped
            ]
        )


class DrawnTable(NamedTuple):
    """A table as lines of text.

    Attributes
    ----------
    header, rows : list of str
        Lines.
    left_out : tuple of str
        Columns that have no room.
    """

    header: list[str]
    rows: list[str]
    left_out: tuple[str, ...]


def draw(table: TextTable, width: int) -> DrawnTable:
    r"""Lay a table out in lines.

    Parameters
    ----------
    table : TextTable
        What to draw.
    width : int
        Columns of the terminal. A single cell that is wider is not cut.

    Examples
    --------
    >>> from hwmodel.commands.text_tables import TextTable, draw
    >>> table = TextTable(("layer", "kept"), [("conv", "0.97")], ("layer",))
    >>> drawn = draw(table, width=80)
    >>> print(*drawn.header, *drawn.rows, sep="\n")
     layer  kept
     conv   0.97
    """
    for number in range(len(table.spare) + 1):
        left_out = tuple(n for n in table.spare[:number] if n in table.header)
        fewer = table.without(left_out)
        for lines in (_one_line(fewer), _two_lines(fewer)):
            for wrapped in (False, True):
                columns = _columns(fewer, wrapped)
                indents = (INDENT * (number > 0) for number in range(len(lines)))
                widths = (_width(columns, line) for line in lines)
                if all(
                    sum(both) <= width for both in zip(indents, widths, strict=True)
                ):
                    return _drawn(columns, lines, left_out)
    fewer = table.without(table.spare)
    columns = _columns(fewer, wrapped=True)
    lines = list(_packed(columns, width))
    return _drawn(columns, lines, tuple(n for n in table.spare if n in table.header))


class _Cells(NamedTuple):
    header: list[str]
    cells: list[str]
    left: bool

    @property
    def width(self) -> int:
        return max(map(_width_of, (*self.header, *self.cells)), default=0)

    def pad(self, text: str) -> str:
        space = " " * (self.width - _width_of(text))
        return text + space if self.left else space + text


def _width_of(text: str) -> int:
    """Columns of the terminal that a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def _columns(table: TextTable, wrapped: bool) -> list[_Cells]:
    found = []
    for number, name in enumerate(table.header):
        cells = [row[number] for row in table.rows]
        header = [name]
        if wrapped:
            longest = max(map(_width_of, (*cells, *name.split())), default=0)
            header = _wrap(name, longest)
        found.append(_Cells(header, cells, name in table.left))
    return found


def _wrap(text: str, width: int) -> list[str]:
    """Break a text between words, into lines of a width that every word fits."""
    lines: list[str] = []
    for word in text.split():
        if lines and _width_of(lines[-1]) + 1 + _width_of(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def _one_line(table: TextTable) -> list[list[int]]:
    return [list(range(len(table.header)))]


def _two_lines(table: TextTable) -> list[list[int]]:
    """Put the columns of text first, and the numbers below them."""
    of_text = [n for n, name in enumerate(table.header) if name in table.left]
    numbers = [n for n, name in enumerate(table.header) if name not in table.left]
    return [line for line in (of_text, numbers) if line]


def _packed(columns: Sequence[_Cells], width: int) -> Iterator[list[int]]:
    """Fill line by line."""
    line: list[int] = []
    for number in range(len(columns)):
        if line and _width(columns, [*line, number]) + INDENT > width:
            yield line
            line = []
        line.append(number)
    yield line


def _width(columns: Sequence[_Cells], line: Sequence[int]) -> int:
    return MARGIN + sum(columns[n].width + GAP for n in line) - GAP


def _drawn(
    columns: Sequence[_Cells], lines: Sequence[Sequence[int]], left_out: Sequence[str]
) -> DrawnTable:
    rows = max((len(column.cells) for column in columns), default=0)
    header, body = [], []
    for position, line in enumerate(lines):
        height = max((len(columns[n].header) for n in line), default=0)
        for level in range(height):
            # Names stand at the bottom of the header's lines.
            missing = [height - len(columns[n].header) for n in line]
            texts = [
                columns[n].header[level - above] if level >= above else ""
                for n, above in zip(line, missing, strict=True)
            ]
            header.append(_line(columns, line, position, texts))
    for row in range(rows):
        for position, line in enumerate(lines):
            texts = [columns[n].cells[row] for n in line]
            body.append(_line(columns, line, position, texts))
    return DrawnTable(header, body, tuple(left_out))


def _line(
    columns: Sequence[_Cells], line: Sequence[int], position: int, texts: Sequence[str]
) -> str:
    indent = " " * (MARGIN + INDENT * (position > 0))
    cells = (columns[n].pad(text) for n, text in zip(line, texts, strict=True))
    return (indent + (" " * GAP).join(cells)).rstrip()
