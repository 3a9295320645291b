"""What runs are called in a table or a figure: by the settings in which they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Settings that tell lines of a figure apart, the first before the others.
OF_SERIES = ("method", "order", "map", "accelerator", "ticket")


def said(value: Any) -> str:
    """Write a value of a setting as short as it can be."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def label(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """Call a run by some of its settings.

    Examples
    --------
    >>> from hwmodel.sweeps.labels import label
    >>> label({"pes": 8, "sparsity": 0.9, "seed": 0}, ["pes", "sparsity"])
    'pes 8, sparsity 0.9'
    """
    return ", ".join(f"{name} {said(row.get(name))}" for name in names) or "the run"


def series(
    rows: Sequence[Mapping[str, Any]], axes: Sequence[str], most: int
) -> dict[str, list[Mapping[str, Any]]]:
    """Put rows that a figure draws alike together, under their common name.

    By as many of the settings that tell runs apart as give at most `most` kinds.
    """
    names: list[str] = []
    for name in OF_SERIES:
        if name not in axes:
            continue
        kinds = {tuple(said(row.get(one)) for one in (*names, name)) for row in rows}
        if len(kinds) <= most:
            names.append(name)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        text = " ".join(said(row.get(name)) for name in names) or "runs"
        found.setdefault(text, []).append(row)
    return found
