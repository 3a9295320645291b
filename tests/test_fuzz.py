"""Hostile files end in one line: a few of each kind here, a million by `tests.fuzz`."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import ROOT, time_limit

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
    assert (rows[0], rows[1]) == ("rows", "40")
    assert (geometry[0], geometry[1]) == ("geometry", "10")
    assert int(rows[2]) + int(rows[3]) == 40
    assert not keep.exists()
