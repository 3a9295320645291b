"""Mutation testing: do the tests notice when the code is wrong?

    python -m tests.mutation                        # a sample over all targets
    python -m tests.mutation --target 'hwmodel/*' --sample 0        # all of these
    python -m tests.mutation --again report.json    # survivors of an earlier run

Changes one place of one file at a time, runs the tests that `targets` names for the
file, and counts how many changes they notice.

* A **mutant** is one such change, by one of the operators of `mutants`; those that
  would not parse do not count.
* It is **killed** if a test fails, or if its module or the tests cannot be imported.
* It **timed out** if the tests took several times the processor or wall-clock time
  they take without it. That counts as noticed.
* It **survived** if all tests pass. Either a test is missing or the mutant is
  equivalent: no test could tell it from the original.
* The **score** is (killed + timed out) / all tested.

The sample takes the same share of every file, drawn by the seed; the interval is
Wilson's. Ctrl-C ends a run early, with the score of what it has tested, a smaller
sample. Properties run with the Hypothesis profile `mutation`: few examples, always the
same. On a machine so busy that tests with a clock fail, mutants die for nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

# One thread for each process; it must be said before NumPy is imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from . import report, trial
from .mutants import Mutant, mutants
from .targets import PRELOADED, TARGETS, TUNING

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 if the score is below what was asked."""
    options = _parser().parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    tests_of = {
        path: tests
        for path, tests in _files().items()
        if not options.target or any(fnmatch(path, glob) for glob in options.target)
    }
    # Both end a run early, even in a shell that lets background jobs ignore Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if not tests_of:
        raise SystemExit("no target matches")
    every = {
        path: mutants(path, (ROOT / path).read_text(encoding="utf-8"), TUNING)
        for path in tests_of
    }
    population = Counter({path: len(found) for path, found in every.items()})
    if options.list:
        for path, number in population.items():
            print(f"{number:6,}  {path}")
        print(f"{population.total():6,}  in all")
        return 0
    if options.again:
        chosen = _survivors(every, Path(options.again))
    else:
        chosen = _sample(every, options.sample, options.seed)

    trial.preload(PRELOADED)
    limits = {}
    for tests in dict.fromkeys(tests_of[mutant.path] for mutant in chosen):
        before, limits[tests] = trial.measure(ROOT, tests)
        _say(f"unchanged, {len(tests)} files of tests: {before.seconds:.1f} s")
        if before.verdict != "survived":
            raise SystemExit(
                f"the tests {before.verdict} without a change: {before.by or tests}"
            )
    results, begun = [], time.perf_counter()
    trials = trial.run(
        chosen,
        ROOT,
        lambda mutant: tests_of[mutant.path],
        lambda mutant: limits[tests_of[mutant.path]],
        options.jobs,
    )
    try:
        for mutant, tried in trials:
            results.append((mutant, tried))
            passed = time.perf_counter() - begun
            left = passed / len(results) * (len(chosen) - len(results))
            _say(
                f"{len(results)}/{len(chosen)} {tried.verdict} "
                f"{mutant.path}:{mutant.line} ({tried.seconds:.1f} s; "
                f"{left / 60:.0f} min left) {tried.by}"
            )
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the summary takes a moment
        trials.close()
        _say("interrupted: what has been tested is a smaller sample")
    results.sort(key=lambda result: result[0].key)
    found = report.summary(population, results)
    found |= {"seed": options.seed, "seconds": time.perf_counter() - begun}
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(report.lines(found)))
    return int(found["score"] is not None and found["score"] < options.at_least / 100)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Change the code in one place at a time; do the tests notice?",
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=SAMPLE,
        metavar="N",
        help="test N of the mutants; 0 for all (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument(
        "--target",
        action="append",
        metavar="GLOB",
        help="only these of the target files; may be given several times",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--json", metavar="FILE", help="write everything here too")
    parser.add_argument(
        "--again", metavar="FILE", help="only the survivors in a file from --json"
    )
    parser.add_argument(
        "--at-least",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="exit with 1 if the score is lower",
    )
    parser.add_argument("--list", action="store_true", help="only count the mutants")
    return parser


def _files() -> dict[str, tuple[str, ...]]:
    """Target files and their tests; a pattern that matches nothing is an error."""
    files: dict[str, tuple[str, ...]] = {}
    for pattern, tests in TARGETS.items():
        named = tuple(path for test in tests for path in _matching(test))
        for path in _matching(pattern):
            files.setdefault(path, named)
    return files


def _matching(pattern: str) -> list[str]:
    paths = []
    for glob in _braces(pattern):
        found = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(glob)]
        if not found:
            raise SystemExit(f"targets: {glob} matches no file")
        paths += found
    return sorted(paths)


def _braces(pattern: str) -> list[str]:
    """Write out ``{a,b}``; ``**`` at the end means all files below."""
    if found := re.search(r"\{([^}]*)\}", pattern):
        head, tail = pattern[: found.start()], pattern[found.end() :]
        return [
            one for part in found[1].split(",") for one in _braces(head + part + tail)
        ]
    return [pattern + "/*.py" if pattern.endswith("**") else pattern]


def _sample(every: dict[str, list[Mutant]], size: int, seed: int) -> list[Mutant]:
    """Draw the same share of every file, the rest where most is lost by rounding."""
    total = sum(len(found) for found in every.values())
    share = min(1.0, size / total) if size > 0 else 1.0
    numbers = {path: math.floor(share * len(found)) for path, found in every.items()}
    by_loss = sorted(every, key=lambda path: numbers[path] - share * len(every[path]))
    for path in by_loss[: round(share * total) - sum(numbers.values())]:
        numbers[path] += 1
    draw = random.Random(seed)
    chosen = [
        mutant
        for path, found in every.items()
        for mutant in draw.sample(found, numbers[path])
    ]
    draw.shuffle(chosen)  # so that the time left can be told
    return chosen


def _survivors(every: dict[str, list[Mutant]], path: Path) -> list[Mutant]:
    trials = json.loads(path.read_text(encoding="utf-8"))["trials"]
    keys = {tuple(one["key"]) for one in trials if one["verdict"] == "survived"}
    return [m for found in every.values() for m in found if m.key in keys]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
