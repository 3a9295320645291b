"""What is exported: weights, masks and orders of layers, and the array they are for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from balancer.errors import ExportError, naming
from balancer.files.ticket import Ticket, open_ticket
from balancer.files.ticket_layer import TicketLayer
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule

TicketLike: TypeAlias = Ticket | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WeightedLayer:
    """One layer of what is exported.

    Attributes
    ----------
    name : str
        Of the layer.
    weights : ndarray of float
        Zero where the mask prunes them; outputs first, in their natural order.
    mask : ndarray of bool
        What is kept, zeros among it too.
    schedules : tuple of Schedule
        In which order the PEs take the channels; natural ones are left out.
    bias : ndarray of float32 [output channels] or None
        What every output channel adds.
    """

    name: str
    weights: AnyArray
    mask: BoolArray
    schedules: tuple[Schedule, ...] = ()
    bias: AnyArray | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ExportSource:
    """Layers with their weights, and what is known of them.

    Attributes
    ----------
    layers : tuple of WeightedLayer
        In the order of the ticket.
    pe_map : str
        Text of the PE map of the array.
    pes : int
        Of the array.
    name : str
        Of the ticket.
    about : dict
        What the ticket says of its network.
    paths : tuple of Path
        The files that are read.
    notes : tuple of str
        What the export might hide, a sentence each.
    """

    layers: tuple[WeightedLayer, ...]
    pe_map: str
    pes: int
    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        ticket: TicketLike,
        masks: TicketLike | None = None,
        *,
        pe_map: str | None = None,
        pes: int | None = None,
    ) -> Self:
        """Read weights, masks and orders.

        Parameters
        ----------
        ticket : Ticket, str or path
            Has the weights.
        masks : Ticket, str or path, optional
            Masks and orders of its layers, as the command ``balance`` writes them;
            layers that are not in it keep their own. Default: those of the ticket.
        pe_map : str, optional
            Text of the PE map; default: what the masks say they are for, or the
            ticket's run, or ``output_channel``.
        pes : int, optional
            PEs of the array; default in the same way, or 16.

        Raises
        ------
        ExportError
            A layer without weights, or masks of other layers.
        TicketError
            A file that cannot be read.
        """
        opened = _opened(ticket)
        chosen = opened if masks is None else _opened(masks)
        others = {layer.name: layer for layer in chosen.layers}
        known = {layer.name for layer in opened.layers}
        strange = [name for name in others if name not in known]
        if masks is not None and not known & others.keys():
            raise ExportError(
                f"the masks are of {', '.join(strange)}, and the ticket has "
                f"{', '.join(sorted(known))}; give the masks of this ticket",
                about=chosen.source,
            )
        layers = tuple(
            _layer(layer, others.get(layer.name, layer)) for layer in opened.layers
        )
        revived = sum(
            int(np.count_nonzero(layer.mask & (layer.weights == 0))) for layer in layers
        )
        notes = [*opened.notes]
        if revived:
            notes.append(
                f"{revived} of the kept weights are zero in the ticket; train them "
                "before the export (retrain)."
            )
        run = opened.about.get("config") or {}
        told = [known for known in (chosen.metadata, run) if "map" in known] or [{}]
        return cls(
            layers,
            str(told[0].get("map") or DEFAULT_MAP) if pe_map is None else pe_map,
            int(told[0].get("pes") or DEFAULT_PES) if pes is None else pes,
            opened.source or "weights",
            opened.about,
            (*opened.paths, *(chosen.paths if masks is not None else ())),
            tuple(notes),
        )

    def map_of(self, layer: WeightedLayer) -> PEMap:
        """Make the PE map of a layer."""
        with naming(f"layer {layer.name}"):
            return PEMap.parse(self.pe_map, layer.mask.shape, self.pes)

    def with_weights(
        self, weights: Mapping[str, tuple[AnyArray, AnyArray | None]]
    ) -> Self:
        """Put other weights, and biases, in the place of some layers' own.

        Parameters
        ----------
        weights : mapping of str to tuple of ndarray
            Weights in the shape of the layer, and biases or None; they are masked here.

        Raises
        ------
        ExportError
            Weights of another shape.
        """
        layers = []
        for layer in self.layers:
            if layer.name in weights:
                other, bias = weights[layer.name]
                if other.shape != layer.mask.shape:
                    raise ExportError(
                        f"weights of shape {other.shape} for a mask of shape "
                        f"{layer.mask.shape}",
                        about=f"layer {layer.name}",
                    )
                masked = np.where(layer.mask, other, 0).astype(other.dtype)
                layer = replace(layer, weights=masked, bias=bias)
            layers.append(layer)
        return replace(self, layers=tuple(layers))


def _opened(ticket: TicketLike) -> Ticket:
    return ticket if isinstance(ticket, Ticket) else open_ticket(ticket)


def _layer(layer: TicketLayer, masked: TicketLayer) -> WeightedLayer:
    weights = layer.read_weight()
    if weights is None:
        raise ExportError(
            "it has no weights, but a mask or scores; give the ticket that has them, "
            "and this file as masks (--masks)",
            about=f"layer {layer.name}",
        )
    if weights.dtype.kind not in "fiu":
        raise ExportError(
            f"its weights are {weights.dtype}; real numbers are needed",
            about=f"layer {layer.name}",
        )
    mask = layer.read_mask(weights) if masked is layer else masked.read_mask()
    if mask.shape != weights.shape:
        raise ExportError(
            f"its mask has shape {mask.shape}, its weights {weights.shape}",
            about=f"layer {layer.name}",
        )
    schedules = [one for one in masked.read_schedules() if not one.is_natural]
    zero = np.zeros((), weights.dtype)
    return WeightedLayer(
        layer.name, np.where(mask, weights, zero), mask, tuple(schedules)
    )
