"""Hostile folders: of runs, sweeps and exports, one file of which was damaged."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from . import grammar as g
from . import seeds
from . import text_inputs as texts
from .readers import sweep_plan
from .target import timeless


def run_file(rng: Random, folder: Path) -> Path:
    """Write one file of a run folder, of any run."""
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


def unfinished_run(rng: Random, folder: Path) -> Path:
    """Write the folder of a run that was stopped, with one file damaged."""
    from . import torch_inputs
    from .run_readers import unfinished_run as known

    name, files = known()
    of_run = folder / name
    of_run.mkdir()
    chosen = rng.choice(["checkpoint.pt", "rewind.pt"] * 2 + [*files])
    for file, data in files.items():
        if file == chosen and file.endswith(".pt"):
            data = torch_inputs.changed_file(rng, data)
        elif file == chosen and file.endswith(".safetensors"):
            data = ticket(rng, data)
        elif file == chosen and data:
            lines = (
                [json.loads(line) for line in data.splitlines()[:9]]
                if (file == "log.jsonl")
                else []
            )
            data = (
                texts.json_lines(rng, lines)
                if lines
                else texts.json_text(rng, json.loads(data))
            )
        (of_run / file).write_bytes(data)
    return of_run / chosen


def recorded_ticket(rng: Random, folder: Path) -> Path:
    """Write a ticket of a run that says something else of it."""
    from .run_readers import unfinished_run as known

    path = folder / "round-00.safetensors"
    path.write_bytes(ticket(rng, known()[1][path.name]))
    return path


def ticket(rng: Random, good: bytes) -> bytes:
    """Change a ticket of a run, mostly without checksums that would tell."""
    if g.chance(rng, 0.85):
        good = seeds.with_metadata(good, _without_sums)
    if g.chance(rng, 0.5):  # most readers look at the configuration last
        good = seeds.with_metadata(
            good, lambda known: known | {"config": g.mutated(rng, known["config"])}
        )
        return g.maybe_damaged(rng, good, 0.1)
    return seeds.mutated_safetensors(rng, good)


def _without_sums(known: dict[str, object]) -> dict[str, object]:
    return {name: one for name, one in known.items() if not name.endswith("_sha256")}


@cache
def _swept(by_layer: bool) -> dict[str, bytes]:
    """Run a sweep; return its files."""
    from hwmodel import sweep

    with TemporaryDirectory() as name:
        sweep(sweep_plan(by_layer), out=name, workers=0)
        files = sorted(path for path in Path(name).rglob("*") if path.is_file())
        return {path.relative_to(name).as_posix(): timeless(path) for path in files}


def sweep_folder(rng: Random, folder: Path) -> Path:
    """Write the folder of a sweep with one file damaged; some runs are to be done."""
    by_layer = g.chance(rng, 0.5)
    files = dict(_swept(by_layer))
    chosen = rng.choice(["rows.jsonl", "rows.jsonl", "layers.jsonl"][: 2 + by_layer])
    if chosen == "layers.jsonl":
        del files["rows.jsonl"]
    for name, data in files.items():
        if name == chosen:
            data = texts.json_lines(rng, [json.loads(x) for x in data.splitlines()])
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / chosen


def mask_part(rng: Random, folder: Path) -> Path:
    """Write the mask of one layer, as a sweep keeps it until all are there."""
    path = folder / "00000.npz"
    path.write_bytes(seeds.mutated_npz(rng, seeds.one_mask()))
    return path


def former_output(rng: Random, folder: Path) -> Path:
    """Write what lies where an export or a balancing goes to."""
    kind = rng.randint(0, 2)
    if kind == 0:
        path = folder / "there" / "export.json"
        path.parent.mkdir()
        path.write_bytes(texts.json_text(rng, seeds.DESCRIPTION))
    elif kind == 1:
        path = folder / "report.json"
        path.write_bytes(texts.json_text(rng, seeds.BALANCED))
    else:
        path = folder / "masks.safetensors"
        path.write_bytes(seeds.mutated_safetensors(rng, seeds.mask_file()))
    return path


def words(rng: Random, folder: Path) -> Path:
    """Write words in hexadecimal, or zeros and ones."""
    if g.chance(rng, 0.5):
        path = folder / "words.mem"
        drawn = [f"{rng.getrandbits(rng.choice([1, 8, 64, 4096])):x}" for _ in range(9)]
        text = "// words\n" + "\n".join(drawn) + "\n"
        if g.chance(rng, 0.2):
            text += g.text(rng)
    else:
        path = folder / "mask.txt"
        text = "".join(rng.choice("01") for _ in range(rng.choice([64] * 8 + [0, 63])))
        if g.chance(rng, 0.3):
            text = rng.choice(["\n", " ", "\t", "2", g.text(rng)]).join(text)[:4096]
    path.write_bytes(g.maybe_damaged(rng, text.encode("utf-8", "replace"), 0.3))
    return path
