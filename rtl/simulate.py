"""Run layers of a ticket on the array, and print its cycles beside the model's.

``python -m rtl.simulate [TICKET] [--layer NAME]``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balancer import shipped_ticket
from balancer.array_types import IntArray
from balancer.errors import BalancerError
from hwmodel import load_spikes
from hwmodel.commands.console import say, show, whole
from hwmodel.commands.text_tables import TextTable
from rtl.array_job import BARRIERS, ArrayJob
from rtl.comparison import Comparison, compare, judged
from rtl.errors import RtlError
from rtl.network import NetworkRun, reference_engine, run_network
from rtl.simulator import UNLIMITED, ArrayRun, simulate
from rtl.ticket_layers import jobs_of_ticket

EXAMPLES = """\
examples:
  %(prog)s --layer features.3
      a layer of the shipped ticket; spikes are drawn by its rates
  %(prog)s --images 20 --masks runs/x/masks.safetensors
      the whole network on 20 test images, with balanced masks; needs torch
  %(prog)s net.safetensors --spikes spikes.npz --skip dual --barrier pixel
      recorded spikes on PEs that skip them
"""
COUNTS = ("cycles", "busy", "gated", "idle", "fill", "stall", "drain", "total")


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m rtl.simulate",
        description="Run layers of a ticket on the array of rtl/src in Icarus Verilog, "
        "and print its cycles beside those of the hardware model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("ticket", type=Path, nargs="?", help="default: the shipped one")
    made.add_argument(
        "--masks", type=Path, metavar="FILE", help="masks and orders of `balance`"
    )
    made.add_argument(
        "--layer", action="append", metavar="NAME", help="may be given again"
    )
    made.add_argument("--pes", type=int, default=16, metavar="P", help="default: 16")
    made.add_argument("--barrier", choices=BARRIERS, default="tile")
    made.add_argument("--skip", choices=("weight", "dual"), default="weight")
    made.add_argument(
        "--lookahead",
        type=int,
        default=UNLIMITED,
        metavar="N",
        help="with --skip dual: candidates that a PE examines in a cycle (default: all "
        "up to the next barrier, as the model has it)",
    )
    inputs = made.add_mutually_exclusive_group()
    inputs.add_argument(
        "--spikes", type=Path, metavar="FILE", help="recorded spikes of the layers"
    )
    inputs.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="run the network of a lottery ticket on its first test images (torch)",
    )
    made.add_argument("--json", action="store_true", help="one JSON document")
    return made


def rows_of(comparisons: Mapping[str, Sequence[Comparison]]) -> list[dict[str, Any]]:
    """Add up the samples of each layer."""
    return [
        {
            "layer": name,
            "samples": len(each),
            **{one: sum(getattr(c.outcome, one) for c in each) for one in COUNTS},
            "model_cycles": sum(c.model.compute for c in each),
            "same_counts": all(c.same_cycles for c in each),
            "wrong_bits": sum(c.wrong for c in each),
        }
        for name, each in comparisons.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    try:
        document = _document(args)
    except (BalancerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    limited = args.skip == "dual" and args.lookahead < UNLIMITED
    good = all(
        row["wrong_bits"] == 0 and (limited or row["same_counts"])
        for row in document["layers"]
    )
    return 0 if good else 1


def _document(args: argparse.Namespace) -> dict[str, Any]:
    for name in ("pes", "lookahead", "images"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise RtlError(f"--{name} is {value}; a whole number from 1 is needed")
    ticket = args.ticket or shipped_ticket()
    document: dict[str, Any] = {
        "array": {"pes": args.pes, "barrier": args.barrier, "skip": args.skip},
        "notes": [],
    }
    if args.images is not None:
        comparisons, document["network"] = _network(ticket, args)
    else:
        spikes = None if args.spikes is None else load_spikes(args.spikes)
        jobs, document["notes"] = jobs_of_ticket(
            ticket,
            args.masks,
            pes=args.pes,
            barrier=args.barrier,
            names=args.layer,
            spikes=spikes,
        )
        comparisons = _compared(jobs, args)
    return document | {"layers": rows_of(comparisons)}


def _compared(
    jobs: Mapping[str, Sequence[ArrayJob]], args: argparse.Namespace
) -> dict[str, list[Comparison]]:
    """Compare the layers that are asked for."""
    for name in args.layer or ():
        if name not in jobs:
            raise RtlError(f"no layer {name!r}; accepted: {', '.join(jobs)}")
    return {
        name: compare(jobs[name], args.skip, lookahead=args.lookahead)
        for name in args.layer or jobs
    }


def _network(
    ticket: Path, args: argparse.Namespace
) -> tuple[dict[str, list[Comparison]], dict[str, Any]]:
    """Run test images: some layers on the array, or all of them one after another."""
    try:
        from rtl.ticket_network import LabelledImages, network_of_ticket
    except ImportError as error:
        raise RtlError(
            f"--images needs torch ({error}); python -m pip install -e '.[snn]'"
        ) from error
    images = LabelledImages.of(ticket, args.images)
    network = network_of_ticket(
        ticket, args.masks, pes=args.pes, input_scale=images.scale
    )
    software = run_network(network, images.codes, reference_engine, args.barrier)
    about = {"images": len(images.labels), "right": _equal(software, images.labels)}
    if args.layer:
        return _compared(software.jobs, args), about
    outcomes: dict[str, list[ArrayRun]] = {}

    def on_the_array(jobs: Sequence[ArrayJob]) -> list[ArrayRun]:
        done = simulate(jobs, skip=args.skip, lookahead=args.lookahead)
        outcomes[jobs[0].layer.name] = done
        return done

    hardware = run_network(network, images.codes, on_the_array, args.barrier)
    compared = {
        name: judged(hardware.jobs[name], done, args.skip)
        for name, done in outcomes.items()
    }
    same = int(np.equal(hardware.scores, software.scores).all(axis=1).sum())
    return compared, about | {"same_scores": same}


def _equal(run: NetworkRun, labels: IntArray) -> int:
    return int((run.classes == labels).sum())


def _print(document: dict[str, Any]) -> None:
    array = document["array"]
    say(f"{array['pes']} PEs, barrier {array['barrier']}, skip {array['skip']}")
    total: dict[str, Any] = {"layer": "total", "samples": None}
    rows = document["layers"]
    for name in (*COUNTS, "model_cycles", "wrong_bits"):
        total[name] = sum(row[name] for row in rows)
    total["same_counts"] = all(row["same_counts"] for row in rows)
    header = ("layer", "samples", "cycles", "model", *COUNTS[1:], "counts", "outputs")
    cells = [
        (
            row["layer"],
            whole(row["samples"]),
            whole(row["cycles"]),
            whole(row["model_cycles"]),
            *(whole(row[name]) for name in COUNTS[1:]),
            "equal" if row["same_counts"] else "differ",
            "equal" if not row["wrong_bits"] else f"{row['wrong_bits']} differ",
        )
        for row in [*rows, total]
    ]
    show(TextTable(header, cells, left=("layer", "counts", "outputs")))
    if "network" in document:
        network = document["network"]
        count = network["images"]
        if "same_scores" in network:
            say(
                f"{network['same_scores']} of {count} images get the scores of the "
                "quantized network in NumPy."
            )
        say(f"The quantized network classifies {network['right']} of {count} right.")
    for note in document["notes"]:
        say(note)


if __name__ == "__main__":
    sys.exit(main())
