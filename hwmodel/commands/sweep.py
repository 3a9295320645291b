"""The command `sweep`: many designs, one row each."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from balancer.valid_json import to_json
from hwmodel.commands.asides import progress_bar, shows_progress, tell
from hwmodel.commands.console import remark, say, show
from hwmodel.commands.contract import Command, UsageError, WorkFailedError, usage_errors
from hwmodel.commands.plot_option import add_plot, check_plot
from hwmodel.commands.safe_text import in_one_line

if TYPE_CHECKING:
    from hwmodel import SweepProgress, SweepResult
    from hwmodel.sweeps.trainer import PointTrainer

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  %(prog)s design.toml
      every combination of the lists in the file, in as many processes as processors;
      the same command goes on with a sweep that was stopped
  %(prog)s design.toml --scheduler tcp://node1:8786
      the same on the workers of a Dask scheduler
  %(prog)s design.toml --slurm jobs=8,cores=4,memory=16GB,walltime=02:00:00
      the same in jobs of Slurm
"""
SAID_EVERY = 60.0  # seconds, where no terminal shows a bar


class Swept(NamedTuple):
    """A sweep that is over, and its files."""

    result: SweepResult
    files: list[Path]


class Sweep(Command[Swept]):
    """Run a sweep.

    Parameters
    ----------
    trainer_of : callable
        Makes who trains, where the file has a table ``training``; this package cannot.
    """

    name = "sweep"
    help = "many designs: arrays, maps, sparsities, methods, accelerators, one row each"
    description = (
        "Run every combination of the settings in a file, each of which may be a list: "
        "PEs, maps, sparsity, method, order, accelerator and any field of its "
        "description, seed. Rows are written as their runs end; what is done is not "
        "run again, and what failed is."
    )
    examples = EXAMPLES

    def __init__(self, trainer_of: Callable[[], PointTrainer]) -> None:
        self._trainer_of = trainer_of

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `sweep`."""
        parser.add_argument(
            "file",
            type=Path,
            metavar="FILE.toml",
            help="settings of the runs, any of them a list (see docs/sweeps.md)",
        )
        place = parser.add_argument_group("where it runs")
        where = place.add_mutually_exclusive_group()
        where.add_argument(
            "--workers",
            type=int,
            metavar="N",
            help="processes of this machine (default: as many as processors); 0 runs "
            "everything in this one",
        )
        where.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="of a Dask scheduler, as tcp://host:8786, whose workers run the tasks",
        )
        where.add_argument(
            "--slurm",
            metavar="NAME=VALUE,…",
            help="jobs of Slurm that run the tasks: jobs=8,cores=4,memory=16GB and any "
            "option of dask_jobqueue.SLURMCluster",
        )
        output = parser.add_argument_group("output")
        output.add_argument(
            "--out",
            type=Path,
            metavar="FOLDER",
            help="for rows.jsonl, table.csv and sweep.svg (default: runs/sweep-FILE)",
        )
        add_plot(
            output,
            "costs against what is kept; by default sweep.svg in the folder, if "
            "matplotlib is there",
        )
        output.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document instead of tables",
        )

    def run(self, args: argparse.Namespace) -> Swept:
        """Run what is missing; write the table and the figure."""
        from hwmodel import SweepPlan, sweep

        check_plot(args)
        if args.workers is not None and args.workers < 0:
            raise UsageError(f"--workers is {args.workers}; the least is 0")
        with usage_errors():
            plan = SweepPlan.read(args.file, self._trainer_of())
            if args.slurm is not None:
                from hwmodel.sweeps.cluster import slurm_options

                slurm_options(args.slurm)
        with _following(plan.axes) as follow:
            result = sweep(
                plan,
                out=_folder(args),
                workers=args.workers,
                scheduler=args.scheduler,
                slurm=args.slurm,
                progress=follow,
            )
        files = [result.folder / name for name in ("rows.jsonl", "table.csv")]
        figure = _figure(args, result)
        if figure is not None:
            result.plot(figure)
            files.append(figure)
        return Swept(result, files)

    def print(self, outcome: Swept, args: argparse.Namespace) -> None:
        """Print the table and what to mind, or the rows as JSON."""
        from hwmodel.commands.sweep_tables import sweep_notes, sweep_table

        result, files = outcome
        if args.json:
            document = {
                "rows": result.rows,
                "axes": result.plan.axes,
                "value": result.value,
                "front": {
                    cost: [row["key"] for row in result.front(cost)]
                    for cost in ("cycles", "energy")
                },
                "outputs": [str(file) for file in files],
            }
            print(to_json(document, indent=1))
        else:
            show(sweep_table(result))
            for note in sweep_notes(result):
                remark(note)
            for file in files:
                say(f"written: {file}")
        if result.failures:
            raise WorkFailedError(
                f"{len(result.failures)} of {len(result.rows)} runs failed, the first "
                f"with: {result.failures[0]['error']} (the same command tries them "
                "again)"
            )

    def interrupted(self, args: argparse.Namespace) -> str:
        """Say that nothing is lost but what was running."""
        return (
            f"finished runs are in {_folder(args)}, and the same command goes on with "
            "the others"
        )


def _folder(args: argparse.Namespace) -> Path:
    out: Path | None = args.out
    return Path("runs") / f"sweep-{args.file.stem}" if out is None else out


def _figure(args: argparse.Namespace, result: SweepResult) -> Path | None:
    """Say where the figure goes; None if none was asked for and none is possible."""
    if args.plot is not None:
        return Path(args.plot)
    drawable = any(row["cycles"] is not None for row in result.done)
    if not drawable or importlib.util.find_spec("matplotlib") is None:
        return None
    return result.folder / "sweep.svg"


@contextmanager
def _following(axes: tuple[str, ...]) -> Iterator[Callable[[SweepProgress], None]]:
    """Yield what shows the progress: a bar, or now and then a line."""
    from hwmodel.sweeps.labels import label

    said = time.monotonic()
    with progress_bar("left") as bar:
        task = bar.add_task("sweeping", total=None, left="")

        def follow(known: SweepProgress) -> None:
            nonlocal said
            left = _left(known)
            where = label(known.rows[-1], axes) if known.rows else "sweeping"
            bar.update(
                task,
                total=known.tasks,
                completed=known.tasks_done,
                description=in_one_line(where),
                left=left,
            )
            logger.info("%s/%s runs; %s", known.done, known.total, where)
            if not shows_progress() and time.monotonic() - said >= SAID_EVERY:
                said = time.monotonic()
                tell(f"{known.done}/{known.total} runs; {left}")

        yield follow


def _left(known: SweepProgress) -> str:
    """Say how long the rest takes, and what has failed."""
    parts = []
    if known.failed:
        parts.append(f"{known.failed} failed")
    if known.seconds_left is not None and known.tasks_done < known.tasks:
        minutes, seconds = divmod(round(known.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"about {hours}:{minutes:02}:{seconds:02} left")
    return ", ".join(parts)
