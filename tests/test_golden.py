"""The contract of the command line: the JSON of every command, as it was recorded.

`python tests/test_golden.py` records it anew; every difference must be intended, and
named in the message of its commit. Times and versions are left out.
"""

import contextlib
import importlib.util
import io
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import cli
from balancer.files.ticket import shipped_ticket
from hwmodel import save_spikes

GOLDEN = Path(__file__).parent / "golden"
VARIES = ("seconds", "version", "numpy", "python")
# Of lottery runs only these numbers are the same on every processor; of all others,
# which follow from training, the contract holds the type. So it does of benchmarks.
UNTRAINED = ("round", "sparsity", "nonzeros", "timesteps", "epochs", "weights", "n")
# How far a search for blocks of input channels comes in its second is no contract.
SEARCHED = "kept_if_reordered"

BALANCE = {
    "layer-wise": "--layer-wise",
    "global": "--global",
    "sparsity": "--sparsity 0.95 --pes 8 --seed 3",
    "lamp": "--budgets lamp --sparsity 0.95",
    "cycles": "--budgets cycles --budget 2000 --skip classifier",
    "budget": "--global --budget 1000 --solver greedy",
    "compare": "--compare",
    "nested": "--nested --allow-empty --sparsity 0.99 --layers features.[37]",
    "floor": "--channel-floor 2 --layers features.[37]",
    "sorted": "--order sorted",
    "optimized": "--order optimized --accelerator generic-45nm",
    "input-channel": "--map input_channel --skip features.0",
    "input-order": "--map input_channel --order optimized --gap-limit 0.05 "
    "--work-limit 0.2 --layers features.[37]",
    "interleaved": "--map interleaved --compare",
    "banked": "--map banked --pes 4",
    "grid": "--map grid:4x4 --order optimized --gap-limit 0.05 --work-limit 0.5",
    "n-m": "--map 2:4 --layers features.*",
    "limits": "--global --latency-budget 0.7 --energy-budget 0.9 --frontier 4",
    "bounds": "--accelerator loas --layers features.*",
}
EVALUATE = {
    "ticket": "",
    "rate": "--spike-rate 0.15 --timesteps 2 --accelerator sata",
    "spikes": "--spikes spikes.npz --accelerator loas --accelerator eie",
    "masks": "--compare masks.safetensors",
    "input-order": "inputs.safetensors --spikes spikes.npz --accelerator inputs.yaml",
    "spiking-input": "--spiking-input --accelerator systolic --accelerator eie",
}
ACCELERATORS = {"all": "", "one": "sata"}
SWEEP = {"design": "design.toml --workers 0"}
DESIGN = """
pes = 8
sparsity = [0.9, 0.98]
accelerator = ["u-ticket", "generic-45nm"]
masks = true
[[grid]]
method = "lth"
order = "sorted"
[[grid]]
method = "optimal"
description.dram.bandwidth_bits_per_cycle = 16.0
accelerator = "generic-45nm"
"""
LOTTERY = {
    "optimal-order": "",
    "input-channel": "--method optimal --map input_channel --pes 4",
    "compare": "--compare lth,optimal,topk-per-pe --seeds 1 --revive",
}
EXPORT = {
    "streams": "--masks masks.safetensors --bits 8 --index runs",
    "scipy": "--map grid:4x4 --layers features.*",
    "sparseloop": "--masks masks.safetensors",
    "sanafe": "--spikes spikes.npz --map interleaved --pes 8",
}
BENCH = {
    "tiny": "--sizes 1000 --maps banked,2:4 --methods lth,topk-per-pe,cp-sat,two-way",
}
TINY_RUN = (
    "--network 8c3-mp2-8c3-fc10 --train-size 64 --timesteps 2 --epochs 2 --rounds 2 "
    "--prune-rate 0.5 --precision float32 --pes 4 --scope layer "
)
COMMANDS = {
    **{f"balance-{name}": f"balance {text}" for name, text in BALANCE.items()},
    **{f"evaluate-{name}": f"evaluate {text}" for name, text in EVALUATE.items()},
    **{f"accelerators-{name}": f"accelerators {t}" for name, t in ACCELERATORS.items()},
    **{f"sweep-{name}": f"sweep {text}" for name, text in SWEEP.items()},
    **{f"bench-{name}": f"bench {text} --repeats 1" for name, text in BENCH.items()},
    **{f"export-{n}": f"export {n} {t} --out out/{n}" for n, t in EXPORT.items()},
    **{f"lottery-{name}": f"lottery {TINY_RUN}{t}" for name, t in LOTTERY.items()},
}


def prepare() -> None:
    """Write what the commands read into the present folder."""
    run(["balance", "--order", "optimized", "--out", "masks.safetensors"])
    order = "--map input_channel --order optimized --gap-limit 0.05 --work-limit 0.2"
    run(["balance", *order.split(), "--out", "inputs.safetensors"])
    described = json.loads(run(["accelerators", "eie"]))
    described["array"] |= {
        **{"mapping": "input_channel", "pes": 16, "barrier": "pixel"},
        **{"fifo_depth_activations": 1},
    }
    described["name"] = "inputs"
    Path("inputs.yaml").write_text(json.dumps(described))  # YAML holds JSON
    Path("design.toml").write_text(DESIGN)
    rng = np.random.default_rng(0)
    shapes = {"features.3": (32, 8, 8), "features.7": (64, 4, 4), "classifier": (1024,)}
    save_spikes(
        Path("spikes.npz"),
        {name: rng.random((4, 2, *shape)) < 0.2 for name, shape in shapes.items()},
    )


def run(arguments: list[str]) -> str:
    """Return the JSON that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main([*arguments, "--json"])
    assert status == 0, f"{' '.join(arguments)} ended with {status}"
    return out.getvalue()


def answer(command: str) -> Any:
    """Return what a command prints, and what its mask file holds."""
    document = json.loads(run(command.split()))
    known = without_what_varies(document)
    if command.startswith("lottery"):
        return {**types_of_numbers(known), "config": known["config"]}
    if command.startswith("bench"):
        return types_of_numbers(known)
    if not isinstance(document, dict) or "masks" not in document.get("outputs", {}):
        return known
    if known["network"].get(SEARCHED) and ("input" in command or ":" in command):
        known["network"][SEARCHED] = "a number"
        known["notes"] = [n for n in known["notes"] if "--order optimized" not in n]
    files = document["outputs"]
    known["mask_file"] = {
        key: [str(array.dtype), list(array.shape), int(array.sum(dtype=np.int64))]
        for key, array in load_file(files["masks"]).items()
    }
    written = json.loads(Path(files["report"]).read_text())
    known["settings"] = without_what_varies(written["settings"])
    return known


def without_what_varies(known: Any) -> Any:
    """Leave out times and versions."""
    if isinstance(known, list):
        return [without_what_varies(item) for item in known]
    if not isinstance(known, dict):
        return known
    return {
        key: without_what_varies(value)
        for key, value in known.items()
        if key not in VARIES
    }


def types_of_numbers(known: Any, key: str = "") -> Any:
    """Put types in the place of the numbers that training decides."""
    if isinstance(known, list):
        return [types_of_numbers(item, key) for item in known]
    if isinstance(known, dict):
        return {name: types_of_numbers(value, name) for name, value in known.items()}
    trained = isinstance(known, (int, float)) and key not in UNTRAINED
    return type(known).__name__ if trained else known


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """List the places where two documents are not equal, up to rounding."""
    if isinstance(expected, dict) and isinstance(found, dict):
        lost = [f"{place}.{key} is gone" for key in expected.keys() - found.keys()]
        lost += [f"{place}.{key} is new" for key in found.keys() - expected.keys()]
        both = [key for key in expected if key in found]
        return lost + [
            text
            for key in both
            for text in differences(expected[key], found[key], f"{place}.{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return [f"{place} has {len(found)} entries, not {len(expected)}"]
        return [
            text
            for index, pair in enumerate(zip(expected, found, strict=True))
            for text in differences(*pair, f"{place}[{index}]")
        ]
    numbers = isinstance(expected, float) and isinstance(found, (int, float))
    if numbers and math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-12):
        return []
    if type(expected) is type(found) and expected == found:
        return []
    return [f"{place} is {found!r}, not {expected!r}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with contextlib.chdir(folder):
        prepare()
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_of_a_command_is_as_recorded(name, folder, monkeypatch):
    """No command changes what it says without somebody's intent."""
    if name.startswith("lottery") and importlib.util.find_spec("torch") is None:
        pytest.skip("training needs torch")
    monkeypatch.chdir(folder)
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    found = json.loads(json.dumps(answer(COMMANDS[name])))
    assert differences(expected, found) == []


def test_every_recorded_answer_has_a_command():
    """No file of the contract is left over from a command that is gone."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(COMMANDS)


def test_differences_are_found():
    """The comparison sees another number, type, length and key, but not rounding."""
    known = {"a": [1, 2.0, None], "b": "text"}
    assert differences(known, {"a": [1, 2.0 + 1e-12, None], "b": "text"}) == []
    for other in (
        {"a": [1, 2.1, None], "b": "text"},
        {"a": [1, 2.0], "b": "text"},
        {"a": [1.5, 2.0, None], "b": "text"},
        {"a": [1, 2.0, None]},
        {"a": [1, 2.0, None], "b": "text", "c": 0},
    ):
        assert len(differences(known, other)) == 1


def record(names: list[str]) -> None:
    """Write what the commands say now, of all of them or of those named."""
    shipped_ticket()  # fails early where the package is not installed
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        prepare()
        for name in names or COMMANDS:
            text = json.dumps(answer(COMMANDS[name]), indent=1, sort_keys=True)
            (GOLDEN / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    record(sys.argv[1:])
