"""Command line: the list of commands, exit statuses, and errors in one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from hwmodel.commands.accelerators import Accelerators
from hwmodel.commands.balance import Balance
from hwmodel.commands.console import printable
from hwmodel.commands.contract import (
    CancelledError,
    Command,
    Parser,
    UsageError,
    WorkFailedError,
)
from hwmodel.commands.evaluate import Evaluate
from hwmodel.commands.sweep import Sweep
from snn.commands.accuracy import accuracy_of_ticket
from snn.commands.export import Export
from snn.commands.lottery import Lottery
from snn.commands.retrain import Retrain
from snn.commands.sweep_training import lottery_trainer

PROGRAM = "balanced-sparsity"
CANCELLED = 130  # as shells tell that SIGINT ended a program
COMMANDS: tuple[Command[Any], ...] = (
    Balance(accuracy_of_ticket),
    Retrain(),
    Evaluate(),
    Accelerators(),
    Lottery(),
    Sweep(lottery_trainer),
    Export(),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    0, 1 (work failed), 2 (bad usage) or 130 (cancelled by Ctrl-C).
    """
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    warnings.showwarning = lambda message, *_: _warn(str(message))
    left = "nothing was done"  # by Ctrl-C
    try:
        args = _parser().parse_args(argv)
        command: Command[Any] = args.command
        left = command.interrupted(args)
        outcome = command.run(args)
        left = "the work was done, only its output is cut off"
        command.print(outcome, args)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return _fail(f"cancelled: {left}", CANCELLED)
    except CancelledError as error:
        return _fail(str(error), CANCELLED)
    except UsageError as error:
        return _fail(str(error), 2)
    except MemoryError as error:
        if debug:
            raise
        return _fail(f"more memory is needed than there is ({error})", 1)
    except (ValueError, OSError, WorkFailedError) as error:
        if debug and not isinstance(error, WorkFailedError):
            raise
        return _fail(str(error), 1)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Prune networks so that every processing element (PE) of a sparse "
        "accelerator gets exactly the same work.",
    )
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=Parser
    )
    for command in COMMANDS:
        Parser.of(commands, command)
    return parser


def _warn(message: str) -> None:
    text = printable(" ".join(message.split()))
    print(f"{PROGRAM}: warning: {text}", file=sys.stderr)


def _fail(message: str, status: int) -> int:
    text = printable(" ".join(message.split()))
    print(f"{PROGRAM}: error: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
