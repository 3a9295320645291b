"""Arbitrary labels: the layout of an array that no formula describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import IntArray
from balancer.errors import BalancerError
from balancer.maps.cell_arrays import Gather
from balancer.maps.exchange import find_exchange
from balancer.maps.layout import (
    LayerShape,
    Layout,
    Part,
    check_load_table,
    whole_number,
)

Place: TypeAlias = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
"""Group and PE of the weight at an output and input channel, kernel row and column."""

# Weights at which a function of arrays is compared with itself, weight by weight.
CHECKED = 64


def placed(layer: LayerShape, place: Place) -> tuple[IntArray, IntArray]:
    """Ask a function for the group and the PE of every weight.

    It is called once with all coordinates as arrays, and weight by weight (a second
    for a million) if it cannot take these, or does not mean the same by them.

    Parameters
    ----------
    layer : LayerShape
        The layer; kernels without rows or columns have one, which is 0.
    place : callable
        ``place(o, i, r, c) -> (group, pe)``.

    Returns
    -------
    group, pe : ndarray of int64, in the shape of the weights

    Raises
    ------
    BalancerError
        A function that does not return two whole numbers.
    """
    cols = layer.shape[-1] if len(layer.shape) > 2 else 1
    position = np.arange(layer.positions)
    channels = np.arange(layer.outputs), np.arange(layer.inputs)
    o, i, p = np.meshgrid(*channels, position, indexing="ij")
    at = np.stack([o, i, p // max(1, cols), p % max(1, cols)]).reshape(4, -1)

    def one_by_one(weights: IntArray) -> IntArray:
        try:
            found = [place(*map(int, at[:, weight])) for weight in weights]
            pairs = np.array([(int(g), int(e)) for g, e in found], dtype=np.int64)
        except (TypeError, ValueError) as error:
            raise BalancerError(
                "place(o, i, r, c) must return two whole numbers, group and PE: "
                f"{error}"
            ) from error
        return pairs.reshape(-1, 2).T

    weights = np.arange(layer.weights)
    sample = weights[:: max(1, layer.weights // CHECKED)]
    expected = one_by_one(sample)
    try:
        group, pe = place(*at)
        labels = np.stack([np.broadcast_to(x, len(weights)) for x in (group, pe)])
        fits = labels.dtype.kind in "iu" and (labels[:, sample] == expected).all()
    except Exception:  # whatever it does with arrays, it was asked for one weight
        fits = False
    found = labels if fits else one_by_one(weights)
    group, pe = found.astype(np.int64).reshape(2, *layer.shape)
    return group, pe


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
    found = find_exchange(
        keys.reshape(layer.outputs, layer.inputs, layer.positions),
        (keys // used).reshape(layer.outputs, layer.inputs, layer.positions),
    )
    layout = Layout.of(pes or used, len(names), parts)
    axis = None if found is None else found.axis
    return layer, layout._replace(order_axis=axis, exchange=found)
