"""Workloads of a network from its masks and what a ticket says about it.

An architecture is written as its layers in order, joined by hyphens: ``32c3`` is a
convolution to 32 channels with a 3 x 3 kernel, stride 1 and an output as large as its
input (``32c3s2``: stride 2), ``mp2`` and ``ap2`` are pooling over 2 x 2, and ``fc10``
is a linear layer with 10 outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwmodel.errors import WorkloadError
from hwmodel.workload import LayerWorkload

TOKEN = re.compile(
    r"(?P<conv>\d+)c(?P<kernel>\d+)(s(?P<stride>\d+))?|[ma]p(?P<pool>\d+)|fc(?P<fc>\d+)"
)


class Network(NamedTuple):
    """Workloads of a network, and what had to be assumed to make them.

    Attributes
    ----------
    workloads : list of LayerWorkload
        In the order in which they run.
    assumption : str or None
        For the reader of the results; None if all geometry is known.
    """

    workloads: list[LayerWorkload]
    assumption: str | None


class _Geometry(NamedTuple):
    input_shape: tuple[int, ...] | None = None
    stride: int = 1
    padding: int = 0


def network_workloads(
    masks: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, Any] | None = None,
    *,
    orders: Mapping[str, npt.NDArray[Any]] | None = None,
    timesteps: int | None = None,
    spikes: Mapping[str, npt.NDArray[Any]] | None = None,
    spike_rate: float | Mapping[str, float] | None = None,
    direct_coded: bool = True,
) -> Network:
    """Make the workloads of a network from masks alone, or with what else is known.

    Parameters
    ----------
    masks : mapping of str to ndarray
        Mask (or weights) of each layer, in any order. Layers run in the order of the
        architecture, where one is known; those of equal shape, and all others, in the
        order of their names, convolutions first and numbers compared as numbers.
    metadata : mapping, optional
        Of a ticket; read are ``architecture`` (text as above), ``input_shape``
        ((channels, height, width)), ``timesteps``, and ``spike_rates`` (for each layer,
        used if neither `spikes` nor `spike_rate` are given). If architecture or input
        shape are missing or do not fit the masks, every convolution is evaluated for
        **one output pixel** without padding, and `Network.assumption` says so: ratios
        of masks stay right for each layer, sums over layers weigh all layers alike.
    orders : mapping of str to ndarray of int, optional
        Schedule position -> output channel, for layers whose channels the accelerator
        takes in another order than that of the mask.
    timesteps : int, optional
        Default: those of `spikes`, else of `metadata`, else 1.
    spikes : mapping of str to ndarray, optional
        Input spikes of layers, as `load_spikes` returns them; see `LayerWorkload`.
        Layers without are evaluated for a batch of the same size.
    spike_rate : float or mapping of str to float, optional
        For all layers, or for each of them.
    direct_coded : bool
        The first layer has an analog input (direct encoding), so it runs once.

    Raises
    ------
    WorkloadError
        A mask, order, spikes or rates that do not fit, or that belong to no layer.
    """
    known = dict(metadata or {})
    rates = spike_rate
    if rates is None and spikes is None:
        rates = known.get("spike_rates")
    by_layer = rates if isinstance(rates, Mapping) else {}
    spikes, orders = spikes or {}, orders or {}
    for name in (*spikes, *orders, *by_layer):
        if name not in masks:
            raise WorkloadError(
                f"an order, spikes or rates of {name!r}, which is none of the layers "
                f"{', '.join(masks)}"
            )
    given = [np.shape(array) for array in spikes.values()]
    steps = timesteps or max(
        (shape[0] for shape in given if shape), default=known.get("timesteps") or 1
    )
    batch = max((shape[1] for shape in given if len(shape) > 1), default=1)
    names = sorted(masks, key=lambda name: _run_key(name, masks[name]))
    shapes = [np.shape(masks[name]) for name in names]
    geometries = _geometries(known, shapes)
    assumption = None
    if geometries is None:
        geometries = [(place, _Geometry()) for place in range(len(names))]
        if any(len(shape) == 4 for shape in shapes):
            assumption = (
                "input sizes are unknown (no architecture and input_shape that fit the "
                "masks): every convolution is evaluated for one output pixel"
            )
    workloads = []
    for position, (place, geometry) in enumerate(geometries):
        name = names[place]
        analog = direct_coded and position == 0
        rate = by_layer.get(name) if isinstance(rates, Mapping) else rates
        workloads.append(
            LayerWorkload(
                name,
                _scheduled(name, masks[name], orders.get(name)),
                **geometry._asdict(),
                timesteps=steps,
                spikes=spikes.get(name),
                spike_rate=None if analog or name in spikes else rate,
                batch=batch,
                direct_coded=analog,
            )
        )
    return Network(workloads, assumption)


def _run_key(name: str, mask: npt.NDArray[Any]) -> tuple[bool, list[tuple[int, str]]]:
    """Order names as layers run: convolutions first, numbers as numbers."""
    words = re.findall(r"\d+|\D+", name)
    key = [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
    return np.ndim(mask) == 2, key


def _scheduled(
    name: str, mask: npt.NDArray[Any], order: npt.NDArray[Any] | None
) -> npt.NDArray[Any]:
    """Output channels in the order in which the accelerator takes them."""
    if order is None:
        return mask
    if not np.array_equal(np.sort(order), np.arange(len(mask))):
        raise WorkloadError(
            f"layer {name!r}: the order must hold each of its {len(mask)} output "
            "channels once"
        )
    scheduled: npt.NDArray[Any] = mask[order]
    return scheduled


def _geometries(
    known: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]
) -> list[tuple[int, _Geometry]] | None:
    """Place among `shapes` and geometry of each layer in the order in which they run.

    None if the metadata do not tell it.
    """
    text, image = known.get("architecture"), known.get("input_shape")
    if not isinstance(text, str) or not image or len(image) != 3:
        return None
    free = list(range(len(shapes)))
    found = []
    for shape, geometry in _walk(text, tuple(int(size) for size in image)):
        place = next((place for place in free if shapes[place] == shape), None)
        if place is None:
            return None
        free.remove(place)
        found.append((place, geometry))
    return None if free else found


def _walk(
    text: str, image: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], _Geometry]]:
    """Weight shape and geometry of each layer that an architecture names."""
    for word in text.split("-"):
        token = TOKEN.fullmatch(word)
        if token is None:
            return
        if pool := token["pool"]:
            image = (image[0], *(size // int(pool) for size in image[1:]))
        elif outputs := token["fc"]:
            features = int(np.prod(image))
            yield (int(outputs), features), _Geometry((features,))
            image = (int(outputs),)
        else:
            kernel, stride = int(token["kernel"]), int(token["stride"] or 1)
            shape = (int(token["conv"]), image[0], kernel, kernel)
            yield shape, _Geometry(image, stride, kernel // 2)
            sizes = (
                (size + 2 * (kernel // 2) - kernel) // stride + 1 for size in image[1:]
            )
            image = (shape[0], *sizes)
