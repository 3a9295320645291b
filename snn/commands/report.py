"""The command `report`: a page about a ticket, a run, a comparison or a sweep."""

from __future__ import annotations

import argparse
import json
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hwmodel.commands.asides import complain
from hwmodel.commands.asked_balance import AskedBalance
from hwmodel.commands.balance_options import add_options
from hwmodel.commands.console import say
from hwmodel.commands.contract import Command, UsageError

if TYPE_CHECKING:
    from balancer import AccuracyMeter, BalanceReport

EXAMPLES = """\
examples:
  %(prog)s --open
      what balancing changes in the ticket that comes with the package
  %(prog)s net.safetensors --sparsity 0.95 --pes 32 --out net.html
      a network of your own, with the options of balance
  %(prog)s runs/lottery-digits-conv3-lth-s0-1a2b3c4d
      the rounds of a run
  %(prog)s runs/compare-1a2b3c4d
      methods beside each other, with intervals
  %(prog)s runs/sweep-design
      the designs of a sweep
"""
FRONTIER = 8  # points of the frontier of a ticket, unless asked otherwise


class Reported(NamedTuple):
    """A page, and what it is about."""

    kind: str
    path: Path


class ReportPage(Command[Reported]):
    """Write a page.

    Parameters
    ----------
    accuracy_of : callable
        As for `balance`.
    """

    name = "report"
    help = "a page with figures: of a ticket, a run, a comparison or a sweep"
    description = (
        "Write one HTML file that needs no network: a summary for a minute, figures, "
        "and their numbers as tables and CSV. A ticket is balanced first, with the "
        "options of balance; nothing else of it is written."
    )
    examples = EXAMPLES

    def __init__(
        self, accuracy_of: Callable[[Path, Path | None], AccuracyMeter]
    ) -> None:
        self._accuracy_of = accuracy_of

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options: those of `balance`, and where the page goes."""
        add_options(
            parser,
            "TICKET|RUN|COMPARISON|SWEEP",
            "; or the folder of a finished lottery run, of a comparison or of a sweep",
        )
        output = parser.add_argument_group("output")
        output.add_argument(
            "--out",
            type=Path,
            metavar="FILE.html",
            help="where the page goes (default: report.html in the folder, or for a "
            "ticket runs/report-NAME.html)",
        )
        output.add_argument(
            "--open", action="store_true", help="show the page in the browser"
        )
        output.add_argument(
            "--json", action="store_true", help="print one JSON document"
        )

    def run(self, args: argparse.Namespace) -> Reported:
        """Write the page of whatever is given."""
        from hwmodel.pages.page import check_page

        kind = _kind(args.ticket)
        out = args.out or _default_place(args.ticket, kind)
        check_page(out)
        if kind == "ticket":
            self._of_ticket(args, out)
        else:
            _refuse_options(args)
            WRITERS[kind](args.ticket, out)
        if args.open:
            webbrowser.open(out.resolve().as_uri())
        return Reported(kind, out)

    def _of_ticket(self, args: argparse.Namespace, out: Path) -> None:
        from hwmodel.pages.balance_page import write_balance_page

        asked = AskedBalance.of(args)
        accuracy = None
        if args.evaluate:
            accuracy = self._accuracy_of(asked.source, args.data_folder)
        points = args.frontier or FRONTIER
        of_all = args.scope == "global" and asked.hardware is not None
        report = asked.run(accuracy, compare=True, frontier=points if of_all else None)
        write_balance_page(report, out, None if of_all else _frontier(asked, points))

    def print(self, outcome: Reported, args: argparse.Namespace) -> None:
        """Say where the page is."""
        if args.json:
            document = {"kind": outcome.kind, "outputs": {"report": str(outcome.path)}}
            print(json.dumps(document, indent=1))
        else:
            say(f"report: {outcome.path}")


def _frontier(asked: AskedBalance, points: int) -> BalanceReport | None:
    """Balance once more, under one budget; None, and a warning, without a frontier."""
    from balancer import BalancerError

    if asked.hardware is None:
        return None
    try:
        return asked.sharing().run(None, frontier=points)
    except BalancerError as error:
        complain(
            "warning", f"the page has no frontier of magnitude and latency: {error}"
        )
        return None


def _kind(path: Path | None) -> str:
    """Tell what is given by what is there.

    Raises
    ------
    UsageError
        A folder that none of the commands has made, or masks of `balance`.
    """
    if path is None:
        return "ticket"
    if path.is_dir():
        for kind, name in (
            ("sweep", "rows.jsonl"),
            ("comparison", "comparison.json"),
            ("run", "config.json"),
        ):
            if (path / name).exists():
                return kind
        if (path / "masks.safetensors").exists():
            raise UsageError(
                f"{path} holds the masks of balance; give the ticket that it was "
                "given, with the same options"
            )
        raise UsageError(
            f"{path} is the folder of no run, comparison or sweep; accepted: these, or "
            "the file of a ticket"
        )
    kinds = {"comparison.json": "comparison", "rows.jsonl": "sweep"}
    return kinds.get(path.name, "ticket")


def _default_place(path: Path | None, kind: str) -> Path:
    if kind != "ticket":
        assert path is not None
        return (path if path.is_dir() else path.parent) / "report.html"
    from balancer import shipped_ticket

    return Path("runs") / f"report-{(path or shipped_ticket()).stem}.html"


def _refuse_options(args: argparse.Namespace) -> None:
    """Refuse options of balancing where nothing is balanced.

    Raises
    ------
    UsageError
        The first of them.
    """
    parser = argparse.ArgumentParser()
    add_options(parser)
    for name, default in vars(parser.parse_args([])).items():
        if name != "ticket" and getattr(args, name) != default:
            known = {"scope": "global", "nested": "nested" if args.nested else "revive"}
            option = known.get(name, name)
            raise UsageError(
                f"--{option.replace('_', '-')} goes with a ticket, and {args.ticket} "
                "is none"
            )


def _write_run(path: Path, out: Path) -> None:
    from snn.lottery.finished_run import RunOnDisk
    from snn.lottery.run_page import write_run_page

    write_run_page(RunOnDisk.read(path), out)


def _write_comparison(path: Path, out: Path) -> None:
    from snn.lottery.merging import read_comparison

    read_comparison(path / "comparison.json" if path.is_dir() else path).report(out)


def _write_sweep(path: Path, out: Path) -> None:
    from hwmodel.sweeps.result import SweepOnDisk

    SweepOnDisk(path if path.is_dir() else path.parent).report(out)


WRITERS = {"run": _write_run, "comparison": _write_comparison, "sweep": _write_sweep}
