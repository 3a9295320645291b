"""Every reader with the files that it is given, used as the commands use it.

A target writes one file (or folder) and reads it. It returns whether the file was
taken; a refusal is a `BalancerError` that names the file. Anything else is a failure.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from balancer import BalancerError

from . import array_inputs as arrays
from . import seeds
from . import text_inputs as texts

MOST_SAID = 4096  # characters of a refusal
TORCH = ("torch", "spikingjelly")
MOST_READ = 2**22  # weights of layers that are worked on here

Read = Callable[[Path], object]


class HostileFailure(AssertionError):
    """A reader that did what none may do."""


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes
    ----------
    write : callable
        Writes an input into a folder and returns its path.
    read : callable
        Reads it.
    needs : tuple of str
        Modules beside those of the default installation.
    """

    write: Callable[[Random, Path], Path]
    read: Read
    needs: tuple[str, ...] = ()

    def check(self, rng: Random, folder: Path) -> bool:
        """Write and read one input; whether it was taken.

        Raises
        ------
        HostileFailure
            A refusal that is too long or names no file.
        Exception
            Whatever the reader lets through.
        """
        return self.check_file(self.write(rng, folder))

    def check_file(self, path: Path) -> bool:
        """Read one input; raises as `check`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.read(path)
        except BalancerError as error:
            said = str(error)
            if len(said) > MOST_SAID:
                raise HostileFailure(f"says {len(said)} characters") from error
            if path.name not in said:
                raise HostileFailure(f"does not name the file: {said[:200]}") from error
            return False
        return True


def _file(name: str, made: Callable[[Random], bytes]) -> Callable[[Random, Path], Path]:
    def write(rng: Random, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(made(rng))
        return path

    return write


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file as the commands do."""
    from balancer.errors import naming

    with naming(path):
        yield


def read_ticket(path: Path) -> None:
    """Open a ticket and evaluate it on an accelerator, as `evaluate` does."""
    from balancer import open_ticket
    from hwmodel import Accelerator, evaluate, network_workloads
    from hwmodel.effective import count_effective

    with _about(path):
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
        report = evaluate(
            network.workloads,
            Accelerator.load("u-ticket"),
            count_effective(ticket)(None),
        )
        json.loads(report.to_json(), parse_constant=_no_number)


def balance(path: Path) -> None:
    """Balance a ticket, as the command does, and write nothing."""
    from balancer import BalanceRequest, balance_ticket, open_ticket
    from hwmodel import Hardware

    with _about(path):
        ticket = open_ticket(path)
        if sum(math.prod(layer.shape) for layer in ticket.layers) > MOST_READ:
            return
        report = balance_ticket(ticket, BalanceRequest(), Hardware.of("u-ticket"))
        text = json.dumps(report.to_dict(), allow_nan=False)
        json.loads(text, parse_constant=_no_number)


def _no_number(text: str) -> None:
    raise HostileFailure(f"JSON with {text}")


def read_scores(path: Path) -> None:
    """Rank the layers of a good ticket by the scores of a file."""
    from balancer import open_ticket

    with _about(path):
        good = path.with_name("good.npz")
        good.write_bytes(seeds.good())
        for layer in open_ticket(good).with_scores(path).layers:
            layer.read()


def read_spikes(path: Path) -> None:
    """Load spikes and evaluate layers with them."""
    from hwmodel import Accelerator, evaluate, load_spikes, network_workloads

    with _about(path):
        spikes = load_spikes(path)
        masks = {"a": np.ones((8, 4, 3, 3), bool), "b": np.ones((10, 32), bool)}
        about = {"architecture": "8c3-fc10", "input_shape": [4, 2, 2]}
        network = network_workloads(masks, about, spikes=spikes)
        evaluate(network.workloads, Accelerator.load("u-ticket"))


def read_accelerator(path: Path) -> None:
    """Load a description, write it again, and map a layer."""
    from hwmodel import Accelerator, LayerWorkload, evaluate

    with _about(path):
        made = Accelerator.load(path)
        made.to_yaml()
        evaluate([LayerWorkload("a", np.ones((8, 4, 3, 3), bool))], made).to_json()


def read_geometry(path: Path) -> None:
    """Place the layers of a ticket by a file."""
    from balancer import open_ticket
    from hwmodel import network_workloads, place_layers

    with _about(path):
        good = path.with_name("good.npz")
        good.write_bytes(seeds.good())
        ticket = place_layers(open_ticket(good), None, path)
        network_workloads(
            {layer.name: layer.read_mask() for layer in ticket.layers}, ticket.about
        )


def read_map(path: Path) -> None:
    """Read a PE map in formulas, and map layers by it."""
    from balancer import PEMap
    from balancer.maps.own_maps import OwnMap

    with _about(path):
        own = OwnMap.load_file(path)
        assert OwnMap.parse(own.text) == own
        for shape in ((8, 4, 3, 3), (10, 32)):
            PEMap.parse(own.text, shape, own.pes or 4)


def read_config(path: Path) -> None:
    """Read the configuration of a lottery run."""
    from snn.lottery.config import LotteryConfig, read_toml

    with _about(path):
        LotteryConfig.of(read_toml(path)).digest()


def read_sweep(path: Path) -> None:
    """Read the plan of a sweep."""
    from hwmodel import SweepPlan

    plan = SweepPlan.read(path)
    assert plan.axes is not None


def read_rows(path: Path) -> None:
    """Read the journal of a sweep."""
    from hwmodel.sweeps.journal import RowJournal

    RowJournal(path).read()


def read_log(path: Path) -> None:
    """Read the log of a lottery run, and go back in it."""
    from snn.training.journal import Journal

    with Journal(path.parent) as journal:
        journal.rewind_to(1, 1)
        journal.events()


def read_comparison(path: Path) -> None:
    """Read a comparison of methods, and write it again."""
    from snn import read_comparison as read

    comparison = read(path)
    comparison.to_json()


def read_streams(path: Path) -> None:
    """Read exported streams."""
    from balancer import read_streams as read

    for layer in read(path).values():
        layer.mask()


def read_mask_file(path: Path) -> None:
    """Find the ticket that masks belong to, and read them."""
    from balancer import open_ticket
    from snn.retraining.mask_plan import MaskPlan

    with _about(path):
        path.with_name("good.npz").write_bytes(seeds.good())
        MaskPlan.of(path)
        for layer in open_ticket(path).layers:
            layer.read_mask()
            layer.read_schedules()


def read_run(path: Path) -> None:
    """Read a run folder: its report, its tickets, its checkpoints."""
    from snn.lottery.config import LotteryConfig
    from snn.lottery.store import RunFolder

    folder = RunFolder(path.parent, LotteryConfig())
    reads: tuple[Callable[[], object], ...] = (
        folder.finished,
        folder.notes,
        lambda: folder.load_round(0),
        folder.load_checkpoint,
        folder.load_rewind,
    )
    names = (
        "report.json",
        "report.json",
        "round-00.safetensors",
        "checkpoint.pt",
        "rewind.pt",
    )
    for read, name in zip(reads, names, strict=True):
        if name == path.name:
            with _about(path):
                read()


def read_images(path: Path) -> None:
    """Load images and labels of a file."""
    from snn import load_data

    with _about(path):
        load_data(str(path), validation=0.0)


def run_command(path: Path) -> None:
    """Run the command line that a file holds, on a small ticket, and read its JSON."""
    import contextlib
    import io

    import cli

    good = path.with_name("good.npz")
    good.write_bytes(seeds.good())
    asked = json.loads(path.read_text())
    command, *options = asked
    out = ["--out", str(path.parent / "out")] if command == "balance" else []
    said, refused = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(refused):
        status = cli.main([command, str(good), *out, "--json", *options])
    text = refused.getvalue()
    if status not in (0, 1, 2) or (status and text.count("\n") != 1):
        raise HostileFailure(f"status {status}: {text[:200]}")
    if status:
        raise BalancerError(f"{path.name}: {text}")
    json.loads(said.getvalue(), parse_constant=_no_number)


def write_sharded(rng: Random, folder: Path) -> Path:
    """Write a checkpoint in shards."""
    return arrays.sharded(rng, folder)


def write_run(rng: Random, folder: Path) -> Path:
    """Write one file of a run folder."""
    from . import torch_inputs

    kind = rng.randint(0, 3)
    if kind == 0:
        path = folder / "report.json"
        path.write_bytes(texts.json_text(rng, seeds.REPORT))
    elif kind == 1:
        path = folder / "round-00.safetensors"
        path.write_bytes(seeds.mutated_safetensors(rng, seeds.round_ticket()))
    else:
        path = folder / rng.choice(["checkpoint.pt", "rewind.pt"])
        path.write_bytes(torch_inputs.torch_file(rng))
    return path


def _targets() -> dict[str, Target]:
    def torch_file(rng: Random) -> bytes:
        from .torch_inputs import torch_file as made

        return made(rng)

    def onnx_model(rng: Random) -> bytes:
        from .onnx_inputs import model

        return model(rng)

    def yaml(known: Any) -> Callable[[Random], bytes]:
        return lambda rng: texts.yaml_text(rng, rng.choice(known))

    def toml(known: Any) -> Callable[[Random], bytes]:
        return lambda rng: texts.toml_text(rng, rng.choice(known))

    return {
        "safetensors": Target(_file("a.safetensors", arrays.safetensors), read_ticket),
        "npz": Target(_file("a.npz", arrays.npz), read_ticket),
        "shards": Target(write_sharded, read_ticket),
        "torch": Target(_file("a.pt", torch_file), read_ticket, TORCH),
        "onnx": Target(_file("a.onnx", onnx_model), read_ticket, ("onnx",)),
        "balance": Target(_file("a.safetensors", arrays.safetensors), balance),
        "scores": Target(_file("scores.npz", arrays.npz), read_scores),
        "spikes": Target(_file("spikes.npz", arrays.spikes), read_spikes),
        "images": Target(_file("images.npz", arrays.images), read_images, TORCH),
        "masks": Target(
            _file("m.npz", lambda rng: seeds.mutated_npz(rng, seeds.masks())),
            read_mask_file,
            TORCH,
        ),
        "streams": Target(
            _file("s.npz", lambda rng: seeds.mutated_npz(rng, seeds.streams())),
            read_streams,
        ),
        "accelerator": Target(
            _file("accelerator.yaml", yaml(seeds.ACCELERATORS)), read_accelerator
        ),
        "geometry": Target(
            _file("geometry.yaml", yaml(seeds.GEOMETRIES)), read_geometry
        ),
        "map": Target(_file("map.yaml", yaml(seeds.MAPS)), read_map),
        "config": Target(
            _file("lottery.toml", toml(seeds.CONFIGS)), read_config, TORCH
        ),
        "sweep": Target(_file("sweep.toml", toml(seeds.SWEEPS)), read_sweep),
        "rows": Target(
            _file("rows.jsonl", lambda rng: texts.json_lines(rng, seeds.ROWS)),
            read_rows,
        ),
        "log": Target(
            _file("log.jsonl", lambda rng: texts.json_lines(rng, seeds.LOG)),
            read_log,
            TORCH,
        ),
        "comparison": Target(
            _file(
                "comparison.json", lambda rng: texts.json_text(rng, seeds.COMPARISON)
            ),
            read_comparison,
            TORCH,
        ),
        "run": Target(write_run, read_run, TORCH),
        "command": Target(_file("command.json", seeds.command), run_command),
    }


TARGETS = _targets()
