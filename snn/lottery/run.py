"""Lottery runs: train, prune, rewind, and train again, round by round."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from snn.data.loaders import Data, as_image_data
from snn.lottery.config import LotteryConfig
from snn.lottery.identity import StandIns
from snn.lottery.methods import Method
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import load_state, load_ticket
from snn.lottery.round_training import CHECKPOINT_SECONDS
from snn.lottery.rounds import Rounds
from snn.lottery.run_page import write_run_page
from snn.lottery.saliency import Score
from snn.lottery.store import RunFolder
from snn.lottery.watcher import Watcher
from snn.training.distributed import Processes


@dataclass(frozen=True, slots=True)
class LotteryResult:
    """A finished run.

    Attributes
    ----------
    config : LotteryConfig
        What was run.
    folder : Path
        Where its tickets are.
    outcomes : tuple of RoundOutcome
        Of the dense network and every round.
    notes : tuple of str
        What the numbers might hide, a sentence each: modules that are not pruned,
        layers that never run, what cycles assume.
    """

    config: LotteryConfig
    folder: Path
    outcomes: tuple[RoundOutcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def dense(self) -> RoundOutcome:
        """The dense network."""
        return self.outcomes[0]

    @property
    def last(self) -> RoundOutcome:
        """The last round."""
        return self.outcomes[-1]

    def ticket(self, number: int = -1) -> Path:
        """Path of the ticket of a round, by default of the last."""
        folder = RunFolder(self.folder, self.config)
        return folder.ticket_path(self.outcomes[number].round)

    def report(self, path: Path | str) -> None:
        """Write a page about the run: one HTML file with its rounds and layers.

        Parameters
        ----------
        path : Path or str
            An .html file.

        Raises
        ------
        PageError
            Another kind of file; matplotlib or Jinja2 is not installed.
        """
        write_run_page(self, path)


def run_lottery(
    config: LotteryConfig,
    *,
    root: Path | str = "runs",
    resume: bool = False,
    restart: bool = False,
    network: nn.Module | None = None,
    data: Data | None = None,
    score: Score | None = None,
    method: Method | None = None,
    processes: Processes | None = None,
    watcher: Watcher | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> LotteryResult:
    """Run the rounds of a lottery, or what is left of them.

    Round 0 trains the dense network. Every further round prunes by the scores of its
    weights, as the method of the configuration does, puts the weights of the rewind
    epoch back, and trains them from there with the new masks.
    Test images are evaluated after every round and choose nothing.

    Parameters
    ----------
    config : LotteryConfig
        What to run.
    root : Path or str
        Folder of the run folders, each named by what it runs.
    resume : bool
        Go on with a run that was stopped: from its last checkpoint, to the same bits.
    restart : bool
        Throw away what is there, and begin again.
    network : Module, optional
        Any module with convolutions or linear layers, instead of ``config.network``. It
        is trained in place and has the weights of the last round at the end, also
        those of a run that is finished already. After an error or an interrupt it has
        those again with which it came, so that the same call can go on with `resume`:
        a run is told by its initial weights, its modules and their settings.
    data : ImageData, mapping or tuple, optional
        Instead of ``config.dataset``. Batches of your own are data, too: a tuple
        (train, test), or a dict with these and ``validation``, of `DataLoader`s or
        other iterables of (images, labels). They come in their own sizes, made anew in
        every epoch, and the network takes them as they are.
    score : callable, optional
        Instead of ``config.score``: takes a `Trained` and returns, by layer, scores of
        all weights in their shape, finite and not negative. A run is told by its code,
        too, with its defaults and the variables it uses; tickets record its name.
    method : callable, optional
        Instead of ``config.method``: takes a `Pruning` and returns a `Pruned`. A run is
        told by its code, as by that of a score. What the configuration does not say is
        as for its own method.
    processes : Processes, optional
        By default those that torchrun started, or this one. The main one prunes.
    watcher : Watcher, optional
        Told about every epoch and round.
    checkpoint_seconds : float
        Least time between two checkpoints, which are written after epochs.

    Returns
    -------
    LotteryResult
        At once if the run is finished already.

    Raises
    ------
    StoreError
        The run was begun and neither `resume` nor `restart` is given, or another
        process works on it.
    ValueError
        A configuration, data set or network that cannot be run; `BalancerError`s.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from snn import LotteryConfig, run_lottery
    >>> config = LotteryConfig(sparsities=(0.5,), epochs=1, timesteps=1, train_size=100)
    >>> with TemporaryDirectory() as folder:
    ...     result = run_lottery(config, root=folder)
    >>> result.last.round, round(result.last.sparsity, 2), result.last.utilization
    (1, 0.5, 1.0)
    """
    images = as_image_data(data)
    with (
        nullcontext(processes) if processes else Processes.start() as processes,
        _restored_on_failure(network),
    ):
        given = processes.broadcast(
            StandIns.of(network, images, score, method, config.map)
        )
        folder = RunFolder.of(config, Path(root), given)
        with _owned(folder, processes):
            result = _finished(folder, processes, resume, restart)
            if result is None:
                rounds = Rounds(
                    config, folder, processes, network, images, watcher, score, method
                )
                if processes.is_main:
                    folder.begin(anew=restart)  # not before: it could not be run
                outcomes = tuple(rounds.run(checkpoint_seconds))
                result = LotteryResult(config, folder.path, outcomes, rounds.notes)
            elif watcher is not None and processes.is_main:
                watcher.begin(folder.path, config)
                for outcome in result.outcomes:
                    watcher.round(outcome)
            if network is not None:
                _hand_back(network, result, processes)
    return result


@contextmanager
def _restored_on_failure(network: nn.Module | None) -> Iterator[None]:
    """Give a network its initial weights again if something comes in between."""
    initial = {} if network is None else copy.deepcopy(network.state_dict())
    try:
        yield
    except BaseException:
        if network is not None:
            network.load_state_dict(initial)
        raise


def _hand_back(network: nn.Module, result: LotteryResult, processes: Processes) -> None:
    """Give a network the weights of the last round, pruned ones zero."""
    state = load_ticket(result.ticket()).state if processes.is_main else None
    state = processes.broadcast(state)
    load_state(network, state or {})


@contextmanager
def _owned(folder: RunFolder, processes: Processes) -> Iterator[None]:
    if processes.is_main:
        with folder.locked():
            yield
    else:
        yield


def _finished(
    folder: RunFolder, processes: Processes, resume: bool, restart: bool
) -> LotteryResult | None:
    """Return the result of a run that is finished and not wanted again."""
    finished = None
    if processes.is_main:
        outcomes = folder.former(resume, restart)
        if outcomes is not None:
            finished = LotteryResult(
                folder.config, folder.path, tuple(outcomes), folder.notes()
            )
    return processes.broadcast(finished)
