"""What a command of the command line is: arguments, work, and what it prints."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from balancer import __version__
from hwmodel.commands.help_pages import HelpPage, usage_of
from hwmodel.commands.verbosity import add_verbosity

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
    """A parser whose errors take one line, and which asks a command when it begins.

    Its last group of options is the same for the program and for all its commands.
    """

    command: Command[Any] | None = None

    @classmethod
    def of(cls, commands: Any, command: Command[Any]) -> Parser:
        """Add the parser of a command to the sub-parsers of another."""
        parser: Parser = commands.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            epilog=command.examples,
            formatter_class=HelpPage,
            add_help=False,
        )
        parser.command = command
        parser.set_defaults(command=command)
        return parser

    def fill(self) -> None:
        """Let the command add its arguments, if it has not done so."""
        command, self.command = self.command, None
        if command is not None:
            self._positionals.title = "arguments"
            command.arguments(self)
            self.add_common("options of every command")
            self.usage = usage_of(self)

    def add_common(self, title: str) -> None:
        """Add the options that the program and all its commands have."""
        group = self.add_argument_group(title)
        group.add_argument("-h", "--help", action="help", help="show this and exit")
        group.add_argument(
            "--version",
            action="version",
            version=f"{self.prog.split()[0]} {__version__}",
            help="show the version and exit",
        )
        add_verbosity(group)
        group.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show the traceback of an error",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, once the command has added its arguments."""
        self.fill()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line in one line."""
        raise UsageError(f"{message} (see {self.prog} --help)")
