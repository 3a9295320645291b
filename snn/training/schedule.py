"""Optimizers and learning rates by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from snn.training.config import TrainingConfig


def build_optimizer(
    config: TrainingConfig, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Make the optimizer that the configuration names."""
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=config.momentum,
            weight_decay=decay,
            nesterov=config.momentum > 0,
        )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    betas = (config.momentum, 0.999)
    return kind(parameters, lr=rate, betas=betas, weight_decay=decay)


def restore_optimizer(
    optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Give a fresh optimizer the state of one that was made alike.

    Raises
    ------
    ValueError
        One of other settings or other parameters; what torch raises on what is none.
    """
    fresh = optimizer.state_dict()["param_groups"]
    for mine, theirs in zip(fresh, state["param_groups"], strict=True):
        for name in mine.keys() - {"lr", "initial_lr"}:
            if mine[name] != theirs[name]:
                raise ValueError(f"{name} is {theirs[name]}, and not {mine[name]}")
    optimizer.load_state_dict(dict(state))
    for parameter, known in optimizer.state.items():
        for name, value in known.items():
            if value is not None and (
                value.layout != torch.strided
                or value.shape not in (parameter.shape, torch.Size())
            ):
                raise ValueError(f"{name} is not of the shape of its weights")


def learning_rate(config: TrainingConfig, done: float) -> float:
    r"""Give the learning rate when a part of all epochs is done.

    With the initial rate :math:`r` and the part :math:`f`, ``cosine`` is
    :math:`r (1 + \cos \pi f) / 2`; ``step`` is :math:`r` to :math:`f = 1/2`, then
    :math:`r / 10`, and from :math:`f = 3/4` on :math:`r / 100`.

    Parameters
    ----------
    config : TrainingConfig
        Initial rate and schedule.
    done : float
        Part of the schedule that is done, 0 to 1.
    """
    factor = 1.0
    if config.schedule == "cosine":
        factor = (1 + math.cos(math.pi * done)) / 2
    elif config.schedule == "step":
        factor = 0.1 ** ((done >= 0.5) + (done >= 0.75))
    return config.learning_rate * factor
