"""Run several methods with several seeds, in several processes at once."""

from __future__ import annotations

import copy
import os
import pickle
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import nn

from snn.data.image_data import ImageData
from snn.data.loaders import Data, as_image_data
from snn.lottery.comparison import Failure, MethodComparison, Run
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import LotteryConfig
from snn.lottery.function_names import function_name
from snn.lottery.identity import StandIns
from snn.lottery.methods import Method
from snn.lottery.run import run_lottery
from snn.lottery.store import RunFolder, RunInUseError
from snn.lottery.task_processes import ProcessDiedError, run_in_processes
from snn.lottery.variants import variant_configs

Ended: TypeAlias = Run | Failure
IN_USE_SECONDS = 0.5  # between two looks at runs that others work on


class _PlannedRun(NamedTuple):
    """A run to do, what the comparison calls it, and what it is given."""

    label: str
    config: LotteryConfig
    network: nn.Module | None = None
    data: ImageData | None = None
    method: Method | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.label, self.config.seed

    def folder(self, root: Path) -> RunFolder:
        given = StandIns.of(self.network, self.data, None, self.method, self.config.map)
        return RunFolder.of(self.config, root, given)


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
    methods: Sequence[str | Method],
    seeds: Sequence[int],
    *,
    network: nn.Module | Callable[[int], nn.Module] | None = None,
    data: Data | None = None,
    root: Path | str = "runs",
    jobs: int = 1,
    progress: Listener | None = None,
) -> MethodComparison:
    """Run every method with every seed, or what is left of that.

    Finished runs are only read and stopped ones go on, so a comparison that was
    stopped continues when it is asked for again. A run that fails does not keep the
    others from theirs, and one that another process works on is waited for: two
    comparisons in one folder share their runs.

    Parameters
    ----------
    config : LotteryConfig
        What the runs have in common; its method and seed do not matter.
    methods : sequence of str or callable
        Names of methods, with settings of their own where they differ in more:
        ``"optimal:score=gradient:live-paths"`` (see `variants.parse_variant`); or
        methods of your own, as `run_lottery` takes them, which are called by their
        names. The first is the reference of the comparison.
    seeds : sequence of int
        Seeds, the same for every method.
    network : Module or callable, optional
        Instead of ``config.network``: a module, of which every run gets a copy with the
        same initial weights, or a function that makes one for a seed, which torch is
        seeded with.
    data : ImageData, mapping or tuple, optional
        Instead of ``config.dataset``, as in `run_lottery`; the same for every seed.
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
        a network or data that cannot be sent to the processes of several jobs, or no
        run that ended well.
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
    labels = [one if isinstance(one, str) else function_name(one) for one in methods]
    _check(labels, seeds, jobs)
    own = [None if isinstance(one, str) else one for one in methods]
    named = dict(zip(labels, own, strict=True))
    waiting = _planned(config, named, seeds, network, as_image_data(data))
    if jobs > 1:
        _check_sendable(waiting, jobs)
    ended = dict(_run_all(waiting, Path(root), jobs, progress or (lambda _: None)))
    in_order = [ended[m, s] for m in named for s in seeds]
    runs = tuple(one for one in in_order if isinstance(one, Run))
    failures = tuple(one for one in in_order if isinstance(one, Failure))
    if not runs:
        raise ComparisonError(f"every run failed; the first was {failures[0]}")
    return MethodComparison(config, tuple(named), tuple(seeds), runs, failures)


def _check(labels: Sequence[str], seeds: Sequence[int], jobs: int) -> None:
    for name, given in (("methods", labels), ("seeds", seeds)):
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


def _planned(
    config: LotteryConfig,
    methods: Mapping[str, Method | None],
    seeds: Sequence[int],
    network: nn.Module | Callable[[int], nn.Module] | None,
    data: ImageData | None,
) -> list[_PlannedRun]:
    """Validate; seed by seed, so that a stopped comparison has whole pairs."""
    planned = []
    known = [label for label, method in methods.items() if method is None]
    for seed in seeds:
        common = config.model_dump(exclude_unset=True) | {"seed": seed}
        configs = variant_configs(common, known)
        module = _network_of(network, seed)
        for label, method in methods.items():
            one = configs[label] if method is None else LotteryConfig.of(common)
            planned.append(_PlannedRun(label, one, module, data, method))
    return planned


def _network_of(
    network: nn.Module | Callable[[int], nn.Module] | None, seed: int
) -> nn.Module | None:
    if network is None or isinstance(network, nn.Module):
        return network
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made = network(seed)
    if not isinstance(made, nn.Module):
        raise ComparisonError(
            f"`network` made a {type(made).__name__} for seed {seed}; a torch module, "
            "or a function of the seed that returns one, is needed"
        )
    return made


def _check_sendable(planned: Sequence[_PlannedRun], jobs: int) -> None:
    """Refuse what cannot be sent to other processes."""
    for run in planned:
        for name in ("network", "data", "method"):
            try:
                pickle.dumps(getattr(run, name))
            except Exception as error:  # as many ways as there are in pickles
                said = " ".join(str(error).split())
                raise ComparisonError(
                    f"`{name}` of {run.label} cannot be sent to the processes of "
                    f"{jobs} jobs ({said}); define what it is made of at the top of a "
                    "module, or use 1 job"
                ) from error


def _run_all(
    asked: list[_PlannedRun], root: Path, jobs: int, progress: Listener
) -> Iterator[tuple[tuple[str, int], Ended]]:
    """Yield the runs as they end, those of former sessions first."""
    waiting = []
    finished = []
    for job in asked:  # their tickets are not looked at, only what came of them
        outcomes = job.folder(root).finished()
        if outcomes is None:
            waiting.append(job)
        else:
            finished.append(Run(*job.key, tuple(outcomes)))
    for number, run in enumerate(finished, start=1):
        progress(RunProgress(run, number, len(asked), None if waiting else 0.0))
        yield (run.method, run.seed), run
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
    """Run; yield each as it ends, those that others work on when they are free."""
    work, left = partial(_run, root), list(waiting)
    while left:
        in_use = []
        for job, one in _as_they_end(work, left, jobs):
            if isinstance(one, RunInUseError):
                in_use.append(job)
            elif isinstance(one, ProcessDiedError):
                yield _failure(job, one)
            else:
                yield one
        folders = [job.folder(root) for job in in_use]
        while folders and all(folder.in_use for folder in folders):
            time.sleep(IN_USE_SECONDS)
        left = in_use


def _as_they_end(
    work: Callable[[_PlannedRun], Ended | RunInUseError],
    jobs_left: list[_PlannedRun],
    jobs: int,
) -> Iterator[tuple[_PlannedRun, Ended | RunInUseError | ProcessDiedError]]:
    if jobs == 1 or len(jobs_left) < 2:
        return ((job, work(job)) for job in jobs_left)
    return run_in_processes(work, jobs_left, jobs)


def _run(root: Path, job: _PlannedRun) -> Ended | RunInUseError:
    """Run one method with one seed; an error is what it ends with."""
    try:
        result = run_lottery(
            job.config,
            root=root,
            resume=True,
            network=copy.deepcopy(job.network),  # every run trains its own
            data=job.data,
            method=job.method,
        )
    except RunInUseError as error:
        return error
    except Exception as error:  # whatever it is, the other runs are worth their time
        return _failure(job, error)
    return Run(*job.key, result.outcomes)


def _failure(job: _PlannedRun, error: BaseException) -> Failure:
    said = str(error) or type(error).__name__
    known = isinstance(error, ValueError | OSError)
    text = said if known else f"{type(error).__name__}: {said}"
    return Failure(*job.key, text)
