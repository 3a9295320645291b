"""Run several methods with several seeds, in several processes at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from snn.lottery.comparison import ComparisonError, Failure, MethodComparison, Run
from snn.lottery.config import LotteryConfig
from snn.lottery.run import run_lottery
from snn.lottery.store import RunFolder
from snn.lottery.variants import variant_configs
from snn.lottery.worker_pool import worker_pool

Ended: TypeAlias = Run | Failure


class _PlannedRun(NamedTuple):
    """A run to do, and what the comparison calls it."""

    label: str
    config: LotteryConfig

    @property
    def key(self) -> tuple[str, int]:
        return self.label, self.config.seed


@dataclass(frozen=True, slots=True)
class RunProgress:
    """What is known after a run.

    Attributes
    ----------
    ended : Run or Failure
        The run.
    done, total : int
        Runs that are over, and all of them.
    seconds_left : float or None
        Expected for the others, if they take as long as those of this session did;
        None while none has ended.
    """

    ended: Ended
    done: int
    total: int
    seconds_left: float | None


Listener: TypeAlias = Callable[[RunProgress], None]


def compare_methods(
    config: LotteryConfig,
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    root: Path | str = "runs",
    jobs: int = 1,
    progress: Listener | None = None,
) -> MethodComparison:
    """Run every method with every seed, or what is left of that.

    Finished runs are only read and stopped ones go on, so a comparison that was
    stopped continues when it is asked for again. A run that fails does not keep the
    others from theirs.

    Parameters
    ----------
    config : LotteryConfig
        What the runs have in common; its method and seed do not matter.
    methods : sequence of str
        Names of methods, with settings of their own where they differ in more:
        ``"optimal:score=gradient:live-paths"`` (see `variants.parse_variant`). The
        first is the reference of the comparison.
    seeds : sequence of int
        Seeds, the same for every method.
    root : Path or str
        Folder of the run folders.
    jobs : int
        Runs at a time. More than one are processes of their own, with
        ``config.threads`` threads each.
    progress : callable, optional
        Called with a `RunProgress` after each run, in this process.

    Returns
    -------
    MethodComparison
        Whose `failures` name the runs that ended with an error.

    Raises
    ------
    ComparisonError
        No or repeated methods or seeds, less than one job or several under torchrun,
        or no run that ended well.
    ConfigError
        A method or seed that no run can have.

    Examples
    --------
    >>> from snn import LotteryConfig, compare_methods
    >>> config = LotteryConfig(
    ...     network="4c3-mp2-fc10",
    ...     timesteps=1,
    ...     train_size=50,
    ...     epochs=1,
    ...     rewind=0,
    ...     rounds=1,
    ... )
    >>> comparison = compare_methods(config, ["lth", "optimal"], seeds=[0])
    >>> [run.method for run in comparison.runs]
    ['lth', 'optimal']
    """
    waiting = _jobs(config, methods, seeds, jobs)
    ended = dict(_run_all(waiting, Path(root), jobs, progress or (lambda _: None)))
    in_order = [ended[m, s] for m in methods for s in seeds]
    runs = tuple(one for one in in_order if isinstance(one, Run))
    failures = tuple(one for one in in_order if isinstance(one, Failure))
    if not runs:
        raise ComparisonError(f"every run failed; the first was {failures[0]}")
    return MethodComparison(config, tuple(methods), tuple(seeds), runs, failures)


def _jobs(
    config: LotteryConfig, methods: Sequence[str], seeds: Sequence[int], jobs: int
) -> list[_PlannedRun]:
    """Validate; seed by seed, so that a stopped comparison has whole pairs."""
    for name, given in (("methods", methods), ("seeds", seeds)):
        if not given or len(set(given)) < len(given):
            raise ComparisonError(
                f"`{name}` is {list(given)}; give at least one, each once"
            )
    if jobs < 1:
        raise ComparisonError(f"`jobs` is {jobs}; accepted: 1 or more")
    if jobs > 1 and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ComparisonError(
            f"`jobs` is {jobs} under torchrun, whose processes train one network; "
            "use 1 job, or do without torchrun"
        )
    common = config.model_dump(exclude_unset=True)
    return [
        _PlannedRun(label, one)
        for seed in seeds
        for label, one in variant_configs(common | {"seed": seed}, methods).items()
    ]


def _run_all(
    asked: list[_PlannedRun], root: Path, jobs: int, progress: Listener
) -> Iterator[tuple[tuple[str, int], Ended]]:
    """Yield the runs as they end, those of former sessions first."""
    finished = [
        job for job in asked if RunFolder.of(job.config, root).finished() is not None
    ]
    waiting = [job for job in asked if job not in finished]
    for number, job in enumerate(finished, start=1):
        one = _run(job, root)
        progress(RunProgress(one, number, len(asked), None if waiting else 0.0))
        yield (one.method, one.seed), one
    begun = time.monotonic()
    with closing(_ending(waiting, root, jobs)) as ending:
        for number, one in enumerate(ending, start=1):
            each = (time.monotonic() - begun) / number
            left = each * (len(waiting) - number)
            done = len(finished) + number
            progress(RunProgress(one, done, len(asked), left))
            yield (one.method, one.seed), one


def _ending(
    waiting: list[_PlannedRun], root: Path, jobs: int
) -> Generator[Ended, None, None]:
    """Run; yield each as it ends."""
    if jobs == 1 or len(waiting) < 2:
        for job in waiting:
            yield _run(job, root)
        return
    with worker_pool(min(jobs, len(waiting))) as pool:
        futures = {pool.submit(_run, job, root): job for job in waiting}
        for future in as_completed(futures):
            yield _result(future, futures[future])


def _run(job: _PlannedRun, root: Path) -> Ended:
    """Run one method with one seed; an error is what it ends with."""
    try:
        result = run_lottery(job.config, root=root, resume=True)
    except Exception as error:  # whatever it is, the other runs are worth their time
        return _failure(job, error)
    return Run(*job.key, result.outcomes)


def _result(future: Future[Ended], job: _PlannedRun) -> Ended:
    """Take what a process returned; one that was killed returns nothing."""
    error = future.exception()
    return future.result() if error is None else _failure(job, error)


def _failure(job: _PlannedRun, error: BaseException) -> Failure:
    said = str(error) or type(error).__name__
    known = isinstance(error, ValueError | OSError)
    text = said if known else f"{type(error).__name__}: {said}"
    return Failure(*job.key, text)
