"""Networks as checkpoints of torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import nn

from balancer import Schedule, __version__
from balancer.array_types import BoolArray
from balancer.errors import ExportError
from balancer.files.atomic import replacing
from snn.array_types import Masks
from snn.channels.apply_order import apply_order
from snn.export.masked_network import MaskedNetwork
from snn.torch_files import save_torch

Form = Literal["dense", "prune"]


class Permuted(NamedTuple):
    """A network whose channels stand in the order in which the PEs take them.

    Attributes
    ----------
    source : MaskedNetwork
        The network, with masks in the same order; `schedules` are what is left to do.
    kept : dict of str to str
        Why layers keep an order of their own beside the weights.
    """

    source: MaskedNetwork
    kept: dict[str, str]


def export_torch(
    path: str | os.PathLike[str],
    source: MaskedNetwork,
    *,
    form: Form = "dense",
    permute: bool = False,
) -> dict[str, str]:
    """Write a network as a checkpoint of torch.

    Parameters
    ----------
    path : str or path
        A file for `torch.load` (``weights_only=True`` will do), with ``state_dict`` and
        ``metadata``: preprocessing of the images, time steps, and the ``orders`` of
        layers that the weights are not in.
    source : MaskedNetwork
        The network.
    form : str
        ``dense``: weights with zeros, for any network of this kind. ``prune``: the
        ``NAME.weight_orig`` and ``NAME.weight_mask`` of `torch.nn.utils.prune`.
    permute : bool
        Put the channels in the order in which the PEs take them, as `apply_order` does,
        where the network allows it.

    Returns
    -------
    dict of str to str
        With `permute`, the layers whose order stays beside the weights, and why.

    Raises
    ------
    ExportError
        Another form.
    OrderError
        Orders that do not fit the network.

    Examples
    --------
    >>> import torch
    >>> from balancer import shipped_ticket
    >>> from snn import MaskedNetwork, export_torch
    >>> _ = export_torch("net.pt", MaskedNetwork.of(shipped_ticket()), form="prune")
    >>> checkpoint = torch.load("net.pt", weights_only=True)
    >>> sorted(key for key in checkpoint["state_dict"] if key.startswith("classifier"))
    ['classifier.weight_mask', 'classifier.weight_orig']
    >>> checkpoint["metadata"]["preprocessing"]["mean"]
    [4.887763023376465]
    """
    check_form(form)
    masked, kept = Permuted(source.pruned(), {})
    if permute:
        masked, kept = _permuted(masked)
    state: dict[str, Any] = dict(masked.network.state_dict())
    if form == "prune":
        state = _with_prune_keys(state, masked)
    save_checkpoint(path, state, masked.about, masked.schedules)
    return kept


def check_form(form: str) -> None:
    """Refuse a form that there is not.

    Raises
    ------
    ExportError
        It is none of `Form`.
    """
    if form not in get_args(Form):
        raise ExportError(f"`form` is {form!r}; accepted are 'dense' and 'prune'")


def save_checkpoint(
    path: str | os.PathLike[str],
    state: Mapping[str, torch.Tensor],
    about: Mapping[str, Any],
    schedules: Mapping[str, Schedule],
) -> None:
    """Write a state dict, and what else is known of its network."""
    metadata = {
        "made_by": f"balanced-sparsity {__version__}",
        "preprocessing": about.get("preprocessing"),
        "timesteps": about.get("timesteps"),
        "orders": {
            name: {"axis": one.axis, "order": one.order.tolist()}
            for name, one in schedules.items()
            if not one.is_natural
        },
    }
    with replacing(Path(path)) as (file,):
        save_torch({"state_dict": dict(state), "metadata": metadata}, file)


def pruned_keys(
    key: str, weight: torch.Tensor, mask: BoolArray
) -> dict[str, torch.Tensor]:
    """Name a weight and its mask as `torch.nn.utils.prune` does."""
    return {f"{key}_orig": weight, f"{key}_mask": torch.from_numpy(mask).to(weight)}


def _with_prune_keys(state: dict[str, Any], source: MaskedNetwork) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, tensor in state.items():
        layer, _, parameter = key.rpartition(".")
        if parameter == "weight" and layer in source.masks:
            renamed |= pruned_keys(key, tensor, source.masks[layer])
        else:
            renamed[key] = tensor
    return renamed


def _permuted(source: MaskedNetwork) -> Permuted:
    orders = {name: one for name, one in source.schedules.items() if one.axis == 0}
    applied = apply_order(source.network, orders)
    masks: Masks = {
        name: mask[applied.layers[name].outputs][:, applied.layers[name].inputs]
        if name in applied.layers
        else mask
        for name, mask in source.masks.items()
    }
    left: dict[str, Schedule] = {
        name: Schedule(0, table) for name, table in applied.tables.items()
    }
    for name, schedule in source.schedules.items():
        if schedule.axis == 1:  # its positions now hold other channels
            inverse = np.argsort(applied.layers[name].inputs)
            left[name] = Schedule(1, inverse[schedule.order])
    kept = {name: applied.layers[name].reason for name in left}
    network: nn.Module = applied.network
    return Permuted(
        MaskedNetwork(network, source.input_shape, masks, left, source.about), kept
    )
