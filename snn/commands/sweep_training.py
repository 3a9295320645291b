"""Who trains where a sweep asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwmodel.sweeps.trainer import PointTrainer


def lottery_trainer() -> PointTrainer:
    """Make the trainer; it loads torch only when it trains."""
    from snn.lottery.sweep_trainer import LotteryTrainer

    return LotteryTrainer()
