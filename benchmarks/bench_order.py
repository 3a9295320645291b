"""Channel order: what it keeps, how near that is to the bound, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/bench_order.py tickets [FILE ...]
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py blocks
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py network
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py effort
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py limits

Seconds are of the whole call, verification included. Kept magnitudes are relative to
unstructured pruning with as many non-zeros where no unit is given.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from vgg16 import vgg16_weights

from balancer import (
    PEMap,
    RetentionProblem,
    Solution,
    open_ticket,
    shipped_ticket,
    solve,
    top_k_sum,
)

PES = 16
SPARSITY = 0.98
GAP_LIMIT = 0.02
COMMANDS = ("tickets", "blocks", "network", "effort", "limits")


def ordered(scores: np.ndarray, pe_map: str, order: str, **options) -> Solution:
    budget = options.pop("budget", None)
    sparsity = options.pop("sparsity", None)
    problem = RetentionProblem(
        scores,
        PEMap.parse(pe_map, scores.shape, PES),
        budget,
        sparsity=sparsity,
        order=order,
    )
    return solve(problem, **options)


def tickets(files: list[Path]) -> None:
    """Convolutions of lottery tickets whose channels fill their tiles."""
    print(f"{'layer':46}{'fixed':>9}{'sorted':>9}{'optimized':>11}{'gap':>9}{'s':>7}")
    for file in files or [shipped_ticket()]:
        for layer in open_ticket(file).layers:
            if layer.shape[0] % PES or layer.shape[1] < PES:
                continue
            arrays = layer.read()
            budget = int(arrays.mask.sum()) // PES * PES
            best = top_k_sum(arrays.scores, budget)
            fixed, by_count, joint = (
                ordered(arrays.scores, "output_channel", order, budget=budget)
                for order in ("fixed", "sorted", "optimized")
            )
            print(
                f"{file.stem + ' ' + layer.name:46}{fixed.kept / best:9.6f}"
                f"{by_count.kept / best:9.6f}{joint.kept / best:11.6f}{joint.gap:9.1e}"
                f"{joint.seconds:7.3f}  {joint.termination}"
            )


def blocks(works: list[float]) -> None:
    """Kept sums of n:m masks with permuted input channels, the same on any machine."""
    ticket = {layer.name: layer for layer in open_ticket(shipped_ticket()).layers}
    uniform = {
        f"uniform {rows} x {columns}": np.random.RandomState(1).rand(rows, columns)
        for rows, columns in ((64, 128), (128, 512))
    }
    real = {
        f"ticket {name}": ticket[name].read().scores
        for name in ("features.7", "classifier")
        if name in ticket
    }
    columns = "".join(f"{f'work {work:g}':>12}" for work in works)
    heading = (
        f"{'layer':24}{'n:m':>5}{'natural':>12}{'sorted':>12}{columns}{'bound':>12}"
    )
    print(f"{heading}  CPU s")
    for name, scores in (uniform | real).items():
        for pattern in ("2:4", "1:4", "4:8"):
            kept = [ordered(scores, pattern, o).kept for o in ("fixed", "sorted")]
            seconds = []
            for work in works:
                limits = {"work_limit": work, "time_limit": 1e9}
                begun = time.process_time()
                solution = ordered(scores, pattern, "optimized", **limits)
                seconds.append(f"{time.process_time() - begun:.1f}")
                kept.append(solution.kept)
            row = "".join(f"{value:12.3f}" for value in (*kept, solution.bound))
            print(f"{name:24}{pattern:>5}{row}  {', '.join(seconds)}", flush=True)


def network(rounds: int) -> None:
    """Keep 2 % of a VGG-16-shaped network with log-normal channel scales."""
    for spread in (0.25, 0.5, 1.0):
        weights = vgg16_weights(channel_spread=spread)
        scores = {name: np.abs(layer) for name, layer in weights.items()}
        ratios, rows = [], []
        for _ in range(rounds):
            begun = time.perf_counter()
            rows = [
                ordered(
                    layer,
                    "output_channel",
                    "optimized",
                    sparsity=SPARSITY,
                    gap_limit=GAP_LIMIT,
                )
                for layer in scores.values()
            ]
            middle = time.perf_counter()
            for layer in scores.values():
                np.sort(layer.reshape(len(layer), -1), axis=1)
            ratios.append((middle - begun) / (time.perf_counter() - middle))
        best = [
            top_k_sum(layer, row.nonzeros + row.remainder)
            for layer, row in zip(scores.values(), rows, strict=True)
        ]
        total = {"optimized": sum(row.kept for row in rows)}
        for order in ("fixed", "sorted"):
            total[order] = sum(
                ordered(layer, "output_channel", order, sparsity=SPARSITY).kept
                for layer in scores.values()
            )
        print(f"spread {spread}: {statistics.median(ratios):.1f} x row sort")
        for order in ("fixed", "sorted", "optimized"):
            print(f"    {order:10} {total[order] / sum(best):.4f}")
        bound = sum(row.bound for row in rows)
        print(f"    bound      {bound / sum(best):.4f}")
        for name, row, whole in zip(scores, rows, best, strict=True):
            print(
                f"      {name:12} {row.kept / whole:.4f} bound {row.bound / whole:.4f}"
                f" {row.termination}"
            )


def effort(works: list[float]) -> None:
    """Keep no less with more work, in both searches on twelve instances."""
    rng = np.random.default_rng(0)
    layers = {
        "uniform 64 x 32": (rng.random((64, 32)), ("2:4", "1:4", "input_channel")),
        "uniform 24 x 64": (rng.random((24, 64)), ("4:8", "input_channel")),
        "log-normal 96 x 200": (
            rng.random((96, 200)) * rng.lognormal(0, 0.5, (96, 1)),
            ("output_channel", "grid:8x4"),
        ),
        "heavy tails 100 x 48": (
            np.abs(rng.standard_t(2, (100, 48))),
            ("output_channel", "grid:8x4", "2:4"),
        ),
        "uniform 256 x 64": (rng.random((256, 64)), ("output_channel", "grid:16x2")),
    }
    columns = "".join(f"{work:>14g}" for work in works)
    print(f"{'layer':22}{'map':>16}{columns}")
    for name, (scores, specs) in layers.items():
        for spec in specs:
            share = {} if spec[0].isdigit() else {"sparsity": 0.9}
            kept = [
                ordered(
                    scores, spec, "optimized", work_limit=w, time_limit=1e9, **share
                )
                for w in works
            ]
            row = "".join(f"{one.kept:14.6f}" for one in kept)
            sums = [one.kept for one in kept]
            monotone = "" if sums == sorted(sums) else "  KEEPS LESS"
            print(f"{name:22}{spec:>16}{row}{monotone}", flush=True)


def limits(seconds: list[float], shape: tuple[int, int] = (4096, 11008)) -> None:
    """Time of a wide layer beyond that of its fixed order, for some time limits."""
    rng = np.random.default_rng(0)
    scores = np.abs(rng.standard_normal(shape, dtype=np.float32))
    columns = "".join(f"{f'{limit:g} s':>10}" for limit in seconds)
    print(f"{'map':16}{'PEs':>5}{'fixed':>10}{columns}")
    for spec, pes in (("2:4", 4), ("input_channel", 256), ("output_channel", 64)):
        pe_map = PEMap.parse(spec, shape, pes)
        share = {} if pe_map.fixed_load is not None else {"sparsity": 0.9}
        took = [solve(RetentionProblem(scores, pe_map, **share)).seconds]
        problem = RetentionProblem(scores, pe_map, order="optimized", **share)
        took += [solve(problem, time_limit=limit).seconds for limit in seconds]
        row = "".join(f"{one:10.2f}" for one in took)
        print(f"{spec:16}{pes:5}{row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("files", nargs="*", type=Path, help="tickets; default: shipped")
    parser.add_argument("--limits", nargs="+", type=float, help="of time or of work")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if args.what == "tickets":
        tickets(args.files)
    elif args.what == "blocks":
        blocks(args.limits or [1, 4])
    elif args.what == "effort":
        effort(args.limits or [0.1, 0.3, 1, 3, 10, 30])
    elif args.what == "limits":
        limits(args.limits or [1, 5])
    else:
        network(args.rounds)


if __name__ == "__main__":
    main()
