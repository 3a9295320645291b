"""What tells how accurate a network is with its masks; the program cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from balancer.array_types import BoolArray


class AccuracyMeter(Protocol):
    """Whatever can be called with masks and measures the network."""

    def __call__(self, masks: Mapping[str, BoolArray] | None, /) -> float:
        """Measure the network with masks of some layers; with None as it is.

        Returns
        -------
        float
            Accuracy from 0 to 1.
        """
