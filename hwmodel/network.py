"""Workloads of a network from its masks and what a ticket says about it.

The metadata of a ticket tell which layer runs when and how large its input is: as a
list of layers, or as the text of an architecture (`hwmodel.architecture`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwmodel.errors import WorkloadError
from hwmodel.geometry import Geometry, PlacedLayer, listed_layers, written_layers
from hwmodel.workload import LayerWorkload


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
        metadata, where these tell it; in an ``architecture`` those of equal shape, and
        without metadata all, in the order of their names, convolutions first and
        numbers compared as numbers.
    metadata : mapping, optional
        Of a ticket; read are ``layers`` (see `hwmodel.geometry.listed_layers`; works
        for any network), else ``architecture`` (text, see `hwmodel.architecture`) and
        ``input_shape`` ((channels, height, width)); ``timesteps``; and ``spike_rates``
        (for each layer, used if neither `spikes` nor `spike_rate` are given). If
        neither layers nor architecture fit the masks, every convolution is evaluated
        for **one output pixel** without padding, and `Network.assumption` says so:
        ratios of masks stay right for each layer, sums over layers weigh all alike.
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
        The first layer, or the one that ``layers`` call ``analog``, has an analog input
        (direct encoding), so it runs once.

    Raises
    ------
    WorkloadError
        A mask, order, spikes or rates that do not fit, or that belong to no layer.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import network_workloads
    >>> masks = {"features.0": np.ones((4, 1, 3, 3)), "classifier": np.ones((10, 256))}
    >>> known = {"architecture": "4c3-fc10", "input_shape": (1, 8, 8), "timesteps": 4}
    >>> network = network_workloads(masks, known)
    >>> [(layer.name, layer.output_size) for layer in network.workloads]
    [('features.0', (8, 8)), ('classifier', (1, 1))]
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
    in_order = sorted(masks, key=lambda name: _run_key(name, masks[name]))
    masks = {name: masks[name] for name in in_order}
    placed = listed_layers(known, masks) or written_layers(known, masks)
    assumption = None
    if placed is None:
        placed = [
            PlacedLayer(name, Geometry(), name == in_order[0]) for name in in_order
        ]
        if any(np.ndim(mask) == 4 for mask in masks.values()):
            assumption = (
                "input sizes are unknown (no layers, and no architecture and "
                "input_shape, that fit the masks): every convolution is evaluated for "
                "one output pixel"
            )
    workloads = []
    for name, geometry, first in placed:
        analog = direct_coded and first
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
