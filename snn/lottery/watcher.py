"""Who is told what a run does."""

from __future__ import annotations

from pathlib import Path

from snn.lottery.config import LotteryConfig
from snn.lottery.results import RoundOutcome
from snn.training.trainer import EpochReport


class Watcher:
    """Told what a run does; every method may be overridden."""

    def begin(self, folder: Path, config: LotteryConfig) -> None:
        """Hear that a run begins, or goes on."""

    def epoch(self, number: int, report: EpochReport) -> None:
        """Hear that an epoch of a round is over."""

    def round(self, outcome: RoundOutcome) -> None:
        """Hear that a round is over, now or in an earlier session."""
