"""Options of commands that leave run folders, and how to go on with one."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_again(parser: argparse.ArgumentParser) -> None:
    """Add what to do with a run that was begun."""
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped"
    )
    again.add_argument(
        "--restart", action="store_true", help="throw away what is there of the run"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add where the folders go, and whether JSON is printed."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="folder of the run folders (default: %(default)s)",
    )
    output.add_argument("--json", action="store_true", help="print one JSON document")


def how_to_go_on(args: argparse.Namespace) -> str:
    """Say how to go on after Ctrl-C: the last checkpoint is there."""
    if args.resume:
        return "the same command goes on where it stopped"
    again = " instead of --restart" if args.restart else ""
    return f"go on with the same options and --resume{again}"
