"""The network of a ticket: its weights, and what is done to its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from balancer.errors import MALFORMED, TicketError, malformed, naming
from balancer.files.array_files import open_arrays
from snn.lottery.round_tickets import load_state, load_ticket
from snn.networks.models import build_network


@dataclass(frozen=True, slots=True, eq=False)
class Standardization:
    """What is done to images before a network sees them: (image - mean) / std.

    Tickets of lottery runs record it as ``preprocessing``.

    Attributes
    ----------
    mean, std : Tensor of float32 [C]
        Of the training images, in the unit in which pixels are stored.

    Examples
    --------
    >>> import torch
    >>> from snn import Standardization
    >>> about = {"preprocessing": {"mean": [4.0], "std": [2.0]}}
    >>> Standardization.of(about)(torch.full((1, 1, 1, 1), 8.0)).item()
    2.0
    """

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """Read the ``preprocessing`` of a ticket's metadata.

        Raises
        ------
        TicketError
            The metadata have none.
        """
        try:
            known = about["preprocessing"]
            mean, std = (torch.tensor(known[name]).float() for name in ("mean", "std"))
            if mean.ndim != 1 or mean.shape != std.shape:
                raise ValueError("a number of each channel is needed")
            return cls(mean, std)
        except (RuntimeError, *MALFORMED) as error:
            raise TicketError(
                "its metadata have no `preprocessing` with `mean` and `std`; take "
                "those of the training images (`ImageData.mean` and `.std`)"
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
    ticket makes them. `TicketAccuracy` evaluates it.

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
            refuse_unknown_network(about)
            with malformed(TicketError, "it does not say what its network is"):
                network = build_network(
                    about["architecture"],
                    tuple(about["input_shape"]),
                    len(stored.state["classifier.weight"]),
                    about["timesteps"],
                )
        load_state(network, stored.state)
    return network


def refuse_unknown_network(about: Mapping[str, Any]) -> None:
    """Refuse a ticket whose network only its run was given.

    Raises
    ------
    TicketError
        Its architecture is not that of its configuration.
    """
    known = about.get("architecture")
    if known is None or known != about["config"].get("network"):
        raise TicketError(
            f"its network, {known}, was given to the run, and its code "
            "is in no file; give it as `network`"
        )
