"""Lottery runs: train, prune, rewind, and train again, round by round."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from balancer.metrics import network_eta, network_utilization
from hwmodel import save_spikes
from snn.data.batches import batches
from snn.data.image_data import ImageData, Split
from snn.data.load import load_data
from snn.lottery.config import LotteryConfig
from snn.lottery.early_time import early_timesteps
from snn.lottery.hardware import Array, layer_outcomes
from snn.lottery.methods import (
    Pruned,
    Pruning,
    get_method,
    kept_magnitude,
    natural_orders,
)
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import RoundTicket, load_state, state_of
from snn.lottery.store import RunFolder, StoreError
from snn.networks.geometry import layer_geometry
from snn.networks.inference import inference
from snn.networks.models import build_network
from snn.networks.spikes import SpikeError, input_rates, mean_rates, record_spikes
from snn.training.distributed import Processes
from snn.training.journal import Journal
from snn.training.masking import Scores, prunable_layers, update_scores
from snn.training.trainer import EpochReport, Trainer

# Test images of which the spikes are counted: rates then are within a percent.
RATE_IMAGES = 512
# A checkpoint is written after an epoch if the last one is older.
CHECKPOINT_SECONDS = 10.0


class Watcher:
    """Told what a run does; every method may be overridden."""

    def begin(self, folder: Path, config: LotteryConfig) -> None:
        """Hear that a run begins, or goes on."""

    def epoch(self, number: int, report: EpochReport) -> None:
        """Hear that an epoch of a round is over."""

    def round(self, outcome: RoundOutcome) -> None:
        """Hear that a round is over, now or in an earlier session."""


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
    """
    folder = RunFolder.of(config, Path(root), _stand_ins(network, data))
    with (
        nullcontext(processes) if processes else Processes.start() as processes,
        _owned(folder, processes),
    ):
        finished = _finished(folder, processes, resume, restart)
        if finished is None:
            lottery = _Lottery(config, folder, processes, network, data, watcher)
            if processes.is_main:
                folder.begin(anew=restart)
            finished = lottery.run(checkpoint_seconds)
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
    if processes.is_main and not restart:
        finished = folder.finished()
        if finished is None and folder.started and not resume:
            raise StoreError(
                f"{folder.path} holds an unfinished run of {folder.rounds_done} "
                "rounds; go on with --resume, or begin again with --restart"
            )
    return processes.broadcast(finished)


class _Lottery:
    """The state of a run between its rounds."""

    def __init__(
        self,
        config: LotteryConfig,
        folder: RunFolder,
        processes: Processes,
        network: nn.Module | None,
        data: ImageData | None,
        watcher: Watcher | None,
    ) -> None:
        self.config = config
        self.folder = folder
        self.processes = processes
        self.watcher = watcher or Watcher()
        self.method = get_method(config.method)
        self.array = Array.of(config)
        self.data = data or load_data(
            config.dataset,
            folder=config.data_folder,
            download=config.download,
            train_size=config.train_size,
            validation=config.validation,
            seed=config.seed,
            timesteps=config.timesteps,
            augmentation=config.augmentation,
        )
        if network is None:
            torch.manual_seed(config.seed)
            network = build_network(
                config.network,
                self.data.input_shape,
                self.data.classes,
                config.timesteps,
            )
        self.network = network
        # A network that does not know of time steps has one.
        timed = hasattr(network, "timesteps") or self.data.events
        self.timesteps = config.timesteps if timed else 1
        self.trainer = Trainer(network, self.data, config, processes)
        self.about = {
            "architecture": config.network,
            "input_shape": list(self.data.input_shape),
            "layers": layer_geometry(network, self._images(1)),
        }
        self.journal: Journal | None = None  # of the main process
        self.rewind: dict[str, Any] | None = None

    def run(self, checkpoint_seconds: float) -> list[RoundOutcome]:
        """Do the rounds that are left."""
        if not self.processes.is_main:
            return self._rounds(checkpoint_seconds)
        self.folder.begin()  # not before: what cannot be run has not begun
        self.watcher.begin(self.folder.path, self.config)
        with Journal(self.folder.path, self.config.tensorboard) as self.journal:
            return self._rounds(checkpoint_seconds)

    def _rounds(self, checkpoint_seconds: float) -> list[RoundOutcome]:
        last, outcomes = self._former_rounds()
        for number in range(len(outcomes), len(self.config.schedule_of_sparsity)):
            last = self._round(number, last, checkpoint_seconds)
            outcomes.append(last.outcome)
        assert last is not None
        if self.processes.is_main:
            if self.config.record_images:
                load_state(self.network, last.state)
                images = self._images(self.config.record_images)
                with self.trainer.evaluator.running(self.timesteps):
                    spikes = record_spikes(self.network, images)
                save_spikes(self.folder.spikes_path, spikes)
            self.folder.finish(outcomes)
        self.processes.barrier()
        return outcomes

    def _former_rounds(self) -> tuple[RoundTicket | None, list[RoundOutcome]]:
        """Read what earlier sessions have done."""
        last, outcomes = None, []
        if self.processes.is_main:
            for number in range(self.folder.rounds_done):
                last = self.folder.load_round(number)
                outcomes.append(last.outcome)
                self.watcher.round(last.outcome)
        return self.processes.broadcast((last, outcomes))

    def _round(
        self, number: int, last: RoundTicket | None, checkpoint_seconds: float
    ) -> RoundTicket:
        """Prune, rewind, train, evaluate, and write the ticket."""
        begun = time.perf_counter()
        checkpoint = self._checkpoint_of(number)
        timesteps = self._timesteps(number, last)
        if checkpoint is not None:
            pruned = _from_tensors(checkpoint["pruned"])
        else:
            pruned = self._pruned(number, last)
        pruning_seconds = time.perf_counter() - begun
        epochs = self._train(number, pruned, timesteps, checkpoint, checkpoint_seconds)
        former = None if last is None else last.scores
        scores = update_scores(self.network, pruned.masks, former)
        rates = self._rates(timesteps)
        about = {
            **self.about,
            "timesteps": timesteps,
            "spike_rates": mean_rates(rates),
        }
        outcome = self._outcome(
            number, pruned, scores if former is None else former, about, epochs
        )
        ticket = RoundTicket(outcome, state_of(self.network), pruned, scores, rates)
        if self.journal is not None:
            took = {
                "seconds": time.perf_counter() - begun,
                "pruning_seconds": pruning_seconds,
            }
            # Before the ticket: what is not in a ticket yet is dropped when resuming.
            self.journal.round(number, outcome.to_dict() | took)
            self.folder.save_round(ticket, about)
            self.watcher.round(outcome)
        self.processes.barrier()
        return ticket

    def _outcome(
        self,
        number: int,
        pruned: Pruned,
        ranked: Scores,
        about: Mapping[str, Any],
        epochs: int,
    ) -> RoundOutcome:
        """Evaluate the trained network, and its masks on the array."""
        timesteps: int = about["timesteps"]
        spike_rates: dict[str, float] = about["spike_rates"]
        test = self.trainer.evaluate(self.data.test, timesteps)
        validation = None
        if len(self.data.validation):
            validation = self.trainer.evaluate(self.data.validation, timesteps).accuracy
        report = self.array.report(pruned.masks, pruned.orders, about)
        metrics = self.array.load_metrics(pruned.masks, pruned.orders)
        layers = layer_outcomes(pruned.masks, ranked, metrics, spike_rates, report)
        weights = [layer.weights for layer in layers]
        nonzeros = sum(layer.nonzeros for layer in layers)
        rates = list(spike_rates.values())
        return RoundOutcome(
            round=number,
            timesteps=timesteps,
            sparsity=1 - nonzeros / sum(weights),
            nonzeros=nonzeros,
            accuracy=test.accuracy,
            loss=test.loss,
            validation_accuracy=validation,
            kept_fraction=kept_magnitude(ranked, pruned.masks),
            utilization=network_utilization([x.utilization for x in layers], weights),
            eta=network_eta(list(metrics.values())),
            spike_rate=sum(rates) / len(rates) if rates else None,
            cycles=None if report is None else report.cycles,
            idle_cycles=None if report is None else report.idle_cycles,
            energy=None if report is None else report.energy_pj,
            energy_unit=None if report is None else report.accelerator.energy_unit,
            epochs=epochs,
            layers=layers,
        )

    def _pruned(self, number: int, last: RoundTicket | None) -> Pruned:
        """Choose the masks of a round: the main process decides for all."""
        if not self.processes.is_main:
            return self.processes.broadcast(None)  # type: ignore[return-value]
        return self.processes.broadcast(self._choose(number, last))

    def _choose(self, number: int, last: RoundTicket | None) -> Pruned:
        sparsities = self.config.schedule_of_sparsity
        if last is None:
            layers: dict[str, Any] = dict(prunable_layers(self.network))
            dense = {n: np.ones(m.weight.shape, np.bool_) for n, m in layers.items()}
            return Pruned(dense, dense, natural_orders(dense, self.config.map))
        left = 1 - sparsities[number - 1]
        pruning = Pruning(
            scores=last.scores,
            masks=last.pruned.masks,
            carried=last.pruned.carried,
            sparsity=sparsities[number],
            step=(sparsities[number] - sparsities[number - 1]) / left,
            scope=self.config.scope,
            pe_map=self.config.map,
            pes=self.config.pes,
            revive=self.config.revive,
            seed=_seed(self.config.seed, number),
            costs=self.array.costs(last.pruned.masks, self.about),
            latency_budget=self.config.latency_budget,
        )
        early = sparsities[number] < self.config.balance_from
        return (get_method("lth") if early else self.method)(pruning)

    def _timesteps(self, number: int, last: RoundTicket | None) -> int:
        """Time steps of a round."""
        fewer = self.config.search_timesteps
        full = self.timesteps
        is_last = number == len(self.config.schedule_of_sparsity) - 1
        if fewer is None or full == 1 or is_last:
            return full
        if isinstance(fewer, int):
            return fewer
        if last is None:
            return full
        if number > 1:
            return last.outcome.timesteps
        load_state(self.network, last.state)
        return self._early_timesteps()

    def _train(
        self,
        number: int,
        pruned: Pruned,
        timesteps: int,
        checkpoint: Mapping[str, Any] | None,
        checkpoint_seconds: float,
    ) -> int:
        """Train a round, from its beginning or its checkpoint; count its epochs."""
        rewind_epoch = self.config.rewind_epoch
        first = start = 0 if number == 0 else rewind_epoch
        if checkpoint is not None:
            self.trainer.restore(checkpoint["trainer"])
            start = checkpoint["trainer"]["epoch"]
        elif number > 0:
            self.network.load_state_dict(self._rewound())
        elif rewind_epoch == 0:
            self._keep_for_rewinding()
        written = time.monotonic()
        if self.journal is not None:
            self.journal.rewind_to(number, start)

        def after_epoch(report: EpochReport) -> None:
            nonlocal written
            if number == 0 and report.epoch == rewind_epoch:
                self._keep_for_rewinding()
            if self.journal is None:
                return
            self.journal.epoch(number, report)
            self.watcher.epoch(number, report)
            late = time.monotonic() - written >= checkpoint_seconds
            if late and report.epoch < report.epochs:
                values = {
                    "round": number,
                    "pruned": _as_tensors(pruned),
                    "trainer": self.trainer.checkpoint(),
                }
                self.folder.save_tensors("checkpoint", values)
                written = time.monotonic()

        reports = self.trainer.fit(
            pruned.masks,
            start=start,
            seed=_seed(self.config.seed, number),
            timesteps=timesteps,
            after_epoch=after_epoch,
        )
        return (reports[-1].epoch if reports else start) - first

    def _checkpoint_of(self, number: int) -> dict[str, Any] | None:
        """Read the checkpoint of a round, if it was stopped in one."""
        checkpoint = None
        if self.processes.is_main:
            checkpoint = self.folder.load_tensors("checkpoint")
            if checkpoint is not None and checkpoint["round"] != number:
                checkpoint = None
        return self.processes.broadcast(checkpoint)

    def _keep_for_rewinding(self) -> None:
        """Remember the weights that all rounds go back to."""
        state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.rewind = state
        if self.processes.is_main:
            self.folder.save_tensors("rewind", state)

    def _rewound(self) -> dict[str, Any]:
        if self.rewind is None:
            stored = None
            if self.processes.is_main:
                stored = self.folder.load_tensors("rewind")
            self.rewind = self.processes.broadcast(stored)
        if self.rewind is None:
            raise StoreError(
                f"{self.folder.path}: rewind.pt, the weights to go back to, is gone; "
                "begin again with --restart"
            )
        return self.rewind

    def _images(self, count: int) -> torch.Tensor:
        """Return test images as the network takes them."""
        return torch.cat(
            list(self._batches(self.data.test, self.timesteps, count)), dim=-4
        )

    def _rates(self, timesteps: int) -> dict[str, npt.NDArray[np.float32]]:
        """Count the spikes that test images cause, by time step and input channel."""
        images = self._batches(self.data.test, timesteps, RATE_IMAGES)
        try:
            with self.trainer.evaluator.running(timesteps):
                return input_rates(self.network, images)
        except SpikeError:  # of a network that does not spike nothing is known
            return {}

    def _early_timesteps(self) -> int:
        """Choose the time steps to search with on the validation images."""
        steps = self.timesteps
        split = self.data.validation
        with self.trainer.evaluator.running(steps), inference(self.network):
            logits = [
                self.network(x).float().cpu()
                for x in self._batches(split, steps, len(split))
            ]
        return early_timesteps(
            torch.cat(logits, dim=1), self.config.early_time_threshold
        )

    def _batches(
        self, split: Split, timesteps: int, count: int
    ) -> Iterator[torch.Tensor]:
        """Batch the first images of a split, all of them in every process."""
        few = split.take(torch.arange(min(count, len(split))))
        size, device = self.config.batch_size, self.processes.device
        for x, _ in batches(self.data, few, size, device=device):
            yield x[:timesteps] if self.data.events else x


def _seed(seed: int, number: int) -> int:
    """Return the seed of a round."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _as_tensors(pruned: Pruned) -> dict[str, dict[str, torch.Tensor]]:
    return {
        part: {
            name: torch.from_numpy(np.ascontiguousarray(array))
            for name, array in getattr(pruned, part).items()
        }
        for part in ("masks", "carried", "orders")
    }


def _from_tensors(parts: Mapping[str, Mapping[str, torch.Tensor]]) -> Pruned:
    masks, carried, orders = (
        {name: tensor.numpy() for name, tensor in parts[part].items()}
        for part in ("masks", "carried", "orders")
    )
    return Pruned(masks, carried, orders)
