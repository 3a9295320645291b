"""Checkpoints of torch from files of weights, whose network is not needed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from balancer import ExportSource, open_ticket
from balancer.array_types import AnyArray
from balancer.export.export_source import TicketLike
from balancer.files.ticket import Ticket
from snn.export.torch_checkpoint import Form, check_form, pruned_keys, save_checkpoint


def export_state_dict(
    path: str | os.PathLike[str],
    ticket: TicketLike,
    masks: TicketLike | None = None,
    *,
    form: Form = "dense",
) -> ExportSource:
    """Write the weights of a file, with masks, as a checkpoint of torch.

    Parameters
    ----------
    path : str or path
        A file for `torch.load`, as `export_torch` writes it.
    ticket : Ticket, str or path
        Has the weights; arrays that belong to no layer go with them as they are.
        Weights keep the order of axes that they have in the file.
    masks : Ticket, str or path, optional
        Masks and orders that the command ``balance`` wrote; default: its own.
    form : str
        ``dense`` or ``prune``, as in `export_torch`.

    Returns
    -------
    ExportSource
        What was written: layers, and notes.

    Raises
    ------
    ExportError
        Another form, or a layer without weights.
    TicketError
        A file that cannot be read or written.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from snn import export_state_dict
    >>> np.savez("net.npz", **{"fc.weight": np.eye(2), "fc.bias": np.ones(2)})
    >>> _ = export_state_dict("net.pt", "net.npz", form="prune")
    >>> sorted(torch.load("net.pt", weights_only=True)["state_dict"])
    ['fc.bias', 'fc.weight_mask', 'fc.weight_orig']
    """
    check_form(form)
    opened = ticket if isinstance(ticket, Ticket) else open_ticket(ticket)
    source = ExportSource.of(opened, masks)
    state: dict[str, Any] = {}
    taken: set[str] = set()
    for layer, weighted in zip(opened.layers, source.layers, strict=True):
        taken |= set(layer.roles.values())
        key = layer.roles.get("weight") or layer.roles["unpruned"].removesuffix("_orig")

        def stored(array: AnyArray, axes: Any = layer.axes) -> AnyArray:
            return array if axes is None else np.asarray(axes.back(array))

        weight = torch.tensor(stored(weighted.weights))
        state[key] = weight
        if form == "prune":
            del state[key]
            state |= pruned_keys(key, weight, stored(weighted.mask))
    file = opened.layers[0].file
    for key in file.shapes():
        if key not in taken and file.kinds()[key] in "biuf":
            state[key] = torch.tensor(file.read(key))
    orders = {layer.name: one for layer in source.layers for one in layer.schedules}
    save_checkpoint(path, state, source.about, orders)
    return source
