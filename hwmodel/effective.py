"""Which weights of a chain of layers lie on a path from its input to its output.

A kept weight works only if something reaches its input and somebody reads its output.
In a chain that follows from the masks, pixel by pixel: an output is reached if a kept
weight reads a pixel that is reached; backwards, an input is read if a kept weight
carries it to a pixel that is read. A weight is on a path if any pixel that it reads is
reached where the pixel that it makes is read. Padding is never reached, so a kernel
position that only meets padding is on no path. Signs, thresholds and normalization play
no part: none hides a path from every input. `snn.live_weights` asks the same of any
network, by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer import Ticket
from balancer.array_types import AnyArray, BoolArray
from hwmodel.errors import WorkloadError
from hwmodel.geometry import Shapes
from hwmodel.known_chain import Link, known_chain
from hwmodel.workload import LayerWorkload

# Zeros and ones in the type whose products are fastest; sums of them stay above 0.
Ones: TypeAlias = npt.NDArray[np.float32]

# Products of a weight and a pixel that are worth counting: VGG-16 has 3e8 for images of
# 32 x 32, which take less than half a second.
MOST_WORK = 2 * 10**9
MOST_PIXELS = 2**26  # of all channels of an image, so that they stay in memory
MOST_WEIGHTS = 2**26  # of all layers, for the same reason


def chain_effective(
    masks: Mapping[str, AnyArray], metadata: Mapping[str, Any]
) -> dict[str, int] | None:
    """Count the kept weights of each layer that lie on a path, if the chain is known.

    Parameters
    ----------
    masks : mapping of str to ndarray
        Mask (or weights) of every layer, in any order.
    metadata : mapping
        Of the ticket (`balancer.Ticket.about`): ``architecture``, ``input_shape`` and
        ``layers``.

    Returns
    -------
    dict of str to int or None
        None where the metadata do not say how the layers are connected, or where
        layers or images are so large that counting would take many seconds, or much
        memory.

    Examples
    --------
    >>> from balancer import open_ticket, shipped_ticket
    >>> from hwmodel import chain_effective
    >>> ticket = open_ticket(shipped_ticket())
    >>> masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    >>> kept = sum(int(mask.sum()) for mask in masks.values())
    >>> kept, sum(chain_effective(masks, ticket.about).values())
    (1172, 1008)
    """
    shapes = {name: np.shape(mask) for name, mask in masks.items()}
    chain = _countable_chain(shapes, metadata)
    if chain is None:
        return None
    live = live_in_chain(masks, chain)
    return {
        name: int(np.count_nonzero(np.logical_and(mask, live[name])))
        for name, mask in masks.items()
    }


def count_effective(
    ticket: Ticket,
) -> Callable[[Mapping[str, BoolArray] | None], dict[str, int] | None]:
    """Make what counts the effective weights of a ticket under masks.

    Parameters
    ----------
    ticket : Ticket
        All layers of a network.

    Returns
    -------
    callable
        Takes masks of some layers, or None for those of the ticket, and counts as
        `chain_effective` does: what `balancer.balance_ticket` asks for as `effective`.

    Examples
    --------
    >>> from balancer import balance_ticket, open_ticket, shipped_ticket
    >>> from hwmodel.effective import count_effective
    >>> ticket = open_ticket(shipped_ticket())
    >>> report = balance_ticket(ticket, effective=count_effective(ticket))
    >>> sum(report.effective_before.values())
    1008
    """

    def count(masks: Mapping[str, BoolArray] | None) -> dict[str, int] | None:
        shapes = {layer.name: layer.shape for layer in ticket.layers}
        if _countable_chain(shapes, ticket.about) is None:
            return None  # without reading a mask
        given = masks or {}
        whole = {
            one.name: given[one.name] if one.name in given else one.read_mask()
            for one in ticket.layers
        }
        return chain_effective(whole, ticket.about)

    return count


def _countable_chain(shapes: Shapes, metadata: Mapping[str, Any]) -> list[Link] | None:
    """Read a chain whose paths take neither long to count nor much memory."""
    chain = known_chain(shapes, metadata)
    if chain is None or sum(map(prod, shapes.values())) > MOST_WEIGHTS:
        return None
    images = [link.geometry.input_shape or () for link in chain]
    work = sum(
        prod(shapes[link.name]) * prod(image[1:])
        for link, image in zip(chain, images, strict=True)
    )
    few = work <= MOST_WORK and all(prod(image) <= MOST_PIXELS for image in images)
    return chain if few else None


def live_in_chain(
    masks: Mapping[str, AnyArray], chain: Sequence[Link]
) -> dict[str, BoolArray]:
    """Find the weights whose input is reached and whose output is read.

    Parameters
    ----------
    masks : mapping of str to ndarray
        Mask (or weights) of each link.
    chain : sequence of Link
        The layers as they run.

    Returns
    -------
    dict of str to ndarray of bool [shape of the weights]
        True where a weight is on a path, or would be if it alone were added.

    Raises
    ------
    WorkloadError
        A mask that does not fit its link, or a link that does not fit the one before.
    """
    places: list[_Place] = []
    reached: Ones | None = None
    for link in chain:
        place = _Place.of(link, masks[link.name], reached)
        places.append(place)
        reached = place.forward()
    live = {}
    read = None if reached is None else np.ones_like(reached)
    for place in reversed(places):
        assert read is not None
        live[place.name], read = place.backward(read)
    return live


class _Place(NamedTuple):
    """A link with what reaches it; numbers are 0 and 1, in one kind for all products.

    `weights` are [groups, out, in, kernel height, kernel width], `image` is padded.
    """

    name: str
    layer: LayerWorkload
    weights: Ones
    given: tuple[int, ...]
    image: Ones
    window: int

    @classmethod
    def of(cls, link: Link, mask: AnyArray, reached: Ones | None) -> _Place:
        layer = LayerWorkload(link.name, mask, **link.geometry._asdict())
        if reached is None:
            reached = np.ones(layer.image, np.float32)
        flat = reached.size == prod(layer.image) and layer.image[1:] == (1, 1)
        if reached.shape != layer.image and not flat:
            raise WorkloadError(
                f"layer {link.name!r}: its input is {layer.image}, but the layer "
                f"before leaves {reached.shape}"
            )
        outputs, inputs, *kernel = layer.weight_shape
        weights = layer.mask.astype(np.float32)
        high, wide = layer.pairs("padding")
        return cls(
            link.name,
            layer,
            weights.reshape(layer.groups, outputs // layer.groups, inputs, *kernel),
            reached.shape,
            np.pad(reached.reshape(layer.image), ((0, 0), (high, high), (wide, wide))),
            link.window,
        )

    def forward(self) -> Ones:
        """Say which pixels behind the windows are reached."""
        made = self._zeros()
        for position, pixels in self._kernel():
            weights = self.weights[..., *position]
            if weights.any():
                made += weights @ self._of_groups(self.image[pixels])
        image = _ones(made).reshape(self.layer.outputs, *self.layer.output_size)
        rows, columns = (size // self.window for size in self.layer.output_size)
        cut = image[:, : rows * self.window, : columns * self.window]
        parts = cut.reshape(len(cut), rows, self.window, columns, self.window)
        pooled: Ones = parts.max((2, 4))
        return pooled

    def backward(self, read: Ones) -> tuple[BoolArray, Ones]:
        """Say which weights are on a path, and which inputs are read, in their shape.

        `read` are the pixels behind the windows that are.
        """
        image = np.zeros(
            (self.layer.outputs, *self.layer.output_size), dtype=np.float32
        )
        whole = read.reshape(self.layer.outputs, *self._pooled())
        spread = whole.repeat(self.window, 1).repeat(self.window, 2)
        image[:, : spread.shape[1], : spread.shape[2]] = spread
        outputs = image.reshape(*self.weights.shape[:2], -1)
        live = np.zeros(self.weights.shape, np.bool_)
        inputs = np.zeros_like(self.image)
        for position, pixels in self._kernel():
            given = self._of_groups(self.image[pixels])
            live[..., *position] = (outputs @ given.swapaxes(1, 2)) > 0
            weights = self.weights[..., *position]
            if weights.any():
                carried = weights.swapaxes(1, 2) @ outputs
                inputs[pixels] += carried.reshape(inputs[pixels].shape)
        high, wide = self.layer.pairs("padding")
        _, height, width = self.layer.image
        inside = inputs[:, high : high + height, wide : wide + width]
        return (
            live.reshape(self.layer.mask.shape),
            _ones(inside).reshape(self.given),
        )

    def _pooled(self) -> tuple[int, int]:
        height, width = self.layer.output_size
        return height // self.window, width // self.window

    def _zeros(self) -> Ones:
        groups, outputs = self.weights.shape[:2]
        return np.zeros((groups, outputs, self.layer.pixels), np.float32)

    def _of_groups(self, image: Ones) -> Ones:
        """Divide the pixels that one kernel position reads among the groups."""
        return image.reshape(self.layer.groups, self.weights.shape[2], -1)

    def _kernel(self) -> list[tuple[tuple[int, int], tuple[slice, slice, slice]]]:
        """List the kernel's positions with the pixels of the image that each reads."""
        layer = self.layer
        cuts = [
            [
                slice(at * step, at * step + stride * (size - 1) + 1, stride)
                for at in range(extent)
            ]
            for extent, step, stride, size in zip(
                layer.kernel,
                layer.pairs("dilation"),
                layer.pairs("stride"),
                layer.output_size,
                strict=True,
            )
        ]
        return [
            ((row, column), (slice(None), rows, columns))
            for row, rows in enumerate(cuts[0])
            for column, columns in enumerate(cuts[1])
        ]


def _ones(numbers: Ones) -> Ones:
    """Put 1 where there is anything."""
    return (numbers > 0).astype(np.float32)
