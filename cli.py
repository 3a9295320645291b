"""Command line: the list of commands, exit statuses, and errors in one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from balancer.errors import WriteError
from hwmodel.commands.accelerators import Accelerators
from hwmodel.commands.asides import PROGRAM, complain, speaking
from hwmodel.commands.balance import Balance
from hwmodel.commands.bench import Bench
from hwmodel.commands.completion import Completion
from hwmodel.commands.contract import (
    CancelledError,
    Command,
    Parser,
    UsageError,
    WorkFailedError,
)
from hwmodel.commands.evaluate import Evaluate
from hwmodel.commands.help_pages import HelpPage
from hwmodel.commands.program_help import EPILOG
from hwmodel.commands.stop_signals import StopSignal, stop_signals
from hwmodel.commands.streams import drop_unwritten, open_streams
from hwmodel.commands.sweep import Sweep
from snn.commands.accuracy import accuracy_of_ticket
from snn.commands.export import Export
from snn.commands.lottery import Lottery
from snn.commands.report import ReportPage
from snn.commands.retrain import Retrain
from snn.commands.sweep_training import lottery_trainer

UNREAD = 141  # as shells tell that SIGPIPE ended a program
COMMANDS: tuple[Command[Any], ...] = (
    Balance(accuracy_of_ticket),
    Retrain(),
    Evaluate(),
    Accelerators(),
    Lottery(),
    Sweep(lottery_trainer),
    ReportPage(accuracy_of_ticket),
    Export(),
    Bench(),
    Completion(lambda: _parser()),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    0, 1 (work failed), 2 (bad usage), 130 or 143 (cancelled by Ctrl-C or SIGTERM), or
    141 (nobody reads).
    """
    open_streams()
    warnings.showwarning = lambda message, *_: complain("warning", str(message))
    given = sys.argv[1:] if argv is None else argv
    with stop_signals(of_a_program=argv is None) as stop:
        return _status_of(given, stop)


def _status_of(argv: Sequence[str], stop: StopSignal) -> int:
    debug = "--debug" in argv
    done_so_far = ["nothing was done"]  # when it is cancelled
    try:
        _run(argv, done_so_far)
    except BrokenPipeError:  # the reader of our output has seen enough
        drop_unwritten()
        return UNREAD
    except KeyboardInterrupt:
        return _fail(f"cancelled: {done_so_far[-1]}", stop.status)
    except CancelledError as error:
        return _fail(str(error), stop.status)
    except UsageError as error:
        return _fail(str(error), 2)
    except MemoryError as error:
        if debug:
            raise
        return _fail(f"more memory is needed than there is ({error})", 1)
    except (ValueError, OSError, WorkFailedError) as error:
        if debug and not isinstance(error, WorkFailedError):
            raise
        how = f"; {done_so_far[-1]}" if isinstance(error, WriteError) else ""
        return _fail(f"{error}{how}", 1)
    return 0


def _run(argv: Sequence[str], done_so_far: list[str]) -> None:
    try:
        args = _parser().parse_args(argv)
        command: Command[Any] = args.command
        done_so_far.append(command.interrupted(args))
        with speaking(args):
            outcome = command.run(args)
            done_so_far.append("the work was done, only its output is cut off")
            command.print(outcome, args)
    finally:
        sys.stdout.flush()  # where it may fail, and not when the interpreter ends


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [options] COMMAND ...",
        description="Prune networks so that every processing element (PE) of a sparse "
        "accelerator gets exactly the same work.",
        epilog=EPILOG,
        formatter_class=HelpPage,
        add_help=False,
    )
    commands = parser.add_subparsers(
        title="commands",
        metavar="COMMAND",
        required=True,
        prog=PROGRAM,
        parser_class=Parser,
    )
    for command in COMMANDS:
        Parser.of(commands, command)
    parser.add_common("options, before or after the name of a command")
    return parser


def _fail(message: str, status: int) -> int:
    drop_unwritten()
    complain("error", message)
    return status


if __name__ == "__main__":
    sys.exit(main())
