"""Input size and geometry of the layers of a ticket, from what its metadata say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from hwmodel.architecture import (
    Convolution,
    FullyConnected,
    Shape,
    output_shape,
    parse_architecture,
)
from hwmodel.errors import ArchitectureError, WorkloadError
from hwmodel.workload import LayerWorkload, Pair

Shapes = Mapping[str, tuple[int, ...]]


class Geometry(NamedTuple):
    """What a `LayerWorkload` needs beside its mask; the fields have the same names."""

    input_shape: Shape | None = None
    stride: int | Pair = 1
    padding: int | Pair = 0
    dilation: int | Pair = 1
    groups: int = 1

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Geometry:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError
            A field is missing.
        """
        values: dict[str, Any] = {field: entry[field] for field in cls._fields}
        pairs = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**(values | pairs))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them, in a layer of a ticket's ``layers``."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._asdict().items()
        }


class PlacedLayer(NamedTuple):
    """A layer at its place in the order of execution.

    Attributes
    ----------
    name : str
        Of its mask.
    geometry : Geometry
        Of its convolution.
    analog : bool
        It sees the analog image under direct encoding.
    calls : int
        How often it runs like this in an inference and time step; 0 if it never does.
    """

    name: str
    geometry: Geometry
    analog: bool
    calls: int = 1


def listed_layers(known: Mapping[str, Any], shapes: Shapes) -> list[PlacedLayer] | None:
    """Read the list ``layers`` of a ticket's metadata.

    Its entries hold ``name``, the fields of `Geometry`, ``analog``, and ``calls``, 1
    where it is missing. A layer that runs on inputs of several sizes or kinds has an
    entry for each, with ``calls``; one that never runs has an entry of 0 calls.

    Returns
    -------
    list of PlacedLayer or None
        The layers that have weights, in the order of the list; None if there is no such
        list, or if it lacks a layer, or does not fit one.
    """
    try:
        entries = [
            entry for entry in known.get("layers") or () if entry["name"] in shapes
        ]
        placed = [
            PlacedLayer(
                entry["name"],
                Geometry.from_json(entry),
                bool(entry["analog"]),
                entry.get("calls", 1),
            )
            for entry in entries
        ]
        for name, geometry, _, calls in placed:
            mask = np.broadcast_to(np.False_, shapes[name])  # takes no memory
            LayerWorkload(name, mask, **geometry._asdict(), calls=calls)
    except (KeyError, TypeError, WorkloadError):
        return None
    names = Counter(entry["name"] for entry in entries)
    repeated = [e for e in entries if names[e["name"]] > 1 and "calls" not in e]
    return placed if names.keys() == shapes.keys() and not repeated else None


def written_layers(
    known: Mapping[str, Any], shapes: Shapes
) -> list[PlacedLayer] | None:
    """Read the text ``architecture`` of a ticket's metadata, and its ``input_shape``.

    Parameters
    ----------
    known : mapping
        Metadata.
    shapes : mapping of str to tuple of int
        Of the weights; where several have one shape, they are taken in their order
        here.

    Returns
    -------
    list of PlacedLayer or None
        In the order of the text; None if it does not tell all layers.
    """
    text, image = known.get("architecture"), known.get("input_shape")
    if not isinstance(text, str) or not is_image(image):
        return None
    free = list(shapes)
    placed: list[PlacedLayer] = []
    try:
        for shape, geometry in _walk(text, tuple(image)):
            name = next(name for name in free if shapes[name] == shape)
            free.remove(name)
            placed.append(PlacedLayer(name, geometry, not placed))
    except (ArchitectureError, StopIteration):
        return None
    return None if free else placed


def is_image(value: object) -> TypeGuard[Sequence[int]]:
    """Whether a value of foreign metadata is (channels, height, width)."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(type(size) is int and size > 0 for size in value)
    )


def _walk(text: str, image: Shape) -> Iterator[tuple[Shape, Geometry]]:
    """Weight shape and geometry of each layer that an architecture names."""
    for step in parse_architecture(text):
        if isinstance(step, FullyConnected):
            features = math.prod(image)
            yield (step.outputs, features), Geometry((features,))
        elif isinstance(step, Convolution) and len(image) == 3:
            weights = (step.channels, image[0], step.kernel, step.kernel)
            yield weights, Geometry(image, step.stride, step.padding)
        image = output_shape(step, image)
