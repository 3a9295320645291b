"""Every reader, with how it gets its inputs and how many of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from . import array_inputs as arrays
from . import folder_inputs as folders
from . import formula_inputs as formulas
from . import readers, run_readers, seeds
from . import text_inputs as texts
from .target import PAGES, TORCH, Target, file


def _torch_file(rng: Random) -> bytes:
    from .torch_inputs import torch_file

    return torch_file(rng)


def _onnx_model(rng: Random) -> bytes:
    from .onnx_inputs import model

    return model(rng)


def _yaml(known: Any) -> Callable[[Random], bytes]:
    return lambda rng: texts.yaml_text(rng, rng.choice(known))


def _toml(known: Any) -> Callable[[Random], bytes]:
    return lambda rng: texts.toml_text(rng, rng.choice(known))


def _json(known: Any) -> Callable[[Random], bytes]:
    return lambda rng: texts.json_text(rng, known)


def _lines(known: list[Any]) -> Callable[[Random], bytes]:
    return lambda rng: texts.json_lines(rng, known)


def _npz(good: Callable[[], bytes]) -> Callable[[Random], bytes]:
    return lambda rng: seeds.mutated_npz(rng, good())


_TICKET = file("a.safetensors", arrays.safetensors)
# Files of arrays: tickets, and what goes with them.
_ARRAYS = {
    "safetensors": Target(110, _TICKET, readers.read_ticket),
    "npz": Target(90, file("a.npz", arrays.npz), readers.read_ticket),
    "shards": Target(70, arrays.sharded, readers.read_ticket),
    "torch": Target(25, file("a.pt", _torch_file), readers.read_ticket, TORCH),
    "onnx": Target(20, file("a.onnx", _onnx_model), readers.read_ticket, ("onnx",)),
    "balance": Target(20, _TICKET, readers.balance),
    "scores": Target(40, arrays.write_scores, readers.read_scores),
    "spikes": Target(40, file("spikes.npz", arrays.spikes), readers.read_spikes),
    "images": Target(
        *(40, file("images.npz", arrays.images), run_readers.read_images, TORCH)
    ),
    "masks": Target(
        *(20, file("m.npz", _npz(seeds.masks)), run_readers.read_mask_file, TORCH)
    ),
    "streams": Target(40, file("s.npz", _npz(seeds.streams)), readers.read_streams),
    "words": Target(20, folders.words, readers.read_words),
}
# What people write.
_TEXTS = {
    "accelerator": Target(
        *(12, file("a.yaml", _yaml(seeds.ACCELERATORS)), readers.read_accelerator)
    ),
    "geometry": Target(
        *(15, file("geometry.yaml", _yaml(seeds.GEOMETRIES)), readers.read_geometry)
    ),
    "map": Target(25, file("map.yaml", formulas.pe_map), readers.read_map),
    "config": Target(
        *(40, file("run.toml", _toml(seeds.CONFIGS)), run_readers.read_config, TORCH)
    ),
    "sweep": Target(20, file("sweep.toml", _toml(seeds.SWEEPS)), readers.read_sweep),
    "command": Target(10, file("command.json", seeds.command), readers.run_command),
}
# What runs and sweeps leave, and go on from.
_FOLDERS = {
    "rows": Target(60, file("rows.jsonl", _lines(seeds.ROWS)), readers.read_rows),
    "designs": Target(
        *(50, file("rows.jsonl", _lines(seeds.DESIGNS)), readers.read_designs),
        PAGES,
    ),
    "reference": Target(
        *(20, file("reference.json", _json(seeds.REFERENCE)), readers.read_bench)
    ),
    "parts": Target(10, folders.mask_part, readers.read_parts),
    "resweep": Target(10, folders.sweep_folder, readers.resume_sweep),
    "former": Target(40, folders.former_output, readers.replace_former),
    "log": Target(
        60, file("log.jsonl", _lines(seeds.LOG)), run_readers.read_log, TORCH
    ),
    "comparison": Target(
        50,
        file("comparison.json", _json(seeds.COMPARISON)),
        *(run_readers.read_comparison, TORCH + PAGES),
    ),
    "run": Target(40, folders.run_file, run_readers.read_run, TORCH),
    "finished": Target(
        *(40, file("report.json", _json(seeds.REPORT)), run_readers.read_finished),
        TORCH + PAGES,
    ),
    "recorded": Target(
        *(20, folders.recorded_ticket, run_readers.read_recorded, TORCH)
    ),
    "resume": Target(6, folders.unfinished_run, run_readers.resume_run, TORCH),
}
TARGETS = {**_ARRAYS, **_TEXTS, **_FOLDERS}
