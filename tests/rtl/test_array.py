"""The array in Icarus Verilog against the hardware model and the reference."""

import re
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rtl_cases import ARRAYS, random_job, random_jobs

import hwmodel.barriers
from hwmodel import LayerWorkload
from rtl.array_job import ArrayJob
from rtl.comparison import compare
from rtl.errors import RtlError
from rtl.layer import quantize_layer
from rtl.model import model_cycles
from rtl.simulator import SOURCES, missing_simulator, simulate

needs_simulator = pytest.mark.skipif(
    missing_simulator() is not None, reason=str(missing_simulator())
)


@needs_simulator
@pytest.mark.parametrize(("pes", "skip"), ARRAYS)
def test_cycles_and_spikes_of_random_layers(pes, skip):
    """Cycles, busy, gated and idle are the model's, sums and spikes the reference's."""
    jobs = random_jobs(40, pes)
    different = [one for one in compare(jobs, skip) if not one.agrees]
    assert [(one.job.layer.name, one.outcome, one.model) for one in different] == []
    assert {job.barrier for job in jobs} == {"pixel", "timestep", "tile"}


@needs_simulator
def test_cycles_besides_those_of_the_model():
    """A stage lasts as long as the slowest of computing, loading, and firing."""
    jobs = random_jobs(12, pes=4, seed=1)
    for job, outcome in zip(jobs, simulate(jobs, skip="dual"), strict=True):
        loads = [0] * (job.tiles + 1)
        lengths = job.layer.streams.lengths.sum(axis=1)
        for tile, biases in enumerate(job.biases()):
            loads[tile] = len(biases) + int(lengths[tile]) + 1
        fires = job.layer.shape.pixels * job.steps
        computed = [of_tile(job, tile) for tile in range(job.tiles)]
        stalls = [
            max(0, max(loads[tile + 1], fires if tile else 0) - cycles)
            for tile, cycles in enumerate(computed)
        ]
        assert (outcome.cycles, outcome.stall) == (sum(computed), sum(stalls))
        assert (outcome.fill, outcome.drain) == (loads[0], fires)


def of_tile(job, tile):
    """Cycles of one tile, by itself."""
    pes, shape = job.layer.streams.pes, job.layer.shape
    channels = job.layer.order[tile * pes : (tile + 1) * pes]
    mask = shape.mask[channels]
    alone = replace(shape, mask=mask)
    layer = quantize_layer(alone, mask.astype(float), pes)
    return model_cycles(replace(job, layer=layer), "dual").compute


@needs_simulator
def test_a_window_of_candidates_costs_cycles():
    """The wider the window of a PE that skips spikes, the nearer it is to the model."""
    rng = np.random.default_rng(0)
    mask = rng.random((8, 4, 3, 3)) < 0.3
    shape = LayerWorkload("conv", mask, (4, 6, 6), padding=1, timesteps=3)
    layer = quantize_layer(shape, rng.normal(size=mask.shape) * mask, pes=4)
    job = ArrayJob(
        layer, (rng.random((3, 4, 6, 6)) < 0.1).astype(np.uint8), "timestep", 3
    )
    cycles = []
    for window in (2, 8):
        (one,) = compare([job], "dual", lookahead=window)
        assert one.wrong == 0
        cycles.append(one.outcome.cycles)
    assert cycles[0] > cycles[1] > one.model.compute


# ----------------------------------------------------------------------- planted errors

IN_THE_RTL = {
    "the barrier passes one interval too few": (
        "barrier.sv",
        "last = passed + 1'b1 == intervals",
        "last = passed + 2'd2 == intervals",
    ),
    "the barrier opens while the first PE still works": (
        "barrier.sv",
        "all_wait = &waiting",
        "all_wait = &(waiting | P'(1))",
    ),
    "the interval of a time step ends with a row": (
        "pe.sv",
        "ended = barrier == PIXEL;\n",
        "ended = barrier == PIXEL || (barrier != TILE && column + 1'b1 == columns);\n",
    ),
    "the last word of a stream is not read": (
        "pe.sv",
        "{1'b0, word} + 1'b1 != words_of_stream",
        "{1'b0, word} + 2'd2 < words_of_stream",
    ),
    "a spike at the threshold is missed": (
        "neuron.sv",
        "charged >= threshold",
        "charged > threshold",
    ),
}


@needs_simulator
@pytest.mark.parametrize("error", IN_THE_RTL)
def test_an_error_in_the_rtl_is_noticed(error, tmp_path):
    """A planted off-by-one changes counts or spikes, or the array never ends."""
    name, right, wrong = IN_THE_RTL[error]
    sources = tmp_path / "src"
    shutil.copytree(SOURCES, sources)
    text = (sources / name).read_text()
    assert text.count(right) == 1
    (sources / name).write_text(text.replace(right, wrong))
    jobs = random_jobs(12, pes=3, seed=2)
    jobs.append(at_the_threshold())
    try:
        noticed = not all(
            one.agrees for one in compare(jobs, "weight", sources=sources)
        )
    except RtlError as why:
        noticed = "does not compile" not in str(why)
    assert noticed


def at_the_threshold():
    """A layer of one weight whose spike just reaches the threshold: 3 / 4 of 4 / 3."""
    layer = quantize_layer(LayerWorkload("one", np.ones((1, 1), bool)), [[1.0]], 3)
    charge = int(layer.codes.item()) * 64
    layer = replace(layer, threshold=3 * charge // 4)
    return ArrayJob(layer, np.ones((1, 1), np.uint8), "tile", 1)


IN_THE_MODEL = {
    "a barrier too few": (
        "return barriers * array",
        "return (barriers - 1) * array",
    ),
    "a pixel too few": (
        "return -(-workload.pixels // ",
        "return -((1 - workload.pixels) // ",
    ),
}


@needs_simulator
@pytest.mark.parametrize("error", IN_THE_MODEL)
def test_an_error_in_the_model_is_noticed(error, monkeypatch):
    """A planted off-by-one in the model's barriers contradicts the array."""
    right, wrong = IN_THE_MODEL[error]
    text = Path(hwmodel.barriers.__file__).read_text()
    assert text.count(right) == 1
    mutant = types.ModuleType("mutant")
    # Dataclasses look up the module that they are of.
    monkeypatch.setitem(sys.modules, "mutant", mutant)
    exec(text.replace(right, wrong), mutant.__dict__)
    for name in ("cycles_without_skipping", "cycles_with_skipping"):
        monkeypatch.setattr(f"hwmodel.compute.{name}", getattr(mutant, name))
    assert not all(one.agrees for one in compare(random_jobs(8, 3), "weight"))


# ---------------------------------------------------------------------------- refusals


def test_what_the_array_does_not_run_is_refused():
    """Depthwise layers, orders of inputs, and barriers of the layer are refused."""
    mask = np.ones((4, 1, 3, 3), bool)
    depthwise = LayerWorkload("dw", mask, (4, 5, 5), groups=4)
    with pytest.raises(RtlError, match="4 groups of channels"):
        quantize_layer(depthwise, mask, pes=2)
    job = random_job(np.random.default_rng(0), pes=2)
    with pytest.raises(RtlError, match="pixel, timestep, tile"):
        replace(job, barrier="layer")
    with pytest.raises(RtlError, match="time steps"):
        replace(job, inputs=np.concatenate([job.inputs] * 2))
    weak = np.full((1, 1), 1e-9)
    with pytest.raises(RtlError, match="too small"):
        quantize_layer(LayerWorkload("weak", weak != 0), weak, pes=1)


@needs_simulator
def test_jobs_of_one_simulation_are_for_one_array():
    """Streams for different numbers of PEs are refused."""
    rng = np.random.default_rng(0)
    with pytest.raises(RtlError, match=r"jobs for \[1, 2\] PEs"):
        simulate([random_job(rng, 1), random_job(rng, 2)])


# -------------------------------------------------------------------------------- style


def designs():
    return [str(path) for path in sorted(SOURCES.glob("*.sv")) if path.stem != "bench"]


@needs_simulator
def test_icarus_has_nothing_to_say_about_the_rtl(tmp_path):
    """It compiles for both kinds of PEs without a warning."""
    for values in ("SKIP_SPIKES=0", "LOOKAHEAD=4"):
        out = ["-o", str(tmp_path / "array"), "-s", "pe_array", f"-Ppe_array.{values}"]
        done = subprocess.run(
            ["iverilog", "-g2012", "-Wall", *out, *designs()],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("verilator") is None, reason="no verilator")
@pytest.mark.parametrize("values", ["-GP=3", "-GSKIP_SPIKES=1'b1", "-GINPUT_BITS=8"])
def test_verilator_has_nothing_to_say_about_the_rtl(values):
    """Its lint, with all warnings, is clean."""
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "--top-module", "pe_array", values]
        + [path for path in designs() if "order_table" not in path],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_has_one_module_of_its_name():
    """Modules are found by the names of files, and begin with what they are."""
    for path in SOURCES.glob("*.sv"):
        text = path.read_text()
        assert re.findall(r"^module (\w+)", text, re.M) == [path.stem]
        assert text.startswith("// ")
