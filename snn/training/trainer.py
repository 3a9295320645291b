"""Train a network for some epochs of a schedule, with masks that stay, and evaluate it.

`Evaluation` and `TrainingError` can be imported from here, too.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from balancer.errors import MALFORMED
from snn.array_types import Masks
from snn.data.batch_split import BatchSplit
from snn.data.image_data import ImageData, Split
from snn.training.config import TrainingConfig
from snn.training.distributed import Processes
from snn.training.epoch_random import epoch_random
from snn.training.evaluation import Evaluation, Evaluator, TrainingError, score
from snn.training.global_norm import global_norm
from snn.training.masking import keep_masks
from snn.training.schedule import build_optimizer, learning_rate, restore_optimizer

__all__ = ["EpochReport", "Evaluation", "Trainer", "TrainingError"]


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What an epoch brought.

    Attributes
    ----------
    epoch, epochs : int
        Epochs of the schedule that are done, this one included, of how many.
    loss, accuracy : float
        On the training images while the weights changed, as in `Evaluation`.
    validation_accuracy : float or None
        After the epoch; None where the data have no validation images.
    learning_rate : float
        At the start of the epoch.
    images_per_second : float
        Training images of all processes, in a second of training.
    seconds : float
        Of the whole epoch, validation included.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float
    seconds: float


class Trainer:
    """Trains and evaluates one network.

    Results are bitwise repeatable on one kind of CPU with one configuration. Everything
    random in an epoch is drawn from the seed and the number of the epoch, so a training
    that is continued from the checkpoint of an epoch ends with the same bits.

    Parameters
    ----------
    network : Module
        It is moved to the device of this process and given the main one's weights.
    data : ImageData
        The test part is only used where `evaluate` is called with it.
    config : TrainingConfig
        Its `threads` become those of torch.
    processes : Processes
        By default this one alone. Several give the result of one, up to the order of
        float sums, as long as the network draws nothing random (dropout).

    Attributes
    ----------
    evaluator : Evaluator
        Runs the network on batches.

    Raises
    ------
    TrainingError
        A compiled network in several processes.
    """

    def __init__(
        self,
        network: nn.Module,
        data: ImageData,
        config: TrainingConfig,
        processes: Processes | None = None,
    ) -> None:
        self.network = network
        self.data = data
        self.config = config
        self.processes = Processes() if processes is None else processes
        if config.compile and self.processes.size > 1:
            raise TrainingError(
                "`compile` works in one process only; leave it out under torchrun"
            )
        torch.set_num_threads(config.threads)
        network.to(self.processes.device)
        if config.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.processes.synchronize(network)
        self.evaluator = Evaluator(network, data, config, self.processes)
        self._train_forward = torch.compile(network) if config.compile else network
        self._optimizer = build_optimizer(config, network.parameters())
        self._restored = False
        self._epoch: int | None = 0  # None inside an epoch
        self._best: tuple[float, int] | None = None

    def fit(
        self,
        masks: Masks,
        *,
        start: int = 0,
        stop: int | None = None,
        seed: int,
        timesteps: int | None = None,
        after_epoch: Callable[[EpochReport], None] | None = None,
    ) -> tuple[EpochReport, ...]:
        """Train from epoch `start` to before epoch `stop` of the schedule.

        Parameters
        ----------
        masks : mapping of str to ndarray of bool [shape of the weights]
            True where a weight is kept, for every layer of `prunable_layers`; pruned
            weights are zero before the first and after every step.
        start, stop : int
            Epochs from 0, by default all of `config.epochs`. The learning rate goes by
            them, so a round that is rewound to epoch k starts at ``start=k``.
        seed : int
            Non-negative; data order, augmentation and torch's own generator derive from
            it and the epoch.
        timesteps : int, optional
            Instead of the network's own number of time steps.
        after_epoch : callable, optional
            Called with every report; it may take a `checkpoint`.

        Returns
        -------
        tuple of EpochReport
            One for each epoch; fewer than asked for after early stopping, which keeps
            the weights of the last epoch.

        Raises
        ------
        TrainingError
            Epochs outside of the schedule, or another `start` than that of a restored
            checkpoint; a last batch with fewer images than processes; a loss that is
            not finite; logits of a wrong shape.
        MaskError
            Masks that do not fit the network.

        Notes
        -----
        The optimizer is a fresh one, unless `restore` came just before. Interrupted
        inside an epoch, the network keeps its masks and holds no neuron states, but has
        no checkpoint: go back to the last one.
        """
        stop = self.config.epochs if stop is None else stop
        if not 0 <= start <= stop <= self.config.epochs:
            raise TrainingError(
                f"epochs {start} to {stop} are not within 0 to {self.config.epochs}, "
                "which `epochs` of the configuration says"
            )
        self._check_batches()
        self._begin(start)
        reports = []
        with (
            keep_masks(self._optimizer, self.network, masks),
            self.evaluator.running(timesteps),
        ):
            self._restored = False
            for epoch in range(start, stop):
                if self._is_over(epoch):
                    break
                self._epoch = None
                report = self._train_epoch(epoch, seed, timesteps)
                self._epoch = epoch + 1
                reports.append(report)
                if after_epoch is not None:
                    after_epoch(report)
        return tuple(reports)

    def evaluate(
        self, split: Split | BatchSplit, timesteps: int | None = None
    ) -> Evaluation:
        """Count loss and hits on a split, shared among the processes.

        Parameters
        ----------
        split : Split
            A part of the data, with at least one image.
        timesteps : int, optional
            Instead of the network's own number of time steps.

        Raises
        ------
        TrainingError
            An empty split, logits of a wrong shape, or other `timesteps` than its own
            for a network without an attribute of that name.
        """
        return self.evaluator.evaluate(split, timesteps)

    def checkpoint(self) -> dict[str, Any]:
        """Copy everything that the next epoch depends on.

        Returns
        -------
        dict
            ``network`` and ``optimizer`` (state dicts), ``epoch`` (the next one) and
            ``best`` (accuracy and epoch, or None). ``torch.save`` writes it,
            ``torch.load(…, weights_only=True)`` reads it.

        Raises
        ------
        TrainingError
            Inside an epoch that was interrupted.
        """
        if self._epoch is None:
            raise TrainingError(
                "training was interrupted inside an epoch; restore the last checkpoint"
            )
        return {
            "network": copy.deepcopy(self.network.state_dict()),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "epoch": self._epoch,
            "best": self._best,
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go back to a checkpoint; `fit` then goes on from its ``epoch``.

        Raises
        ------
        TrainingError
            A checkpoint of another network, optimizer or schedule.
        """
        optimizer = build_optimizer(self.config, self.network.parameters())
        try:
            self.network.load_state_dict(checkpoint["network"])
            restore_optimizer(optimizer, checkpoint["optimizer"])
            epoch, best = checkpoint["epoch"], checkpoint["best"]
            if type(epoch) is not int or not 0 <= epoch <= self.config.epochs:
                raise ValueError(f"epoch {epoch} of {self.config.epochs}")
            self._best = None if best is None else (float(best[0]), int(best[1]))
        except (RuntimeError, *MALFORMED) as error:
            said = " ".join(str(error).split())
            raise TrainingError(
                f"a checkpoint of another training ({said}); begin again from the last "
                "round (remove it), or from the first (--restart)"
            ) from error
        self._optimizer, self._epoch, self._restored = optimizer, epoch, True

    def _begin(self, start: int) -> None:
        if not self._restored:
            self._optimizer = build_optimizer(self.config, self.network.parameters())
            self._epoch, self._best = start, None
        elif start != self._epoch:
            raise TrainingError(
                f"`start` is {start}, but the restored checkpoint goes on at epoch "
                f"{self._epoch}"
            )

    def _check_batches(self) -> None:
        """Every process needs an image of every batch: they exchange statistics."""
        smallest = self.data.train.least_batch(self.config.batch_size)
        if smallest < self.processes.size:
            raise TrainingError(
                f"a batch of {smallest} images is too small for {self.processes.size} "
                f"processes; `batch_size` is {self.config.batch_size} for "
                f"{len(self.data.train)} training images: choose another"
            )

    def _is_over(self, epoch: int) -> bool:
        patience = self.config.early_stopping
        if patience is None or self._best is None:
            return False
        return epoch - self._best[1] >= patience

    def _train_epoch(self, epoch: int, seed: int, timesteps: int | None) -> EpochReport:
        begun = time.perf_counter()
        self.network.train()
        with epoch_random(seed, epoch, self.processes) as generator:
            counts = self._train(epoch, generator, timesteps)
            trained = self.evaluator.summary(counts)
        seconds = time.perf_counter() - begun
        if not math.isfinite(trained.loss):
            raise TrainingError(
                f"the loss of epoch {epoch + 1} is {trained.loss}; lower "
                f"`learning_rate` ({self.config.learning_rate:g}), or train with "
                "`precision` float32"
            )
        accuracy = None
        if len(self.data.validation):
            accuracy = self.evaluate(self.data.validation, timesteps).accuracy
            if self._best is None or accuracy > self._best[0]:
                self._best = (accuracy, epoch + 1)
        return EpochReport(
            epoch=epoch + 1,
            epochs=self.config.epochs,
            loss=trained.loss,
            accuracy=trained.accuracy,
            validation_accuracy=accuracy,
            learning_rate=learning_rate(self.config, epoch / self.config.epochs),
            images_per_second=trained.images / seconds,
            seconds=time.perf_counter() - begun,
        )

    def _train(
        self, epoch: int, generator: torch.Generator, timesteps: int | None
    ) -> torch.Tensor:
        """Take the steps of an epoch; return its counts."""
        totals = self.evaluator.no_counts()
        part_of_epoch = self.data.train.share_of_step(self.config.batch_size)
        for step, (x, y) in enumerate(
            self.evaluator.batches(self.data.train, timesteps, generator)
        ):
            done = (epoch + step * part_of_epoch) / self.config.epochs
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(self.config, done)
            self._optimizer.zero_grad()
            with global_norm(self.processes):
                logits = self.evaluator.logits(self._train_forward, x)
            loss, counts = score(logits, y)
            (loss / self.processes.sum(counts[2])).backward()
            self.processes.sum_gradients(self.network.parameters())
            self._optimizer.step()
            totals += counts
        return totals
