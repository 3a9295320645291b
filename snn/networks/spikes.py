"""Spikes that layers receive: their rates, and the spikes themselves.

A *spike* is an input that is not zero. Behind average pooling such inputs are fractions
of spikes; an accelerator handles each as one event, so each counts as one here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from balancer.errors import BalancerError
from hwmodel import Geometry
from snn.networks.calls import Kind, observe_calls, seeing_layers
from snn.networks.inference import inference
from snn.networks.layers import geometry_of, sample_shape

Array: TypeAlias = npt.NDArray[Any]
Rates = dict[str, npt.NDArray[np.float32]]
Reduction = Callable[[torch.Tensor], torch.Tensor]


class _Rows(NamedTuple):
    """What one call of a layer saw: reduced, and whether any of it was negative."""

    geometry: Geometry
    values: Array
    negative: npt.NDArray[np.bool_]


class SpikeError(BalancerError):
    """Inputs of a layer that are no spikes, or no inputs at all."""


def input_rates(network: nn.Module, batches: Iterable[torch.Tensor]) -> Rates:
    """Measure how often each input channel of each layer spikes.

    Parameters
    ----------
    network : Module
        It runs in evaluation mode, and stays as it was.
    batches : iterable of Tensor
        Images [N, C, H, W] or events [T, N, C, H, W]; N may differ. Of the spikes,
        those of one layer and batch are held in memory at a time.

    Returns
    -------
    dict of str to ndarray of float32 [T, C]
        Spikes per time step and position, averaged over all images, pixels and calls:
        by input channel of a convolution, by feature of a linear layer. Layers are in
        the order in which they run. What sees the images themselves, or the same in
        all time steps, is left out.

    Raises
    ------
    SpikeError
        There are no batches, or a layer has negative inputs.

    Examples
    --------
    >>> import torch
    >>> from snn import build_network, input_rates
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> rates = input_rates(network, [torch.rand(4, 1, 8, 8)])
    >>> {name: rate.shape for name, rate in rates.items()}
    {'classifier': (2, 128)}
    """
    counts: dict[str, npt.NDArray[np.int64]] = {}
    places: dict[str, int] = {}
    images = 0
    for x in batches:
        batch = _samples(x)
        images += batch
        for name, sizes in _received(network, x, _count).items():
            for geometry, count in sizes:
                pixels = math.prod((geometry.input_shape or ())[1:])
                counts[name] = counts.get(name, 0) + count.sum(1)
                places[name] = places.get(name, 0) + batch * count.shape[1] * pixels
    if not images:
        raise SpikeError("`batches` are empty; rates need one image at least")
    return {
        name: (count / places[name]).astype(np.float32)
        for name, count in counts.items()
    }


def mean_rates(rates: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, float]:
    """Average the rates of each layer over time steps and channels.

    Parameters
    ----------
    rates : mapping of str to ndarray [T, C]
        As `input_rates` returns them.

    Returns
    -------
    dict of str to float
        ``spike_rates`` of a ticket's metadata.
    """
    return {name: float(rate.mean(dtype=np.float64)) for name, rate in rates.items()}


def record_spikes(
    network: nn.Module, images: torch.Tensor
) -> dict[str, npt.NDArray[np.bool_]]:
    """Record all spikes that layers receive.

    Parameters
    ----------
    network : Module
        It runs in evaluation mode, and stays as it was.
    images : Tensor
        Images [N, C, H, W] or events [T, N, C, H, W]; a few, since all spikes are held
        in memory, one byte each.

    Returns
    -------
    dict of str to ndarray of bool
        [T, N, C, H, W] for a convolution, [T, N, features] for a linear layer: what
        `hwmodel.save_spikes` writes and `LayerWorkload` takes; of a layer that is
        called several times, [T, calls x N, ...]. Layers are in the order in which they
        run. What sees the images themselves, or the same in all time steps, is left
        out.

    Raises
    ------
    SpikeError
        There are no images, a layer has negative inputs, or runs on inputs of several
        sizes, which one array cannot hold.

    Examples
    --------
    >>> import torch
    >>> from snn import build_network, record_spikes
    >>> network = build_network("8c3-mp2-fc10", (1, 8, 8), classes=10, timesteps=2)
    >>> spikes = record_spikes(network, torch.rand(4, 1, 8, 8))
    >>> {name: one.shape for name, one in spikes.items()}
    {'classifier': (2, 4, 128)}
    """
    if not images.numel():
        raise SpikeError("`images` are empty; one image at least is needed")
    recorded = {}
    for name, sizes in _received(network, images, lambda spikes: spikes).items():
        if len(sizes) > 1:
            shapes = ", ".join(str(geometry.input_shape) for geometry, _ in sizes)
            raise SpikeError(
                f"{name} runs on inputs of several sizes ({shapes}), whose spikes one "
                "array cannot hold; measure rates instead"
            )
        ((geometry, spikes),) = sizes
        steps, calls, batch = spikes.shape[:3]
        sample = geometry.input_shape or ()
        recorded[name] = spikes.reshape(steps, calls * batch, *sample)
    return recorded


def _samples(x: torch.Tensor) -> int:
    """Count the images or sequences of a batch; vectors are samples, too."""
    return x.shape[-4] if x.ndim >= 4 else x.shape[0]


def _received(
    network: nn.Module, x: torch.Tensor, reduce: Reduction
) -> dict[str, list[tuple[Geometry, Array]]]:
    """Run a network, and arrange what each layer receives, reduced, by its sizes.

    Arrays are [T, calls, ...]; layers stand as they run, without what is analog.
    """
    calls = observe_calls(network, x)
    seen: dict[str, list[_Rows]] = {name: [] for name in calls.kinds}
    batch = _samples(x)

    def see(name: str, module: nn.Module, given: torch.Tensor) -> None:
        shape = sample_shape(module, given)
        rows = _rows(given, batch, len(shape), calls.timesteps)
        negative = (rows < 0).flatten(1).any(1)
        values = reduce(rows != 0).cpu().numpy()
        seen[name].append(
            _Rows(geometry_of(module, shape), values, negative.cpu().numpy())
        )

    with inference(network), seeing_layers(network, see):
        network(x)
    return {
        name: received
        for name, kinds in calls.kinds.items()
        if (received := _spikes_of(name, seen[name], kinds, calls.timesteps))
    }


def _spikes_of(
    name: str, seen: list[_Rows], kinds: tuple[Kind, ...], timesteps: int
) -> list[tuple[Geometry, Array]]:
    """Take what a layer receives in every time step, one entry for each size."""
    found = []
    for kind in kinds:
        if kind.analog:
            continue
        alike = [rows for rows in seen if rows.geometry == kind.geometry]
        values = _by_time([rows.values for rows in alike], timesteps)
        negative = _by_time([rows.negative for rows in alike], timesteps)
        if values is None or negative is None:
            raise SpikeError(
                f"{name} runs in some of the {timesteps} time steps only; its rates "
                "and spikes are not known"
            )
        first = values.shape[1] - kind.calls  # calls before are analog
        if negative[:, first:].any():
            raise SpikeError(
                f"{name} receives negative values, which are no spikes; rates and "
                "spikes need neurons in front of every layer but the first"
            )
        found.append((kind.geometry, values[:, first:]))
    return found


def _rows(given: torch.Tensor, batch: int, rank: int, timesteps: int) -> torch.Tensor:
    """Bring the inputs of one call to [rows, N, ...], time outermost.

    Time may be an axis of its own or joined with the batch; further axes behind the
    batch, as of the parts of an image, are more rows.
    """
    sample = given.shape[given.ndim - rank :]
    outer = given.shape[: given.ndim - rank]
    if len(outer) > 1 and (outer[0], outer[1]) == (timesteps, batch):
        steps = given.reshape(timesteps, batch, -1, *sample)
    elif outer and outer[0] % batch == 0:
        steps = given.reshape(outer[0] // batch, batch, -1, *sample)
    else:
        return given.reshape(-1, batch, *sample)
    return steps.transpose(1, 2).flatten(0, 1)


def _by_time(calls: list[Array], timesteps: int) -> Array | None:
    """Arrange the rows of all calls as [T, calls, ...]; None if they do not divide.

    What is done once for all time steps comes before them, and is left out.
    """
    once = sum(map(len, calls)) % timesteps
    while once > 0:
        once -= len(calls[0])
        calls = calls[1:]
    if all(len(rows) % timesteps == 0 for rows in calls):  # each of all time steps
        apart = [rows.reshape(timesteps, -1, *rows.shape[1:]) for rows in calls]
        return np.concatenate(apart, axis=1)
    rows = np.concatenate(calls)  # one step after another
    if len(rows) % timesteps:
        return None
    return rows.reshape(timesteps, -1, *rows.shape[1:])


def _count(spikes: torch.Tensor) -> torch.Tensor:
    """Spikes of each row and channel, [rows, C]."""
    return spikes.flatten(3).sum((1, 3)) if spikes.ndim > 3 else spikes.sum(1)
