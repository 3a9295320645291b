"""Runs of several methods and seeds, side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from balancer.valid_json import to_json
from hwmodel.report import rows_to_csv
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import LotteryConfig
from snn.lottery.results import (
    RoundOutcome,
    least_utilization,
    smallest_layer,
    texts_of,
)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes
    ----------
    method : str
        How it prunes.
    seed : int
        Seed of everything random: runs with the same one are a pair.
    outcomes : tuple of RoundOutcome
        Of the dense network and every round.
    """

    method: str
    seed: int
    outcomes: tuple[RoundOutcome, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended with an error.

    Attributes
    ----------
    method, seed : str, int
        The run.
    error : str
        What was wrong.
    """

    method: str
    seed: int
    error: str

    def __str__(self) -> str:
        """Say which run, and what was wrong."""
        return f"{self.method}, seed {self.seed}: {self.error}"


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """Several methods, each with the same seeds.

    Attributes
    ----------
    config : LotteryConfig
        What the runs have in common: all but the method and the seed.
    methods : tuple of str
        Names of the methods; the others are compared with the first, the reference.
    seeds : tuple of int
        Seeds of every method.
    runs : tuple of Run
        In the order of the methods, then of the seeds.
    failures : tuple of Failure
        Runs that are missing above.
    """

    config: LotteryConfig
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def reference(self) -> str:
        """The method that the others are compared with."""
        return self.methods[0]

    @property
    def rounds(self) -> range:
        """Numbers of the rounds, from the dense network's 0."""
        return range(len(self.config.schedule_of_sparsity))

    def of(self, method: str) -> Mapping[int, Run]:
        """Return the finished runs of a method, by seed.

        Raises
        ------
        ComparisonError
            A method that does not take part.
        """
        if method not in self.methods:
            raise ComparisonError(
                f"`method` is {method!r}; compared are {', '.join(self.methods)}"
            )
        return {run.seed: run for run in self.runs if run.method == method}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row for each method, seed and round, without the layers."""
        names = [f.name for f in fields(RoundOutcome) if f.name != "layers"]
        for run in self.runs:
            for outcome in run.outcomes:
                yield {
                    "method": run.method,
                    "seed": run.seed,
                    **{name: getattr(outcome, name) for name in names},
                    "least_utilization": least_utilization(outcome.layers),
                    "smallest_layer": smallest_layer(outcome.layers),
                    "dead_weights": outcome.dead_weights,
                }

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a page about it: one HTML file with curves, differences and intervals.

        Parameters
        ----------
        path : str or path
            An .html file.

        Raises
        ------
        PageError
            Another kind of file; matplotlib or Jinja2 is not installed.
        """
        from snn.lottery.comparison_page import write_comparison_page

        write_comparison_page(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, and `from_dict` reads."""
        return {
            "config": self.config.in_common(),
            "methods": list(self.methods),
            "seeds": list(self.seeds),
            "runs": [
                {
                    "method": run.method,
                    "seed": run.seed,
                    "rounds": [outcome.to_dict() for outcome in run.outcomes],
                }
                for run in self.runs
            ],
            "failures": [asdict(failure) for failure in self.failures],
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        found = cls(
            config=LotteryConfig.of(known["config"]),
            methods=tuple(texts_of("methods", known["methods"])),
            seeds=tuple(known["seeds"]),
            runs=tuple(
                Run(run["method"], run["seed"], _outcomes(run["rounds"]))
                for run in known["runs"]
            ),
            failures=tuple(Failure(**failure) for failure in known["failures"]),
        )
        found._refuse_strangers()
        return found

    def _refuse_strangers(self) -> None:
        """Refuse runs of other methods and seeds, and rounds that are not asked for."""
        if not self.methods or any(type(seed) is not int for seed in self.seeds):
            raise ValueError("it needs a method, and seeds that are whole numbers")
        named = [(one.method, one.seed) for one in self.runs]
        named += [(one.method, one.seed) for one in self.failures]
        for method, seed in named:
            if method not in self.methods or seed not in self.seeds:
                raise ValueError(f"{method}, seed {seed} does not take part")
        if any(len(run.outcomes) != len(self.rounds) for run in self.runs):
            raise ValueError(f"its runs need {len(self.rounds)} rounds")
        texts_of("errors", [failure.error for failure in self.failures])

    def to_json(self) -> str:
        """Write `to_dict` as JSON."""
        return to_json(self.to_dict(), indent=1)

    def to_csv(self) -> str:
        """Write `rows` as CSV with a header line; what is not known is empty."""
        return rows_to_csv(list(self.rows()))


def _outcomes(rounds: Sequence[Mapping[str, Any]]) -> tuple[RoundOutcome, ...]:
    return tuple(RoundOutcome.of(known) for known in rounds)
