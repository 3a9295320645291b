"""The command `bench`: what balancing costs, beside sorting the same weights."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from balancer.valid_json import to_json
from hwmodel.commands.asides import progress_bar, shows_progress, tell
from hwmodel.commands.completers import map_texts, offer
from hwmodel.commands.console import remark, say, show
from hwmodel.commands.contract import (
    CancelledError,
    Command,
    UsageError,
    WorkFailedError,
    usage_errors,
)
from hwmodel.commands.plot_option import add_plot, check_plot

if TYPE_CHECKING:
    from hwmodel import BenchResult
    from hwmodel.bench.reference import Regression
    from hwmodel.bench.run import BenchProgress

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  %(prog)s
      all maps and methods, 1e3 to 1e7 weights, in about two minutes
  %(prog)s --maps output_channel --pes 2,16,128,1024 --sparsity 0.5,0.9,0.999
      one map; lists with commas are combined
  %(prog)s --sizes 1e6,1e7,1e8 --methods cp-sat,topk-per-pe --plot bench.svg
      larger layers, some methods, and a figure
  %(prog)s --save-reference reference.json
      keep the ratios, to compare with later
  %(prog)s --reference reference.json
      exit status 1 if something takes 1.5 times as long as it did
"""
SAID_EVERY = 20.0  # seconds, where no terminal shows a bar


class BenchOutcome(NamedTuple):
    """A benchmark that is over, and how it compares."""

    result: BenchResult
    regressions: list[Regression]
    compared: int
    files: list[Path]


class Bench(Command[BenchOutcome]):
    """Run a benchmark."""

    name = "bench"
    help = "what balancing costs, by size, map and method, beside a sort"
    description = (
        "Time the programs and solvers of this package, baselines, torch.topk and "
        "SciPy's milp on layers of some sizes. Every call is timed in turn with a sort "
        "of the rows of the same weights, in time of the processor, and compared with "
        "it: such a ratio depends less on the machine than seconds do."
    )
    examples = EXAMPLES

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `bench`."""
        from hwmodel.bench.methods import METHODS
        from hwmodel.bench.reference import TOLERANCE
        from hwmodel.bench.run import size_text
        from hwmodel.bench.settings import MAPS, SIZES, BenchSettings

        default = BenchSettings()
        what = parser.add_argument_group("what is measured (lists have commas)")
        what.add_argument(
            "--sizes",
            type=_list_of(_whole, "whole numbers, as 1e4,1e6"),
            default=SIZES,
            metavar="N,…",
            help="weights of the layers, about: 1e4,1e6 (default: "
            f"{','.join(map(size_text, SIZES))}); 1e9 take about 6 GB",
        )
        maps = what.add_argument(
            "--maps",
            type=_list_of(str),
            default=MAPS,
            metavar="MAP,…",
            help=f"PE maps (default: {','.join(MAPS)})",
        )
        offer(maps, map_texts)
        what.add_argument(
            "--pes",
            type=_list_of(_whole, "whole numbers, as 1e4,1e6"),
            default=default.pes,
            metavar="P,…",
            help="PEs, for maps that do not say how many there are (default: 16)",
        )
        what.add_argument(
            "--sparsity",
            type=_list_of(float, "numbers, as 0.5,0.9"),
            default=default.sparsity,
            metavar="S,…",
            help="shares of the weights to prune (default: 0.98)",
        )
        methods = what.add_argument(
            "--methods",
            type=_list_of(str),
            metavar="NAME,…",
            help=_listed({name: one.help for name, one in METHODS.items()}),
        )
        offer(methods, lambda: METHODS)
        how = parser.add_argument_group("how")
        how.add_argument(
            "--repeats",
            type=int,
            default=default.repeats,
            metavar="N",
            help="least number of pairs of a call and a sort; calls of 0.25 s and more "
            "are timed once (default: %(default)s)",
        )
        how.add_argument(
            "--call-limit",
            type=float,
            default=default.call_limit,
            metavar="SECONDS",
            help="leave out sizes whose calls would take longer, and limit searches "
            "(default: %(default)g)",
        )
        how.add_argument(
            "--seed",
            type=int,
            default=0,
            metavar="N",
            help="draws the weights (default: %(default)s)",
        )
        before = parser.add_argument_group("comparison with what was measured before")
        before.add_argument(
            "--reference",
            type=Path,
            metavar="FILE",
            help="compare the ratios with those in a file, and fail if any is too high",
        )
        before.add_argument(
            "--tolerance",
            type=float,
            default=TOLERANCE,
            metavar="X",
            help="how many times as high is too high (default: %(default)g)",
        )
        before.add_argument(
            "--save-reference",
            type=Path,
            metavar="FILE",
            help="write the ratios into a file; after Ctrl-C those there are",
        )
        output = parser.add_argument_group("output")
        add_plot(output, "ratios by size, a panel for each map")
        output.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document instead of the table",
        )

    def run(self, args: argparse.Namespace) -> BenchOutcome:
        """Measure, compare, and write what was asked for."""
        from hwmodel import BenchSettings, run_bench
        from hwmodel.bench.reference import compare, read_reference, save_reference
        from hwmodel.bench.run import check_plan

        check_plot(args)
        if not args.tolerance >= 1:
            raise UsageError(f"--tolerance is {args.tolerance}; the least is 1")
        with usage_errors():
            settings = BenchSettings(
                sizes=args.sizes,
                maps=args.maps,
                pes=args.pes,
                sparsity=args.sparsity,
                methods=args.methods,
                repeats=args.repeats,
                call_limit=args.call_limit,
                seed=args.seed,
            )
            check_plan(settings)
        known = None if args.reference is None else read_reference(args.reference)
        with _following() as follow:
            result = run_bench(settings, follow)
        files = []
        if args.save_reference is not None and result.rows:
            save_reference(result, args.save_reference)
            files.append(args.save_reference)
        if args.plot is not None and result.rows:
            result.plot(args.plot)
            files.append(args.plot)
        found, compared = compare(result, known or {}, args.tolerance)
        return BenchOutcome(result, found, compared, files)

    def print(self, outcome: BenchOutcome, args: argparse.Namespace) -> None:
        """Print the table, or JSON; fail where something became slower."""
        from hwmodel.bench.bench_result import row_dict
        from hwmodel.commands.bench_tables import (
            bench_notes,
            bench_table,
            comparison_notes,
        )

        result, regressions, compared, files = outcome
        if args.json:
            slower = [
                {**row_dict(one.row), "before": one.before} for one in regressions
            ]
            document = {
                **result.to_dict(),
                "compared": compared,
                "regressions": slower,
                "outputs": [str(file) for file in files],
            }
            print(to_json(document, indent=1))
        else:
            if result.rows:
                show(bench_table(result))
                for note in bench_notes(result):
                    remark(note)
            if args.reference is not None:
                for line in comparison_notes(
                    regressions, compared, args.reference, args.tolerance
                ):
                    say(line)
            for file in files:
                say(f"written: {file}")
        if result.cancelled:
            said = f"{len(result.rows)} calls were measured, and are shown above"
            raise CancelledError(
                f"cancelled: {said if result.rows else 'nothing was measured'}"
            )
        if args.reference is not None and not compared:
            raise WorkFailedError(
                f"{args.reference} has no size, map and method in common with what was "
                "measured; measure those that it holds"
            )
        if regressions:
            raise WorkFailedError(
                f"{len(regressions)} of {compared} calls take more than "
                f"{args.tolerance:g} times as long as {args.reference} says, relative "
                "to the sort"
            )

    def interrupted(self, args: argparse.Namespace) -> str:
        """Say what is left when it is cut short before anything was measured."""
        return "nothing was measured"


def _listed(methods: Mapping[str, str]) -> str:
    """Write the methods as help, in which a percent sign is written twice."""
    listed = "; ".join(f"{name}: {help}" for name, help in methods.items())
    return f"{listed} (default: all that can run here)".replace("%", "%%")


def _list_of(
    kind: Callable[[str], object], what: str = "names"
) -> Callable[[str], tuple[object, ...]]:
    """Make a reader of lists with commas."""

    def read(text: str) -> tuple[object, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of {what}") from None

    return read


def _whole(text: str) -> int:
    """Read a whole number, written as 1000 or 1e3."""
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


@contextmanager
def _following() -> Iterator[Callable[[BenchProgress], None]]:
    """Yield what shows the progress and the time left: a bar, or at times a line."""
    begun = said = time.monotonic()
    with progress_bar() as bar:
        task = bar.add_task("measuring", total=None)

        def follow(known: BenchProgress) -> None:
            nonlocal said
            bar.update(
                task, total=known.total, completed=known.done, description=known.label
            )
            logger.info("%.0f%%; %s", 100 * known.done / known.total, known.label)
            now = time.monotonic()
            if shows_progress() or now - said < SAID_EVERY or not known.done:
                return
            said = now
            left = (now - begun) * (known.total / known.done - 1)
            tell(
                f"{known.done / known.total:.0%} is measured, about {left:.0f} s left; "
                f"next: {known.label}"
            )

        yield follow
