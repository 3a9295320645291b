"""How large the gradients of the weights are, over one pass of the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from snn.networks.layers import prunable_layers
from snn.training.epoch_random import epoch_random
from snn.training.evaluation import score
from snn.training.global_norm import global_norm
from snn.training.trainer import Trainer


@dataclass(frozen=True, slots=True, eq=False)
class GradientMoments:
    """Gradients of the weights of one layer, over the batches of a pass.

    Attributes
    ----------
    mean : ndarray of float32 [shape of the weights]
        Mean of their magnitudes.
    root_mean_square : ndarray of float32 [shape of the weights]
        Root of the mean of their squares: of the diagonal of the empirical Fisher
        information, up to a factor.
    """

    mean: npt.NDArray[np.float32]
    root_mean_square: npt.NDArray[np.float32]


def gradient_moments(
    trainer: Trainer, *, seed: int, timesteps: int | None = None
) -> dict[str, GradientMoments]:
    """Measure the gradients of all weights, the pruned ones too.

    Batches are those of training, augmented where training is, and normalization works
    as in training. The network is as it was afterwards.

    Parameters
    ----------
    trainer : Trainer
        Its network as it is, and its training images.
    seed : int
        Of the batches and of whatever is random in the network.
    timesteps : int, optional
        Instead of the network's own number of time steps.

    Returns
    -------
    dict of str to GradientMoments
        For every layer of `prunable_layers`.

    Examples
    --------
    >>> from snn import Trainer, TrainingConfig, build_network, load_data
    >>> from snn import gradient_moments
    >>> data = load_data("digits", train_size=100)
    >>> network = build_network("8c3-mp2-fc10", data.input_shape, 10, timesteps=2)
    >>> moments = gradient_moments(Trainer(network, data, TrainingConfig()), seed=0)
    >>> moments["classifier"].root_mean_square.shape
    (10, 128)
    """
    network, evaluator, processes = (
        trainer.network,
        trainer.evaluator,
        trainer.processes,
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layers: dict[str, Any] = dict(prunable_layers(network))
    weights: dict[str, nn.Parameter] = {n: one.weight for n, one in layers.items()}
    means = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    batches = 0
    was_training = network.training
    network.train()
    # An epoch behind the last one: its random numbers are nobody else's.
    drawn = epoch_random(seed, trainer.config.epochs, processes)
    with evaluator.running(timesteps), drawn as generator:
        for x, y in evaluator.batches(trainer.data.train, timesteps, generator):
            network.zero_grad()
            with global_norm(processes):
                logits = evaluator.logits(network, x)
            loss, counts = score(logits, y)
            (loss / processes.sum(counts[2])).backward()
            processes.sum_gradients(network.parameters())
            batches += 1
            for name, weight in weights.items():
                if weight.grad is not None:
                    means[name] += weight.grad.abs()
                    squares[name] += weight.grad.square()
    network.zero_grad()
    network.load_state_dict(before)
    network.train(was_training)
    return {
        name: GradientMoments(
            _array(means[name] / batches), _array((squares[name] / batches).sqrt())
        )
        for name in weights
    }


def _array(values: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values.detach().cpu().float().numpy())
