"""What a trained network does, and what its masks cost: the outcome of a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from balancer.metrics import network_eta, network_utilization
from snn.array_types import Masks, Scores
from snn.data.batches import batches
from snn.data.image_data import Split
from snn.lottery.early_time import early_timesteps
from snn.lottery.hardware import RunArray, layer_outcomes
from snn.lottery.live_paths import PathError, live_weights
from snn.lottery.pruning import Pruned, kept_magnitude
from snn.lottery.results import RoundOutcome
from snn.networks.inference import inference
from snn.networks.spikes import SpikeError, input_rates, record_spikes
from snn.training.trainer import Trainer

# Test images of which the spikes are counted: rates then are within a percent.
RATE_IMAGES = 512


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at the network of a trainer as it is.

    Attributes
    ----------
    trainer : Trainer
        Its network and data.
    array : RunArray
        What the masks run on.
    """

    trainer: Trainer
    array: RunArray

    def outcome(
        self,
        number: int,
        pruned: Pruned,
        ranked: Scores,
        about: Mapping[str, Any],
        epochs: int,
    ) -> RoundOutcome:
        """Evaluate the trained network, and its masks on the array.

        Parameters
        ----------
        number : int
            The round.
        pruned : Pruned
            Its masks and orders.
        ranked : dict of str to ndarray of float32
            The scores that they were chosen by.
        about : mapping
            What the ticket's metadata say of time steps, geometry and spike rates.
        epochs : int
            Epochs of training in this round.
        """
        timesteps: int = about["timesteps"]
        spike_rates: dict[str, float] = about["spike_rates"]
        data = self.trainer.data
        test = self.trainer.evaluate(data.test, timesteps)
        validation = None
        if len(data.validation):
            validation = self.trainer.evaluate(data.validation, timesteps).accuracy
        report = self.array.report(pruned.masks, pruned.schedules, about)
        metrics = self.array.load_metrics(pruned.masks, pruned.schedules)
        effective = self.effective(pruned.masks, timesteps)
        layers = layer_outcomes(
            pruned.masks, ranked, metrics, spike_rates, report, effective
        )
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
            effective=None if effective is None else sum(effective.values()),
        )

    def effective(self, masks: Masks, timesteps: int) -> dict[str, int] | None:
        """Count the kept weights of each layer that lie on a path.

        Returns
        -------
        dict of str to int or None
            None for a network whose paths cannot be followed.
        """
        network = self.trainer.network
        try:
            live = live_weights(network, masks, self.images(1, timesteps))
        except PathError:
            return None
        return {n: int(np.count_nonzero(mask & live[n])) for n, mask in masks.items()}

    def images(self, count: int, timesteps: int) -> torch.Tensor:
        """Return test images as the network takes them."""
        return torch.cat(
            list(self._batches(self.trainer.data.test, timesteps, count)), dim=-4
        )

    def rates(
        self, timesteps: int, split: Split | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Count the spikes that images cause, by time step and input channel.

        Parameters
        ----------
        timesteps : int
            Of the network.
        split : Split, optional
            The images, of which the first ones do; default: test images.

        Returns
        -------
        dict of str to ndarray of float32 [timesteps, input channels]
            Empty for a network that does not spike.
        """
        split = self.trainer.data.test if split is None else split
        images = self._batches(split, timesteps, RATE_IMAGES)
        try:
            with self.trainer.evaluator.running(timesteps):
                return input_rates(self.trainer.network, images)
        except SpikeError:
            return {}

    def spikes(self, count: int, timesteps: int) -> dict[str, npt.NDArray[np.bool_]]:
        """Record the spikes that the first test images cause."""
        with self.trainer.evaluator.running(timesteps):
            return record_spikes(self.trainer.network, self.images(count, timesteps))

    def early_timesteps(self, timesteps: int, threshold: float) -> int:
        """Choose the time steps to search with, on the validation images."""
        split = self.trainer.data.validation
        network = self.trainer.network
        with self.trainer.evaluator.running(timesteps), inference(network):
            logits = [
                network(x).float().cpu()
                for x in self._batches(split, timesteps, len(split))
            ]
        return early_timesteps(torch.cat(logits, dim=1), threshold)

    def _batches(
        self, split: Split, timesteps: int, count: int
    ) -> Iterator[torch.Tensor]:
        """Batch the first images of a split, all of them in every process."""
        data = self.trainer.data
        few = split.take(torch.arange(min(count, len(split))))
        size, device = self.trainer.config.batch_size, self.trainer.processes.device
        for x, _ in batches(data, few, size, device=device):
            yield x[:timesteps] if data.events else x
