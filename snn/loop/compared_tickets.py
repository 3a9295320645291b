"""Runs of the user's own beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snn.lottery.comparison import MethodComparison, Run
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import LotteryConfig
from snn.lottery.plots import plot_comparison
from snn.lottery.results import RoundOutcome


@dataclass(frozen=True, slots=True)
class ComparedTickets(MethodComparison):
    """Finished runs of a loop of the user's own; see `Tickets.compare`."""

    def plot(self, path: Path | str) -> None:
        """Draw accuracy by cycles and by sparsity, and utilization by sparsity.

        Parameters
        ----------
        path : Path or str
            An .svg, .png or .pdf file.

        Raises
        ------
        ComparisonError
            Another kind of file.
        """
        plot_comparison(self, path)


@dataclass(frozen=True, slots=True)
class FinishedLoop:
    """A run that has come to its end.

    Attributes
    ----------
    config : LotteryConfig
        What was run.
    outcomes : tuple of RoundOutcome
        Of all rounds.
    """

    config: LotteryConfig
    outcomes: tuple[RoundOutcome, ...]


def compared(runs: Mapping[str, Sequence[FinishedLoop]]) -> ComparedTickets:
    """Put runs beside each other.

    Parameters
    ----------
    runs : mapping of str to sequence of FinishedLoop
        By label, the reference first; runs of one label have different seeds.

    Raises
    ------
    ComparisonError
        Runs of other sparsities, or two of one label and seed.
    """
    first = next(iter(runs.values()))[0].config
    found: list[Run] = []
    for label, many in runs.items():
        for run in many:
            if run.config.schedule_of_sparsity != first.schedule_of_sparsity:
                raise ComparisonError(
                    f"{label} has rounds of other sparsities than {next(iter(runs))}; "
                    "compare runs of the same"
                )
            found.append(Run(label, run.config.seed, run.outcomes))
        seeds = [run.config.seed for run in many]
        if len(set(seeds)) < len(seeds):
            raise ComparisonError(
                f"two runs of {label} have one seed; name them, as in "
                "compare(adam=tickets), or give `Tickets` other seeds"
            )
    seeds = sorted({run.seed for run in found})
    return ComparedTickets(first, tuple(runs), tuple(seeds), tuple(found))
