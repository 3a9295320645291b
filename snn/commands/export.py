"""The command `export`: weights and masks in the formats of others."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from balancer.valid_json import to_json
from hwmodel.commands.completers import map_texts, offer
from hwmodel.commands.console import remark, say, show
from hwmodel.commands.contract import Command
from hwmodel.commands.text_tables import TextTable
from hwmodel.commands.ticket_options import (
    add_spike_options,
    add_ticket_options,
    said_of_the_file,
)
from snn.commands.export_formats import FORMATS, Exported, refuse_other_options

EXAMPLES = """\
examples:
  %(prog)s streams
      per-PE streams of the ticket that comes with the package, as .mem files
  %(prog)s streams net.safetensors --masks runs/x/masks.safetensors --bits 8
      8-bit streams of balanced masks, in the order and for the PEs they were made for
  %(prog)s nir runs/lottery-x/round-12.safetensors --out for-norse
      a lottery ticket for simulators that read NIR
  %(prog)s torch net.safetensors --masks masks.safetensors --permute --prune-keys
      a checkpoint whose channels stand in the order of the PEs
  %(prog)s sanafe --map interleaved --spikes spikes.npz --run
      each PE a core of SANA-FE, which counts the cycles
"""
OF_THE_NAME = (  # options that name the output folder, since the result depends on them
    *("masks", "map", "pes", "layers", "skip", "fold", "bits", "index", "prune_keys"),
    *("permute", "spikes", "spike_rate", "timesteps", "spiking_input"),
)
COLUMNS = {
    "name": "layer",
    "shape": "shape",
    "nonzeros": "non-zeros",
    "map": "map",
    "pes": "PEs",
    "groups": "groups",
    "longest": "longest stream",
    "slowest": "sum of longest",
    "bits": "bits",
    "problem": "problem",
    "timesteps": "time steps",
    "cycles": "cycles",
    "sanafe": "SANA-FE",
}
LEFT = ("layer", "shape", "map", "problem")


class WrittenExport(NamedTuple):
    """What was exported, and where it is."""

    exported: Exported
    out: Path


class Export(Command[WrittenExport]):
    """Write a ticket in a format of others."""

    name = "export"
    help = "weights and masks for RTL, torch, NIR, SANA-FE, Sparseloop or SciPy"
    description = (
        "Write the weights of a ticket, with its own masks or those of the command "
        "balance, in a format of others: "
        + "; ".join(f"{name} ({one.help})" for name, one in FORMATS.items())
        + ". Every folder has a description, export.json."
    )
    examples = EXAMPLES

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `export`."""
        _add_options(parser)

    def run(self, args: argparse.Namespace) -> WrittenExport:
        """Write the export."""
        refuse_other_options(args)
        out = args.out or _default_folder(args)
        return WrittenExport(FORMATS[args.format].write(args, out), out)

    def print(self, outcome: WrittenExport, args: argparse.Namespace) -> None:
        """Print a table and notes, or one JSON document."""
        layers, notes = outcome.exported
        if args.json:
            known = {"format": args.format, "layers": layers, "notes": notes}
            print(to_json({**known, "out": str(outcome.out)}, indent=1))
            return
        shown = [key for key in COLUMNS if any(key in layer for layer in layers)]
        rows = [tuple(_text(layer.get(key)) for key in shown) for layer in layers]
        show(TextTable(tuple(COLUMNS[key] for key in shown), rows, LEFT))
        for note in notes:
            remark(note)
        say(f"export: {outcome.out}")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(str, value))
    if isinstance(value, (int, float)):
        return f"{value:,.0f}"
    return "" if value is None else str(value)


def _default_folder(args: argparse.Namespace) -> Path:
    """Name a folder after the format, the ticket and the settings."""
    source = "digits-conv3" if args.ticket is None else args.ticket.stem
    settings = {name: str(getattr(args, name)) for name in OF_THE_NAME}
    text = json.dumps([source, settings, said_of_the_file(args)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Path("runs") / f"export-{args.format}-{source}-{digest}"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=tuple(FORMATS), metavar="FORMAT")
    parser.add_argument(
        "ticket",
        nargs="?",
        type=Path,
        metavar="TICKET",
        help="weights: .safetensors, .npz, a checkpoint in shards, or a torch state "
        "dict; for torch and nir a ticket of the command lottery (default: the ticket "
        "that comes with the package)",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="MASKS",
        help="masks and orders of the command balance (default: the ticket's own)",
    )
    array = parser.add_argument_group("streams, scipy and sanafe")
    which = array.add_argument(
        "--map",
        metavar="MAP|YAML",
        help="which PE holds which weight, as in balance (default: what the masks are "
        "for, or output_channel)",
    )
    offer(which, map_texts)
    array.add_argument(
        "--pes", type=int, metavar="P", help="PEs (default: those of the masks, or 16)"
    )
    array.add_argument(
        "--layers", metavar="GLOB", help="export only layers with such a name"
    )
    array.add_argument("--skip", metavar="GLOB", help="leave out layers of such names")
    array.add_argument(
        "--fold",
        action="store_true",
        help="fold batch normalization into weights and biases (needs torch, and a "
        "ticket of the command lottery)",
    )
    streams = parser.add_argument_group("streams")
    streams.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="integers of N bits with a scale for each layer (default: float32)",
    )
    streams.add_argument(
        "--index",
        choices=("positions", "runs", "bitmap"),
        help="how a stream says which weights it holds (default: positions)",
    )
    torch = parser.add_argument_group("torch")
    torch.add_argument(
        "--prune-keys",
        action="store_true",
        help="NAME.weight_orig and NAME.weight_mask, as torch.nn.utils.prune has them",
    )
    torch.add_argument(
        "--permute",
        action="store_true",
        help="put the channels in the order in which the PEs take them",
    )
    sanafe = parser.add_argument_group("sanafe")
    sanafe.add_argument(
        "--run",
        action="store_true",
        help="run SANA-FE, and show its cycles beside ours",
    )
    add_spike_options(sanafe, "left out, being analog")
    add_ticket_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write; for streams also a name that ends in .npz (default: a "
        "folder in runs named after the format and the settings)",
    )
    output.add_argument("--json", action="store_true", help="print one JSON document")
