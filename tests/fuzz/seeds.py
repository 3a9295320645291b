"""What the inputs are mutated from: good files of every kind, and command lines."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from . import grammar as g

_LAYER = {
    "name": "a",
    "weights": 64,
    "nonzeros": 32,
    "utilization": 1.0,
    "occupancy": 1.0,
    "kept_fraction": 0.9,
    "spike_rate": None,
    "cycles": 9.0,
    "energy": 2.0,
}
OUTCOME = {
    "round": 0,
    "timesteps": 4,
    "sparsity": 0.5,
    "nonzeros": 32,
    "accuracy": 0.9,
    "loss": 0.1,
    "validation_accuracy": None,
    "kept_fraction": 1.0,
    "utilization": 1.0,
    "eta": 1.0,
    "spike_rate": 0.1,
    "cycles": 9.0,
    "idle_cycles": 0.0,
    "energy": 2.0,
    "energy_unit": "pJ",
    "epochs": 1,
    "layers": [_LAYER | {"effective": 30, "calls": 1}, _LAYER | {"name": "b"}],
    "effective": 60,
}
OUTCOMES = [
    OUTCOME | {"round": number, "accuracy": accuracy, "sparsity": 0.3 * number}
    for number, accuracy in enumerate((0.9, 0.8, 0.7))
]
CONFIG = {"rounds": 2, "prune_rate": 0.5, "epochs": 2, "network": "8c3-fc10", "seed": 1}
REPORT = {"config": CONFIG, "rounds": OUTCOMES, "tickets": ["x"], "notes": ["n"]}
COMPARISON = {
    "config": CONFIG,
    "methods": ["lth", "optimal"],
    "seeds": [0, 1],
    "runs": [
        {"method": method, "seed": seed, "rounds": OUTCOMES}
        for method, seed in (("lth", 0), ("lth", 1), ("optimal", 0))
    ],
    "failures": [{"method": "optimal", "seed": 1, "error": "e"}],
}
LOG = [
    {"event": "epoch", "round": 0, "epoch": 1, "loss": 0.5},
    {"event": "round", "round": 0, "accuracy": 0.5},
    {"event": "epoch", "round": 1, "epoch": 1, "loss": 0.5},
]
ROWS = [
    {"key": "a", "state": "done", "cycles": 3, "settings": {"pes": 4}},
    {"key": "b", "state": "failed", "error": "e"},
]
_DESIGN = {
    "ticket": None,
    "map": "output_channel",
    "pes": 4,
    "sparsity": 0.9,
    "accelerator": "u-ticket",
    "state": "done",
    "nonzeros": 1024,
    "kept_fraction": 0.99,
    "kept_share": 0.4,
    "utilization": 1.0,
    "status": "optimal",
    "cycles": 1204,
    "cycles_drawn": None,
    "energy": 1733.9,
    "basis": "expectation",
    "memory_bound": "",
    "empty": "",
    "not_run": "",
    "energy_unit": "E_d",
    "note": None,
    "seconds": 0.1,
    "tries": 1,
    "key": "a",
}
DESIGNS = [
    _DESIGN,
    _DESIGN | {"pes": 8, "cycles": 700, "kept_share": 0.3, "key": "b"},
    _DESIGN | {"pes": 16, "accelerator": "loas", "energy_unit": "pJ", "key": "c"},
    {"ticket": None, "pes": 2, "state": "failed", "error": "e", "key": "d"},
]
_RATIO = {"size": 1000, "map": None, "pes": 8, "sparsity": 0.98, "method": "lth"}
REFERENCE = {
    "kind": "balanced-sparsity bench",
    "version": "0.2.0",
    "rows": [
        _RATIO | {"seconds": 1e-3, "ratio": 16.2, "peak_bytes": 16064},
        _RATIO | {"size": 10000, "seconds": 2e-3, "ratio": 4.7, "peak_bytes": 80064},
    ],
}
DESCRIPTION = {
    "exported_by": "balanced-sparsity 0.1.0",
    "format": "mem",
    "layers": [{"name": "a"}],
    "files": ["a.mem", "export.json"],
}
BALANCED = {"layers": [_LAYER], "network": {"kept": 1.0}, "settings": {"pes": 4}}
CONFIGS = [
    CONFIG,
    {"method": "optimal-order", "map": "output_channel", "pes": 8, "sparsities": [0.5]},
    {"dataset": "digits", "search_timesteps": "auto", "early_stopping": 3},
    {"map": "group=out // 4; pe=out % 4", "pes": 4, "accelerator": "sata"},
]
SWEEPS = [
    {"pes": [4, 8], "sparsity": 0.9, "method": ["lth", "optimal"], "seed": 1},
    {"accelerator": "sata", "description": {"frequency_hz": 1e6}, "by_layer": True},
    {
        "map": ["banked", "2:4"],
        "budget": 100,
        "grid": [{"pes": 4}, {"scope": "global"}],
    },
    {"spike_rate": 0.1, "timesteps": 4, "order": "optimized", "masks": False},
]
MAPS = [
    {"group": "out // 4", "pe": "out % 4", "pes": 4},
    {"group": 0, "pe": "(out * ins + in) % pes", "pes": 8},
    {"group": "out // 4", "pe": "out % 4 * copies + copy", "copies": 2, "pes": 8},
    {"group": "out", "pe": "in % 2", "load": "ins // 2", "pes": 2},
]
GEOMETRIES = [
    {"input_shape": [4, 2, 2], "layers": {"a": {"padding": 1}}},
    {"input_shape": [4, 8, 8], "layers": {"*": {"stride": 2, "pool": 2}, "b": {}}},
    {"layers": {"a": {"input_shape": [4, 4, 4], "dilation": [1, 1], "groups": 1}}},
]
FORMULAS = (
    *(
        "out",
        "out // 0",
        "in % 0",
        "out ** out",
        "9" * 5000,
        "(" * 200,
        "-" * 3000 + "out",
    ),
    *(
        "out % pes",
        "row * col",
        "out << 99",
        "__import__('os')",
        "out.real",
        "out if in else 1",
    ),
    *(
        "2 ** 2 ** 2 ** out",
        "out * 9999999999999999999",
        "in + 1j",
        "f'{out}'",
        "lambda: 1",
    ),
    *(
        "min(out, in)",
        "out // 4 # x",
        "out\n// 4",
        "0x10 + out",
        "1e9 * out",
        "copies + out",
    ),
)


@cache
def _presets() -> list[Any]:
    import yaml

    import hwmodel

    folder = Path(hwmodel.__file__).parent / "presets"
    return [yaml.safe_load(f.read_text()) for f in sorted(folder.glob("*.yaml"))]


class _Lazily(list[Any]):
    """The presets, read when the first of them is needed."""

    def __len__(self) -> int:
        return len(_presets())

    def __getitem__(self, place: Any) -> Any:
        return _presets()[place]


ACCELERATORS = _Lazily()


def command(rng: Random) -> bytes:
    """Write a command line with options whose values are hostile."""
    name = rng.choice(["balance", "balance", "evaluate"])
    options: list[str] = []
    for option in rng.sample([*_OPTIONS[name]], rng.choice([0, 1, 1, 2, 3])):
        good = _OPTIONS[name][option]
        options.append(option)
        if good is not None:
            bad = str(g.number(rng)) if g.chance(rng, 0.7) else g.text(rng)
            options.append(bad if g.chance(rng, 0.7) else rng.choice(good))
    if "eie" in options and "--timesteps" in options:
        # Queues are followed activation by activation: many steps are work, no hang.
        options[options.index("--timesteps") + 1] = "4"
    return json.dumps([name, *options]).encode()


_OPTIONS: dict[str, dict[str, list[str] | None]] = {
    "balance": {
        "--pes": ["4", "16"],
        "--map": ["output_channel", "banked", "2:4", "grid:2x2", "kernel:2"],
        "--sparsity": ["0.5", "0.99"],
        "--budget": ["100"],
        "--global": None,
        "--latency-budget": ["0.8", "100"],
        "--energy-budget": ["0.8"],
        "--channel-floor": ["1"],
        "--nested": None,
        "--gap-limit": ["0.1"],
        "--layers": ["a", "*"],
        "--skip": ["b"],
        "--solver": ["greedy", "cp-sat"],
        "--seed": ["1"],
        "--time-limit": ["1"],
        "--work-limit": ["1"],
        "--spike-rate": ["0.2"],
        "--timesteps": ["4"],
        "--input-shape": ["4,2,2"],
        "--axes": ["oihw", "oi"],
        "--accelerator": ["sata"],
        "--frontier": ["3"],
        "--compare": None,
    },
    "evaluate": {
        "--spike-rate": ["0.2"],
        "--timesteps": ["4"],
        "--input-shape": ["4,2,2", "4x2x2"],
        "--axes": ["oihw", "oi"],
        "--accelerator": ["sata", "eie"],
        "--spiking-input": None,
    },
}


@cache
def masks() -> bytes:
    """Return a mask file of `balance`."""
    from balancer import BalanceRequest, balance_ticket, open_ticket

    with tempfile.TemporaryDirectory() as folder:
        path = _good(Path(folder))
        report = balance_ticket(open_ticket(path), BalanceRequest(pes=4, sparsity=0.5))
        report.save(Path(folder) / "m.npz")
        return (Path(folder) / "m.npz").read_bytes()


@cache
def mask_file() -> bytes:
    """Return a mask file of `balance` in the other format."""
    from balancer import open_ticket, save_masks

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        masks = {one.name: one.read_mask() for one in open_ticket(_good(path)).layers}
        known = {"map": "output_channel", "pes": 4, "version": "0.1.0"}
        save_masks(path, masks, known)
        return path.read_bytes()


@cache
def one_mask() -> bytes:
    """Return the mask of one layer, with its schedule."""
    from balancer import Schedule, save_masks

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        order = {"a": Schedule(0, np.arange(8)[::-1])}
        save_masks(path, {"a": np.eye(8, dtype=bool)}, {"pes": 4}, order)
        return path.read_bytes()


@cache
def streams() -> bytes:
    """Return exported streams."""
    from balancer import export_streams

    with tempfile.TemporaryDirectory() as folder:
        export_streams(Path(folder) / "s.npz", _good(Path(folder)))
        return (Path(folder) / "s.npz").read_bytes()


@cache
def round_ticket() -> bytes:
    """Return a ticket of a lottery run, without checksums."""
    from balancer.files.array_files import save_arrays

    arrays = {
        "a.weight": np.ones((8, 8), np.float32),
        "a.mask": np.ones((8, 8), bool),
        "a.score": np.ones((8, 8), np.float32),
        "a.order": np.arange(8),
        "a.rates": np.ones((4, 8), np.float32),
    }
    about = {"outcome": OUTCOME, "config": CONFIG, "timesteps": 4}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.safetensors"
        save_arrays(path, arrays, about)
        return path.read_bytes()


@cache
def good() -> bytes:
    """Return a file of two layers."""
    rng = np.random.default_rng(0)
    weights = {"a.weight": rng.random((8, 4, 3, 3)), "b.weight": rng.random((10, 32))}
    packed = io.BytesIO()
    arrays: dict[str, Any] = {k: v.astype(np.float32) for k, v in weights.items()}
    np.savez(packed, **arrays)
    return packed.getvalue()


def _good(folder: Path) -> Path:
    path = (folder if folder.is_dir() else folder.parent) / "good.npz"
    path.write_bytes(good())
    return path


def mutated_npz(rng: Random, good: bytes) -> bytes:
    """Change the metadata of a good file, one of its arrays, or its bytes."""
    packed = io.BytesIO()
    warnings.filterwarnings("ignore", "Duplicate name")
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(packed, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            if name == "__metadata__.npy" and g.chance(rng, 0.7):
                data = _changed_metadata(rng, data)
            elif name == chosen and g.chance(rng, 0.4):
                data = g.damaged(rng, data)
            if name != chosen or g.chance(rng, 0.95):
                new.writestr(name, data)
    return g.maybe_damaged(rng, packed.getvalue(), 0.1)


def _changed_metadata(rng: Random, data: bytes) -> bytes:
    outer = json.loads(str(np.load(io.BytesIO(data))))
    about = g.mutated(rng, json.loads(outer["ticket"]))
    packed = io.BytesIO()
    try:
        np.save(packed, np.array(json.dumps({"ticket": json.dumps(about)})))
    except (ValueError, UnicodeError):
        return data
    return packed.getvalue()


def with_metadata(good: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Change what a .safetensors file says of its network."""
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    known = json.loads(header["__metadata__"]["ticket"])
    header["__metadata__"]["ticket"] = json.dumps(change(known))
    text = json.dumps(header).encode("utf-8", "replace")
    return struct.pack("<Q", len(text)) + text + good[8 + length :]


def mutated_safetensors(rng: Random, good: bytes) -> bytes:
    """Change the metadata of a good file, its header, or its bytes."""
    length = int.from_bytes(good[:8], "little")
    header, data = json.loads(good[8 : 8 + length]), good[8 + length :]
    if g.chance(rng, 0.7):
        about = g.mutated(rng, json.loads(header["__metadata__"]["ticket"]))
        header["__metadata__"] = {"ticket": json.dumps(about)}
    if g.chance(rng, 0.2):
        header = g.mutated(rng, header)
    text = json.dumps(header).encode("utf-8", "replace")
    return g.maybe_damaged(rng, struct.pack("<Q", len(text)) + text + data, 0.15)
