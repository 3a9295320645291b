"""Tickets: files of weights, masks and scores, read one layer at a time.

A ticket holds for each layer NAME the arrays ``NAME.weight``, ``NAME.mask`` and
``NAME.score`` (last non-zero magnitudes), any of them alone or together; a bare NAME is
a weight, and ``NAME.weight_orig`` with ``NAME.weight_mask``, or any other parameter's
``_orig`` with ``_mask``, is what `torch.nn.utils.prune` leaves. Arrays with fewer than
two dimensions are no layers, nor are tables of bool or integers under other names, and
factors of weights. ``NAME.carried`` and ``NAME.rates`` are left to
`snn.lottery.round_tickets`.
Formats: ``.safetensors``, alone or in shards, and ``.npz``; nothing is ever unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import BalancerError, TicketError, naming
from balancer.files.array_files import ArrayFile, open_arrays
from balancer.files.layer_roles import ORDER_ROLES, LayerRoles
from balancer.files.told_layers import told_timesteps, unlisted_layers
from balancer.maps.schedule import Schedule
from balancer.program.validation import magnitudes


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """The arrays of one layer.

    Attributes
    ----------
    scores : ndarray of float
        Saliency in the shape of the weights.
    mask : ndarray of bool
        The weights that are not pruned so far.
    schedules : tuple of Schedule
        In which orders the PEs take the channels so far, at most one for each axis.
    has_mask : bool
        The mask says what was pruned; otherwise it only says where scores are zero.
    """

    scores: AnyArray
    mask: BoolArray
    schedules: tuple[Schedule, ...] = ()
    has_mask: bool = True

    def scheduled_mask(self) -> BoolArray:
        """Put the channels of the mask in the order in which the PEs take them."""
        mask = self.mask
        for schedule in self.schedules:
            mask = schedule.apply(mask)
        return mask

    def schedule_along(self, axis: int | None) -> Schedule | None:
        """Return the order of the channels of an axis; None if it is as it is."""
        for schedule in self.schedules:
            if schedule.axis == axis and not schedule.is_natural:
                return schedule
        return None


@dataclass(frozen=True, slots=True, repr=False)
class TicketLayer:
    """One layer of a ticket; its arrays are loaded when they are asked for.

    Attributes
    ----------
    name : str
        Name without the role, as ``features.3``.
    shape : tuple of int
        Shape of its weights.
    roles : dict
        Which array of the file is its ``weight``, ``mask``, ``score``, ….
    file : ArrayFile
        Where they are.
    """

    name: str
    shape: tuple[int, ...]
    roles: dict[str, str]
    file: ArrayFile

    def read(self) -> LayerArrays:
        """Load scores, mask and order.

        Scores are ``NAME.score`` where present, else the magnitudes of the weights. A
        layer without a mask is pruned where its weight is zero.

        Raises
        ------
        TicketError
            Arrays that are missing, unreadable, or contradict each other.
        """
        weight = self._weight()
        if "score" in self.roles:
            scores = self._array("score")
        elif weight is not None:
            scores = magnitudes(weight)
        else:
            raise self._error("it has a mask, but neither weights nor scores")
        mask = self.read_mask(scores if weight is None else weight)
        if "weight" in self.roles and weight is not None:
            alive = int(np.count_nonzero(weight[~mask]))
            if alive:
                raise self._error(
                    f"{alive} weights are not zero where the mask prunes them; set "
                    f"them to zero or store them as {self.name}.score"
                )
        return LayerArrays(scores, mask, self.read_schedules())

    def read_mask(self, known: AnyArray | None = None) -> BoolArray:
        """Load the mask alone; without one, what is not zero is kept.

        `known` are the weights, or the scores of a layer without: without a mask they
        are not read again.

        Raises
        ------
        TicketError
            Arrays that are unreadable or contradict each other.
        """
        if "mask" in self.roles:
            return np.ascontiguousarray(self._mask())
        if known is None:
            weight = self._weight()
            known = self._array("score") if weight is None else weight
        return np.not_equal(known, 0)

    def read_schedules(self) -> tuple[Schedule, ...]:
        """Load the orders in which the PEs take the channels.

        Returns
        -------
        tuple of Schedule
            Those that the file holds: of the output channels, the input channels, both
            or none.

        Raises
        ------
        TicketError
            Numbers that are no permutation of the channels.
        """
        found = []
        for axis, role in enumerate(ORDER_ROLES):
            if role not in self.roles:
                continue
            order = self.file.read(self.roles[role])
            channels = self.shape[axis]
            try:
                schedule = Schedule(axis, order)
            except BalancerError as error:
                raise self._error(f"its {role}: {error}") from error
            if len(schedule.order) != channels:
                raise self._error(
                    f"its {role} is no permutation of {channels} channels"
                )
            found.append(schedule)
        return tuple(found)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.name}: {shape}, {', '.join(self.roles)}"

    def _error(self, text: str) -> TicketError:
        return TicketError(text, about=f"layer {self.name}")

    def _weight(self) -> AnyArray | None:
        for role in ("weight", "unpruned"):
            if role in self.roles:
                return self._array(role)
        return None

    def _mask(self) -> BoolArray:
        mask = self._array("mask")
        if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
            raise self._error(f"the mask holds {mask.dtype} values other than 0 and 1")
        return mask.astype(np.bool_, copy=False)

    def _array(self, role: str) -> AnyArray:
        array = self.file.read(self.roles[role])
        if array.shape != self.shape:
            raise self._error(
                f"its {role} has shape {array.shape}, another of its arrays "
                f"{self.shape}"
            )
        return array


@dataclass(frozen=True, slots=True, repr=False)
class Ticket:
    """The layers of one file.

    Attributes
    ----------
    layers : tuple of TicketLayer
        In the order of the file.
    metadata : dict
        What the file says about itself (architecture, data set, accuracy, …).
    source : str or None
        Name of the file, if the ticket comes from one.
    left_out : dict of str to str
        Arrays of two or more dimensions that are no weights, and what they are.
    unlisted : tuple of str
        What would be a layer, but is not in the ticket's own list of ``layers``:
        weights of modules that were not pruned, or layers by another of their names.
    """

    layers: tuple[TicketLayer, ...]
    metadata: dict[str, Any]
    source: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()

    @classmethod
    def of(cls, file: ArrayFile) -> Ticket:
        """Find the layers among the arrays of a file.

        Raises
        ------
        TicketError
            No array has two or more dimensions, two claim to be the same of a layer, or
            rates contradict the time steps.
        """
        found = LayerRoles.of(file)
        if not found.shapes:
            others = "; " + _said(found.left_out) if found.left_out else ""
            raise TicketError(
                f"holds no weights or masks of two or more dimensions{others}"
            )
        metadata = file.metadata()
        about = _about(metadata)
        unlisted = unlisted_layers(found, about)
        timesteps = told_timesteps(file, found, about)
        if timesteps is not None and "timesteps" not in about:
            metadata = metadata | {"timesteps": timesteps}
        return cls(
            tuple(
                TicketLayer(name, shape, found.arrays[name], file)
                for name, shape in found.shapes.items()
                if name not in unlisted
            ),
            metadata,
            left_out=found.left_out,
            unlisted=unlisted,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the list of layers might hide, a sentence each."""
        notes = [f"{_said(self.left_out)}."] if self.left_out else []
        if self.unlisted:
            names = ", ".join(self.unlisted)
            notes.append(
                f"left out, not being in the ticket's list of layers: {names}."
            )
        return tuple(notes)

    @property
    def about(self) -> dict[str, Any]:
        """What is said about the network; mask files pass it on from their ticket."""
        return _about(self.metadata)

    def select(self, layers: str | None = None, skip: str | None = None) -> Ticket:
        """Keep layers whose names match a pattern, and leave out others.

        Parameters
        ----------
        layers, skip : str, optional
            Patterns of a shell, as ``features.*``; both are case-sensitive.

        Raises
        ------
        TicketError
            A pattern that matches no layer, or no layer that is left.
        """
        names = [layer.name for layer in self.layers]
        for name, glob in (("layers", layers), ("skip", skip)):
            if glob is not None and not any(fnmatchcase(one, glob) for one in names):
                raise TicketError(
                    f"`{name}` is {glob!r}, which matches no layer; the ticket has "
                    f"{', '.join(names)}"
                )
        left = tuple(
            layer
            for layer in self.layers
            if (layers is None or fnmatchcase(layer.name, layers))
            and (skip is None or not fnmatchcase(layer.name, skip))
        )
        if not left:
            raise TicketError(f"`layers` {layers!r} and `skip` {skip!r} leave no layer")
        return replace(self, layers=left)

    def __repr__(self) -> str:
        weights = sum(prod(layer.shape) for layer in self.layers)
        lines = (f"  {layer!r}" for layer in self.layers)
        return "\n".join(
            (
                f"Ticket({self.source or 'in memory'}, {len(self.layers)} layers, "
                f"{weights} weights)",
                *lines,
            )
        )


def _about(metadata: dict[str, Any]) -> dict[str, Any]:
    ticket = metadata.get("ticket")
    return ticket if isinstance(ticket, dict) else metadata


def _said(left_out: Mapping[str, str]) -> str:
    kinds = ", ".join(f"{name} ({kind})" for name, kind in left_out.items())
    return f"left out, being no weights: {kinds}"


def open_ticket(path: str | os.PathLike[str]) -> Ticket:
    """List the layers of a file; their arrays stay on the disk where they can.

    Parameters
    ----------
    path : str or path
        A .safetensors or .npz file, the .safetensors.index.json of a checkpoint in
        shards, or a file of a format that an installed package reads: state dicts of
        torch (.pt, .pth) with the extra ``snn``.

    Raises
    ------
    TicketError
        A file that is missing, damaged, of another format, or without layers.

    Examples
    --------
    >>> from balancer import open_ticket, shipped_ticket
    >>> ticket = open_ticket(shipped_ticket())
    >>> [layer.name for layer in ticket.layers]
    ['classifier', 'features.0', 'features.3', 'features.7']
    """
    path = Path(path)
    with naming(path):
        return replace(Ticket.of(open_arrays(path)), source=path.name)


def shipped_ticket() -> Path:
    """Path of the ticket that is installed with the package.

    A spiking network (32c3-64c3-mp2-64c3-fc10, 4 time steps) trained on scikit-learn's
    8 x 8 digits, after 14 lottery rounds: 98.2 % sparse, 93.9 % test accuracy (97.8 %
    before). CONTRIBUTING.md has the command that makes it.

    Examples
    --------
    >>> from balancer import shipped_ticket
    >>> shipped_ticket().name
    'digits-conv3.safetensors'
    """
    return Path(str(resources.files("balancer") / "data" / "digits-conv3.safetensors"))
