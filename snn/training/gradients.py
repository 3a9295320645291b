"""How large the gradients of the weights are, over one pass of the training images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from balancer.errors import BalancerError
from snn.networks.layers import prunable_layers
from snn.training.epoch_random import epoch_random
from snn.training.evaluation import score
from snn.training.global_norm import global_norm
from snn.training.trainer import Trainer

Batch = TypeVar("Batch")


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


def moments_of_batches(
    network: nn.Module, batches: Iterable[Batch], backward: Callable[[Batch], None]
) -> dict[str, GradientMoments]:
    """Measure the gradients that batches leave in the weights, the pruned ones too.

    Parameters
    ----------
    network : Module
        It runs in training mode, and is afterwards as it was: parameters, buffers,
        modes and gradients. What it computes must leave its parameters alone.
    batches : iterable
        Of whatever `backward` takes; each is taken once.
    backward : callable
        Leaves the gradients of a batch in the parameters, from which the gradients of
        the batch before are gone.

    Returns
    -------
    dict of str to GradientMoments
        For every layer of `prunable_layers`; 0 where no gradient arrives.

    Raises
    ------
    BalancerError
        No batches, or a layer whose weights are computed anew for every call.
    """
    weights = _weights_of(network)
    means = {name: _zeros_like(weight) for name, weight in weights.items()}
    squares = {name: _zeros_like(weight) for name, weight in weights.items()}
    count = 0
    with _as_it_was(network), torch.enable_grad():
        network.train()
        for weight in weights.values():
            weight.requires_grad_()
        for batch in batches:
            network.zero_grad()
            backward(batch)
            count += 1
            for name, weight in weights.items():
                if weight.grad is not None:
                    means[name] += weight.grad.abs()
                    squares[name] += weight.grad.square()
    if not count:
        raise BalancerError("there are no batches; gradients need one at least")
    return {
        name: GradientMoments(
            _array(means[name] / count), _array((squares[name] / count).sqrt())
        )
        for name in weights
    }


def gradient_moments(
    trainer: Trainer, *, seed: int, timesteps: int | None = None
) -> dict[str, GradientMoments]:
    """Measure the gradients of all weights over one pass of the training images.

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

    def backward(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        x, y = batch
        with global_norm(processes):
            logits = evaluator.logits(network, x)
        loss, counts = score(logits, y)
        (loss / processes.sum(counts[2])).backward()
        processes.sum_gradients(network.parameters())

    # An epoch behind the last one: its random numbers are nobody else's.
    drawn = epoch_random(seed, trainer.config.epochs, processes)
    with evaluator.running(timesteps), drawn as generator:
        batches = evaluator.batches(trainer.data.train, timesteps, generator)
        return moments_of_batches(network, batches, backward)


def _weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    layers: dict[str, Any] = dict(prunable_layers(network))
    for name, layer in layers.items():
        if not isinstance(layer.weight, nn.Parameter):
            raise BalancerError(
                f"layer {name}: its weights are computed anew for every call; plain "
                "parameters are needed: remove its parametrization"
            )
    return {name: layer.weight for name, layer in layers.items()}


@contextmanager
def _as_it_was(network: nn.Module) -> Iterator[None]:
    """Give a network back what a pass in training mode changes."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    parameters = [(one, one.requires_grad, one.grad) for one in network.parameters()]
    modes = {module: module.training for module in network.modules()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
        for parameter, trained, gradient in parameters:
            parameter.requires_grad_(trained)
            parameter.grad = gradient
        for module, training in modes.items():
            module.training = training


def _zeros_like(weight: torch.Tensor) -> torch.Tensor:
    precise = torch.promote_types(weight.dtype, torch.float32)
    return torch.zeros_like(weight, dtype=precise, requires_grad=False)


def _array(values: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values.detach().cpu().float().numpy())
