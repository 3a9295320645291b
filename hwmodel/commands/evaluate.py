"""The command `evaluate`: cycles and energy of masks and spikes."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from balancer.valid_json import to_json
from hwmodel.commands.asides import tell
from hwmodel.commands.completers import accelerator_names, offer
from hwmodel.commands.console import remark, say, show
from hwmodel.commands.contract import Command, UsageError
from hwmodel.commands.plot_option import add_plot, check_plot
from hwmodel.commands.ticket_options import (
    add_spike_options,
    add_ticket_options,
    open_as_asked,
)
from hwmodel.defaults import DEFAULT_ACCELERATOR

if TYPE_CHECKING:
    from balancer import Ticket
    from hwmodel import Report, ReportComparison
    from hwmodel.ticket_workloads import NetworkWorkloads

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  %(prog)s --accelerator sata
      what the shipped ticket costs on SATA
  %(prog)s before.safetensors --compare runs/x/masks.safetensors --spike-rate 0.15
      two masks of one network, for inputs that spike in 15 %% of the time steps
  %(prog)s net.npz --spikes spikes.npz --accelerator loas --accelerator my.yaml --csv
      recorded spikes on two accelerators, as CSV
"""


class Evaluated(NamedTuple):
    """One report or several side by side, and what they assume."""

    result: Report | ReportComparison
    notes: list[str]


class Evaluate(Command[Evaluated]):
    """Evaluate a ticket on accelerators."""

    name = "evaluate"
    help = "cycles and energy of masks and spikes on an accelerator"
    description = (
        "Calculate what the masks of a ticket cost on a described array of PEs: "
        "cycles of the slowest PE, waiting, energy. Input sizes come from the "
        "ticket's list of layers, or its architecture and input_shape, where it has "
        "them, else from --input-shape and --geometry. Without spikes or rates every "
        "input counts as a spike."
    )
    examples = EXAMPLES

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `evaluate`."""
        _add_options(parser)

    def run(self, args: argparse.Namespace) -> Evaluated:
        """Evaluate every ticket on every accelerator."""
        from balancer import shipped_ticket
        from balancer.errors import naming
        from hwmodel import Accelerator, ReportComparison, evaluate, load_spikes
        from hwmodel.effective import count_effective

        names = args.accelerator or [DEFAULT_ACCELERATOR]
        if args.compare is not None and len(names) > 1:
            raise UsageError(
                "--compare takes one --accelerator; several are compared alone"
            )
        check_plot(args)
        described = [Accelerator.load(name) for name in names]
        spikes = load_spikes(args.spikes) if args.spikes else None
        reports, labels, notes = [], [], []
        for path in [args.ticket or shipped_ticket(), *filter(None, [args.compare])]:
            with naming(path):
                ticket = open_as_asked(path, args)
                network = _workloads(ticket, args, spikes)
                effective = count_effective(ticket)(None)
                logger.info("%s: %s layers", path, len(network.workloads))
                for accelerator in described:
                    report = evaluate(network.workloads, accelerator, effective)
                    reports.append(report)
                    logger.info("on %s: %s", accelerator.name, ", ".join(report.basis))
                    labels.append(path.name if args.compare else accelerator.name)
            if network.assumption:
                notes.append(f"{path.name}: {network.assumption}.")
            notes += [f"{path.name}: {note}" for note in ticket.notes]
        result: Report | ReportComparison = reports[0]
        if len(reports) > 1:
            result = ReportComparison(tuple(labels), tuple(reports))
        if args.plot is not None:
            from hwmodel.figures.use_figure import plot_use

            plot_use(result, args.plot)
        return Evaluated(result, notes)

    def print(self, outcome: Evaluated, args: argparse.Namespace) -> None:
        """Print tables and notes, one JSON document, or CSV."""
        from hwmodel import Report
        from hwmodel.commands.report_tables import (
            comparison_table,
            report_notes,
            report_table,
        )

        result, notes = outcome
        if args.json:
            document = result.to_dict() | {"notes": notes}
            print(to_json(document, indent=2))
        elif args.csv:
            print(result.to_csv(), end="")
            for note in notes:  # rows have no place for them
                tell(note)
        else:
            if isinstance(result, Report):
                show(report_table(result))
                for line in report_notes(result):
                    say(line)
            else:
                show(comparison_table(result))
            for note in notes:
                remark(note)
            if args.plot is not None:
                say(f"figure: {args.plot}")


def _workloads(
    ticket: Ticket, args: argparse.Namespace, spikes: dict[str, Any] | None
) -> NetworkWorkloads:
    """Make the workloads that the options ask for, in the ticket's own order."""
    from hwmodel import network_workloads

    return network_workloads(
        {layer.name: layer.read_mask() for layer in ticket.layers},
        ticket.about,
        schedules={layer.name: layer.read_schedules() for layer in ticket.layers},
        timesteps=args.timesteps,
        spikes=spikes,
        spike_rate=args.spike_rate,
        direct_coded=not args.spiking_input,
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ticket",
        nargs="?",
        type=Path,
        metavar="TICKET",
        help="weights or masks: .safetensors, .npz, the .safetensors.index.json of a "
        "checkpoint in shards, or a torch state dict (.pt, .pth); default: the ticket "
        "that comes with the package",
    )
    preset = parser.add_argument(
        "--accelerator",
        action="append",
        metavar="NAME|YAML",
        help="a preset (see the command accelerators) or a description of your own; "
        f"several are compared (default: {DEFAULT_ACCELERATOR})",
    )
    offer(preset, accelerator_names)
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OTHER",
        help="masks of the same network to put beside those of TICKET",
    )
    add_ticket_options(parser)
    spikes = parser.add_argument_group("input of the layers")
    add_spike_options(spikes, "analog input, as MACs")
    output = parser.add_argument_group("output")
    add_plot(output, "where time and energy of each layer, or of each mask, go")
    written = output.add_mutually_exclusive_group()
    written.add_argument("--json", action="store_true", help="print one JSON document")
    written.add_argument("--csv", action="store_true", help="print one row a layer")
