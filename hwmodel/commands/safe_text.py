"""Text from anywhere, made safe for a terminal: names of layers come from files.

Whatever is printed as text goes through here: `console` (stdout), `asides` (stderr).
"""

from __future__ import annotations

LONGEST = 2000  # columns of a line: names may have any number of characters


def printable(text: str, *, lines: bool = True) -> str:
    r"""Write control characters as escapes: a terminal would obey them.

    Parameters
    ----------
    text : str
        Any text.
    lines : bool
        Whether the ends of its lines stay; in a cell of a table they cannot.

    Examples
    --------
    >>> from hwmodel.commands.safe_text import printable
    >>> printable("conv\x1b[31m")
    'conv\\x1b[31m'
    """

    def shown(one: str) -> str:
        plain = one.isprintable() or (lines and one == "\n")
        return one if plain else one.encode("unicode_escape").decode()

    return text if text.isprintable() else "".join(map(shown, text))


def in_one_line(text: str) -> str:
    """Write a message of any length in a line that a terminal can hold."""
    return shorten(printable(" ".join(text.split())), LONGEST)


def shorten(text: str, width: int) -> str:
    """Replace the middle of a text that is wider than so many columns by an ellipsis.

    Examples
    --------
    >>> from hwmodel.commands.safe_text import shorten
    >>> shorten("features.10.weight", 11)
    'featu…eight'
    """
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    rest = max(width - 1, 0)
    head = set_cell_size(text[:width], rest - rest // 2)
    tail = set_cell_size(text[: -width - 1 : -1], rest // 2)
    return f"{head}…{tail[::-1]}"
