"""Channel order: what it keeps, how near that is to the bound, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/bench_order.py tickets [FILE ...]
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py blocks
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py network
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py effort
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py limits
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py wide
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py stripes
    OMP_NUM_THREADS=1 python benchmarks/bench_order.py proofs

Seconds are of the whole call, verification included; with --processor-time they, and
the limits, count the time of the processor, for a machine that is busy otherwise. Kept
magnitudes are relative to unstructured pruning with as many non-zeros where no unit is
given.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from stripe_search import StripeSearch
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
COMMANDS = (
    "tickets",
    "blocks",
    "network",
    "effort",
    "limits",
    "wide",
    "stripes",
    "proofs",
)
WIDE = ((4096, 4096), (4096, 11008))
# Maps with their PEs for a layer of 4096 x 4096.
WIDE_MAPS = (
    ("output_channel", 16),
    ("output_channel", 64),
    ("output_channel", 1024),
    ("input_channel", 64),
    ("input_channel", 1024),
)


def ordered(scores: np.ndarray, pe_map: str, order: str, **options) -> Solution:
    budget = options.pop("budget", None)
    sparsity = options.pop("sparsity", None)
    problem = RetentionProblem(
        scores,
        PEMap.parse(pe_map, scores.shape, options.pop("pes", PES)),
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


def drawn(shape: tuple[int, int], spread: float) -> np.ndarray:
    """Gaussian magnitudes; `spread` of the logarithm of the channels' scales."""
    rng = np.random.default_rng(0)
    scores = np.abs(rng.standard_normal(shape, dtype=np.float32))
    for axis in (0, 1):
        scale = rng.lognormal(0, spread, shape[axis]).astype(np.float32)
        scores *= np.expand_dims(scale, 1 - axis)
    return scores


def wide(seconds: list[float]) -> None:
    """Orders of wide layers: efficacy under 2:4, share and gap of other maps."""
    columns = "".join(f"{f'{limit:g} s':>16}" for limit in seconds)
    print(f"{'2:4, efficacy in %':24}{'dealt':>8}{columns}")
    for shape in WIDE:
        for spread in (0.0, 1.0):
            scores = drawn(shape, spread)
            fixed = ordered(scores, "2:4", "fixed")
            best = top_k_sum(scores, fixed.nonzeros)

            def efficacy(kept, fixed=fixed.kept, best=best):
                return 100 * (kept - fixed) / (best - fixed)

            row = f"{efficacy(ordered(scores, '2:4', 'sorted').kept):8.2f}"
            for limit in seconds:
                found = ordered(scores, "2:4", "optimized", time_limit=limit)
                row += f"{efficacy(found.kept):8.2f} {found.seconds:5.1f} s"
            name = f"{shape[0]} x {shape[1]}, spread {spread:g}"
            print(f"{name:24}{row}", flush=True)
    print(f"{'4096 x 4096, 90 %':24}{'PEs':>6}{'fixed':>9}{columns}")
    for spec, pes in WIDE_MAPS:
        scores = drawn((4096, 4096), 0.5)
        fixed = ordered(scores, spec, "fixed", pes=pes, sparsity=0.9)
        best = top_k_sum(scores, fixed.nonzeros)
        row = f"{spec:24}{pes:6}{fixed.kept / best:9.5f}"
        for limit in seconds:
            found = ordered(
                scores, spec, "optimized", pes=pes, sparsity=0.9, time_limit=limit
            )
            row += f"{found.kept / best:9.5f} {found.gap:.1e} {found.seconds:4.1f} s"
        print(row, flush=True)


def stripes(seconds: list[float], shape: tuple[int, int] = (512, 2048)) -> None:
    """Stripe search beside ours, with the same time."""
    for spread in (0.0, 1.0):
        scores = drawn(shape, spread)
        fixed = ordered(scores, "2:4", "fixed")
        best = top_k_sum(scores, fixed.nonzeros)
        search = StripeSearch(scores)
        for limit in seconds:
            search.run(limit)
            assert np.isclose(
                ordered(scores[:, search.order], "2:4", "fixed").kept, search.kept
            )
            ours = ordered(scores, "2:4", "optimized", time_limit=limit)
            row = "".join(
                f"  {name} {100 * (kept - fixed.kept) / (best - fixed.kept):6.2f} %"
                for name, kept in (("stripes", search.kept), ("ours", ours.kept))
            )
            ended = "complete" if search.complete else ""
            print(f"spread {spread:g}, {limit:4g} s{row}  {ended}", flush=True)


def proofs(seconds: list[float]) -> None:
    """Gaps of 256-channel convolutions as they are late in a lottery run."""
    rng = np.random.default_rng(0)
    shape = (256, 256, 3, 3)
    rows, columns = (rng.lognormal(0, 0.4, (n, 1, 1)) for n in (256, 256))
    layers = {
        "Gaussian": np.abs(rng.standard_normal(shape)),
        "Student t, 4": np.abs(rng.standard_t(4, shape)),
        "with channel scales": np.abs(rng.standard_t(4, shape))
        * rows[:, None]
        * columns,
    }
    print(f"{'256 x 256 x 3 x 3':24}{'sparsity':>9}{'kept':>9}  gap in seconds")
    for name, scores in layers.items():
        for sparsity in (0.95, 0.982):
            row = ""
            for limit in seconds:
                found = ordered(
                    scores,
                    "output_channel",
                    "optimized",
                    sparsity=sparsity,
                    time_limit=limit,
                )
                row += f"  {found.gap:.1e} {found.seconds:.1f} s"
            best = top_k_sum(scores, found.nonzeros)
            print(f"{name:24}{sparsity:9}{found.kept / best:9.5f}{row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("files", nargs="*", type=Path, help="tickets; default: shipped")
    parser.add_argument("--limits", nargs="+", type=float, help="of time or of work")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--processor-time", action="store_true", help="for a machine that is busy"
    )
    args = parser.parse_args()
    if args.processor_time:
        time.perf_counter = time.process_time
    if args.what == "tickets":
        tickets(args.files)
    elif args.what == "blocks":
        blocks(args.limits or [1, 4])
    elif args.what == "effort":
        effort(args.limits or [0.1, 0.3, 1, 3, 10, 30])
    elif args.what in ("wide", "stripes", "proofs"):
        {"wide": wide, "stripes": stripes, "proofs": proofs}[args.what](
            args.limits or ([10, 40] if args.what == "wide" else [1, 10])
        )
    elif args.what == "limits":
        limits(args.limits or [1, 5])
    else:
        network(args.rounds)


if __name__ == "__main__":
    main()
