"""What runs inside the simulator: cocotb writes to the ports of the array, and waits.

Streams are read from the ``.mem`` files of the export, and go to the array word by word
as they are. `rtl.simulator` starts it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cocotb
from cocotb.triggers import RisingEdge, with_timeout

from balancer.export.mem_words import read_words

COUNTERS = {
    "cycles": "compute_cycles",
    "busy": "busy_cycles",
    "gated": "gated_cycles",
    "idle": "idle_cycles",
    "fill": "fill_cycles",
    "stall": "stall_cycles",
    "drain": "drain_cycles",
}


class LoadWord(NamedTuple):
    """One word of a tile; kinds as in ``pe_array.sv``."""

    kind: int
    pe: int = 0
    word: int = 0
    bias: int = 0


BIAS, WORD, END = range(3)
PERIOD_NS = 10


def tile_words(folder: Path, biases: list[list[int]]) -> Iterator[LoadWord]:
    """List the words of a layer's tiles, in the order in which they are loaded."""
    streams = sorted(folder.glob("pe*.pointers.mem"))
    pes = len(streams)
    words = [read_words(folder / f"pe{pe}.mem") for pe in range(pes)]
    pointers = [read_words(folder / f"pe{pe}.pointers.mem") for pe in range(pes)]
    for tile, of_pes in enumerate(biases):
        for pe, bias in enumerate(of_pes):
            yield LoadWord(BIAS, pe, bias=bias)
        for pe in range(pes):
            for word in words[pe][pointers[pe][tile] : pointers[pe][tile + 1]]:
                yield LoadWord(WORD, pe, word=word)
        yield LoadWord(END)


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Run every job of the folder."""
    folder = Path(os.environ["RTL_JOBS"])
    for number in range(len(list(folder.glob("job*/job.json")))):
        dut.job.value = number
        await run_job(dut, folder / f"job{number}")


async def run_job(dut: Any, folder: Path) -> None:
    """Run one job, and write what came out."""
    about = json.loads((folder / "job.json").read_text())
    dut.reset.value = 1
    dut.load_valid.value = 0
    dut.line_write.value = 0
    for name, value in about["registers"].items():
        getattr(dut, name).value = value
    await RisingEdge(dut.clock)
    await write_inputs(dut, read_words(folder / "inputs.mem"))
    dut.reset.value = 0
    words = list(tile_words(folder / "streams" / "layer", about["biases"]))
    await with_timeout(run_tiles(dut, words), about["most_cycles"] * PERIOD_NS, "ns")
    counters = {name: int(getattr(dut, port).value) for name, port in COUNTERS.items()}
    (folder / "counters.json").write_text(json.dumps(counters))


async def run_tiles(dut: Any, words: list[LoadWord]) -> None:
    """Load tiles while the array is ready for them, until the last one has fired."""
    await load(dut, words)
    if not dut.written.value:
        await RisingEdge(dut.written)


async def write_inputs(dut: Any, lines: list[int]) -> None:
    """Write the inputs of a layer, a line in a cycle."""
    dut.line_write.value = 1
    for number, line in enumerate(lines):
        dut.line_number.value = number
        dut.line.value = line
        await RisingEdge(dut.clock)
    dut.line_write.value = 0


async def load(dut: Any, words: list[LoadWord]) -> None:
    """Load tiles, a word in a cycle while the array is ready for it."""
    dut.load_valid.value = 1
    for word in words:
        dut.load_kind.value = word.kind
        dut.load_pe.value = word.pe
        dut.load_word.value = word.word
        dut.load_bias.value = word.bias & ((1 << len(dut.load_bias)) - 1)
        await RisingEdge(dut.clock)
        if not dut.load_ready.value:
            await RisingEdge(dut.load_ready)
            await RisingEdge(dut.clock)
    dut.load_valid.value = 0
