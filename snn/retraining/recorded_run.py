"""What a ticket says of the run that it comes from, built again: data and network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from balancer.errors import TicketError, naming
from balancer.files.array_files import open_arrays
from snn.data.image_data import ImageData
from snn.lottery.config import LotteryConfig
from snn.lottery.configured import configured_data, configured_network
from snn.lottery.round_tickets import RoundTicket, load_state, load_ticket
from snn.lottery.ticket_network import Standardization, refuse_unknown_network


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRun:
    """A ticket, and everything that is needed to evaluate or train its network.

    Attributes
    ----------
    path : Path
        The ticket's file.
    about : mapping
        Its metadata: ``timesteps``, ``layers``, ``spike_rates``, ….
    ticket : RoundTicket
        Its weights, masks and scores.
    config : LotteryConfig
        The run's configuration, where nothing else is asked for.
    data : ImageData
        The run's data, split as in the run.
    network : Module
        With the ticket's weights.
    """

    path: Path
    about: Mapping[str, Any]
    ticket: RoundTicket
    config: LotteryConfig
    data: ImageData
    network: nn.Module

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        data: ImageData | None = None,
        **changes: Any,
    ) -> RecordedRun:
        """Read a ticket, load its data, and build its network.

        Parameters
        ----------
        path : str or path
            A ticket of a lottery run.
        network : Module, optional
            For a run that was given one; its weights become those of the ticket.
        data : ImageData, optional
            For a run that was given them.
        **changes
            Fields of `LotteryConfig` that shall not be as recorded.

        Raises
        ------
        TicketError
            No ticket of a lottery run, or one of another network.
        ConfigError, DataError
            Changes that are not accepted, or data that are not there.
        """
        path = Path(path)
        with naming(path):
            about = open_arrays(path).metadata()
            recorded = about.get("config")
            if not isinstance(recorded, dict) or "outcome" not in about:
                raise TicketError(
                    "it does not say how its network is trained, as the tickets of "
                    "the command lottery do"
                )
            if data is None and "dataset" not in recorded:
                raise TicketError(
                    "its network was trained in a loop of the user's own, and its data "
                    "are in no file; give them as `data`"
                )
            ticket = load_ticket(path)
            if network is None:
                refuse_unknown_network(about)
        config = LotteryConfig.of({**recorded, **changes})
        if data is None:
            data = configured_data(config)
        if "preprocessing" in about:  # whatever the images are by themselves
            used = Standardization.of(about)
            data = replace(data, mean=used.mean, std=used.std)
        if network is None:
            network = configured_network(config, data)
        with naming(path):
            load_state(network, ticket.state)
        return cls(path, about, ticket, config, data, network)

    @property
    def timesteps(self) -> int:
        """Time steps that the ticket was trained with."""
        return self.ticket.outcome.timesteps

    @property
    def dense_timesteps(self) -> int:
        """Time steps that the dense network of the run was trained with."""
        if not hasattr(self.network, "timesteps"):
            return self.timesteps  # its own, in all rounds
        fewer = self.config.search_timesteps
        return fewer if isinstance(fewer, int) else self.config.timesteps
