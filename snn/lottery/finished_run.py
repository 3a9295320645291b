"""What is known of a run that is over, whoever asks: of its folder, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from balancer.errors import BalancerError, malformed, naming
from balancer.text_files import read_text_file
from snn.lottery.config import LotteryConfig
from snn.lottery.results import RoundOutcome, reported_notes, reported_outcomes


class FinishedRounds(Protocol):
    """A run that is over: `LotteryResult`, or what its folder says."""

    @property
    def config(self) -> LotteryConfig:
        """What was run."""

    @property
    def folder(self) -> Path:
        """Where its tickets are."""

    @property
    def outcomes(self) -> tuple[RoundOutcome, ...]:
        """Of the dense network and every round."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers might hide."""


@dataclass(frozen=True, slots=True)
class RunOnDisk:
    """What the folder of a finished run says; see `FinishedRounds`."""

    config: LotteryConfig
    folder: Path
    outcomes: tuple[RoundOutcome, ...]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the report of a run.

        Raises
        ------
        BalancerError
            The folder of no finished run, or a damaged report.
        """
        path = folder / "report.json"
        if not path.exists():
            raise BalancerError(
                f"{folder}: this run is not finished; go on with lottery --resume"
            )
        known = read_text_file("JSON", path, BalancerError)
        with naming(path), malformed(BalancerError, "is no report of a run"):
            config = LotteryConfig.of(known["config"])
            return cls(config, folder, reported_outcomes(known), reported_notes(known))
