"""Mask files: which weights layers keep, and in which order the PEs take channels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.files.array_files import metadata_texts, save_arrays, save_npz
from balancer.files.array_stream import ArrayStream
from balancer.files.axes import Axes
from balancer.files.layer_roles import ORDER_ROLES
from balancer.maps.schedule import Schedule


def save_masks(
    path: str | os.PathLike[str],
    masks: Mapping[str, BoolArray],
    metadata: Mapping[str, Any],
    schedules: Mapping[str, Schedule] | None = None,
    axes: Mapping[str, str] | None = None,
) -> None:
    """Write ``NAME.mask`` and ``NAME.order`` of every layer.

    Orders of input channels are written as ``NAME.input_order``; ``NAME.order`` is then
    that of the output channels, as they are.

    Parameters
    ----------
    path : str or path
        File to write, .safetensors or .npz. Give it a temporary name (see
        `atomic.replacing`) to leave nothing behind if something fails.
    masks : mapping of str to ndarray of bool
        Kept weights of each layer.
    metadata : mapping
        Whatever JSON can hold.
    schedules : mapping of str to Schedule, optional
        In which order the PEs take the channels of layers; default: as they are.
    axes : mapping of str to str, optional
        In which order the axes of layers are written, as `Ticket.axes` has them;
        default: outputs first.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import Schedule, open_ticket, save_masks
    >>> mask = np.array([[True, False], [False, True]])
    >>> save_masks("m.npz", {"fc": mask}, {"pes": 2}, {"fc": Schedule(0, [1, 0])})
    >>> open_ticket("m.npz").layers[0].read_schedules()[0].order.tolist()
    [1, 0]
    """
    arrays: dict[str, AnyArray] = {}
    for name, mask in masks.items():
        natural = Schedule.natural(mask.shape)
        schedule = (schedules or {}).get(name, natural)
        arrays |= _arrays_of(name, mask, schedule, (axes or {}).get(name))
    save_arrays(Path(path), arrays, _stated(metadata, axes))


class MaskPlace(NamedTuple):
    """What is known of a layer's mask before it is found.

    Attributes
    ----------
    shape : tuple of int
        Shape of the weights, outputs first.
    axis : int or None
        Which channels its schedule permutes; None if they are taken as they are.
    axes : str or None
        In which order its axes are written; None is outputs first.
    """

    shape: tuple[int, ...]
    axis: int | None = None
    axes: str | None = None


@dataclass(frozen=True, slots=True)
class MaskStream:
    """A mask file that is written layer by layer, in any order.

    Attributes
    ----------
    places : mapping of str to MaskPlace
        All layers, by name.
    metadata : mapping
        As in `save_masks`, the axes included.
    arrays : ArrayStream
        The file as .safetensors.
    """

    places: Mapping[str, MaskPlace]
    metadata: Mapping[str, Any]
    arrays: ArrayStream

    @classmethod
    def of(
        cls, path: Path, places: Mapping[str, MaskPlace], metadata: Mapping[str, Any]
    ) -> Self:
        """Lay out a file of the layers, and write nothing yet."""
        kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        for name, place in places.items():
            stored = place.shape
            if place.axes is not None:
                stored = Axes.of(place.axes).stored(place.shape)
            kinds[f"{name}.mask"] = np.dtype(np.bool_), stored
            for axis in (0, place.axis or 0):
                order = np.dtype(np.int32), (place.shape[axis],)
                kinds[_order_key(name, axis)] = order
        axes = {n: p.axes for n, p in places.items() if p.axes is not None}
        stated = _stated(metadata, axes)
        arrays = ArrayStream.of(path, kinds, metadata_texts(stated))
        return cls(places, stated, arrays)

    def write(self, name: str, mask: BoolArray, schedule: Schedule) -> None:
        """Write the mask of a layer and its order; a second one replaces the first."""
        place = self.places[name]
        if place.axis is None:
            schedule = Schedule.natural(place.shape)
        for key, array in _arrays_of(name, mask, schedule, place.axes).items():
            self.arrays.write(key, array)

    def mask(self, name: str) -> BoolArray:
        """Return a mask that was written; it stays in the file while it can."""
        text = self.places[name].axes
        stored = self.arrays.array(f"{name}.mask")
        return stored if text is None else Axes.of(text).seen(stored)

    def schedule(self, name: str) -> Schedule | None:
        """Read an order that was written; None if the channels are as they are."""
        axis = self.places[name].axis
        if axis is None:
            return None
        return Schedule(axis, np.array(self.arrays.array(_order_key(name, axis))))

    def save(self, path: Path) -> None:
        """Give all that was written its place, in the format that the suffix names.

        In the one that it has already the file is only renamed.
        """
        if path.suffix.lower() != ".npz":
            self.arrays.path.replace(path)
            return
        written = ((key, self.arrays.array(key)) for key in self._keys())
        save_npz(path, written, self.metadata)

    def _keys(self) -> Iterator[str]:
        """Name the arrays in the order in which `save_masks` writes them."""
        for name, place in self.places.items():
            yield f"{name}.mask"
            for axis in sorted({0, place.axis or 0}):
                yield _order_key(name, axis)


def _order_key(name: str, axis: int) -> str:
    return f"{name}.{ORDER_ROLES[axis]}"


def _arrays_of(
    name: str, mask: BoolArray, schedule: Schedule, axes: str | None
) -> dict[str, AnyArray]:
    """List the arrays of a layer as the file has them."""
    return {
        f"{name}.mask": mask if axes is None else Axes.of(axes).back(mask),
        _order_key(name, 0): Schedule.natural(mask.shape).order,
        _order_key(name, schedule.axis): schedule.order,
    }


def _stated(
    metadata: Mapping[str, Any], axes: Mapping[str, str] | None
) -> dict[str, Any]:
    return {**metadata, **({"axes": dict(axes)} if axes else {})}
