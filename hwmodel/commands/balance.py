"""The command `balance`: masks with equal loads, and how good they are."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from balancer.valid_json import to_json
from hwmodel.commands.asides import called
from hwmodel.commands.asked_balance import AskedBalance
from hwmodel.commands.balance_options import EXAMPLES, add_options, add_outputs
from hwmodel.commands.console import remark, say, show
from hwmodel.commands.contract import CancelledError, Command, usage_errors
from hwmodel.commands.plot_option import check_plot
from hwmodel.commands.ticket_options import said_of_the_file

if TYPE_CHECKING:
    from balancer import AccuracyMeter, BalanceFiles, BalanceReport

OF_THE_NAME = (  # options that name the output folder, since the result depends on them
    *("scope", "pes", "map", "sparsity", "budget", "latency_budget", "energy_budget"),
    *("budgets", "channel_floor", "nested", "order", "allow_empty", "gap_limit"),
    *(
        "layers",
        "skip",
        "scores",
        "solver",
        "time_limit",
        "work_limit",
        "seed",
        "accelerator",
    ),
)


class Balanced(NamedTuple):
    """A balanced ticket, and the files that hold it."""

    report: BalanceReport
    files: BalanceFiles


class Balance(Command[Balanced]):
    """Balance the layers of a ticket; write masks and report.

    Parameters
    ----------
    accuracy_of : callable
        Makes what measures the network of a ticket (``--evaluate``), given its path and
        the folder of its data; this package cannot run networks.
    """

    name = "balance"
    help = "make the masks of a network balanced, and prove how good they are"
    description = (
        "Choose the weights to keep so that all PEs that wait for each other have "
        "equally many, at the largest possible magnitude. Scores are those of "
        "--scores, else NAME.score where the ticket has them, else weight magnitudes; "
        "the budget of a layer is the number of non-zeros of its mask, unless "
        "--sparsity, --budget or --budgets says otherwise."
    )
    examples = EXAMPLES

    def __init__(
        self, accuracy_of: Callable[[Path, Path | None], AccuracyMeter]
    ) -> None:
        self._accuracy_of = accuracy_of

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `balance`."""
        add_options(parser)
        add_outputs(parser)

    def run(self, args: argparse.Namespace) -> Balanced:
        """Balance, and write masks and report."""
        from balancer import BalanceFiles

        check_plot(args)
        asked = AskedBalance.of(args)
        settings = {name: getattr(args, name) for name in OF_THE_NAME}
        settings["scores"] = None if args.scores is None else str(args.scores)
        settings |= said_of_the_file(args)
        settings["map"], settings["pes"] = asked.array
        settings["time_limit"] = asked.limits.seconds
        given = filter(None, [args.accelerator, args.geometry, args.scores])
        inputs = (*asked.ticket.paths, *map(Path, given))
        with usage_errors():
            out = args.out or _default_folder(asked.source, settings)
            files = BalanceFiles.of(out)
            files.refuse_to_replace(inputs)
        accuracy = None
        if args.evaluate:
            accuracy = self._accuracy_of(asked.source, args.data_folder)
        report = asked.run(
            accuracy,
            compare=args.compare,
            frontier=args.frontier,
            out=out,
            resume=args.resume,
        )
        _plot(report, args)
        return Balanced(report, files)

    def print(self, outcome: Balanced, args: argparse.Namespace) -> None:
        """Print the tables, or the report as JSON."""
        report = outcome.report
        if args.json:
            print(to_json(report.to_dict(outcome.files), indent=1))
        else:
            _print_tables(outcome, args)
        if report.solution.cancelled:
            raise CancelledError(
                "cancelled: the masks are valid and written, but slice-greedy chose "
                "what was left"
            )


def _plot(report: BalanceReport, args: argparse.Namespace) -> None:
    """Draw what was asked for."""
    if args.plot is None:
        return
    from hwmodel.figures.frontier_figure import plot_frontier
    from hwmodel.figures.load_figure import plot_loads

    (plot_loads if args.frontier is None else plot_frontier)(report, args.plot)


def _default_folder(source: Path, settings: dict[str, Any]) -> Path:
    """Name a folder after the ticket and the settings."""
    text = json.dumps([source.name, settings])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Path("runs") / f"balance-{source.stem}-{digest}"


def _print_tables(outcome: Balanced, args: argparse.Namespace) -> None:
    from hwmodel.commands.balance_tables import (
        baseline_table,
        frontier_table,
        network_table,
    )

    report, request = outcome.report, outcome.report.request
    document = report.to_dict()
    budgets = "each layer its own budget" if args.scope == "layer" else "one budget"
    if args.budgets is not None:
        budgets = f"budgets of layers by {args.budgets}"
    remark(f"{report.source}: {request.pe_map} map, {request.pes} PEs, {budgets}")
    remark(f"ranked by {report.ranked_by}")
    show(network_table(document))
    if args.compare:
        say("\nbeside other methods")
        show(baseline_table(document))
    if report.frontier is not None:
        say("\nmagnitude that can be kept in so many cycles")
        show(frontier_table(document))
    if report.hardware is not None:
        use = report.hardware
        say(
            f"On {use.accelerator} ({use.basis}): cycles {report.cycles_before:,.0f} → "
            f"{report.cycles:,.0f}, energy {report.energy_before:,.0f} → "
            f"{report.energy:,.0f} {use.energy_unit}."
        )
    if report.hardware_note:
        remark(f"Cycles and energy: {report.hardware_note}.")
    for note in report.notes:
        remark(note)
    if report.retrainable:
        ticket = "" if args.ticket is None else f" --ticket {args.ticket}"
        remark(
            f"train them: {called()} retrain {outcome.files.masks}{ticket}",
            whole=True,
        )
    say(f"masks: {outcome.files.masks}")
    say(f"report: {outcome.files.report}")
    if args.plot is not None:
        say(f"figure: {args.plot}")
