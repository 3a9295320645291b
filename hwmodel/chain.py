"""Input sizes of a network that is a chain: each layer sees what the one before makes.

For weights without anything said about them: with the size of the network's input the
sizes of all layers follow, where strides, paddings and poolings are given or usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from balancer import Ticket
from hwmodel.errors import WorkloadError
from hwmodel.geometry import Geometry, Shapes
from hwmodel.given_geometry import GivenGeometry, GivenLayer
from hwmodel.ticket_workloads import run_order
from hwmodel.workload import LayerWorkload, has_model

Shape = tuple[int, ...]


def place_layers(
    ticket: Ticket,
    input_shape: Sequence[int] | None = None,
    geometry: Mapping[str, Any] | str | Path | None = None,
) -> Ticket:
    """Tell a ticket how large the inputs of its layers are.

    The layers are taken for a chain, in the order in which `geometry` names them all,
    else in that of the file, else in that of their names. `snn.layer_geometry` finds
    out the same for any torch network by running it.

    Parameters
    ----------
    ticket : Ticket
        Its layers, with their weights' outputs first.
    input_shape : sequence of int, optional
        (channels, height, width), (channels, length) or (features,) of what the first
        layer sees. Default: that of `geometry`.
    geometry : mapping, str or path, optional
        Strides, paddings and what else the weights do not tell, as
        `hwmodel.given_geometry` describes it, or a YAML file with that.

    Returns
    -------
    Ticket
        With the list ``layers`` in its metadata, which `balancer.balance_ticket`,
        `network_workloads` and mask files take, and with what is assumed in its
        `remarks`.

    Raises
    ------
    WorkloadError
        A layer that does not fit to what comes before it, or values not accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import open_ticket
    >>> from hwmodel import network_workloads, place_layers
    >>> np.savez("net.npz", conv=np.ones((8, 3, 3, 3)), fc=np.ones((10, 2048)))
    >>> ticket = place_layers(open_ticket("net.npz"), (3, 32, 32), {
    ...     "layers": {"conv": {"stride": 2}}})
    >>> masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    >>> network_workloads(masks, ticket.about).workloads[0].output_size
    (16, 16)
    """
    given = GivenGeometry.of(geometry)
    if input_shape is not None:
        asked = GivenGeometry.of({"input_shape": tuple(input_shape)})
        given = given.model_copy(update={"input_shape": asked.input_shape})
    shapes = {layer.name: layer.shape for layer in ticket.layers}
    _check_names(given, shapes)
    chain = _traced(given, shapes)
    about = {**ticket.about, "layers": chain.layers}
    nested = ticket.about is not ticket.metadata
    return replace(
        ticket,
        metadata={**ticket.metadata, "ticket": about} if nested else about,
        remarks=(*ticket.remarks, *chain.remarks()),
    )


@dataclass(slots=True)
class _Chain:
    """The layers so far, and what the last of them leaves."""

    image: Shape | None
    layers: list[dict[str, Any]] = field(default_factory=list)
    pooled: list[str] = field(default_factory=list)

    def add(self, name: str, weights: Shape, given: GivenLayer) -> None:
        """Place one layer.

        Raises
        ------
        WorkloadError
            It does not fit.
        """
        image = given.input_shape or self.image
        if image is None:
            raise WorkloadError(
                f"the input of layer {name!r} is unknown; give `input_shape` "
                "(--input-shape), or that of this layer in the geometry"
            )
        channels = weights[1]
        if len(weights) == 2:
            image = self._flat(name, channels, image)
            geometry = Geometry(image)
        else:
            groups = given.groups or 1
            grouped = image[0] // channels  # what the channels tell, behind a layer
            fits = self.layers and weights[0] % max(1, grouped) == 0
            if given.groups is None and fits and image[0] == grouped * channels:
                groups = grouped
            if len(image) != len(weights) - 1 or image[0] != groups * channels:
                raise self._misfit(name, groups * channels, image)
            geometry = _convolution(weights, image, groups, given)
        taken = np.broadcast_to(np.False_, weights)
        workload = LayerWorkload(name, taken, **geometry._asdict())
        entry = {**_checked(workload), "analog": not self.layers}
        self.layers.append({"name": name, **entry})
        made = workload.output_size[4 - len(weights) :] if len(weights) > 2 else ()
        windows = (1, *_pair(given.pool))[-len(made) :] if made else ()
        size = tuple(a // b for a, b in zip(made, windows, strict=True))
        if 0 in size:
            raise WorkloadError(
                f"layer {name!r} makes an image of {_written(made)}, smaller than the "
                f"window {given.pool} behind it; pool less"
            )
        self.image = (weights[0], *size)

    def _flat(self, name: str, features: int, image: Shape) -> Shape:
        """Take an image as the features of a linear layer, pooled if that fits."""
        if features == math.prod(image):
            return (features,)
        channels, *size = image
        for window in range(2, max(size, default=0) + 1):
            left = [max(1, length // window) for length in size]
            if features == channels * math.prod(left):
                self.pooled.append(
                    f"{_written(size)} to {_written(left)} before {name}"
                )
                return (features,)
        raise self._misfit(name, features, image)

    def _misfit(self, name: str, channels: int, image: Shape) -> WorkloadError:
        before = f" behind {self.layers[-1]['name']}" if self.layers else ""
        return WorkloadError(
            f"layer {name!r} takes {channels} channels or features, but the input"
            f"{before} is {_written(image)}; give its `input_shape`, or strides and "
            "poolings, in the geometry (--geometry)"
        )

    def remarks(self) -> Iterator[str]:
        """Say what the sizes rest on."""
        names = [layer["name"] for layer in self.layers]
        usual = any(len(layer["input_shape"]) > 1 for layer in self.layers)
        first = self.layers[0]["input_shape"] if self.layers else ()
        yield (
            f"Input sizes are those of a chain that sees {_written(first)}: "
            f"{', '.join(names)}"
            + ("; stride 1 and half a kernel of padding where not given" * usual)
            + (f"; taken for pooled: {', '.join(self.pooled)}" if self.pooled else "")
            + "."
        )


def _convolution(
    weights: Shape, image: Shape, groups: int, given: GivenLayer
) -> Geometry:
    kernel = weights[2:]
    dilation = _pair(given.dilation)[-len(kernel) :]
    usual = tuple(
        step * (extent - 1) // 2 for step, extent in zip(dilation, kernel, strict=True)
    )
    padding: Any = usual if given.padding is None else given.padding
    if len(kernel) == 1:  # along a line a number is that of its length
        padding = usual[0] if given.padding is None else given.padding
    return Geometry(image, given.stride, padding, given.dilation, groups)


def _checked(workload: LayerWorkload) -> dict[str, Any]:
    """Write the geometry as the workload has understood it."""
    names = Geometry._fields
    return Geometry(**{name: getattr(workload, name) for name in names}).to_json()


def _traced(given: GivenGeometry, shapes: Shapes) -> _Chain:
    """Try the orders in which the layers may run; the first that fits counts.

    Raises
    ------
    WorkloadError
        What is wrong with the order that fits longest.
    """
    known = {name: shape for name, shape in shapes.items() if has_model(shape)}
    orders: list[Iterable[str]] = [known, run_order(known)]
    if set(known) <= set(given.layers):
        orders = [[name for name in given.layers if name in known]]
    placed, failed = -1, WorkloadError("no layer has a model; nothing to place")
    for names in orders if known else ():
        chain = _Chain(given.input_shape)
        try:
            for name in names:
                chain.add(name, tuple(known[name]), given.of_layer(name))
        except WorkloadError as error:
            if len(chain.layers) >= placed:
                placed, failed = len(chain.layers), error
        else:
            return chain
    raise failed


def _check_names(given: GivenGeometry, shapes: Shapes) -> None:
    for pattern in given.layers:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in shapes):
            raise WorkloadError(
                f"the geometry names {pattern!r}, which matches no layer; there are "
                f"{', '.join(shapes)}"
            )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _written(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
