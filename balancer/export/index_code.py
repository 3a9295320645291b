"""How a stream says which weights it holds: positions, runs of zeros, or a bitmap."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import ExportError
from balancer.export.layer_streams import CellTable, LayerStreams

IndexKind = Literal["positions", "runs", "bitmap"]
INDEX_KINDS: tuple[str, ...] = get_args(IndexKind)


def check_index_kind(kind: str) -> None:
    """Refuse a text that names no kind of index.

    Raises
    ------
    ExportError
        The text.
    """
    if kind not in INDEX_KINDS:
        raise ExportError(
            f"`index` is {kind!r}; accepted are {', '.join(map(repr, INDEX_KINDS))}"
        )


def runs_of(streams: LayerStreams) -> IntArray:
    """Count the zeros in front of every kept weight, back to the one before it."""
    before = np.roll(streams.positions, 1)
    before[_firsts(streams.pointers)] = -1
    runs: IntArray = streams.positions - before - 1
    return runs


def positions_of_runs(runs: IntArray, pointers: IntArray) -> IntArray:
    """Return the positions that such runs lead to."""
    steps = np.concatenate([[0], np.cumsum(runs + 1)])
    before = np.repeat(steps[pointers[:-1]], np.diff(pointers))
    positions: IntArray = steps[1:] - 1 - before
    return positions


def bitmap_of(streams: LayerStreams) -> BoolArray:
    """Say of every weight of the cells, zeros included, whether a stream holds it."""
    cells = streams.cells
    bitmap = np.zeros(len(cells.weights), np.bool_)
    starts = np.repeat(cells.pointers[:-1], np.diff(streams.pointers))
    bitmap[starts + streams.positions] = True
    return bitmap


def positions_of_bitmap(bitmap: AnyArray, cells: CellTable) -> IntArray:
    """Return the positions that a bitmap marks."""
    _, positions, _ = cells.pick(bitmap.astype(np.bool_))
    return positions


def _firsts(pointers: IntArray) -> IntArray:
    """Places of the first weight of every stream that holds any."""
    return pointers[:-1][np.diff(pointers) > 0]
