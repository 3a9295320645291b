"""Hostile files end in one line: a few of each kind here, a million by `tests.fuzz`."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import ChunkJournal, chunks, run_chunk
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import ROOT, seed_of, time_limit

FEW = 12  # of each reader; the command reads as many as asked


def usable(target):
    """Whether all that a reader needs is installed."""
    return all(importlib.util.find_spec(one) for one in TARGETS[target].needs)


@pytest.mark.parametrize("target", TARGETS)
def test_a_hostile_input_ends_in_one_line(target):
    """Every reader takes an input or refuses it by name, and does nothing else."""
    if not usable(target):
        pytest.skip(f"needs {TARGETS[target].needs}")

    @settings(
        max_examples=FEW,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[*HealthCheck],
    )
    @given(rng=st.randoms(use_true_random=False))
    def reads(rng):
        with tempfile.TemporaryDirectory() as folder, time_limit(30):
            TARGETS[target].check(rng, Path(folder))

    reads()


# Of each kind of file that was hostile to an earlier version, where it is drawn again,
# and what such a file has in it.
KINDS = {
    "markup in a name": ("safetensors", rb"\[/x\]"),
    "markup that is eaten": ("safetensors", rb"\[red\]x"),
    "escape codes in a name": ("safetensors", rb"\\u001b\[31m"),
    "a name of 70,000 characters": ("safetensors", rb"x{70000}"),
    "fp8 weights": ("safetensors", rb"F8_E4M3"),
    "an empty layer of 2^40 channels": ("safetensors", rb"\[1099511627776, 0\]"),
    "a mask of one dimension": ("safetensors", rb'\.mask": {[^}]*"shape": \[\d+\]'),
    "scores of one dimension": ("safetensors", rb'\.score": {[^}]*"shape": \[\d+\]'),
    "a mask of another shape": ("safetensors", rb'\.mask": {[^}]*"shape": \[4, 8'),
    "weights that are all zero": ("safetensors", rb"\0{256}"),
    "metadata too deep": ("safetensors", rb"\[{300}"),
    "metadata that are a number": ("npz", rb"[0-9]\0\0\0\n?PK"),
    "an input shape that is a number": ("safetensors", rb'input_shape\\": -?\d'),
    "an input shape beyond memory": ("safetensors", rb"input_shape[^\]]*\d{12}"),
    "time steps that are a list": ("safetensors", rb'timesteps\\": \['),
    "time steps without end": ("safetensors", rb'timesteps\\": \d{10}'),
    "rates that are a number": ("safetensors", rb'spike_rates\\": -?\d'),
    "layers that are a number": ("safetensors", rb'\\"layers\\": -?\d'),
    "a shape of 10^12 numbers": ("npz", rb"\(1000000, 1000000\)"),
    "a shape of fractions": ("npz", rb"\(8\.0, 8\)"),
    "a shape of 10^30": ("npz", rb"\(10{30}, 8\)"),
    "arrays of no type": ("npz", rb"'\|V4'"),
    "masks of no type": ("npz", rb"'\|V1'"),
    "a header of brackets": ("npz", rb"\({5}"),
    "an encrypted member": ("npz", rb"\APK\x03\x04..[\x01\x03\x05\x07\t]"),
    "an unknown compression": ("npz", rb"\APK\x03\x04....\x62"),
    "spikes of a claimed shape": ("spikes", rb"(?s)\.bits.*\xff{6}|\.bits.*10{9}"),
    "labels of 10^12": ("images", rb"\0\x10\xa5\xd4\xe8\0\0\0"),
    "a shard that is missing": ("shards", rb"x{70000}"),
    "aliases of aliases": ("accelerator", rb"\*a1,\*a1"),
    "a document that holds itself": ("accelerator", rb"&a \[\*a\]"),
    "YAML too deep": ("accelerator", rb"\[{300}"),
    "code in YAML": ("geometry", rb"!!python/object"),
    "TOML too deep": ("config", rb"\[{300}"),
    "a number of 5,000 digits": ("config", rb"9{5000}"),
    "a network beyond any memory": ("safetensors", rb"\d{19}c3"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_hostile_once_is_drawn_again(kind):
    """The grammars write every kind of file that an earlier version stumbled over."""
    target, sign = KINDS[kind]
    if not usable(target):
        pytest.skip(f"needs {TARGETS[target].needs}")
    assert any(re.search(sign, some(target, number)) for number in range(5000))


@cache
def some(target, number):
    """Draw an input of a reader."""
    with tempfile.TemporaryDirectory() as folder:
        rng = Random(seed_of(target, number))
        return TARGETS[target].write(rng, Path(folder)).read_bytes()


def test_the_command_counts_what_readers_let_through(tmp_path):
    """Inputs are read in processes with limits, and shared out among the readers."""
    keep = tmp_path / "failures"
    arguments = ["--inputs", "700", "--jobs", "1", "--readers", "rows", "geometry"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments, "--keep", str(keep)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows, geometry = (line.split() for line in done.stdout.splitlines()[1:3])
    whole = sum(target.share for target in TARGETS.values())
    asked = [
        math.ceil(700 * TARGETS[one].share / whole) for one in (rows[0], geometry[0])
    ]
    assert (rows[0], int(rows[1])) == ("rows", asked[0])
    assert (geometry[0], int(geometry[1])) == ("geometry", asked[1])
    assert int(rows[2]) + int(rows[3]) == asked[0]
    assert not keep.exists()


def test_the_command_goes_on_where_it_was_stopped(tmp_path):
    """What a journal has is not read again, and counts as if it had been."""
    journal = ChunkJournal(tmp_path / "journal")
    [chunk] = chunks(700, 7, ["words"])
    found = run_chunk(*chunk)
    journal.add(chunk, found)
    with journal.path.open("a") as file:
        file.write('{"chunk": ["words", 9')  # killed within
    assert journal.read() == {chunk: json.loads(json.dumps(found))}
    arguments = ["--inputs", "700", "--seed", "7", "--readers", "words"]
    before = journal.path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments, "--journal", journal.path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert journal.path.read_bytes() == before
    words = done.stdout.splitlines()[1].split()
    [(_, [report])] = found
    counts = report["counts"]
    assert [int(words[2]), int(words[3])] == [counts["taken"], counts["refused"]]
