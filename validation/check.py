"""What a comparison comes to: a table, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Check:
    """A table of two countings.

    Attributes
    ----------
    columns : tuple of str
        Its header.
    rows : sequence of tuple
        Text is aligned to the left, numbers to the right; floats have three decimals.
    said : str
        What the table shows, below it.
    holds : bool
        Nothing that must be equal differs.

    Examples
    --------
    >>> from validation.check import Check
    >>> print(Check(("layer", "ours", "theirs"), [("fc", 1234, 1234)], "equal", True))
    layer   ours  theirs
    fc     1,234   1,234
    equal
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    said: str
    holds: bool

    def __str__(self) -> str:
        texts = [self.columns, *(tuple(map(_text, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        words = [isinstance(cell, str) for cell in self.rows[0]]
        lines = [
            "  ".join(
                cell.ljust(width) if word else cell.rjust(width)
                for cell, width, word in zip(line, widths, words, strict=True)
            ).rstrip()
            for line in texts
        ]
        return "\n".join([*lines, self.said])


def _text(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.3f}"
