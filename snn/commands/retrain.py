"""The command `retrain`: train a ticket's network with the masks chosen for it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.valid_json import to_json
from hwmodel.commands.console import percent, say, show, whole
from hwmodel.commands.contract import Command, UsageError
from hwmodel.commands.text_tables import TextTable
from snn.commands.config_options import add_field, given_fields
from snn.commands.progress import epoch_bar
from snn.commands.run_options import add_again, add_output, how_to_go_on
from snn.commands.torch_needed import require_torch

if TYPE_CHECKING:
    from snn.lottery.config import LotteryConfig
    from snn.lottery.watcher import Watcher
    from snn.retraining.retrain import RetrainResult
    from snn.training.trainer import EpochReport

EXAMPLES = """\
examples:
  %(prog)s runs/balance-digits-conv3-1234abcd/masks.safetensors
      train the ticket that comes with the package with masks of the command balance
  %(prog)s masks.safetensors --ticket runs/lottery-x/round-12.safetensors --resume
      another ticket; go on where a training was stopped
  %(prog)s runs/lottery-x/round-12.safetensors --start present --epochs 40
      a ticket with its own masks, longer than in its run, from its own weights
"""
# Fields of a run's configuration that only say how its network is trained.
EXTRA_FIELDS = ("data_folder", "download")


class Retrain(Command["RetrainResult"]):
    """Train with given masks."""

    name = "retrain"
    help = "train a ticket's network with balanced masks"
    description = (
        "Train the network of a lottery ticket with masks of the command balance (or "
        "its own), as a round of its run was trained, and tell its test accuracy "
        "before, with the masks alone, and when it is trained. The result is a "
        "ticket. The test images choose nothing."
    )
    examples = EXAMPLES

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options: those of training, whose defaults are the run's."""
        _add_options(parser)

    def run(self, args: argparse.Namespace) -> RetrainResult:
        """Train, or read what was trained already."""
        if args.training_seed < 0:
            raise UsageError(f"--training-seed is {args.training_seed}; from 0")
        require_torch()
        from snn.retraining.retrain import retrain

        with _following() as watcher:
            return retrain(
                args.masks,
                args.ticket,
                start=args.start,
                seed=args.training_seed,
                root=args.out,
                resume=args.resume,
                restart=args.restart,
                watcher=watcher,
                **given_fields(args),
            )

    def print(self, outcome: RetrainResult, args: argparse.Namespace) -> None:
        """Print accuracy and cost, step by step, or one JSON document."""
        if args.json:
            print(to_json(outcome.to_dict(), indent=1))
            return
        show(_table(outcome))
        after = outcome.after
        change = (after.accuracy - outcome.before.accuracy) * 100
        say(
            f"{after.epochs} epochs from the {outcome.start} weights: {change:+.2f} "
            "points of test accuracy against the ticket."
        )
        say(f"ticket: {outcome.ticket}")

    def interrupted(self, args: argparse.Namespace) -> str:
        """Say how to go on."""
        return how_to_go_on(args)


def _table(result: RetrainResult) -> TextTable:
    after, before = result.after, result.before
    rows = [
        ("the ticket", before.accuracy, before),
        ("with the masks", result.balanced, after),
        ("trained with them", after.accuracy, after),
    ]
    header = ("", "accuracy", "non-zeros", "utilization", "cycles")
    return TextTable(
        header,
        [
            (
                what,
                percent(accuracy),
                f"{masks.nonzeros:,}",
                f"{masks.utilization:.3f}",
                whole(masks.cycles),
            )
            for what, accuracy, masks in rows
        ],
        ("",),
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    from snn.training.config import TrainingConfig

    parser.add_argument(
        "masks",
        type=Path,
        metavar="MASKS|TICKET",
        help="masks that the command balance wrote, or a ticket of the command lottery "
        "to train with its own",
    )
    parser.add_argument(
        "--ticket",
        type=Path,
        metavar="TICKET",
        help="the ticket that the masks were chosen for (default: the one they name, "
        "beside them, here, or in this package)",
    )
    parser.add_argument(
        "--start",
        choices=("rewound", "present"),
        default="rewound",
        help="from the weights of the rewind epoch, found by training the dense "
        "network for so long, or from the ticket's own (default: %(default)s)",
    )
    add_again(parser)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--training-seed",
        type=int,
        default=0,
        metavar="N",
        help="another number takes the images in another order (default: %(default)s)",
    )
    for name in (*TrainingConfig.model_fields, *EXTRA_FIELDS):
        known = name in TrainingConfig.model_fields and name != "tensorboard"
        add_field(training, name, "as in the ticket's run" if known else None)
    add_output(parser)


@contextmanager
def _following() -> Iterator[Watcher]:
    """Yield what moves a bar, once it is known how long training takes."""
    from contextlib import ExitStack

    from snn.lottery.watcher import Watcher

    with ExitStack() as bars:

        class Showing(Watcher):
            advance: Any = None
            first = 0

            def begin(self, folder: Path, config: LotteryConfig) -> None:
                self.first = config.rewind_epoch
                self.advance = bars.enter_context(epoch_bar(config.epochs - self.first))

            def epoch(self, number: int, report: EpochReport) -> None:
                self.advance(report.epoch - self.first, "training", report)

        yield Showing()
