"""The test accuracy of a ticket's network, with its own masks or others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from balancer.array_types import BoolArray
from balancer.errors import BalancerError
from snn.array_types import Masks
from snn.data.image_data import ImageData
from snn.lottery.examiner import Examiner
from snn.lottery.hardware import RunArray
from snn.lottery.round_tickets import load_state
from snn.retraining.recorded_run import RecordedRun
from snn.training.masking import apply_masks
from snn.training.trainer import Trainer


class TicketAccuracy:
    """Measures masks of a ticket by the test images of its data, without training.

    `balancer.balance_ticket` takes it as ``accuracy``.

    Parameters
    ----------
    ticket : str or path
        A ticket of a lottery run.
    network : Module, optional
        For a run that was given one.
    data : ImageData, optional
        For a run that was given them.
    **changes
        Fields of `LotteryConfig` that shall not be as recorded: ``data_folder``, ….

    Raises
    ------
    TicketError
        No ticket of a lottery run, or one of another network.
    DataError
        Its data are not there.

    Examples
    --------
    >>> from balancer import balance_ticket, shipped_ticket
    >>> from snn import TicketAccuracy
    >>> accuracy = TicketAccuracy(shipped_ticket())
    >>> report = balance_ticket(shipped_ticket(), accuracy=accuracy)
    >>> report.accuracy_before > 0.9 > report.accuracy
    True
    """

    def __init__(
        self,
        ticket: str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        data: ImageData | None = None,
        **changes: Any,
    ) -> None:
        self._run = RecordedRun.open(ticket, network=network, data=data, **changes)
        self._trainer = Trainer(self._run.network, self._run.data, self._run.config)

    def __call__(self, masks: Mapping[str, BoolArray] | None = None) -> float:
        """Measure the ticket with other masks than its own.

        Parameters
        ----------
        masks : mapping of str to ndarray of bool [shape of the weights], optional
            For any of its layers; the others keep their own.

        Returns
        -------
        float
            Share of the test images that it classifies right, from 0 to 1.

        Raises
        ------
        BalancerError
            Masks of other layers or shapes.
        """
        run = self._run
        load_state(run.network, run.ticket.state)
        apply_masks(run.network, self._all(masks))
        return self._trainer.evaluate(run.data.test, run.timesteps).accuracy

    def effective(
        self, masks: Mapping[str, BoolArray] | None = None
    ) -> dict[str, int] | None:
        """Count the kept weights that lie on a path from images to classes.

        Parameters
        ----------
        masks : mapping of str to ndarray of bool [shape of the weights], optional
            As above.

        Returns
        -------
        dict of str to int or None
            By layer; None if the paths of the network cannot be followed.
        """
        examiner = Examiner(self._trainer, RunArray.of(self._run.config))
        return examiner.effective(self._all(masks), self._run.timesteps)

    def _all(self, masks: Mapping[str, BoolArray] | None) -> Masks:
        """Masks of all layers; those that are not given are the ticket's."""
        own = self._run.ticket.pruned.masks
        unknown = [name for name in masks or {} if name not in own]
        if unknown:
            raise BalancerError(
                f"`masks` names {', '.join(unknown)}; the layers are {', '.join(own)}"
            )
        return {**own, **(masks or {})}
