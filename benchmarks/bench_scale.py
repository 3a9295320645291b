"""Time and memory of balancing a checkpoint of a billion weights, beside VGG-16's.

    OMP_NUM_THREADS=1 python benchmarks/bench_scale.py checkpoints --weights 1e9

Writes into the folder, unless they are there, a checkpoint in shards with the layers of
a language model (4096 x 4096, 11008 x 4096 and 4096 x 11008, bf16, log-normal scales of
the output channels, seeded), and one with the layers of VGG-16, several times over, in
the same format. Both are balanced by the command and by the library, each time in a
process of its own. Time is that of the processor, by one thread, less what the command
takes for the ticket that comes with the package; memory is the peak of the process
(VmHWM), less the same, in copies of the largest layer in float32.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from vgg16 import vgg16_weights

from balancer import open_ticket, shipped_ticket

ROOT = Path(__file__).parent.parent
BLOCK = {
    **{f"attention.{name}": (4096, 4096) for name in ("q", "k", "v", "o")},
    **{f"mlp.{name}": (11008, 4096) for name in ("gate", "up")},
    "mlp.down": (4096, 11008),
}
# A process tells its own peak: that which its parent is told begins with the parent's.
PEAK = """
import sys
from pathlib import Path
[line] = (one for one in open("/proc/self/status") if one.startswith("VmHWM"))
Path(sys.argv[1]).write_text(line.split()[1])
"""
COMMAND = f"""
import sys, cli
if cli.main(sys.argv[2:]):
    sys.exit(1)
{PEAK}"""
LIBRARY = f"""
import sys
from balancer import balance_ticket
report = balance_ticket(
    sys.argv[2],
    sparsity=float(sys.argv[4]),
    workers=1,
    out=sys.argv[3],
    reorder=False,
)
assert report.solution.status.value == "optimal"
{PEAK}"""
INDEX = "model.safetensors.index.json"


Shapes: TypeAlias = dict[str, tuple[int, ...]]
Layers: TypeAlias = Iterable[np.ndarray]


def block(number: int, spread: float = 0.3) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([0, number])
    for shape in BLOCK.values():
        scale = rng.lognormal(0, spread, (shape[0], 1)).astype(np.float32)
        weights = rng.standard_normal(shape, dtype=np.float32)
        weights *= scale
        yield weights


def write_shard(
    path: Path, layers: dict[str, tuple[int, ...]], weights: Layers
) -> None:
    """Write weights as bf16, the upper half of a float32, rounded; one by one."""
    entries, end = {}, 0
    for name, shape in layers.items():
        first, end = end, end + 2 * prod(shape)
        entry = {"dtype": "BF16", "shape": shape, "data_offsets": [first, end]}
        entries[f"{name}.weight"] = entry
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in weights:
            bits = array.view(np.uint32) + np.uint32(0x8000)
            file.write((bits >> np.uint32(16)).astype("<u2").data)


def checkpoint(folder: Path, weights: int) -> Path:
    """Write blocks until there are enough weights, a shard for each."""
    index = folder / INDEX
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(map(prod, BLOCK.values()))
        blocks = max(1, round(weights / size))
        where = {}
        for number in range(blocks):
            name = f"model-{number + 1:05}-of-{blocks:05}.safetensors"
            layers = {f"layers.{number}.{one}": shape for one, shape in BLOCK.items()}
            write_shard(folder / name, layers, block(number))
            where |= {f"{layer}.weight": name for layer in layers}
        index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


def vgg(folder: Path, copies: int) -> Path:
    path = folder / f"vgg16-{copies}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [vgg16_weights(copy, channel_spread=0.3) for copy in range(copies)]
        layers = {f"{n}.{k}": v for n, one in enumerate(drawn) for k, v in one.items()}
        shapes = {name: weights.shape for name, weights in layers.items()}
        write_shard(path, shapes, layers.values())
    return path


class Run(NamedTuple):
    """Seconds by the clock and of the processor, and the peak of memory in bytes."""

    wall: float
    processor: float
    peak: int


def measured(code: str, out: Path, *arguments: str) -> Run:
    peak = out.with_name("peak")
    begun = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, str(peak), *arguments],
        {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with {status}")
    wall = time.perf_counter() - begun
    return Run(wall, used.ru_utime + used.ru_stime, 1024 * int(peak.read_text()))


def command(path: Path, out: Path, *options: str) -> Run:
    run = measured(
        *(COMMAND, out, "balance", str(path), "--out", str(out), "--json", *options)
    )
    report = json.loads((out / "report.json").read_text())
    assert report["network"]["status"] == "optimal", "no proof"
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=float, default=1e9)
    parser.add_argument("--copies", type=int, default=8, help="of VGG-16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sparsity", type=float, default=0.98)
    args = parser.parse_args()
    large = checkpoint(args.folder / f"{args.weights:.0e}", int(args.weights))
    small = vgg(args.folder, args.copies)
    out, repeats, sparsity = (
        args.folder / "balanced",
        range(args.repeats),
        args.sparsity,
    )
    one = ("--jobs", "1")
    sizes = {p: [prod(x.shape) for x in open_ticket(p).layers] for p in (large, small)}
    largest = 4 * max(sizes[large])
    print(
        f"{len(sizes[large])} layers, {sum(sizes[large]):,} weights, the largest of "
        f"{largest / 1e6:.0f} MB in float32; {args.copies} x VGG-16, "
        f"{sum(sizes[small]):,} weights; "
        f"{sparsity:.0%} sparse, 16 PEs, all proven optimal"
    )

    def library(path: Path) -> Run:
        return measured(LIBRARY, out, str(path), str(out), str(sparsity))

    def asked(*options: str) -> Callable[[Path], Run]:
        pruned = ("--sparsity", str(sparsity), *options)
        return lambda path: command(path, out, *pruned)

    ways = {
        "library, layer-wise": library,
        "command, layer-wise": asked(*one),
        "command, --global": asked(*one, "--global"),
        "command, --jobs 2": asked("--jobs", "2"),
        "command, --resume": asked(*one, "--resume"),
    }
    print("| | ns a weight | VGG-16: ns a weight | ratio | by the clock, s | memory |")
    print("|---|---|---|---|---|---|")
    for name, way in ways.items():
        # In turn, so that what else the machine does meets all of them.
        runs = [[way(p) for p in (shipped_ticket(), large, small)] for _ in repeats]
        start, *others = (
            min(of_one, key=lambda run: run.processor)
            for of_one in zip(*runs, strict=True)
        )
        time_of = [
            (run.processor - start.processor) / sum(sizes[path]) * 1e9
            for path, run in zip((large, small), others, strict=True)
        ]
        memory = (others[0].peak - start.peak) / largest
        print(
            f"| {name} | {time_of[0]:.1f} | {time_of[1]:.1f} | "
            f"{time_of[0] / time_of[1]:.2f} | {others[0].wall:.0f} | {memory:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
