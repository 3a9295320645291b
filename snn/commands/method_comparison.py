"""`lottery --compare` and `--merge`: several methods with the same seeds."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.valid_json import to_json
from hwmodel.commands.asides import tell
from hwmodel.commands.console import remark, say, show
from hwmodel.commands.contract import UsageError, WorkFailedError

if TYPE_CHECKING:
    from snn.lottery.comparison import MethodComparison
    from snn.lottery.config import LotteryConfig
    from snn.lottery.run_comparison import RunProgress

DEFAULT_SEEDS = 3  # of each method


@dataclass(frozen=True, slots=True)
class ComparedMethods:
    """A comparison, the rounds of it that are shown, and its files."""

    comparison: MethodComparison
    rounds: list[int]
    document: dict[str, Any]
    files: list[Path]


def run_comparison(config: LotteryConfig, args: argparse.Namespace) -> ComparedMethods:
    """Run the methods, and write what they differ in."""
    from snn.lottery.run_comparison import compare_methods

    _check(args)
    methods = [name.strip() for name in args.compare.split(",")]
    seeds = range(config.seed, config.seed + (args.seeds or DEFAULT_SEEDS))
    comparison = compare_methods(
        config,
        methods,
        seeds,
        root=args.out,
        jobs=args.jobs or 1,
        progress=_say_progress,
    )
    return _written(comparison, str(seeds), args)


def run_merge(args: argparse.Namespace) -> ComparedMethods:
    """Join the comparisons of several files, and write what the methods differ in."""
    from snn.lottery.merging import merge_comparisons, read_comparison

    _check(args)
    merged = merge_comparisons(*map(read_comparison, args.merge))
    return _written(merged, str(merged.seeds), args)


def _written(
    comparison: MethodComparison, seeds: str, args: argparse.Namespace
) -> ComparedMethods:
    """Write a comparison into a folder with the digest of what it compares."""
    from balancer.files.atomic import replacing
    from snn.commands.comparison_tables import comparison_markdown
    from snn.lottery.plots import plot_comparison
    from snn.lottery.statistics import report, shown_rounds
    from snn.lottery.variants import own_settings

    config = comparison.config
    rounds = shown_rounds(comparison)
    digest = config.digest(",".join(comparison.methods) + seeds)
    folder = args.out / f"compare-{digest}"
    plot = args.plot or folder / "comparison.svg"
    files = [*(folder / f"comparison.{kind}" for kind in ("json", "csv", "md")), plot]
    document = {
        **comparison.to_dict(),
        **report(comparison, rounds),
        "settings": own_settings(comparison.config, comparison.methods),
        "outputs": [str(file) for file in files],
    }
    with replacing(*files) as (json_file, csv_file, text_file, plot_file):
        json_file.write_text(to_json(document, indent=1) + "\n")
        csv_file.write_text(comparison.to_csv())
        text_file.write_text(comparison_markdown(comparison, rounds, plot.name))
        plot_comparison(comparison, plot_file)
    return ComparedMethods(comparison, rounds, document, files)


def print_comparison(outcome: ComparedMethods, args: argparse.Namespace) -> None:
    """Print tables and notes, or one JSON document."""
    from snn.commands.comparison_tables import comparison_notes, sections

    if args.json:
        print(to_json(outcome.document, indent=1))
    else:
        for title, table in sections(outcome.comparison, outcome.rounds):
            say(title)
            show(table)
            say("")
        for note in comparison_notes(outcome.comparison, outcome.rounds):
            remark(note)
        for file in outcome.files:
            say(f"written: {file}")
    if outcome.comparison.failures:
        raise WorkFailedError(
            "; ".join(str(failure) for failure in outcome.comparison.failures)
        )


def _check(args: argparse.Namespace) -> None:
    """Refuse wrong options before any run."""
    if args.restart:
        raise UsageError("--compare goes on with its runs; delete those to begin again")
    for option in ("seeds", "jobs"):
        given = getattr(args, option)
        if given is not None and given < 1:
            raise UsageError(f"--{option} is {given}; the least is 1")


def _say_progress(progress: RunProgress) -> None:
    """Say on stderr which run is over, and how long the others take."""
    left = progress.seconds_left
    said = f"; about {left / 60:.0f} min left" if left else ""
    one = progress.ended
    tell(f"{progress.done}/{progress.total}: {one.method}, seed {one.seed}{said}")
