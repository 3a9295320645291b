"""Arbitrary labels: the layout of an array that no formula describes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from balancer.array_types import IntArray
from balancer.errors import BalancerError
from balancer.maps.cell_arrays import Gather
from balancer.maps.layout import (
    LayerShape,
    Layout,
    Part,
    check_load_table,
    whole_number,
)


def labelled(
    group: npt.ArrayLike,
    pe: npt.ArrayLike,
    pes: int | None = None,
    shape: tuple[int, ...] | None = None,
) -> tuple[LayerShape, Layout]:
    """Collect the cells of arbitrary labels, those of equal size in one matrix.

    See `PEMap.from_labels`; labels broadcast to `shape`, where it is given.
    """
    labels = {"group": np.asarray(group), "pe": np.asarray(pe)}
    for name, label in labels.items():
        if label.dtype.kind not in "iu":
            raise BalancerError(
                f"labels `{name}` are {label.dtype}; integers are needed"
            )
        if label.size and label.min() < 0:
            raise BalancerError(
                f"labels `{name}` start at {label.min()}; the least is 0"
            )
    given = [label.shape for label in labels.values()]
    try:
        broadcast = np.broadcast_shapes(*given, given[0] if shape is None else shape)
        fits = shape in (None, broadcast)
    except ValueError:
        fits = False
    if not fits:
        wanted = "one weight shape" if shape is None else f"the weight shape {shape}"
        raise BalancerError(
            f"labels `group` {given[0]} and `pe` {given[1]} do not broadcast to "
            f"{wanted}"
        )
    layer = LayerShape.of(broadcast)
    if not layer.weights:
        return layer, Layout.of(pes or 1, 0, [])
    names, of_group = np.unique(labels["group"], return_inverse=True)
    used = int(labels["pe"].max()) + 1
    if pes is not None and whole_number("pes", pes) < used:
        raise BalancerError(
            f"labels `pe` reach {used - 1}; {pes} PEs are numbered 0..{pes - 1}"
        )
    check_load_table(len(names), pes or used)
    first = of_group.reshape(labels["group"].shape).astype(np.int64) * used
    keys: IntArray = np.broadcast_to(first + labels["pe"], broadcast).reshape(-1)
    order = np.argsort(keys, kind="stable")
    cells, starts, sizes = np.unique(keys[order], return_index=True, return_counts=True)
    parts = []
    for size in np.unique(sizes):
        mine = np.flatnonzero(sizes == size)
        index = order[starts[mine][:, None] + np.arange(size)]
        parts.append(Part(Gather(index), cells[mine] // used, cells[mine] % used))
    return layer, Layout.of(pes or used, len(names), parts)
