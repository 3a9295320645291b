"""Readers that need no torch, used as the commands use them."""

from __future__ import annotations

import contextlib
import io
import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from balancer import BalancerError

from . import seeds
from .target import HostileFailure, about, is_drawn, strict_json

if TYPE_CHECKING:
    from hwmodel import Accelerator, SweepPlan

MOST_READ = 2**22  # weights of layers that are worked on here


@cache
def _array() -> Accelerator:
    """Load what layers are evaluated on, once."""
    from hwmodel import Accelerator

    return Accelerator.load("u-ticket")


def _good_beside(path: Path) -> Path:
    good = path.with_name("good.npz")
    good.write_bytes(seeds.good())
    return good


def read_ticket(path: Path) -> None:
    """Open a ticket and evaluate it on an accelerator, as `evaluate` does."""
    from balancer import open_ticket
    from hwmodel import evaluate, network_workloads
    from hwmodel.effective import count_effective

    with about(path):
        ticket = open_ticket(path)
        if sum(math.prod(layer.shape) for layer in ticket.layers) > MOST_READ:
            return
        assert repr(ticket)
        assert ticket.notes is not None
        for layer in ticket.layers:
            layer.read()
        network = network_workloads(
            {layer.name: layer.read_mask() for layer in ticket.layers},
            ticket.about,
            schedules={layer.name: layer.read_schedules() for layer in ticket.layers},
        )
        counted = count_effective(ticket)(None)
        strict_json(evaluate(network.workloads, _array(), counted).to_json())


def balance(path: Path) -> None:
    """Balance a ticket, as the command does, and write nothing."""
    from balancer import BalanceRequest, balance_ticket, open_ticket
    from hwmodel import Hardware

    with about(path):
        ticket = open_ticket(path)
        if sum(math.prod(layer.shape) for layer in ticket.layers) > MOST_READ:
            return
        report = balance_ticket(ticket, BalanceRequest(), Hardware(_array()))
        strict_json(json.dumps(report.to_dict(), allow_nan=False))


def read_scores(path: Path) -> None:
    """Rank the layers of a good ticket by the scores of a file."""
    from balancer import open_ticket

    with about(path):
        for layer in open_ticket(_good_beside(path)).with_scores(path).layers:
            layer.read()


def read_spikes(path: Path) -> None:
    """Load spikes and evaluate layers with them."""
    from hwmodel import evaluate, load_spikes, network_workloads

    with about(path):
        spikes = load_spikes(path)
        masks = {"a": np.ones((8, 4, 3, 3), bool), "b": np.ones((10, 32), bool)}
        known = {"architecture": "8c3-fc10", "input_shape": [4, 2, 2]}
        network = network_workloads(masks, known, spikes=spikes)
        evaluate(network.workloads, _array())


def read_accelerator(path: Path) -> None:
    """Load a description, write it again, and map a layer."""
    from hwmodel import Accelerator, LayerWorkload, evaluate

    with about(path):
        made = Accelerator.load(path)
        made.to_yaml()
        evaluate([LayerWorkload("a", np.ones((8, 4, 3, 3), bool))], made).to_json()


def read_geometry(path: Path) -> None:
    """Place the layers of a ticket by a file."""
    from balancer import open_ticket
    from hwmodel import network_workloads, place_layers

    with about(path):
        ticket = place_layers(open_ticket(_good_beside(path)), None, path)
        network_workloads(
            {layer.name: layer.read_mask() for layer in ticket.layers}, ticket.about
        )


def read_map(path: Path) -> None:
    """Read a PE map in formulas, and map layers by it."""
    from balancer import PEMap
    from balancer.maps.own_maps import OwnMap

    with about(path):
        own = OwnMap.load_file(path)
        assert OwnMap.parse(own.text) == own
        for shape in ((8, 4, 3, 3), (10, 32)):
            PEMap.parse(own.text, shape, own.pes or 4)


def read_sweep(path: Path) -> None:
    """Read the plan of a sweep."""
    from hwmodel import SweepPlan

    plan = SweepPlan.read(path)
    assert plan.axes is not None


def read_rows(path: Path) -> None:
    """Read the journal of a sweep."""
    from hwmodel.sweeps.journal import RowJournal

    RowJournal(path).read()


def read_designs(path: Path) -> None:
    """Read what the folder of a sweep says, as `report` does."""
    from hwmodel.sweeps.result import SweepOnDisk

    found = SweepOnDisk(path.parent)
    assert repr(found)
    assert found.axes is not None
    for cost in ("cycles", "energy"):
        found.front(cost)
    found.to_csv()
    if is_drawn(path):
        found.report(path.with_name("page.html"))


def read_bench(path: Path) -> None:
    """Read ratios that `bench` compares with."""
    from hwmodel.bench.reference import read_reference

    read_reference(path)


@cache
def sweep_plan(by_layer: bool) -> SweepPlan:
    """Plan two runs of the shipped ticket's last layer."""
    from hwmodel import SweepPlan

    fields = {"pes": [4, 8], "sparsity": 0.9, "layers": ["classifier"], "masks": True}
    return SweepPlan.of({**fields, "by_layer": by_layer})


def resume_sweep(path: Path) -> None:
    """Go on with a sweep of which a file was damaged."""
    from hwmodel import sweep

    by_layer = (path.parent / "layers.jsonl").exists()
    result = sweep(sweep_plan(by_layer), out=path.parent, workers=0)
    result.front()
    result.to_csv()
    if len(result.done) < len(result.rows):
        said = "; ".join(row.get("error", "missing") for row in result.rows)
        raise BalancerError(f"{path.name}: {said}")


def read_parts(path: Path) -> None:
    """Join the masks of layers that a sweep has left."""
    from hwmodel.sweeps.mask_store import MaskStore

    point = sweep_plan(True).points[0]
    store = MaskStore(path.parent / "masks")
    part = store.part(point, 0)
    part.parent.mkdir(parents=True)
    path.replace(part)
    store.join(point, 1)


def read_streams(path: Path) -> None:
    """Read exported streams."""
    from balancer import read_streams as read

    for layer in read(path).values():
        layer.mask()


def read_words(path: Path) -> None:
    """Read what hardware tools read: words in hexadecimal, zeros and ones."""
    from balancer.export.mem_words import read_words as read
    from hwmodel import read_mask_text

    with about(path):
        if path.suffix == ".mem":
            read(path)
        else:
            read_mask_text(path, (8, 8))


def replace_former(path: Path) -> None:
    """Look at what lies where an export or a balancing writes to."""
    from balancer.files.folders import replacing_folder
    from balancer.report.balance_files import BalanceFiles

    if path.name == "export.json":
        with replacing_folder(path.parent) as written:
            (written / "x").write_text("")
    else:
        BalanceFiles.of(path.parent).refuse_to_replace()


def run_command(path: Path) -> None:
    """Run the command line that a file holds, on a small ticket, and read its JSON."""
    import cli

    good = _good_beside(path)
    command, *options = json.loads(path.read_text())
    out = ["--out", str(path.parent / "out")] if command == "balance" else []
    said, refused = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(refused):
        status = cli.main([command, str(good), *out, "--json", *options])
    text = refused.getvalue()
    if status not in (0, 1, 2) or (status and text.count("\n") != 1):
        raise HostileFailure(f"status {status}: {text[:200]}")
    if status:
        raise BalancerError(f"{path.name}: {text}")
    strict_json(said.getvalue())
