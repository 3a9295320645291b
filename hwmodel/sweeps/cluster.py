"""Tasks on a cluster, through Dask: one that runs already, or jobs of Slurm."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from hwmodel.sweeps.attempt import Ends, TaskEnd, attempt
from hwmodel.sweeps.settings import SweepError

T = TypeVar("T")
R = TypeVar("R")

CONNECT_SECONDS = 10
INSTALL = "install it with python -m pip install -e '.[cluster]'"


@dataclass(frozen=True)
class DaskCluster:
    """Runs tasks on the workers of a Dask scheduler (`attempt.Executor`).

    Dask gives the tasks of a worker that dies to another one, as often as its setting
    ``distributed.scheduler.allowed-failures`` says.

    Attributes
    ----------
    client : distributed.Client
        Connected to the scheduler.
    """

    client: Any

    @classmethod
    @contextmanager
    def at(cls, address: str) -> Iterator[DaskCluster]:
        """Connect to a scheduler.

        Parameters
        ----------
        address : str
            As ``tcp://host:8786``.

        Raises
        ------
        SweepError
            There is none, or Dask is not installed.
        """
        distributed = _distributed()
        try:
            client = distributed.Client(
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TypeError) as error:
            raise SweepError(
                f"no scheduler at {address!r} ({str(error) or type(error).__name__}); "
                "start one with `dask scheduler`, and workers with `dask worker "
                "ADDRESS`; an address looks like tcp://host:8786"
            ) from error
        with client:
            if not client.scheduler_info()["workers"]:
                warnings.warn(
                    f"the scheduler at {address} has no workers yet; runs wait for "
                    "them",
                    stacklevel=2,
                )
            yield cls(client)

    @classmethod
    @contextmanager
    def of_slurm(cls, options: str | Mapping[str, Any]) -> Iterator[DaskCluster]:
        """Start jobs of Slurm that work on the tasks, and end with them.

        Parameters
        ----------
        options : str or mapping
            ``"jobs=8,cores=4,memory=16GB,queue=long"``: how many jobs, and options of
            `dask_jobqueue.SLURMCluster` for each.

        Raises
        ------
        SweepError
            Options that cannot be read, or dask-jobqueue is not installed.
        """
        jobs, settings = slurm_options(options)
        distributed = _distributed()
        jobqueue = _import("dask_jobqueue", "Slurm needs dask-jobqueue")
        try:
            cluster = jobqueue.SLURMCluster(**settings)
        except (ValueError, TypeError) as error:
            raise SweepError(f"options of Slurm: {error}") from error
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            cluster.scale(jobs=jobs)
            yield cls(client)

    def run(self, work: Callable[[T], R], tasks: Sequence[T]) -> Ends[R]:
        """Yield how each task ended; see `attempt.Executor`.

        Dask blames all tasks that a worker had when it died. So those that it gives up
        are tried once more at the end, each alone.
        """
        suspects = []
        for number, future in self._ending(work, tasks, range(len(tasks))):
            if _is_killed(future):
                suspects.append(number)
            else:
                yield _ended(future, number)
        for suspect in suspects:
            for number, future in self._ending(work, tasks, [suspect]):
                yield _ended(future, number)

    def _ending(
        self, work: Callable[[T], R], tasks: Sequence[T], numbers: Iterable[int]
    ) -> Iterator[tuple[int, Any]]:
        """Submit tasks; yield their futures as they end."""
        submit = self.client.submit
        futures = {
            submit(attempt, work, tasks[number], number, pure=False): number
            for number in numbers
        }
        waiting = _distributed().as_completed(list(futures), loop=self.client.loop)
        try:
            for future in waiting:
                yield futures.pop(future), future
                future.release()
        finally:
            self.client.cancel(list(futures))


def _is_killed(future: Any) -> bool:
    """Whether Dask gave a task up whose workers died."""
    error = future.exception() if future.status == "error" else None
    return type(error).__name__ == "KilledWorker"


def _ended(future: Any, number: int) -> TaskEnd[Any]:
    if future.status == "cancelled":
        raise SweepError(
            "the scheduler is gone, or has dropped what was not done; the same "
            "command goes on where it stopped"
        )
    error = future.exception()
    if error is None:
        ended: TaskEnd[Any] = future.result()
        return ended
    if _is_killed(future):
        tries = int(getattr(error, "allowed_failures", 0)) + 1
        said = f"its worker died {tries} times, though it had no other task"
        return TaskEnd(number, None, said, tries=tries)
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return TaskEnd(number, None, said)


def _distributed() -> Any:
    return _import("distributed", "a cluster needs Dask")


def _import(name: str, needed: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SweepError(f"{needed} ({error}); {INSTALL}") from error


def slurm_options(options: str | Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Read the options of jobs of Slurm.

    Returns
    -------
    jobs : int
        How many.
    settings : dict
        What each is, for `dask_jobqueue.SLURMCluster`.

    Raises
    ------
    SweepError
        What is no ``NAME=VALUE``, or jobs, cores or memory that are not said.

    Examples
    --------
    >>> from hwmodel.sweeps.cluster import slurm_options
    >>> slurm_options("jobs=8,cores=4,memory=16GB")
    (8, {'cores': 4, 'memory': '16GB'})
    """
    settings: dict[str, Any] = {}
    if isinstance(options, Mapping):
        settings.update(options)
    else:
        for part in options.split(","):
            name, equals, value = (text.strip() for text in part.partition("="))
            if not (name and equals and value):
                raise SweepError(
                    f"options of Slurm: {part!r} is no NAME=VALUE; accepted: "
                    "jobs=8,cores=4,memory=16GB and any option of "
                    "dask_jobqueue.SLURMCluster"
                )
            settings[name] = int(value) if value.isdecimal() else value
    missing = [name for name in ("jobs", "cores", "memory") if name not in settings]
    if missing:
        raise SweepError(
            f"options of Slurm: {', '.join(missing)} is missing, as in "
            "jobs=8,cores=4,memory=16GB"
        )
    jobs = settings.pop("jobs")
    if not isinstance(jobs, int) or jobs < 1:
        raise SweepError(f"options of Slurm: jobs is {jobs!r}; the least is 1")
    return jobs, settings
