"""Kill commands at random and count what is lost."""

import argparse
import random
import signal
import sys
import time

from . import __doc__
from .jobs import JOBS
from .kills import Kills, Undisturbed


def main() -> int:
    """Kill as often as asked; exit with 1 if a run ended in other files."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=[*JOBS])
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    draw, kills = random.Random(asked.seed), Kills()
    begun = time.perf_counter()
    known = {}
    try:
        for name in asked.jobs:
            known[name] = Undisturbed.of(JOBS[name])
            one = known[name]
            said = f"{name}: {one.changes} changes of files in {one.seconds:.1f} s"
            print(said, flush=True)
        while kills.total < asked.kills:
            for name in asked.jobs:
                told = len(kills.wrong)
                kills.one_run(JOBS[name], known[name], draw)
                for wrong in kills.wrong[told:]:
                    print(wrong, flush=True)
                said = f"{kills.total} kills in {kills.runs} runs so far"
                print(said, file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped")
    for kind, count in sorted(kills.kills.items()):
        print(f"{count:4} {kind}")
    seconds = time.perf_counter() - begun
    print(
        f"{kills.total} kills in {kills.runs} runs, {seconds:.0f} s; "
        f"wrong: {len(kills.wrong) or 'none'}"
    )
    return 1 if kills.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
