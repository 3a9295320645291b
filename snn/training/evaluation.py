"""Run a network on batches of images and count its loss and hits.

Any torch module works that takes images [N, C, H, W] (or sequences of events
[T, N, C, H, W]) and returns logits [N, classes] or, with time steps, [T, N, classes].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from spikingjelly.activation_based.functional import reset_net
from torch import nn
from torch.nn import functional

from balancer.errors import BalancerError
from snn.data.batch_split import BatchSplit
from snn.data.batches import batches
from snn.data.image_data import ImageData, Split
from snn.networks.calls import observe_calls
from snn.training.config import TrainingConfig
from snn.training.distributed import Processes
from snn.training.precision import autocast


class TrainingError(BalancerError):
    """A training or evaluation that cannot be done, or that went wrong."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a network does on some images.

    Attributes
    ----------
    loss : float
        Mean over images and time steps of the cross entropy, in nats.
    accuracy : float
        Part of the images whose largest mean logit is that of their class, 0 to 1.
    images : int
        How many there were.
    """

    loss: float
    accuracy: float
    images: int


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A network, the data it sees, and how and where it is run.

    Attributes
    ----------
    network : Module
        On the device of this process.
    data : ImageData
        What `batches` normalizes by.
    config : TrainingConfig
        Batch size, augmentation, precision and memory format.
    processes : Processes
        Who share every batch.
    """

    network: nn.Module
    data: ImageData
    config: TrainingConfig
    processes: Processes

    def evaluate(self, split: Split | BatchSplit, timesteps: int | None) -> Evaluation:
        """Evaluate a split in evaluation mode; see `Trainer.evaluate`."""
        if not len(split):
            raise TrainingError("the split is empty; there is nothing to evaluate")
        totals = self.no_counts()
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), self.running(timesteps):
                for x, y in self.batches(split, timesteps):
                    if len(y):  # several processes may be more than images
                        totals += score(self.logits(self.network, x), y)[1]
        finally:
            self.network.train(was_training)
        return self.summary(totals)

    def batches(
        self,
        split: Split | BatchSplit,
        timesteps: int | None,
        generator: torch.Generator | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Cut our parts of the batches; a generator shuffles and augments them."""
        for x, y in batches(
            self.data,
            split,
            self.config.batch_size,
            generator=generator,
            augment=self.config.augment and generator is not None,
            part=self.processes.part,
            device=self.processes.device,
        ):
            if self.data.events:
                yield x[:timesteps], y
            elif self.config.channels_last:
                yield x.contiguous(memory_format=torch.channels_last), y
            else:
                yield x, y

    def logits(self, forward: Callable[..., Any], x: torch.Tensor) -> torch.Tensor:
        """Run a batch and forget the neurons' states.

        Parameters
        ----------
        forward : callable
            The network or its compiled form.
        x : Tensor of float32 [N, C, H, W] or [T, N, C, H, W]

        Returns
        -------
        Tensor of float32 [T, N, classes]
            One time step where the network has none.
        """
        try:
            with autocast(self.config.precision, self.processes.device):
                logits = forward(x)
        finally:
            reset_net(self.network)
        if logits.ndim not in (2, 3) or logits.shape[-1] < self.data.classes:
            raise TrainingError(
                f"the network returned {list(logits.shape)}; logits [N, classes] or "
                f"[T, N, classes] for {self.data.classes} classes are needed"
            )
        return logits.float() if logits.ndim == 3 else logits.float().unsqueeze(0)

    def no_counts(self) -> torch.Tensor:
        """Zeros, to which the counts of `score` may be added for any number of images.

        Returns
        -------
        Tensor of float64 [3]
        """
        return torch.zeros(3, dtype=torch.float64, device=self.processes.device)

    def summary(self, counts: torch.Tensor) -> Evaluation:
        """Divide counts, summed over the processes, by the number of images."""
        loss, hits, images = self.processes.sum(counts).tolist()
        return Evaluation(loss / images, hits / images, int(images))

    @contextmanager
    def running(self, timesteps: int | None) -> Iterator[None]:
        """Let the network run another number of time steps in the block.

        One without the attribute ``timesteps`` runs those of its neurons, or all of
        its events.
        """
        network: Any = self.network
        timed = hasattr(network, "timesteps")
        if timesteps is None or (not timed and self.data.events):  # events are cut
            yield
            return
        if not timed:
            own = self._own_timesteps()
            if own != timesteps:
                raise TrainingError(
                    f"`timesteps` is {timesteps}, but {type(network).__name__} has no "
                    f"attribute of that name to set; it runs {own}"
                )
            yield
            return
        before, network.timesteps = network.timesteps, timesteps
        try:
            yield
        finally:
            network.timesteps = before

    def _own_timesteps(self) -> int:
        one = self.data.train.first(1)
        ((x, _),) = batches(self.data, one, 1, device=self.processes.device)
        return observe_calls(self.network, x).timesteps


def score(
    logits: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Compare logits with the classes of the images.

    The loss of an image is the mean of the cross entropies of its :math:`T` time steps,
    :math:`-\frac1T \sum_t \log \mathrm{softmax}(z_t)_y`, so every time step alone
    learns the class; it is not the cross entropy of the mean logits.

    Parameters
    ----------
    logits : Tensor of float32 [T, N, classes]
    labels : Tensor of int64 [N]

    Returns
    -------
    loss : Tensor of float32
        Sum over the images, to be differentiated.
    counts : Tensor of float32 [3]
        The same sum, images whose largest mean logit is that of their class, images.
    """
    steps = logits.shape[0]
    each = functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat(steps), reduction="sum"
    )
    loss = each / steps
    hits = (logits.detach().mean(0).argmax(-1) == labels).sum()
    images = torch.full_like(loss.detach(), len(labels))
    return loss, torch.stack([loss.detach(), hits.to(loss), images])
