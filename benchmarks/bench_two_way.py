"""Time and gap of two-way balanced masks: exact flow, cycle canceling, greedy.

    OMP_NUM_THREADS=1 python benchmarks/bench_two_way.py [--sizes 1024 4096]

Magnitudes of Gaussian weights, one thread, solvers one after another. "below the best"
is what a mask keeps less than the exact one, the gap what its own bound leaves open.
"""

import argparse
import time

import numpy as np

from balancer import PEMap, TransposableProblem, TwoWayProblem, solve_two_way

PATTERNS = ((2, 4), (4, 8), (8, 16), (16, 32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096])
    args = parser.parse_args()
    solve_two_way(TransposableProblem(np.ones((4, 4)), 2, 4))  # imports
    for size in args.sizes:
        rng = np.random.default_rng(0)
        scores = np.abs(rng.standard_normal((size, size), dtype=np.float32))
        begun = time.perf_counter()
        np.sort(scores, axis=1)
        print(f"{size} x {size}, row sort {time.perf_counter() - begun:.3f} s")
        for n, m in PATTERNS:
            problem = TransposableProblem(scores, n, m)
            best = None
            for solver in ("flow", "cycles", "greedy"):
                found = solve_two_way(problem, solver, time_limit=120)
                best = best or found.kept
                print(
                    f"{n:3}:{m:<3} {solver:7} {found.seconds:7.2f} s, gap "
                    f"{found.gap:.1e}, below the best {1 - found.kept / best:.1e}, "
                    f"{found.termination}",
                    flush=True,
                )
    print("every row and column of one matrix with the same load, one flow")
    for size, load in ((256, 5), (512, 10), (1024, 20)):
        scores = np.abs(np.random.default_rng(0).standard_normal((size, size)))
        rows = PEMap.interleaved(scores.shape, size)
        columns = PEMap.from_labels(group=0, pe=np.arange(size)[None].repeat(size, 0))
        problem = TwoWayProblem(scores, rows, columns, load, load)
        found = solve_two_way(problem)
        print(
            f"{size} x {size}, load {load}: {found.seconds:.2f} s, gap {found.gap:.1e}"
        )


if __name__ == "__main__":
    main()
