"""Check the programs of consecutive seeds and count what is wrong."""

import argparse
import sys
import time
import traceback
from collections import Counter

from . import PROGRAMS, __doc__, check


def main() -> int:
    """Check as many programs as asked; exit with 1 if a claim is false."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.exactness", description=__doc__
    )
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--kinds", nargs="+", choices=PROGRAMS, default=[*PROGRAMS])
    asked = parser.parse_args()
    found: Counter[str] = Counter()
    begun, done = time.perf_counter(), 0
    try:
        for seed in range(asked.seed, asked.seed + asked.programs):
            try:
                wrong = check(seed, tuple(asked.kinds))
            except Exception:  # an error of ours is as wrong as a false claim
                wrong = [f"error: {traceback.format_exc().strip()}"]
            done += 1
            for one in wrong:
                print(f"program {seed}: {one}", flush=True)
                found[one.split(":")[0]] += 1
            if done % 1000 == 0:
                print(f"{done} programs so far", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped")
    seconds = time.perf_counter() - begun
    print(f"{done} programs in {seconds:.0f} s, false claims: {dict(found) or 'none'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
