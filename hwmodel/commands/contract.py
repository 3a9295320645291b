"""What a command of the command line is: arguments, work, and what it prints."""

from __future__ import annotations

import argparse
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

HELP_WIDTH = 78
Outcome = TypeVar("Outcome")


class UsageError(Exception):
    """Options that do not go together, or values that are not accepted."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Say that values which a library refuses are wrong options."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


class WorkFailedError(Exception):
    """Work that ended without what was asked for; what there is has been printed."""


class CancelledError(WorkFailedError):
    """Work that Ctrl-C cut short; what there is has been printed, and kept."""


class Command(ABC, Generic[Outcome]):
    """One command; `cli` lists them all.

    Importing a command must load no library: only when it runs, or when its own help is
    asked for, may it.

    Attributes
    ----------
    name : str
        How it is called.
    help, description, examples : str
        One line for the list of commands, a paragraph, and commands to copy.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    description: ClassVar[str]
    examples: ClassVar[str | None] = None

    @abstractmethod
    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments and options to a parser."""

    @abstractmethod
    def run(self, args: argparse.Namespace) -> Outcome:
        """Do the work.

        Raises
        ------
        UsageError
            Wrong options (exit status 2).
        ValueError, OSError
            The work failed (exit status 1).
        """

    @abstractmethod
    def print(self, outcome: Outcome, args: argparse.Namespace) -> None:
        """Say what came of it on stdout: tables, or with ``--json`` one document.

        Raises
        ------
        WorkFailedError
            Not all of the work could be done (exit status 1).
        CancelledError
            Ctrl-C cut the work short (exit status 130), or SIGTERM (143).
        """

    def interrupted(self, args: argparse.Namespace) -> str:
        """Say what Ctrl-C during `run` leaves behind, and how to go on."""
        return "nothing was written"


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line, and which asks a command when it begins."""

    command: Command[Any] | None = None

    @classmethod
    def of(cls, commands: Any, command: Command[Any]) -> Parser:
        """Add the parser of a command to the sub-parsers of another."""
        parser: Parser = commands.add_parser(
            command.name,
            help=command.help,
            description=textwrap.fill(command.description, HELP_WIDTH),
            epilog=command.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.command = command
        parser.set_defaults(command=command)
        return parser

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, once the command has added its arguments."""
        command, self.command = self.command, None
        if command is not None:
            command.arguments(self)
            self.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line in one line."""
        raise UsageError(f"{message} (see {self.prog} --help)")
