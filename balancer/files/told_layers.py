"""What the metadata of a ticket say of its layers: which there are, and how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balancer.errors import TicketError
from balancer.files.array_files import ArrayFile
from balancer.files.layer_roles import LayerRoles


def unlisted_layers(found: LayerRoles, about: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what looks like a layer, but is none of the ticket's list of layers.

    A list that names none of the arrays belongs to something else, and decides nothing.

    Parameters
    ----------
    found : LayerRoles
        Of the arrays of the file.
    about : mapping
        What the ticket says of its network; ``layers`` have a ``name`` each.
    """
    entries = about.get("layers")
    if not isinstance(entries, list):
        return ()
    listed = {
        entry["name"]
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    }
    if listed.isdisjoint(found.shapes):
        return ()
    return tuple(name for name in found.shapes if name not in listed)


def told_timesteps(
    file: ArrayFile, found: LayerRoles, about: Mapping[str, Any]
) -> int | None:
    """Read the time steps of a ticket: its ``timesteps``, which its rates must have.

    Parameters
    ----------
    file : ArrayFile
        Its arrays; ``NAME.rates`` are [time steps, input channels].
    found : LayerRoles
        Of these arrays.
    about : mapping
        What the ticket says of its network.

    Returns
    -------
    int or None
        None if neither says anything.

    Raises
    ------
    TicketError
        Rates of another number of time steps than ``timesteps``, or than other rates.
    """
    told, teller = about.get("timesteps"), "`timesteps` of the metadata is"
    shapes = file.shapes()
    for name, roles in found.arrays.items():
        shape = shapes[roles["rates"]] if "rates" in roles else ()
        if len(shape) != 2:
            continue
        if told is not None and shape[0] != told:
            raise TicketError(
                f"its rates are of {shape[0]} time steps, but {teller} {told}; make "
                "them agree, or leave the rates out",
                about=f"layer {name}",
            )
        told, teller = shape[0], f"those of {name} are of"
    return told
