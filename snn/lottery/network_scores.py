"""Scores of any network, measured in a training loop of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from spikingjelly.activation_based.functional import reset_net
from torch import nn

from balancer import BalancerError
from snn.array_types import Scores
from snn.lottery.saliency import (
    Rates,
    Score,
    Trained,
    checked_layers,
    get_score,
    rate,
    validated,
)
from snn.networks.layers import prunable_layers
from snn.networks.spikes import input_rates
from snn.training.gradients import GradientMoments, moments_of_batches

Batches = Iterable[tuple[torch.Tensor, Any]]
Loss = Callable[[torch.Tensor, Any], torch.Tensor]


def score_of(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    kind: str | Score = "gradient",
    *,
    magnitudes: Scores | None = None,
    rates: Rates | None = None,
) -> Scores:
    """Score all weights of a network as rounds of the lottery score them.

    Gradients are those of the loss of each batch, taken in training mode (dropout and
    statistics of batches work) in one pass; the network, its gradients and torch's
    random numbers are afterwards as they were. States of neurons are forgotten between
    batches and at the end.

    Parameters
    ----------
    network : Module
        With convolutions or linear layers; of pruned weights the score is 0 unless
        `magnitudes` say how large they were.
    batches : iterable of (Tensor, any)
        Inputs, on the device of the network, and what the loss takes beside its
        output: batches of training images and their labels. The gradient's score
        depends on their size, about as its root: take one size where runs are compared.
    loss : callable
        Of the network's output and the labels; returns one number, as
        `torch.nn.functional.cross_entropy` does.
    kind : {"gradient", "taylor", "magnitude", "rate"} or callable
        What to score by, or a score of your own, as `run_lottery` takes it.
    magnitudes : mapping of str to ndarray of float [shape of the weights], optional
        Last non-zero magnitude of every weight of every layer. Default: of the present
        weights.
    rates : mapping of str to ndarray of float32 [time steps, input channels], optional
        Spikes per input, as `input_rates` returns them. Default: for ``"rate"`` those
        that the batches cause, for a score of your own none.

    Returns
    -------
    dict of str to ndarray of float32 [shape of the weights]
        By the names of `prunable_layers`: what `balance_network` takes,
        ``balance_ticket(..., scores=...)``, and a file of ``NAME.score``.

    Raises
    ------
    BalancerError
        An unknown kind, no batches, a loss that is no number, or scores that are
        negative or not finite, as of a loss that is not.

    Examples
    --------
    >>> import torch
    >>> from torch.nn.functional import cross_entropy
    >>> from snn import score_of
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> batches = [(torch.rand(8, 1, 2, 2), torch.arange(8) % 3) for _ in range(2)]
    >>> scores = score_of(network, batches, cross_entropy)
    >>> {name: array.shape for name, array in scores.items()}
    {'1': (3, 4)}
    """
    score = get_score(kind) if isinstance(kind, str) else kind
    layers: dict[str, Any] = dict(prunable_layers(network))
    present: Scores = {
        name: layer.weight.detach().abs().float().cpu().numpy()
        for name, layer in layers.items()
    }
    if magnitudes is not None:
        present = checked_layers(magnitudes, present, "`magnitudes`")
    if rates is None:
        rates = {}
        if score is rate:
            rates = input_rates(network, (x for x, _ in batches))

    @cache  # one pass is enough for all that a score asks
    def gradients() -> dict[str, GradientMoments]:
        devices = {
            one.device for one in network.parameters() if one.device.type == "cuda"
        }
        with torch.random.fork_rng(list(devices)):
            reset_net(network)
            return moments_of_batches(network, batches, loss_backward(network, loss))

    return validated(score)(Trained(present, rates, gradients))


def loss_backward(
    network: nn.Module, loss: Loss
) -> Callable[[tuple[torch.Tensor, Any]], None]:
    """Make what leaves the gradients of a batch in the parameters of a network."""

    def backward(batch: tuple[torch.Tensor, Any]) -> None:
        x, y = batch
        try:
            made = loss(network(x), y)
            if not isinstance(made, torch.Tensor) or made.numel() != 1:
                raise BalancerError(
                    f"`loss` returned {_said(made)}; one number, a tensor, is needed"
                )
            made.backward()
        finally:
            reset_net(network)

    return backward


def _said(made: object) -> str:
    if isinstance(made, torch.Tensor):
        return f"a tensor of shape {tuple(made.shape)}"
    return type(made).__name__
