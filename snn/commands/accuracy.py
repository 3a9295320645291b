"""How `balance --evaluate` measures a ticket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snn.commands.torch_needed import require_torch

if TYPE_CHECKING:
    from balancer import AccuracyMeter


def accuracy_of_ticket(ticket: Path, data_folder: Path | None) -> AccuracyMeter:
    """Load the network and the data of a ticket.

    Raises
    ------
    UsageError
        torch is not installed.
    BalancerError
        The ticket does not say what its network and data are, or they are not there.
    """
    require_torch("testing a network")
    from snn.retraining.ticket_accuracy import TicketAccuracy

    return TicketAccuracy(ticket, data_folder=data_folder)
