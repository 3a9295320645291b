"""Lottery runs: train, prune, rewind, and train again, round by round."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from snn.data.image_data import ImageData
from snn.lottery.config import LotteryConfig
from snn.lottery.results import RoundOutcome
from snn.lottery.round_training import CHECKPOINT_SECONDS
from snn.lottery.rounds import Rounds
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
    """

    config: LotteryConfig
    folder: Path
    outcomes: tuple[RoundOutcome, ...]

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


def run_lottery(
    config: LotteryConfig,
    *,
    root: Path | str = "runs",
    resume: bool = False,
    restart: bool = False,
    network: nn.Module | None = None,
    data: ImageData | None = None,
    processes: Processes | None = None,
    watcher: Watcher | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> LotteryResult:
    """Run the rounds of a lottery, or what is left of them.

    Round 0 trains the dense network. Every further round prunes by the last non-zero
    magnitudes of its weights, as the method of the configuration does, puts the
    weights of the rewind epoch back, and trains them from there with the new masks.
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
        Any module with convolutions or linear layers, instead of ``config.network``;
        it is trained in place.
    data : ImageData, optional
        Instead of ``config.dataset``.
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
    folder = RunFolder.of(config, Path(root), _stand_ins(network, data))
    with (
        nullcontext(processes) if processes else Processes.start() as processes,
        _owned(folder, processes),
    ):
        finished = _finished(folder, processes, resume, restart)
        if finished is None:
            rounds = Rounds(config, folder, processes, network, data, watcher)
            if processes.is_main:
                folder.begin(anew=restart)  # not before: it could not be run
            finished = rounds.run(checkpoint_seconds)
        elif watcher is not None and processes.is_main:
            watcher.begin(folder.path, config)
            for outcome in finished:
                watcher.round(outcome)
    return LotteryResult(config, folder.path, tuple(finished))


def _stand_ins(network: nn.Module | None, data: ImageData | None) -> str:
    """Say what stands in for the configuration's network and data."""
    parts = []
    if network is not None:
        shapes = [(k, list(v.shape)) for k, v in network.state_dict().items()]
        parts.append(f"{type(network).__qualname__} {shapes}")
    if data is not None:
        content = hashlib.sha256()
        for split in (data.train, data.validation, data.test):
            content.update(split.images.contiguous().numpy().data)
            content.update(split.labels.contiguous().numpy().data)
        parts.append(f"{data.name} {data.input_shape} {content.hexdigest()}")
    return "; ".join(parts)


@contextmanager
def _owned(folder: RunFolder, processes: Processes) -> Iterator[None]:
    if processes.is_main:
        with folder.locked():
            yield
    else:
        yield


def _finished(
    folder: RunFolder, processes: Processes, resume: bool, restart: bool
) -> list[RoundOutcome] | None:
    """Return the outcomes of a run that is finished and not wanted again."""
    finished = None
    if processes.is_main:
        finished = folder.former(resume, restart)
    return processes.broadcast(finished)
