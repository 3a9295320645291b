"""What a sweep asks of training; this package cannot train."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hwmodel.sweeps.points import SweepPoint


class TrainedTicket(NamedTuple):
    """What training leaves of a point.

    Attributes
    ----------
    path : Path
        The ticket, with the masks to evaluate.
    columns : mapping of str to object
        What it adds to the row, as JSON holds it: the accuracy, for example.
    """

    path: Path
    columns: Mapping[str, Any]


class PointTrainer(Protocol):
    """Trains the network of a point; sent to other processes, so it can be pickled."""

    def digest(self, point: SweepPoint) -> str:
        """Digest of what the training depends on.

        Raises
        ------
        BalancerError
            Settings that it does not accept.
        """

    def require(self) -> None:
        """Refuse, before anything is run, to train where it cannot.

        Raises
        ------
        BalancerError
            What is not installed.
        """

    def train(self, point: SweepPoint, root: Path) -> TrainedTicket:
        """Train, or go on where a former call was stopped.

        Parameters
        ----------
        point : SweepPoint
            With the array and the fields of training.
        root : Path
            Folder of the runs.
        """
