"""The array beside the model and the reference: cycles, what PEs did, sums, spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwmodel.activity import Cycles
from rtl.array_job import ArrayJob
from rtl.model import model_cycles
from rtl.network import reference_engine
from rtl.simulator import SOURCES, UNLIMITED, ArrayRun, Skip, simulate


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One job on the array, in the hardware model, and in the reference.

    Attributes
    ----------
    job : ArrayJob
        The job.
    outcome : ArrayRun
        Of the array.
    model : Cycles
        Of the model, for an array that looks ahead without limit.
    wrong : int
        Sums and spikes that are not those of the reference.
    """

    job: ArrayJob
    outcome: ArrayRun
    model: Cycles
    wrong: int

    @property
    def same_cycles(self) -> bool:
        """Whether cycles, and what the PEs did in them, are those of the model."""
        ours, model = self.outcome, self.model
        counted = (ours.cycles, ours.busy, ours.gated, ours.idle)
        return counted == (model.compute, model.busy, model.gated, model.idle)

    @property
    def agrees(self) -> bool:
        """Whether everything is as it has to be."""
        return self.same_cycles and not self.wrong


def compare(
    jobs: Sequence[ArrayJob],
    skip: Skip,
    *,
    lookahead: int = UNLIMITED,
    sources: Path = SOURCES,
) -> list[Comparison]:
    """Run jobs on the array, in the model, and in the reference.

    Parameters
    ----------
    jobs : sequence of ArrayJob
        All for the same number of PEs.
    skip, lookahead, sources
        As of `rtl.simulator.simulate`.

    Raises
    ------
    RtlError
        No simulator, or numbers that the array cannot hold.
    """
    return judged(
        jobs, simulate(jobs, skip=skip, lookahead=lookahead, sources=sources), skip
    )


def judged(
    jobs: Sequence[ArrayJob], outcomes: Sequence[ArrayRun], skip: Skip
) -> list[Comparison]:
    """Put what the array did beside the model and the reference."""
    return [
        Comparison(
            job,
            outcome,
            model_cycles(job, skip),
            int((outcome.sums != one.sums).sum())
            + int(np.not_equal(outcome.spikes, one.spikes).sum()),
        )
        for job, outcome, one in zip(
            jobs, outcomes, reference_engine(jobs), strict=True
        )
    ]
