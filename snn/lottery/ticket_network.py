"""The network of a ticket: its weights, what its images need, and how well it does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from balancer.errors import TicketError, naming
from balancer.files.array_files import open_arrays
from snn.data.image_data import ImageData
from snn.data.load import load_data
from snn.lottery.config import LotteryConfig
from snn.lottery.round_tickets import load_state, load_ticket
from snn.networks.models import build_network
from snn.training.distributed import Processes
from snn.training.evaluation import Evaluation, Evaluator


@dataclass(frozen=True, slots=True, eq=False)
class Standardization:
    """What is done to images before a network sees them: (image - mean) / std.

    Attributes
    ----------
    mean, std : Tensor of float32 [C]
        Of the training images, in the unit in which pixels are stored.

    Examples
    --------
    >>> import torch
    >>> from snn import Standardization
    >>> about = {"standardization": {"mean": [4.0], "std": [2.0]}}
    >>> Standardization.of(about)(torch.full((1, 1, 1, 1), 8.0)).item()
    2.0
    """

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """Read the ``standardization`` of a ticket's metadata.

        Raises
        ------
        TicketError
            The metadata have none.
        """
        try:
            known = about["standardization"]
            return cls(torch.tensor(known["mean"]), torch.tensor(known["std"]))
        except (KeyError, TypeError, ValueError) as error:
            raise TicketError(
                "the metadata have no `standardization` with `mean` and `std`, which "
                "tickets of lottery runs hold since they record it; take those of the "
                "training images (`ImageData.mean` and `.std`)"
            ) from error

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Standardize images [..., C, H, W] of any number type."""
        mean, std = (
            one.to(images.device)[:, None, None] for one in (self.mean, self.std)
        )
        return (images.float() - mean) / std

    def to_json(self) -> dict[str, list[float]]:
        """Return what `of` reads."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}


def load_network(
    ticket: str | os.PathLike[str], network: nn.Module | None = None
) -> nn.Module:
    """Load the network of a ticket of a lottery run, with its weights.

    Pruned weights are zero. The network takes images as the `Standardization` of the
    ticket makes them.

    Parameters
    ----------
    ticket : str or path
        A ``round-NN.safetensors`` of a run folder.
    network : Module, optional
        The module that the run was given; it gets the weights. A network that the
        configuration named is made anew.

    Returns
    -------
    Module

    Raises
    ------
    TicketError
        No ticket of a lottery run, weights of another network, or a network that was
        given to the run and is not given here.

    Examples
    --------
    >>> from balancer import shipped_ticket
    >>> from snn import load_network
    >>> network = load_network(shipped_ticket())
    >>> network.architecture, network.timesteps
    ('conv3', 4)
    """
    path = Path(ticket)
    with naming(path):
        stored = load_ticket(path)
        about = open_arrays(path).metadata()
        if network is None:
            name = LotteryConfig.of(about["config"]).network
            if about["architecture"] != name:
                raise TicketError(
                    f"its network is a {about['architecture']} that was given to the "
                    "run, whose code is in no file; give it as `network`"
                )
            classes = len(stored.state["classifier.weight"])
            shape = tuple(about["input_shape"])
            network = build_network(name, shape, classes, about["timesteps"])
        load_state(network, stored.state)
    return network


def evaluate_ticket(
    ticket: str | os.PathLike[str],
    *,
    network: nn.Module | None = None,
    data: ImageData | None = None,
) -> Evaluation:
    """Evaluate the network of a ticket of a lottery run on test images.

    Parameters
    ----------
    ticket : str or path
        A ``round-NN.safetensors`` of a run folder.
    network, data : optional
        What the run was given instead of its configuration's. Images are standardized
        as in the run, whatever `data` say.

    Returns
    -------
    Evaluation
        Loss and accuracy on the test images.

    Raises
    ------
    TicketError
        As `load_network` does.
    DataError
        Data that cannot be loaded.

    Examples
    --------
    >>> from balancer import shipped_ticket
    >>> from snn import evaluate_ticket
    >>> evaluation = evaluate_ticket(shipped_ticket())
    >>> round(evaluation.accuracy, 2), evaluation.images
    (0.94, 359)
    """
    network = load_network(ticket, network)
    about = open_arrays(Path(ticket)).metadata()
    config = LotteryConfig.of(about["config"])
    if data is None:
        data = load_data(
            config.dataset,
            train_size=config.train_size,
            validation=config.validation,
            seed=config.seed,
            timesteps=config.timesteps,
        )
    if "standardization" in about:
        used = Standardization.of(about)
        data = replace(data, mean=used.mean, std=used.std)
    evaluator = Evaluator(network, data, config, Processes())
    return evaluator.evaluate(data.test, about["timesteps"])
