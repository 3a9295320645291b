"""The map of kernel positions, which nothing but its entry in the layouts knows of.

Its geometry is in `balancer/test_pe_map.py`, its cycles in `hwmodel/test_stepped.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cli
from balancer import (
    PEMap,
    RetentionProblem,
    map_kinds,
    open_ticket,
    shipped_ticket,
    solve,
)
from hwmodel import Hardware

KERNEL = "kernel:4"
CONVOLUTIONS = ("--layers", "features.*")


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answer(capsys, *args):
    """JSON of a command that must succeed."""
    status = cli.main([*args, "--json"])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    return json.loads(out)


def test_kernel_positions_keep_equally_many_weights():
    """Nine kernel positions on three PEs: the loads of every tile are equal."""
    scores = np.random.default_rng(0).random((10, 6, 3, 3))
    pe_map = PEMap.parse(KERNEL, scores.shape, pes=3)
    solution = solve(RetentionProblem(scores, pe_map, sparsity=0.8))
    assert solution.status.value == "optimal"
    assert solution.loads.shape == (3, 3)  # tiles of 4, 4 and 2 channels
    assert (solution.loads == solution.loads[:, :1]).all()
    position = solution.mask.reshape(10, 6, 9)
    by_hand = [position[:4, :, pe::3].sum() for pe in range(3)]
    assert solution.loads[0].tolist() == by_hand


def test_the_command_balance_knows_it(capsys):
    """Masks are balanced, and their cycles are those of the default accelerator."""
    report = answer(
        capsys, "balance", "--map", KERNEL, "--pes", "3", *CONVOLUTIONS, "--compare"
    )
    assert report["network"]["utilization"] == 1.0
    assert report["network"]["cycles"] < report["network"]["cycles_before"]
    assert report["network"]["accelerator"] == "u-ticket"


def test_an_accelerator_can_have_it(capsys):
    """`evaluate` takes a description with this mapping, and agrees with `Hardware`."""
    described = answer(capsys, "accelerators", "u-ticket")
    described["array"] |= {"mapping": KERNEL, "pes": 3}
    Path("mine.yaml").write_text(json.dumps(described))
    report = answer(capsys, "evaluate", "--accelerator", "mine.yaml")
    hardware = Hardware.of("u-ticket", KERNEL, 3)
    assert (hardware.pe_map, hardware.pes) == (KERNEL, 3)
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    assert report["cycles"] == hardware.report(masks, ticket.about).cycles


def test_lottery_runs_prune_for_it(capsys):
    """A run with this map leaves a ticket whose convolutions are balanced."""
    pytest.importorskip("torch")
    document = answer(
        capsys,
        *("lottery", "--network", "8c3-mp2-8c3-fc10", "--train-size", "64"),
        *("--timesteps", "1", "--epochs", "1", "--rewind", "0", "--rounds", "1"),
        *("--map", KERNEL, "--pes", "3", "--method", "optimal"),
    )
    layers = document["rounds"][-1]["layers"]
    assert [layer["utilization"] for layer in layers] == [1.0] * 3
    assert all(layer["cycles"] is not None for layer in layers)


def test_help_lists_every_map():
    """`balance --help` names all maps, in a process that has used none of them."""
    code = "import cli; cli.main(['balance', '--help'])"
    root = Path(cli.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    said = " ".join(done.stdout.split())
    maps = [f"{kind.shown}, {kind.help}" for kind in map_kinds()]
    assert len(maps) >= 7
    for text in maps[:7]:
        assert text in said
