"""What a trained network does, and what its masks cost: the outcome of a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from snn.array_types import Masks, Scores
from snn.data.batch_split import BatchSplit
from snn.data.batches import batches
from snn.data.image_data import Split
from snn.lottery.early_time import early_timesteps
from snn.lottery.hardware import RunArray
from snn.lottery.live_paths import effective_weights
from snn.lottery.outcomes import Measured, round_outcome
from snn.lottery.pruning import Pruned
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
        data = self.trainer.data
        test = self.trainer.evaluate(data.test, timesteps)
        validation = None
        if len(data.validation):
            validation = self.trainer.evaluate(data.validation, timesteps).accuracy
        measured = Measured(test.accuracy, test.loss, validation, epochs)
        effective = self.effective(pruned.masks, timesteps)
        return round_outcome(
            number, pruned, ranked, self.array, about, effective, measured
        )

    def effective(self, masks: Masks, timesteps: int) -> dict[str, int] | None:
        """Count the kept weights of each layer that lie on a path.

        Returns
        -------
        dict of str to int or None
            None for a network whose paths cannot be followed.
        """
        network = self.trainer.network
        return effective_weights(network, masks, self.images(1, timesteps))

    def images(self, count: int, timesteps: int) -> torch.Tensor:
        """Return test images as the network takes them."""
        return torch.cat(
            list(self._batches(self.trainer.data.test, timesteps, count)), dim=-4
        )

    def rates(
        self, timesteps: int, split: Split | BatchSplit | None = None
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
        self, split: Split | BatchSplit, timesteps: int, count: int
    ) -> Iterator[torch.Tensor]:
        """Batch the first images of a split, all of them in every process."""
        data = self.trainer.data
        few = split.first(count)
        size, device = self.trainer.config.batch_size, self.trainer.processes.device
        for x, _ in batches(data, few, size, device=device):
            yield x[:timesteps] if data.events else x
