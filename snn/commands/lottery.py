"""The command `lottery`: rounds of training and pruning, of one method or several."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.valid_json import to_json
from hwmodel.commands.console import console as stdout_console
from hwmodel.commands.console import remark, say
from hwmodel.commands.contract import Command, UsageError, usage_errors
from hwmodel.commands.plot_option import add_plot, check_plot
from snn.commands.config_options import add_field, given_fields
from snn.commands.method_comparison import (
    ComparedMethods,
    print_comparison,
    run_comparison,
    run_merge,
)
from snn.commands.progress import epoch_bar
from snn.commands.run_options import add_again, add_output, how_to_go_on
from snn.commands.torch_needed import require_torch

if TYPE_CHECKING:
    from snn.lottery.config import LotteryConfig
    from snn.lottery.results import RoundOutcome
    from snn.lottery.run import LotteryResult
    from snn.lottery.watcher import Watcher
    from snn.training.trainer import EpochReport

EXAMPLES = """\
examples:
  %(prog)s
      digits on two cores in a few minutes: 14 rounds to 98.2 %% sparsity
  %(prog)s --dataset digits --network conv3 --rounds 14 --method optimal --resume
      go on with a run that was stopped, or look at one that is finished
  %(prog)s --config experiments/digits.toml --compare lth,u-ticket,optimal-order \
--seeds 5 --jobs 2
      several methods with the same seeds, in two processes, with mean and deviation
  %(prog)s --compare lth,lth:score=gradient:budgets=lamp,optimal
      methods with settings of their own
  %(prog)s --merge here/comparison.json there/comparison.json
      the seeds of two machines as one comparison
  torchrun --nproc-per-node 4 cli.py lottery --network vgg16 --dataset cifar10 \
--data-folder data --augment
      the same on four GPUs
"""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run of one method, in its main process or in another one of torchrun."""

    result: LotteryResult
    is_main: bool


class Lottery(Command["FinishedRun | ComparedMethods"]):
    """Run lottery rounds."""

    name = "lottery"
    help = "train a spiking network, prune it round by round, balanced"
    description = (
        "Run lottery-ticket rounds: train, prune by the integer program, rewind, "
        "train again. Every round leaves a ticket in the run folder, which is "
        "named after its configuration. The test images choose nothing."
    )
    examples = EXAMPLES

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options: one for each field of the configuration, and a few more."""
        _add_options(parser)

    def run(self, args: argparse.Namespace) -> FinishedRun | ComparedMethods:
        """Run one method, or several with the same seeds."""
        _check_combination(args)
        if args.merge is not None:
            require_torch()
            check_plot(args)
            return run_merge(args)
        config = _config(args)
        require_torch()
        check_plot(args)
        from snn.networks.models import ModelError

        try:
            return self._run(config, args)
        except ModelError as error:
            if args.config is None or args.field_network is not None:
                raise
            raise ModelError(str(error), about=args.config) from error

    @staticmethod
    def _run(
        config: LotteryConfig, args: argparse.Namespace
    ) -> FinishedRun | ComparedMethods:
        if args.compare is not None:
            return run_comparison(config, args)
        from snn.lottery.run import run_lottery
        from snn.training.distributed import Processes

        with Processes.start() as processes, _following(config, args) as watcher:
            result = run_lottery(
                config,
                root=args.out,
                resume=args.resume,
                restart=args.restart,
                processes=processes,
                watcher=watcher,
            )
            if args.plot is not None and processes.is_main:
                from snn.lottery.round_figure import plot_rounds

                plot_rounds(result.outcomes, args.plot)
            return FinishedRun(result, processes.is_main)

    def print(
        self, outcome: FinishedRun | ComparedMethods, args: argparse.Namespace
    ) -> None:
        """Print what came of it; the rows of the rounds are there already."""
        if isinstance(outcome, ComparedMethods):
            print_comparison(outcome, args)
        elif outcome.is_main:
            _print_run(outcome.result, args)

    def interrupted(self, args: argparse.Namespace) -> str:
        """Say how to go on: finished rounds and the last checkpoint are there."""
        if args.compare is not None:
            return "the same command goes on where it stopped"
        return how_to_go_on(args)


def _check_combination(args: argparse.Namespace) -> None:
    """Refuse options that would say nothing."""
    if args.merge is not None:
        others = ("compare", "seeds", "jobs", "config", "resume", "restart")
        useless = [name for name in others if getattr(args, name)]
        useless += [name.replace("_", "-") for name in given_fields(args)]
        if useless:
            raise UsageError(
                f"--{useless[0]} does not go with --merge, which reads what was run"
            )
    elif args.compare is None:
        for option in ("seeds", "jobs"):
            if getattr(args, option) is not None:
                raise UsageError(f"--{option} goes with --compare")


def _add_options(parser: argparse.ArgumentParser) -> None:
    from snn.lottery.config import LotteryConfig
    from snn.training.config import TrainingConfig

    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="file of the settings below (train_size = 3000); options go before it",
    )
    add_again(parser)
    compare = parser.add_argument_group("several runs")
    compare.add_argument(
        "--compare",
        metavar="M,M,…",
        help="run these methods with the same seeds; the first is what the others are "
        "compared with; METHOD:FIELD=VALUE:FLAG gives one settings of its own",
    )
    compare.add_argument(
        "--seeds", type=int, metavar="N", help="so many seeds of each (default: 3)"
    )
    compare.add_argument(
        "--jobs", type=int, metavar="N", help="runs at the same time (default: 1)"
    )
    compare.add_argument(
        "--merge",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="join comparison.json of other seeds, run on other machines, into one",
    )
    training = parser.add_argument_group("training")
    others = parser.add_argument_group("rounds, network and data")
    for name in LotteryConfig.model_fields:
        add_field(training if name in TrainingConfig.model_fields else others, name)
    add_plot(
        parser,
        "accuracy, utilization and cycles of the rounds, or of all methods",
    )
    add_output(parser)


def _print_run(result: LotteryResult, args: argparse.Namespace) -> None:
    from snn.commands.round_table import closing_lines

    if args.json:
        document = {
            "config": result.config.model_dump(mode="json"),
            "folder": str(result.folder),
            "rounds": [outcome.to_dict() for outcome in result.outcomes],
            "ticket": str(result.ticket()),
            "notes": list(result.notes),
        }
        print(to_json(document, indent=1))
        return
    for line in closing_lines(result.dense, result.last):
        say(line)
    for note in result.notes:
        remark(note)
    say(f"ticket: {result.ticket()}")
    if args.plot is not None:
        say(f"figure: {args.plot}")


def _config(args: argparse.Namespace) -> LotteryConfig:
    """Read file and options; what an option says goes before the file."""
    from snn.lottery.config import SCHEDULE, ConfigError, LotteryConfig, read_toml

    where = "" if args.config is None else f"{args.config}: "
    values: dict[str, Any] = {}
    if args.config is not None:
        with usage_errors():
            values = read_toml(args.config)
    _check_schedule(values, where)
    given = given_fields(args)
    _check_schedule(given, "")
    if "sparsities" in given:
        values = {name: v for name, v in values.items() if name not in SCHEDULE}
    elif SCHEDULE & given.keys():
        values.pop("sparsities", None)
    try:
        return LotteryConfig.of(values | given)
    except ConfigError as error:
        raise UsageError(f"{where}{error}") from error


def _check_schedule(given: Mapping[str, Any], where: str) -> None:
    """Refuse two schedules in one place, of which one would say nothing."""
    from snn.lottery.config import SCHEDULE

    if "sparsities" in given and (both := sorted(SCHEDULE & given.keys())):
        raise UsageError(
            f"{where}{both[0]} and sparsities are given, but sparsities say how many "
            "rounds there are and what each prunes; leave one out"
        )


@contextmanager
def _following(config: LotteryConfig, args: argparse.Namespace) -> Iterator[Watcher]:
    """Yield what prints the rounds, below a progress bar where there is a terminal."""
    from snn.commands.round_table import RoundTable
    from snn.lottery.watcher import Watcher

    table = RoundTable(stdout_console().width)
    rounds = len(config.schedule_of_sparsity) - 1
    later = config.epochs - config.rewind_epoch

    class Printing(Watcher):
        def begin(self, folder: Path, config: LotteryConfig) -> None:
            if not args.json:
                remark(f"{folder}: {config.method}, seed {config.seed}")
                for line in table.header():
                    say(line)

        def epoch(self, number: int, report: EpochReport) -> None:
            done = (number > 0) * (config.epochs + (number - 1) * later)
            first = config.rewind_epoch if number else 0
            advance(done + report.epoch - first, f"round {number} of {rounds}", report)

        def round(self, outcome: RoundOutcome) -> None:
            if not args.json:
                say(table.line(outcome))

    with epoch_bar(config.epochs + rounds * later) as advance:
        yield Printing()
