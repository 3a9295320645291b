"""A network with its masks and orders, as exports take it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from balancer import ExportSource, Schedule
from balancer.errors import ExportError
from snn.array_types import Masks
from snn.channels.trace import copy_of
from snn.lottery.ticket_network import load_network
from snn.networks.layers import prunable_layers


@dataclass(frozen=True, slots=True, eq=False)
class MaskedNetwork:
    """A network to export.

    Attributes
    ----------
    network : Module
        Pruned weights are zero.
    input_shape : tuple of int
        Of one image, (channels, height, width), or of features.
    masks : mapping of str to ndarray of bool
        Of layers, in the shape of their weights; those that are not there are dense.
    schedules : mapping of str to Schedule
        In which order the PEs take the channels of layers; natural ones may be left
        out.
    about : mapping
        What the ticket says: ``timesteps``, ``preprocessing``, ….

    Examples
    --------
    >>> from balancer import shipped_ticket
    >>> from snn import MaskedNetwork
    >>> MaskedNetwork.of(shipped_ticket()).input_shape
    (1, 8, 8)
    """

    network: nn.Module
    input_shape: tuple[int, ...]
    masks: Masks = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = prunable_layers(self.network)
        for name, mask in self.masks.items():
            weight: Any = getattr(layers.get(name), "weight", None)
            shape = None if weight is None else tuple(weight.shape)
            if shape != mask.shape:
                raise ExportError(
                    f"`masks` has {name} of shape {mask.shape}; "
                    + (
                        f"its weights have shape {shape}"
                        if shape
                        else f"the layers are {', '.join(layers)}"
                    )
                )

    @classmethod
    def of(
        cls,
        ticket: str | os.PathLike[str],
        masks: str | os.PathLike[str] | None = None,
        network: nn.Module | None = None,
    ) -> Self:
        """Load the network of a ticket of a lottery run.

        Parameters
        ----------
        ticket : str or path
            The ticket.
        masks : str or path, optional
            Masks and orders that the command ``balance`` wrote; default: its own.
        network : Module, optional
            For a run that was given one.

        Raises
        ------
        TicketError
            No ticket of a lottery run, or one of another network.
        ExportError
            Masks of other layers.
        """
        source = ExportSource.of(Path(ticket), masks)
        loaded = load_network(ticket, network)
        return cls(
            loaded,
            tuple(source.about["input_shape"]),
            {layer.name: layer.mask for layer in source.layers},
            {layer.name: one for layer in source.layers for one in layer.schedules},
            source.about,
        ).pruned()

    def pruned(self) -> Self:
        """Return a copy, in evaluation mode, whose pruned weights are zero."""
        network = copy_of(self.network).eval()
        layers = prunable_layers(network)
        with torch.no_grad():
            for name, mask in self.masks.items():
                weight: Any = layers[name].weight
                weight.masked_fill_(~torch.from_numpy(mask).to(weight.device), 0)
        return replace(self, network=network)
