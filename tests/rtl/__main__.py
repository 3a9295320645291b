"""Random layers on the array: ``python -m tests.rtl --layers 200``."""

import argparse
import sys
from collections import Counter

from rtl.comparison import compare
from tests.rtl_cases import ARRAYS, random_jobs


def main() -> int:
    """Run as many layers as asked; exit with 1 if one differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.rtl", description=__doc__)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counted: Counter[str] = Counter()
    wrong = 0
    for number, (pes, skip) in enumerate(ARRAYS):
        share = len(range(number, asked.layers, len(ARRAYS)))
        for one in compare(random_jobs(share, pes, asked.seed), skip):
            counted[f"{skip}, {one.job.barrier}"] += 1
            if not one.agrees:
                wrong += 1
                name = one.job.layer.name
                print(f"{pes} PEs, {skip}, {one.job.barrier}, {name}: differs")
    for kind, layers in sorted(counted.items()):
        print(f"{layers:5} layers: {kind}")
    print(f"{sum(counted.values())} layers, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
