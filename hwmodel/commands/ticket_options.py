"""The options of files of weights and of what their layers see, and reading them so."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.commands.contract import usage_errors

if TYPE_CHECKING:
    from balancer import Ticket


def add_ticket_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of files that do not say everything about their network."""
    ticket = parser.add_argument_group("what the file does not say")
    ticket.add_argument(
        "--axes",
        action="append",
        metavar="[GLOB=]AXES",
        help="order of the axes of weights, a letter each: o outputs, i inputs, and w, "
        "hw or dhw of the kernel. Transposed convolutions of torch (iohw) need it "
        "unless their bias tells, kernels of Keras and Flax (hwio, io) unless they are "
        "named kernel. May be given again, for other layers or numbers of axes "
        "(default: outputs first)",
    )
    ticket.add_argument(
        "--input-shape",
        metavar="C,H,W",
        help="what the first layer sees, for the cycles of convolutions: channels, "
        "height and width, channels and length, or features; the layers are taken for "
        "a chain",
    )
    ticket.add_argument(
        "--geometry",
        type=Path,
        metavar="YAML",
        help="strides, paddings, poolings and input sizes of layers (see "
        "docs/hardware-model.md)",
    )


def add_spike_options(group: argparse._ActionsContainer, analog: str) -> None:
    """Add what is known of the spikes that layers see.

    Parameters
    ----------
    group : group of arguments
        Where the options go.
    analog : str
        What becomes of the first layer, which sees no spikes.
    """
    known = group.add_mutually_exclusive_group()
    known.add_argument(
        "--spikes",
        type=Path,
        metavar="FILE",
        help="recorded spikes of the layers' inputs: .npz, bit-packed or with an array "
        "[timesteps, batch, ...] of zeros and ones for each layer",
    )
    known.add_argument(
        "--spike-rate",
        type=float,
        metavar="R",
        help="probability of a spike at each input and time step; results are bounds "
        "or expectations (default: the ticket's spike_rates, if any)",
    )
    group.add_argument(
        "--timesteps", type=int, metavar="T", help="default: those of spikes or ticket"
    )
    group.add_argument(
        "--spiking-input",
        action="store_true",
        help=f"the first layer, too, gets spikes (default: {analog})",
    )


def open_as_asked(path: Path, args: argparse.Namespace) -> Ticket:
    """Open a ticket with the options of its command.

    Raises
    ------
    UsageError
        Options that cannot be read.
    BalancerError
        A file that cannot be read, or that the options do not fit.
    """
    from hwmodel.told_tickets import open_told, read_sizes

    shape = None
    if args.input_shape is not None:
        with usage_errors():
            shape = read_sizes(args.input_shape, "--input-shape")
    return open_told(path, args.axes or (), shape, args.geometry)


def said_of_the_file(args: argparse.Namespace) -> dict[str, str]:
    """List the options that are given, as settings that a result depends on."""
    names = ("axes", "input_shape", "geometry")
    given = {name: getattr(args, name) for name in names}
    return {name: str(value) for name, value in given.items() if value is not None}
