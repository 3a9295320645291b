"""Tickets: files of weights, masks and scores, read one layer at a time.

A ticket holds for each layer NAME the arrays ``NAME.weight``, ``NAME.mask`` and
``NAME.score`` (last non-zero magnitudes), any of them alone or together; a bare NAME is
a weight, and ``NAME.weight_orig`` with ``NAME.weight_mask``, or any other parameter's
``_orig`` with ``_mask``, is what `torch.nn.utils.prune` leaves. Arrays with fewer than
two dimensions are no layers, nor are tables of bool or integers under other names, and
factors of weights. ``NAME.carried``, ``.rates`` and ``.magnitude`` are left to
`snn.lottery.round_tickets`.
Formats: ``.safetensors``, alone or in shards, and ``.npz``; nothing is ever unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import escape
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

from balancer.errors import TicketError, naming
from balancer.files.array_files import ArrayFile, files_of, open_arrays
from balancer.files.axes import (
    KnownAxes,
    SaidAxes,
    axes_of,
    check_patterns,
    read_axes,
    remarks,
)
from balancer.files.given_scores import GivenScores, Scores
from balancer.files.layer_roles import LayerRoles
from balancer.files.ticket_layer import TicketLayer
from balancer.files.told_layers import about_of, told_timesteps, unlisted_layers


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
    remarks : tuple of str
        What had to be assumed to read it, a sentence each.
    paths : tuple of Path
        The files it is read from.
    """

    layers: tuple[TicketLayer, ...]
    metadata: dict[str, Any]
    source: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, file: ArrayFile, axes: Mapping[str, str] | None = None) -> Ticket:
        """Find the layers among the arrays of a file.

        Parameters
        ----------
        file : ArrayFile
            The arrays.
        axes : mapping of str to str, optional
            In which order the axes of layers stand, see `open_ticket`.

        Raises
        ------
        TicketError
            No array has two or more dimensions, two claim to be the same of a layer, or
            rates contradict the time steps; axes that fit no layer.
        """
        found, metadata = LayerRoles.of(file), file.metadata()
        if not found.shapes:
            others = "; " + _said(found.left_out) if found.left_out else ""
            raise TicketError(
                f"holds no weights or masks of two or more dimensions{others}"
            )
        said = read_axes(axes or {})
        check_patterns(said, found.shapes)
        about = about_of(metadata)
        unlisted = unlisted_layers(found, about)
        metadata = {**metadata, **told_timesteps(file, found, about)}
        known = _known_axes(file, found, [*_stored_axes(metadata), *said])
        layers = []
        for name, shape in found.shapes.items():
            order = known[name].axes if name in known else None
            if name in unlisted:
                known.pop(name, None)
                continue
            layers.append(
                TicketLayer(
                    name,
                    shape if order is None else order.shape(shape),
                    found.arrays[name],
                    file,
                    None if order is None or order.is_ours else order,
                    found.clashes.get(name),
                )
            )
        return cls(
            tuple(layers),
            metadata,
            left_out=found.left_out,
            unlisted=unlisted,
            remarks=tuple(remarks(known)),
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
        return (*notes, *self.remarks)

    @property
    def axes(self) -> dict[str, str]:
        """Order of the axes in the file, of layers whose outputs do not come first."""
        layers = (layer for layer in self.layers if layer.axes is not None)
        return {layer.name: layer.axes.text for layer in layers if layer.axes}

    @property
    def about(self) -> dict[str, Any]:
        """What is said about the network; mask files pass it on from their ticket."""
        return about_of(self.metadata)

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

    def with_scores(self, scores: Scores) -> Ticket:
        """Rank the weights of all layers by other scores than the ticket's own.

        Parameters
        ----------
        scores : mapping of str to array_like, str or path
            Arrays NAME or ``NAME.score`` in the shape of the weights of each layer, as
            these stand in the ticket's file, not negative; or a file of a format that
            `open_ticket` reads. What belongs to no layer is not read.

        Raises
        ------
        TicketError
            A file that cannot be read, layers without scores, or other shapes.

        Examples
        --------
        >>> import numpy as np
        >>> from balancer import balance_ticket, open_ticket, shipped_ticket
        >>> ticket = open_ticket(shipped_ticket()).select("classifier")
        >>> scored = ticket.with_scores({"classifier": np.ones((10, 1024))})
        >>> scored.ranked_by
        'given scores'
        """
        given = GivenScores.of(scores)
        given.check({layer.name: layer.stored_shape for layer in self.layers})
        layers = tuple(replace(layer, given=given) for layer in self.layers)
        return replace(self, layers=layers, paths=(*self.paths, *given.paths))

    @property
    def ranked_by(self) -> str:
        """What the scores of the layers are, with their kind where the ticket says."""
        of_layers: dict[str, list[str]] = {}
        for layer in self.layers:
            of_layers.setdefault(layer.ranked_by, []).append(layer.name)
        kind = self.about.get("score")
        if "NAME.score" in of_layers and isinstance(kind, str):
            of_layers = {
                f"{known} ({kind})" if known == "NAME.score" else known: names
                for known, names in of_layers.items()
            }
        if len(of_layers) == 1:
            return next(iter(of_layers))
        return "; ".join(
            f"{known} of {', '.join(names)}" for known, names in of_layers.items()
        )

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


def _said(left_out: Mapping[str, str]) -> str:
    kinds = ", ".join(f"{name} ({kind})" for name, kind in left_out.items())
    return f"left out, being no weights: {kinds}"


def _stored_axes(metadata: Mapping[str, Any]) -> SaidAxes:
    """Read the axes that a mask file states; metadata of others may hold anything."""
    stored = metadata.get("axes")
    try:
        return read_axes({escape(str(k)): v for k, v in dict(stored or {}).items()})
    except (TicketError, TypeError, ValueError):
        return ()


def _known_axes(
    file: ArrayFile, found: LayerRoles, said: SaidAxes
) -> dict[str, KnownAxes]:
    shapes, known = file.shapes(), {}
    for name, roles in found.arrays.items():
        if name in found.clashes:  # it is read no further
            continue
        keys = (roles.get(role) for role in ("weight", "unpruned", "score", "mask"))
        key = next((key for key in keys if key is not None), None)
        axes = None if key is None else axes_of(name, key, shapes, said)
        if axes is not None:
            known[name] = axes
    return known


def open_ticket(
    path: str | os.PathLike[str], axes: Mapping[str, str] | None = None
) -> Ticket:
    """List the layers of a file; their arrays stay on the disk where they can.

    Parameters
    ----------
    path : str or path
        A .safetensors or .npz file, the .safetensors.index.json of a checkpoint in
        shards, or a file of a format that an installed package reads: state dicts of
        torch (.pt, .pth) with the extra ``snn``.
    axes : mapping of str to str, optional
        By names of layers, or patterns of them, in which order the axes of their
        weights stand in the file: a letter for each, ``o`` outputs, ``i`` inputs, and
        ``w``, ``hw`` or ``dhw`` of the kernel; several with commas. ``{"*":
        "hwio,io"}`` are convolutions and dense layers of Keras, ``{"up.*": "iohw"}``
        transposed convolutions of torch. The last pattern that fits a layer and its
        number of axes counts. Default: what a mask
        file says, else what names (``kernel``) and sizes of biases tell, which
        `Ticket.remarks` says, else outputs first. Layers have their outputs first.

    Raises
    ------
    TicketError
        A file that is missing, damaged, of another format, or without layers; axes that
        fit no layer.

    Examples
    --------
    >>> from balancer import open_ticket, shipped_ticket
    >>> ticket = open_ticket(shipped_ticket())
    >>> [layer.name for layer in ticket.layers]
    ['classifier', 'features.0', 'features.3', 'features.7']
    """
    path = Path(path)
    with naming(path):
        ticket = Ticket.of(open_arrays(path), axes)
        return replace(ticket, source=path.name, paths=files_of(path))


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
