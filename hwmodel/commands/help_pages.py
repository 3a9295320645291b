"""How help is laid out: as wide as the terminal, examples that can be copied."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any

WIDEST = 100  # columns: longer lines are hard to read
MARGIN = 2
OF_COMMANDS, OF_ENTRIES = 2, 4  # spaces before these; before a text are more


class HelpPage(argparse.HelpFormatter):
    """Fills paragraphs; keeps commands and entries of lists, by the spaces before them.

    A command that is too long for the terminal goes on in lines that a shell takes for
    one.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        if options.get("width") is None:
            columns = shutil.get_terminal_size().columns
            options["width"] = min(columns - MARGIN, WIDEST)
        super().__init__(prog, **options)

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):  # its commands alone
            return "".join(map(super()._format_action, action._get_subactions()))
        return super()._format_action(action)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line
            for spaces, lines in groupby(text.splitlines(), _spaces)
            for line in _filled(list(lines), spaces, width)
        )


def usage_of(parser: argparse.ArgumentParser) -> str:
    """Write how a command is called; its options are listed below, all of them."""
    parts = ["%(prog)s [options]"]
    for action in parser._get_positional_actions():
        name = str(action.metavar or action.dest.upper())
        parts.append(f"[{name}]" if action.nargs in ("?", "*") else name)
    return " ".join(parts)


def _spaces(line: str) -> int:
    return len(line) - len(line.lstrip())


def _filled(lines: list[str], spaces: int, width: int) -> Iterator[str]:
    before = " " * spaces
    if spaces == OF_COMMANDS:  # each for itself
        for line in lines:
            first, *more = textwrap.wrap(
                line,
                width - len(" \\"),
                initial_indent="",
                subsequent_indent=before + " " * 8,
                break_long_words=False,
                break_on_hyphens=False,
            )
            yield " \\\n".join((first, *more))
    elif spaces == OF_ENTRIES:
        yield from lines
    elif spaces > OF_ENTRIES:
        text = " ".join(map(str.strip, lines))
        yield textwrap.fill(
            text, width, initial_indent=before, subsequent_indent=before
        )
    else:
        for line in lines:
            yield textwrap.fill(line, width)
