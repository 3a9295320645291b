"""Workloads of a network from its masks and what a ticket says about it.

The metadata of a ticket tell which layer runs when and how large its input is: as a
list of layers, or as the text of an architecture (`hwmodel.architecture`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray
from balancer.errors import BalancerError
from balancer.maps.schedule import Schedule
from hwmodel.errors import WorkloadError
from hwmodel.geometry import (
    Geometry,
    PlacedLayer,
    Shapes,
    listed_layers,
    written_layers,
)
from hwmodel.workload import LayerWorkload, has_model

Spikes: TypeAlias = Mapping[str, npt.NDArray[Any]]
Rates: TypeAlias = float | Mapping[str, Any] | None
Schedules: TypeAlias = Mapping[str, Schedule | Iterable[Schedule]]

UNKNOWN_SIZES = (
    "input sizes are unknown (no layers, and no architecture and input_shape, that fit "
    "the masks; --input-shape tells them): every convolution is evaluated for one "
    "output pixel"
)
NO_MODEL = "weights without a model, in no sum of cycles or energy"
UNKNOWN_STEPS = (
    "time steps are unknown (no `timesteps`, and no spikes): every layer is evaluated "
    "for one"
)


class NetworkWorkloads(NamedTuple):
    """Workloads of a network, and what had to be assumed to make them.

    Attributes
    ----------
    workloads : list of LayerWorkload
        In the order in which they run.
    assumption : str or None
        For the reader of the results: what sizes or time steps are unknown, which
        layers never run or have no model; None if nothing is.
    """

    workloads: list[LayerWorkload]
    assumption: str | None


@dataclass(frozen=True)
class TicketWorkloads:
    """The layers of a ticket at their places; makes the workload of any of their masks.

    Attributes
    ----------
    shapes : mapping of str to tuple of int
        Weight shapes of all layers.
    metadata : mapping
        Of the ticket.
    spikes : mapping of str to ndarray
        Recorded input spikes of layers, in the natural order of their channels.
    rates : float, mapping of str to float, or None
        Probability of a spike, of all layers or of each.
    timesteps : int
        Of every layer.
    direct_coded : bool
        The first layer has an analog input.
    steps_assumed : bool
        Nothing tells the time steps.
    """

    shapes: Shapes
    metadata: Mapping[str, Any]
    spikes: Spikes
    rates: Rates
    timesteps: int
    direct_coded: bool = True
    steps_assumed: bool = False

    @classmethod
    def of(
        cls,
        shapes: Shapes,
        metadata: Mapping[str, Any] | None = None,
        *,
        timesteps: int | None = None,
        spikes: Spikes | None = None,
        spike_rate: Rates = None,
        direct_coded: bool = True,
    ) -> TicketWorkloads:
        """Combine what a ticket says with what is given; see `network_workloads`."""
        known = metadata or {}
        if spike_rate is None and spikes is None:
            spike_rate = known.get("spike_rates")
        spikes = spikes or {}
        if not timesteps:
            recorded = [np.shape(array)[0] for array in spikes.values() if array.ndim]
            timesteps = max(recorded, default=known.get("timesteps"))
        network = cls(
            shapes,
            known,
            spikes,
            spike_rate,
            timesteps or 1,
            direct_coded,
            steps_assumed=not timesteps,
        )
        network.require(spikes, network.rate_of_layer)
        return network

    def require(self, *named: Iterable[str]) -> None:
        """Refuse names that are none of the layers.

        Raises
        ------
        WorkloadError
            The first of them.
        """
        for name in (name for names in named for name in names):
            if name not in self.shapes:
                raise WorkloadError(
                    f"an order, spikes or rates of {name!r}, which is none of the "
                    f"layers {', '.join(self.shapes)}"
                )

    @property
    def rate_of_layer(self) -> Mapping[str, Any]:
        """Rates that are given by layer."""
        return self.rates if isinstance(self.rates, Mapping) else {}

    @cached_property
    def batch(self) -> int:
        """Samples of the spikes; 1 without any."""
        given = [
            np.shape(array)[1] // self._spiking_calls(name)
            for name, array in self.spikes.items()
            if np.ndim(array) > 1
        ]
        return max(given, default=1)

    def _spiking_calls(self, name: str) -> int:
        """Count the calls whose inputs the spikes of a layer are."""
        calls = self.calls.get(name, ())
        spiking = [call.calls for call in calls if not self._analog(call)]
        return max(1, sum(spiking))

    def _analog(self, call: PlacedLayer) -> bool:
        return self.direct_coded and call.analog

    @cached_property
    def modelled(self) -> Shapes:
        """Weight shapes of the layers that can be evaluated."""
        return {k: shape for k, shape in self.shapes.items() if has_model(shape)}

    @cached_property
    def known_places(self) -> list[PlacedLayer] | None:
        """Layers as they run, if the metadata tell their geometry."""
        shapes = {name: self.modelled[name] for name in run_order(self.modelled)}
        return listed_layers(self.metadata, shapes) or written_layers(
            self.metadata, shapes
        )

    @cached_property
    def calls(self) -> dict[str, list[PlacedLayer]]:
        """Every layer's calls of one size and kind.

        Layers stand as they run; in the order of their names if that is unknown.
        """
        placed = self.known_places
        if placed is None:
            placed = [
                PlacedLayer(name, Geometry(), place == 0)
                for place, name in enumerate(run_order(self.modelled))
            ]
        calls: dict[str, list[PlacedLayer]] = {}
        for call in placed:
            calls.setdefault(call.name, []).append(call)
        return calls

    @property
    def assumption(self) -> str | None:
        """What had to be assumed, or is not charged; None if nothing."""
        return "; ".join(self._assumptions()) or None

    def _assumptions(self) -> Iterator[str]:
        convolutions = any(len(shape) > 2 for shape in self.modelled.values())
        if self.known_places is None and convolutions:
            yield UNKNOWN_SIZES
        if self.steps_assumed:
            yield UNKNOWN_STEPS
        never = [name for name, one in self.calls.items() if not _runs(one)]
        if never:
            yield f"never run, and take no cycles: {', '.join(never)}"

    def workloads(
        self,
        name: str,
        mask: AnyArray,
        schedules: Schedule | Iterable[Schedule] | None = None,
    ) -> list[LayerWorkload]:
        """Make the workloads of one mask: one for each size and kind of its input.

        Parameters
        ----------
        name : str
            The layer.
        mask : ndarray
            Mask or weights, in their natural order.
        schedules : Schedule or iterable of Schedule, optional
            In which order the accelerator takes the channels.

        Raises
        ------
        WorkloadError
            A mask, schedule, spikes or rates that do not fit.
        """
        if name not in self.modelled:
            raise WorkloadError(
                f"layer {name!r}: weights of shape {self.shapes[name]} have no model; "
                "leave it out (--skip)"
            )
        spikes = self.spikes.get(name)
        rate: Any = self.rates
        if isinstance(rate, Mapping):
            rate = rate.get(name)
        if isinstance(schedules, Schedule):
            schedules = (schedules,)
        try:
            for schedule in schedules or ():
                mask = schedule.apply(mask)
                if schedule.axis == 1:  # the input comes in the order of the weights
                    spikes = None if spikes is None else schedule.apply(spikes, axis=2)
                    if np.ndim(rate) == 1:
                        rate = schedule.apply(np.asarray(rate), axis=0)
        except BalancerError as error:
            raise WorkloadError(f"layer {name!r}: {error}") from error
        return [
            self._call(call, mask, self._spikes_of(call, spikes), rate)
            for call in self.calls[name]
        ]

    def _call(
        self, call: PlacedLayer, mask: AnyArray, spikes: AnyArray | None, rate: Any
    ) -> LayerWorkload:
        analog = self._analog(call)
        return LayerWorkload(
            call.name,
            mask,
            **call.geometry._asdict(),
            timesteps=self.timesteps,
            spikes=spikes,
            spike_rate=None if analog or spikes is not None else rate,
            batch=self.batch,
            direct_coded=analog,
            calls=call.calls,
        )

    def _spikes_of(self, call: PlacedLayer, spikes: AnyArray | None) -> AnyArray | None:
        """Take the spikes that are a call's input, of all that the layer receives."""
        alike = [one for one in self.calls[call.name] if one.calls]
        if spikes is None or len(alike) == 1:
            return spikes
        # Analog calls have no spikes; those of others must all be of one size.
        spiking = [one for one in alike if not self._analog(one)]
        if len(spiking) > 1:
            sizes = ", ".join(str(one.geometry.input_shape) for one in spiking)
            raise WorkloadError(
                f"layer {call.name!r}: it runs on inputs of several sizes ({sizes}), "
                "so its spikes cannot be told apart; give rates instead"
            )
        return spikes if call in spiking else None


def network_workloads(
    masks: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, Any] | None = None,
    *,
    schedules: Schedules | None = None,
    timesteps: int | None = None,
    spikes: Spikes | None = None,
    spike_rate: Rates = None,
    direct_coded: bool = True,
) -> NetworkWorkloads:
    """Make the workloads of a network from masks alone, or with what else is known.

    Parameters
    ----------
    masks : mapping of str to ndarray
        Mask (or weights) of each layer, in any order. Layers run in the order of the
        metadata, where these tell it; in an ``architecture`` those of equal shape, and
        without metadata all, in the order of their names, convolutions first and
        numbers compared as numbers.
    metadata : mapping, optional
        Of a ticket (`balancer.Ticket.about`); read are ``layers`` (see
        `hwmodel.geometry.listed_layers`; works for any network), else ``architecture``
        (text, see `hwmodel.architecture`) and ``input_shape`` ((channels, height,
        width)); ``timesteps``; and ``spike_rates`` (for each layer, used if neither
        `spikes` nor `spike_rate` are given). If neither layers nor architecture fit the
        masks, every convolution is evaluated for **one output pixel** without padding,
        and `assumption` says so: ratios of masks stay right for each layer, sums over
        layers weigh all alike.
    schedules : mapping of str to Schedule or iterable of Schedule, optional
        In which order the accelerator takes the channels of layers; spikes stay in the
        natural order, and follow those of the input channels here.
    timesteps : int, optional
        Default: those of `spikes`, else of `metadata`, else 1, which `assumption` says.
    spikes : mapping of str to ndarray, optional
        Input spikes of layers, as `load_spikes` returns them; see `LayerWorkload`.
        Layers without are evaluated for a batch of the same size.
    spike_rate : float or mapping of str to float, optional
        For all layers, or for each of them.
    direct_coded : bool
        The first layer, or the one that ``layers`` call ``analog``, has an analog input
        (direct encoding), so it runs once.

    Returns
    -------
    NetworkWorkloads
        Workloads in the order in which they run, and what had to be assumed. A layer
        that runs on inputs of several sizes has several of its name, which `evaluate`
        adds up.

    Raises
    ------
    WorkloadError
        A mask, schedule, spikes or rates that do not fit, or that belong to no layer.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import network_workloads
    >>> masks = {"conv": np.ones((4, 1, 3, 3), bool), "fc": np.ones((2, 64), bool)}
    >>> about = {"architecture": "4c3-mp2-fc2", "input_shape": (1, 8, 8)}
    >>> [layer.pixels for layer in network_workloads(masks, about).workloads]
    [64, 1]
    """
    schedules = schedules or {}
    network = TicketWorkloads.of(
        {name: np.shape(mask) for name, mask in masks.items()},
        metadata,
        timesteps=timesteps,
        spikes=spikes,
        spike_rate=spike_rate,
        direct_coded=direct_coded,
    )
    network.require(schedules)
    workloads = [
        workload
        for name in network.calls
        for workload in network.workloads(name, masks[name], schedules.get(name))
    ]
    left_out = [name for name in masks if name not in network.modelled]
    if left_out and not workloads:
        network.workloads(left_out[0], masks[left_out[0]])  # says why
    said = [network.assumption] if network.assumption else []
    if left_out:
        said.append(f"{NO_MODEL}: {', '.join(left_out)}")
    return NetworkWorkloads(workloads, "; ".join(said) or None)


def _runs(calls: Iterable[PlacedLayer]) -> int:
    return sum(call.calls for call in calls)


def run_order(shapes: Shapes) -> list[str]:
    """Order names as layers run: convolutions first, numbers as numbers."""

    def key(name: str) -> tuple[bool, list[tuple[int, str]]]:
        words = re.findall(r"\d+|\D+", name)
        parts = [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
        return len(shapes[name]) == 2, parts

    return sorted(shapes, key=key)
