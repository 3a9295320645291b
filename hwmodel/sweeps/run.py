"""Run a sweep, or what is left of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balancer.errors import WriteError
from hwmodel.sweeps.attempt import Executor, InThisProcess
from hwmodel.sweeps.cluster import DaskCluster
from hwmodel.sweeps.journal import RowJournal, newer
from hwmodel.sweeps.layer_tasks import LayerTasks
from hwmodel.sweeps.local_workers import LocalWorkers
from hwmodel.sweeps.mask_store import MaskStore
from hwmodel.sweeps.plan import SweepPlan
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.result import SweepResult
from hwmodel.sweeps.settings import SweepError
from hwmodel.sweeps.trainer import PointTrainer
from hwmodel.sweeps.whole_tasks import TaskList, WholeTasks
from hwmodel.sweeps.work import run_task


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """What is known after a task.

    Attributes
    ----------
    rows : tuple of dict
        Runs that it ended: of all accelerators that share masks, or none while layers
        are missing.
    tasks_done, tasks : int
        Tasks of this session that are over, and all of them.
    done, failed, total : int
        Runs that are over, those that failed in this session, and all.
    seconds_left : float or None
        Expected for the other tasks, if they take as long as those of this session
        did; None while none has ended.
    """

    rows: tuple[Mapping[str, Any], ...]
    tasks_done: int
    tasks: int
    done: int
    failed: int
    total: int
    seconds_left: float | None


SweepListener = Callable[[SweepProgress], None]


def sweep(
    plan: SweepPlan | str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] = "runs/sweep",
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: str | Mapping[str, Any] | None = None,
    trainer: PointTrainer | None = None,
    progress: SweepListener | None = None,
    **fields: Any,
) -> SweepResult:
    """Run all combinations of settings, one row each, or what is left of them.

    Rows that are done are known by what they depend on (settings, the content of the
    ticket and of the description of the accelerator), and are not run again; those that
    failed are. So the same call goes on after whatever ended the last one, and a sweep
    may grow by further values. Runs that differ in the accelerator alone share their
    masks.

    Parameters
    ----------
    plan : SweepPlan, str or path, optional
        The runs, or a TOML file of them; `fields` go before those of a file.
    out : str or path
        Folder of ``rows.jsonl`` (every row is there as soon as its run is over, and
        with how long it took) and ``table.csv``.
    workers : int, optional
        Processes of this machine; 0 runs everything in this one. Default: as many as
        there are processors.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers run the tasks instead. They read the
        ticket by its path, from a file system that they share.
    slurm : str or mapping, optional
        Jobs of Slurm to start for it, see `cluster.slurm_options`.
    trainer : PointTrainer, optional
        Who trains, for plans with ``training``: `snn.LotteryTrainer`.
    progress : callable, optional
        Called with a `SweepProgress` after each task, in this process.
    **fields
        As in `SweepPlan.of`; any may be a list.

    Returns
    -------
    SweepResult
        Also of runs that failed, with the reason.

    Raises
    ------
    BalancerError
        A plan that cannot be run, a folder in use, or a scheduler that is not there.

    Examples
    --------
    >>> from hwmodel import sweep
    >>> result = sweep(
    ...     accelerator=["u-ticket", "generic-45nm"],
    ...     sparsity=[0.8, 0.9],
    ...     out="designs",
    ...     workers=0,
    ... )
    >>> [(row["accelerator"], row["sparsity"]) for row in result.front("cycles")]
    [('generic-45nm', 0.9), ('generic-45nm', 0.8)]
    """
    if not isinstance(plan, SweepPlan):
        plan = (
            SweepPlan.of(fields, trainer)
            if plan is None
            else SweepPlan.read(plan, trainer, **fields)
        )
    elif fields:
        raise SweepError(
            f"`{next(iter(fields))}` beside a plan that is made already; give it to "
            "SweepPlan.of"
        )
    elsewhere = scheduler is not None or slurm is not None
    if plan.trainer is not None and plan.trains and not elsewhere:
        plan.trainer.require()
    folder = Path(out)
    rows, layers = (
        RowJournal(folder / name) for name in ("rows.jsonl", "layers.jsonl")
    )
    store = MaskStore(folder / "masks") if plan.masks else None
    with ExitStack() as stack:
        stack.enter_context(rows.writing())
        executor = stack.enter_context(_executor(workers, scheduler, slurm))
        sweeping = _Sweeping(plan, rows, store)
        todo: TaskList
        if plan.by_layer:
            stack.enter_context(layers.writing())
            todo = LayerTasks(sweeping.missing(), layers, store)
        else:
            todo = WholeTasks(sweeping.missing(), folder.resolve(), plan.trainer, store)
        try:
            sweeping.run(executor, todo, progress or (lambda known: None))
        except BaseException:
            with suppress(WriteError):  # which would hide what went wrong
                sweeping.result(folder).save()
            raise
        result = sweeping.result(folder)
        result.save()
    return result


@contextmanager
def _executor(
    workers: int | None, scheduler: str | None, slurm: str | Mapping[str, Any] | None
) -> Iterator[Executor]:
    """Say where tasks run; one answer at most."""
    given = {"workers": workers, "scheduler": scheduler, "slurm": slurm}
    several = [name for name, one in given.items() if one is not None]
    if len(several) > 1:
        raise SweepError(f"`{several[0]}` and `{several[1]}`: tasks run in one place")
    if workers is not None and workers < 0:
        raise SweepError(f"`workers` is {workers}; the least is 0, this process alone")
    if scheduler is not None:
        with DaskCluster.at(scheduler) as cluster:
            yield cluster
    elif slurm is not None:
        with DaskCluster.of_slurm(slurm) as cluster:
            yield cluster
    else:
        number = os.cpu_count() or 1 if workers is None else workers
        yield LocalWorkers(number) if number else InThisProcess()


@dataclass
class _Sweeping:
    """A sweep that is running: what is known, and what is missing."""

    plan: SweepPlan
    journal: RowJournal
    store: MaskStore | None
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = self.journal.read()

    def result(self, folder: Path) -> SweepResult:
        """Return what is known until now."""
        return SweepResult(self.plan, folder, self.known)

    def missing(self) -> list[tuple[SweepPoint, ...]]:
        """List the points that are not done, in their groups."""
        groups = (
            tuple(point for point in group if not self._is_done(point))
            for group in self.plan.groups()
        )
        return [group for group in groups if group]

    def _is_done(self, point: SweepPoint) -> bool:
        kept = self.store is None or self.store.path(point).exists()
        return kept and self.known.get(point.key, {}).get("state") == "done"

    def run(self, executor: Executor, todo: TaskList, progress: SweepListener) -> None:
        """Run tasks, and write each row when it is there."""
        left = sum(map(len, self.missing()))
        tasks, total = todo.tasks, len(self.plan.points)
        done, failed = total - left, 0

        def add(rows: list[dict[str, Any]], ended: int, rest: float | None) -> None:
            nonlocal done, failed
            self.journal.append(rows)
            for row in rows:
                self.known[row["key"]] = newer(self.known.get(row["key"]), row)
            done += len(rows)
            failed += sum(row["state"] == "failed" for row in rows)
            known = (ended, len(tasks), done, failed, total, rest)
            progress(SweepProgress(tuple(rows), *known))

        add(todo.ready(), 0, None if tasks else 0.0)
        begun = time.monotonic()
        with closing(executor.run(run_task, tasks)) as ending:
            for ended, end in enumerate(ending, start=1):
                rest = (time.monotonic() - begun) / ended * (len(tasks) - ended)
                add(todo.collect(end), ended, rest)
