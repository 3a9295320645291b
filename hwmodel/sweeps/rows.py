"""Rows as the journal holds them: of runs that are done, and of those that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwmodel.sweeps.measures import LayerMeasure, sum_up
from hwmodel.sweeps.points import SweepPoint


def done_row(
    point: SweepPoint,
    layers: Sequence[LayerMeasure],
    *,
    note: str | None,
    columns: Mapping[str, Any],
    seconds: float,
    tries: int = 1,
) -> dict[str, Any]:
    """Write the row of a run.

    Parameters
    ----------
    point : SweepPoint
        What was run.
    layers : sequence of LayerMeasure
        All that take part.
    note : str or None
        What its cycles assume.
    columns : mapping of str to object
        What training adds.
    seconds : float
        Of the task, which other rows may share.
    tries : int
        How often the task was begun.
    """
    found = sum_up(layers)
    if found["not_run"]:
        refused = next(one.refused for one in layers if one.refused is not None)
        note = "; ".join(filter(None, (note, refused)))
    there = point.array.has_hardware
    cycles = found["cycles"]
    return {
        **point.columns(),
        "state": "done",
        **columns,
        **found,
        "latency_s": cycles / point.array.accelerator.frequency_hz if cycles else None,
        "energy_unit": point.array.accelerator.energy_unit if there else None,
        "note": note if there else "no accelerator has this PE map",
        "seconds": round(seconds, 3),
        "tries": tries,
        "key": point.key,
    }


def failed_row(
    point: SweepPoint, error: str, seconds: float, tries: int = 1
) -> dict[str, Any]:
    """Write the row of a run that failed, with the reason in one line."""
    return {
        **point.columns(),
        "state": "failed",
        "error": error,
        "seconds": round(seconds, 3),
        "tries": tries,
        "key": point.key,
    }
