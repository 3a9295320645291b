"""Running the array in Icarus Verilog: compile once, then one job after another.

A simulation takes about a second to begin, so that all jobs of one array go through a
single one. `rtl.bench` is what runs inside it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from balancer import write_streams
from balancer.array_types import IntArray
from balancer.export.mem_words import read_words, write_words
from rtl.array_job import LANES, ArrayJob
from rtl.errors import RtlError
from rtl.layer import FRACTION, POTENTIAL_BITS, SUM_BITS, VALUE_BITS
from rtl.reference import Spikes

Skip = Literal["weight", "dual"]

SOURCES = Path(__file__).parent / "src"
INDEX_BITS = 24
UNLIMITED = 1 << 30
"""Lookahead that ends with the interval."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayRun:
    """What the array did in one job.

    Attributes
    ----------
    cycles : int
        In which tiles are computed; what the hardware model calls compute cycles.
    busy, gated, idle : int
        PE cycles of those, added up over the PEs.
    fill, stall, drain : int
        Cycles besides: before the first tile, waiting for loading or firing, and firing
        the last tile.
    spikes : ndarray of uint8 [steps, output channels, pixels]
        In the natural order of the channels.
    sums : ndarray of int64 [steps, output channels, pixels]
        That the neurons received, without biases.
    """

    cycles: int
    busy: int
    gated: int
    idle: int
    fill: int
    stall: int
    drain: int
    spikes: Spikes
    sums: IntArray

    @property
    def total(self) -> int:
        """Cycles from the first word loaded to the last spike."""
        return self.fill + self.cycles + self.stall + self.drain


def missing_simulator() -> str | None:
    """Say what is not installed that simulations need; None if nothing."""
    if shutil.which("iverilog") is None:
        return "no iverilog; it is the Debian package iverilog"
    if find_spec("cocotb_tools") is None:
        return "no cocotb; python -m pip install -e '.[rtl]'"
    return None


def simulate(
    jobs: Sequence[ArrayJob],
    *,
    skip: Skip = "weight",
    lookahead: int = UNLIMITED,
    input_bits: int | None = None,
    sources: Path = SOURCES,
) -> list[ArrayRun]:
    """Run jobs on an array of as many PEs as their streams are for.

    Parameters
    ----------
    jobs : sequence of ArrayJob
        All for the same number of PEs.
    skip : str
        ``weight``, or ``dual``: candidates without a spike are passed over.
    lookahead : int
        For ``dual``: how many candidates a PE examines in a cycle. Default: as many as
        there are, which is what the hardware model counts.
    input_bits : int, optional
        Of an input. Default: 1 for spikes, 8 if a job's input is analog.
    sources : Path
        Folder of the RTL.

    Returns
    -------
    list of ArrayRun
        In the order of the jobs.

    Raises
    ------
    RtlError
        Jobs for different arrays, no simulator, or a simulation that did not end well.
    """
    if not jobs:
        return []
    if (reason := missing_simulator()) is not None:
        raise RtlError(reason)
    sizes = {job.layer.streams.pes for job in jobs}
    if len(sizes) > 1:
        raise RtlError(
            f"jobs for {sorted(sizes)} PEs; one array has one number of them"
        )
    if input_bits is None:
        input_bits = 8 if any(job.analog for job in jobs) else 1
    with TemporaryDirectory(prefix="rtl-") as name:
        folder = Path(name)
        for number, job in enumerate(jobs):
            _write(folder / f"job{number}", job, input_bits)
        parameters = _parameters(jobs, input_bits) | {
            "SKIP_SPIKES": int(skip == "dual"),
            "LOOKAHEAD": lookahead if skip == "dual" else 1,
        }
        _run(folder, sources, parameters, len(jobs))
        return [_read(folder / f"job{n}", job) for n, job in enumerate(jobs)]


def _parameters(jobs: Sequence[ArrayJob], input_bits: int) -> dict[str, int]:
    """Make the array as large as its largest job."""
    return {
        "P": jobs[0].layer.streams.pes,
        "VALUE_BITS": VALUE_BITS,
        "INDEX_BITS": INDEX_BITS,
        "INPUT_BITS": input_bits,
        "LANES": LANES,
        "LINES": _power(max(-(-job.frame * job.runs // LANES) for job in jobs)),
        "DEPTH": _power(max(int(job.layer.streams.lengths.max()) for job in jobs)),
        "ENTRIES": _power(max(job.entries for job in jobs)),
        "OUTPUTS": _power(max(job.outputs for job in jobs)),
        "SUM_BITS": SUM_BITS,
        "POTENTIAL_BITS": POTENTIAL_BITS,
        "FRACTION": FRACTION,
    }


def _power(size: int) -> int:
    """Smallest power of two from 2 that is not below a size."""
    return 1 << max(1, (size - 1).bit_length())


def _write(folder: Path, job: ArrayJob, input_bits: int) -> None:
    """Write a job: streams as `export` does, inputs line by line, and registers."""
    folder.mkdir()
    write_streams(folder / "streams", {"layer": job.layer.streams})
    bits = LANES * input_bits
    write_words(folder / "inputs.mem", job.lines(input_bits), bits, "padded inputs")
    about = {
        "registers": job.registers(),
        "biases": job.biases(),
        "most_cycles": job.most_cycles,
    }
    (folder / "job.json").write_text(json.dumps(about))


def _run(folder: Path, sources: Path, parameters: Mapping[str, int], jobs: int) -> None:
    from cocotb_tools.runner import get_runner

    log = folder / "log"
    runner = get_runner("icarus")
    try:
        runner.build(
            sources=sorted(sources.glob("*.sv")),
            hdl_toplevel="bench",
            parameters=dict(parameters),
            build_dir=folder / "build",
            build_args=["-g2012"],
            log_file=log,
        )
    except (RuntimeError, SystemExit) as error:
        raise RtlError(f"the RTL does not compile: {_end_of(log)}") from error
    try:
        runner.test(
            hdl_toplevel="bench",
            test_module="rtl.bench",
            build_dir=folder / "build",
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            extra_env={"RTL_JOBS": str(folder), "PYTHONPATH": _python_path()},
            log_file=log,
        )
    except (RuntimeError, SystemExit) as error:
        raise RtlError(f"the simulation failed: {error}; {_end_of(log)}") from error
    if not all((folder / f"job{n}" / "counters.json").exists() for n in range(jobs)):
        raise RtlError(f"the simulation did not end; {_end_of(log)}")


def _python_path() -> str:
    """Let the simulator's Python find this package, and what this one finds."""
    here = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])


def _end_of(log: Path) -> str:
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return " ".join(text[-600:].split())


def _read(folder: Path, job: ArrayJob) -> ArrayRun:
    """Read what the array sent out, and bring it into the natural order of channels."""
    counters: dict[str, int] = json.loads((folder / "counters.json").read_text())
    pes, outputs = job.layer.streams.pes, job.layer.shape.outputs
    shape = (job.tiles, job.layer.shape.pixels, job.steps, pes)

    def natural(sent: IntArray) -> IntArray:
        by_step = sent.reshape(shape).transpose(2, 0, 3, 1)
        scheduled = by_step.reshape(job.steps, -1, job.layer.shape.pixels)
        channels = np.empty_like(scheduled[:, :outputs])
        channels[:, job.layer.order] = scheduled[:, :outputs]
        return channels

    spikes = _unpacked(read_words(folder / "spikes.mem"), pes, 1)
    sums = _unpacked(read_words(folder / "sums.mem"), pes, SUM_BITS)
    sign = 1 << (SUM_BITS - 1)
    return ArrayRun(
        **counters,
        spikes=natural(spikes).astype(np.uint8),
        sums=natural((sums ^ sign) - sign),
    )


def _unpacked(words: Sequence[int], pes: int, bits: int) -> IntArray:
    """Take words apart into the numbers of the PEs, the first of them lowest."""
    mask = (1 << bits) - 1
    numbers = [[word >> pe * bits & mask for pe in range(pes)] for word in words]
    return np.array(numbers, np.int64)
