"""What tells how accurate and how well connected a network is; nobody here can know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from balancer.array_types import BoolArray

EffectiveCounter: TypeAlias = Callable[
    [Mapping[str, BoolArray] | None], Mapping[str, int] | None
]
"""Counts kept weights as `AccuracyMeter.effective` does."""


class AccuracyMeter(Protocol):
    """What can be called with masks and measures the network: `snn.TicketAccuracy`."""

    def __call__(self, masks: Mapping[str, BoolArray] | None, /) -> float:
        """Measure the network with masks of some layers; with None as it is.

        Returns
        -------
        float
            Accuracy from 0 to 1.
        """

    def effective(
        self, masks: Mapping[str, BoolArray] | None, /
    ) -> Mapping[str, int] | None:
        """Count the kept weights of each layer on a path from input to output.

        Returns
        -------
        mapping of str to int or None
            None if that is not known.
        """
