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
        In the order of the masks.
    assumption : str or None
        For the reader of the results; None if all geometry is known.
    """

    workloads: list[LayerWorkload]
    assumption: str | None


class _Geometry(NamedTuple):
    input_shape: tuple[int, ...]
    stride: int = 1
    padding: int = 0


def network_workloads(
    masks: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, Any] | None = None,
    *,
    timesteps: int | None = None,
    spikes: Mapping[str, npt.NDArray[Any]] | None = None,
    spike_rate: float | Mapping[str, float] | None = None,
    direct_coded: bool = True,
) -> Network:
    """Make the workloads of a network from masks alone, or with what else is known.

    Parameters
    ----------
    masks : mapping of str to ndarray
        Mask (or weights) of each layer, in the order in which they run.
    metadata : mapping, optional
        Of a ticket; read are ``architecture`` (text as above), ``input_shape``
        ((channels, height, width)), ``timesteps``, and ``spike_rates`` (for each layer,
        used if neither `spikes` nor `spike_rate` are given). If architecture or input
        shape are missing or do not fit the masks, every convolution is evaluated for
        **one output pixel** without padding, and `Network.assumption` says so: ratios
        of masks stay right for each layer, sums over layers weigh all layers alike.
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
        A mask, spikes or rates that do not fit, or spikes or rates of no layer.
    """
    known = dict(metadata or {})
    rates = spike_rate
    if rates is None and spikes is None:
        rates = known.get("spike_rates")
    for name in (*(spikes or ()), *(rates if isinstance(rates, Mapping) else ())):
        if name not in masks:
            raise WorkloadError(
                f"spikes or rates of {name!r}, which is none of the layers "
                f"{', '.join(masks)}"
            )
    shapes = {name: np.shape(mask) for name, mask in masks.items()}
    geometries = _geometries(known, list(shapes.values()))
    given = [np.shape(array) for array in (spikes or {}).values()]
    steps = timesteps or max(
        (shape[0] for shape in given if shape), default=known.get("timesteps") or 1
    )
    batch = max((shape[1] for shape in given if len(shape) > 1), default=1)
    workloads = []
    for position, (name, mask) in enumerate(masks.items()):
        place = geometries[position] if geometries else None
        analog = direct_coded and position == 0
        workloads.append(
            LayerWorkload(
                name,
                mask,
                input_shape=place.input_shape if place else None,
                stride=place.stride if place else 1,
                padding=place.padding if place else 0,
                timesteps=steps,
                spikes=spikes.get(name) if spikes else None,
                spike_rate=None if analog else _rate(rates, name, spikes),
                batch=batch,
                direct_coded=analog,
            )
        )
    assumption = None
    if geometries is None and any(len(shape) == 4 for shape in shapes.values()):
        assumption = (
            "input sizes are unknown (no architecture and input_shape that fit the "
            "masks): every convolution is evaluated for one output pixel"
        )
    return Network(workloads, assumption)


def _rate(
    rates: float | Mapping[str, float] | None,
    name: str,
    spikes: Mapping[str, npt.NDArray[Any]] | None,
) -> float | None:
    if spikes and name in spikes:
        return None
    return rates.get(name) if isinstance(rates, Mapping) else rates


def _geometries(
    known: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]
) -> list[_Geometry] | None:
    """Geometry of every layer, or None if the metadata do not tell it."""
    text, image = known.get("architecture"), known.get("input_shape")
    if not isinstance(text, str) or not image or len(image) != 3:
        return None
    found = list(_walk(text, tuple(int(size) for size in image)))
    return (
        [geometry for _, geometry in found]
        if [shape for shape, _ in found] == list(shapes)
        else None
    )


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
