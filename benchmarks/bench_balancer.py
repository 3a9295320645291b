"""Time and memory of balancing a VGG-16-shaped network, beside sorting its rows.

    OMP_NUM_THREADS=1 python benchmarks/bench_balancer.py

Every method is timed in turn with `numpy.sort` over the rows (output channels) of the
same score arrays, in one process on one thread; the median of the ratios is printed. A
solver's time is everything from scores to verified masks. Memory is the peak of what
NumPy allocates beyond the scores, the masks of all layers included. Times are of the
processor.
"""

import argparse
import statistics
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from timing import processor_seconds

sys.path.insert(0, str(Path(__file__).parent))
from vgg16 import vgg16_weights

from balancer import (
    PEMap,
    RetentionProblem,
    lth_mask,
    solve,
    top_k_per_pe_mask,
    u_ticket_mask,
)

PES = 16
SPARSITY = 0.98


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def network(scores: list[np.ndarray], solver: str, pe_map: str) -> list[np.ndarray]:
    masks = []
    for layer in scores:
        problem = RetentionProblem(
            layer, PEMap.parse(pe_map, layer.shape, PES), sparsity=SPARSITY
        )
        solution = solve(problem, solver)
        assert solution.gap == 0.0 or solver == "greedy", "no proof"
        masks.append(solution.mask)
    return masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--spread", type=float, default=0.0, help="log-normal channel scales"
    )
    args = parser.parse_args()
    weights = vgg16_weights(channel_spread=args.spread)
    scores = [np.abs(layer) for layer in weights.values()]
    total, largest = sum(s.size for s in scores), max(s.nbytes for s in scores)
    print(
        f"{len(scores)} layers, {total:,} weights, {SPARSITY:.0%} sparse, {PES} PEs, "
        f"channel spread {args.spread}, NumPy {np.__version__}"
    )

    def row_sort() -> None:
        for layer in scores:
            np.sort(layer.reshape(len(layer), -1), axis=1)

    unbalanced = [lth_mask(s, round(s.size * (1 - SPARSITY))) for s in scores]
    maps = [PEMap.output_channel(s.shape, PES) for s in scores]
    contenders: dict[str, Callable[[], object]] = {
        "cp-sat": lambda: network(scores, "cp-sat", "output_channel"),
        "greedy": lambda: network(scores, "greedy", "output_channel"),
        "cp-sat, input_channel map": lambda: network(scores, "cp-sat", "input_channel"),
        "cp-sat, interleaved map": lambda: network(scores, "cp-sat", "interleaved"),
        "u-Ticket random (ours)": lambda: [
            u_ticket_mask(mask, pe_map, "ceil")
            for mask, pe_map in zip(unbalanced, maps, strict=True)
        ],
        "top-k per PE": lambda: [
            top_k_per_pe_mask(s, m, round(s.size * (1 - SPARSITY)))
            for s, m in zip(scores, maps, strict=True)
        ],
        "unstructured (LTH)": lambda: [
            lth_mask(s, round(s.size * (1 - SPARSITY))) for s in scores
        ],
    }
    row_sort()
    print(f"{'':28}{'ms':>8}{'/ row sort':>12}{'peak / largest layer':>22}")
    reference: list[float] = []
    for name, work in contenders.items():
        work()  # caches and imports
        pairs = [
            (processor_seconds(work), processor_seconds(row_sort))
            for _ in range(args.rounds)
        ]
        reference += [pair[1] for pair in pairs]
        ratio = statistics.median(a / b for a, b in pairs)
        milliseconds = 1e3 * statistics.median(a for a, _ in pairs)
        memory = peak_bytes(work) / largest
        print(f"{name:28}{milliseconds:8.1f}{ratio:12.2f}{memory:22.2f}")
    print(f"{'row sort':28}{1e3 * statistics.median(reference):8.1f}{1:12.2f}")

    print("\nthe literal program (one boolean per weight), one layer of 64 channels")
    rng = np.random.default_rng(0)
    for fan_in in (36, 144, 576):
        layer = np.abs(rng.standard_normal((64, fan_in)))
        problem = RetentionProblem(
            layer, PEMap.output_channel(layer.shape, PES), sparsity=SPARSITY
        )
        literal, slices = solve(problem, "binary", time_limit=60), solve(problem)
        print(
            f"64 x {fan_in:4}: binary {literal.seconds:7.2f} s "
            f"({literal.solver}, {literal.status}, {literal.termination}), "
            f"cp-sat {slices.seconds * 1e3:6.2f} ms, "
            f"kept {literal.kept / slices.kept:.6f} of it"
        )


if __name__ == "__main__":
    main()
