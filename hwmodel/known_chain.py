"""Networks that are known to be chains: layers read what the one before makes, alone.

A chain is known where its architecture is: as a text, or as one of `CHAINS`. A list of
layers does not say what is added to what, so it alone makes no chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from hwmodel.architecture import (
    CHAINS,
    Convolution,
    Pooling,
    Step,
    output_shape,
    parse_architecture,
)
from hwmodel.errors import ArchitectureError
from hwmodel.geometry import (
    Geometry,
    PlacedLayer,
    Shapes,
    is_image,
    listed_layers,
    written_layers,
)
from hwmodel.ticket_workloads import run_order


class Link(NamedTuple):
    """A layer of a chain, and the windows behind it.

    Attributes
    ----------
    name : str
        Of its mask.
    geometry : Geometry
        Its input, what the link before it leaves: an image, or features of all of it.
    window : int
        Height and width of the windows that are pooled behind it, side by side; what is
        left over at the end is dropped.
    """

    name: str
    geometry: Geometry
    window: int = 1


def known_chain(shapes: Shapes, metadata: Mapping[str, Any]) -> list[Link] | None:
    """Read a chain from what a ticket says of its network.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Weight shapes of all layers.
    metadata : mapping
        ``architecture``, a text or one of `CHAINS`, whose classifier is the last layer;
        ``input_shape``; and ``layers``, where there are any: these must be the same.

    Returns
    -------
    list of Link or None
        None where the architecture is unknown, or does not fit the layers.
    """
    text, image = metadata.get("architecture"), metadata.get("input_shape")
    if not isinstance(text, str) or not is_image(image) or _was_given(metadata):
        return None
    ordered = {name: tuple(shapes[name]) for name in run_order(shapes)}
    listed = listed_layers(metadata, ordered) if metadata.get("layers") else []
    if listed is None:
        return None
    if text in CHAINS:
        text = _with_classifier(CHAINS[text], listed, ordered)
    placed = listed or written_layers({**metadata, "architecture": text}, ordered)
    try:
        links = list(_links(parse_architecture(text), tuple(image)))
    except ArchitectureError:
        return None
    if not placed or len(placed) != len(links):
        return None
    chain = []
    for one, (weights, link) in zip(placed, links, strict=True):
        same = _as_pairs(one.geometry) == _as_pairs(link.geometry)
        if one.calls != 1 or ordered[one.name] != weights or not same:
            return None
        chain.append(link._replace(name=one.name))
    return chain


def _was_given(metadata: Mapping[str, Any]) -> bool:
    """Whether the network came from its user, whatever its class is called."""
    config = metadata.get("config")
    named = config.get("network") if isinstance(config, Mapping) else None
    return named is not None and named != metadata["architecture"]


def _with_classifier(text: str, listed: Sequence[PlacedLayer], shapes: Shapes) -> str:
    """Add the classifier to the text of a name: the last layer, or the only linear."""
    linear = [name for name, shape in shapes.items() if len(shape) == 2]
    last = listed[-1].name if listed else linear[0] if len(linear) == 1 else None
    return text if last is None else f"{text}-fc{shapes[last][0]}"


def _links(
    steps: Iterable[Step], image: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Link]]:
    """Yield the weights of each layer of a text, and its link without a name.

    Raises
    ------
    ArchitectureError
        Images too small for it.
    """
    last: tuple[tuple[int, ...], Link] | None = None
    for step in steps:
        made = output_shape(step, image)
        if isinstance(step, Pooling):
            if last is not None:
                weights, link = last
                last = weights, link._replace(window=link.window * step.window)
            image = made
            continue
        if last is not None:
            yield last
        if isinstance(step, Convolution):
            weights = (step.channels, image[0], step.kernel, step.kernel)
            geometry = Geometry(image, step.stride, step.padding)
        else:
            weights = (step.outputs, prod(image))
            geometry = Geometry((prod(image),))
        last, image = (weights, Link("", geometry)), made
    if last is not None:
        yield last


def _as_pairs(geometry: Geometry) -> list[Any]:
    """Write a geometry so that equal ones are equal."""
    return [
        (value, value) if isinstance(value, int) else tuple(value or ())
        for value in geometry
    ]
