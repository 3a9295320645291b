"""Tickets: files of weights, masks and scores, read one layer at a time.

A ticket holds for each layer NAME the arrays ``NAME.weight``, ``NAME.mask`` and
``NAME.score`` (last non-zero magnitudes), any of them alone or together; a bare NAME is
a weight, and ``NAME.weight_orig`` with ``NAME.weight_mask`` is what
`torch.nn.utils.prune` leaves. Arrays with fewer than two dimensions are no layers.
``NAME.carried`` and ``NAME.rates`` are left to `snn.lottery.round_tickets`.
Formats: ``.safetensors`` and ``.npz``; nothing is ever unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.errors import TicketError
from balancer.files.array_files import ArrayFile, open_arrays, save_arrays
from balancer.maps.cell_arrays import Array, BoolArray

# Orders of output and of input channels, by the axis of the weights.
ORDER_ROLES = ("order", "input_order")

# What the last part of an array's name says about it; anything else is a weight.
_ROLES = {
    "weight": "weight",
    "weight_orig": "unpruned",
    "weight_mask": "mask",
    "mask": "mask",
    "score": "score",
    "order": "order",
    "input_order": "input_order",
    "carried": "carried",
    "rates": "rates",
}
# What lottery runs add to a layer, and what says nothing about its shape.
_HISTORY = ("carried", "rates")


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """The arrays of one layer.

    Attributes
    ----------
    scores : ndarray of float
        Saliency in the shape of the weights.
    mask : ndarray of bool
        The weights that are not pruned so far.
    """

    scores: Array
    mask: BoolArray


@dataclass(frozen=True, slots=True)
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
        """Load scores and mask.

        Scores are ``NAME.score`` where present, else the magnitudes of the weights. A
        layer without a mask is pruned where its weight is zero.

        Raises
        ------
        TicketError
            Arrays that are missing, unreadable, or contradict each other.
        """
        weight = self._weight()
        if weight is None and "score" not in self.roles:
            raise TicketError(
                f"layer {self.name} has a mask, but neither weights nor scores"
            )
        mask = self.read_mask(weight)
        if "weight" in self.roles and weight is not None:
            alive = int(np.count_nonzero(weight[~mask]))
            if alive:
                raise TicketError(
                    f"layer {self.name}: {alive} weights are not zero where the mask "
                    f"prunes them; set them to zero or store them as {self.name}.score"
                )
        if "score" in self.roles:
            scores = self._array("score")
        else:
            assert weight is not None
            scores = np.abs(weight)
        return LayerArrays(scores, mask)

    def read_mask(self, weight: Array | None = None) -> BoolArray:
        """Load the mask alone; without one, what is not zero is kept.

        `weight` spares reading the weights again.

        Raises
        ------
        TicketError
            Arrays that are unreadable or contradict each other.
        """
        if "mask" in self.roles:
            return np.ascontiguousarray(self._mask())
        if weight is None:
            weight = self._weight()
        known: Array = self._array("score") if weight is None else weight
        return np.not_equal(known, 0)

    def read_order(self, axis: int = 0) -> npt.NDArray[np.int32] | None:
        """Load the order of the output channels (axis 0) or of the input channels (1).

        Returns
        -------
        ndarray of int32 [channels] or None
            Schedule position -> channel; None if the file says nothing.

        Raises
        ------
        TicketError
            Numbers that are no permutation of the channels.
        """
        role = ORDER_ROLES[axis]
        if role not in self.roles:
            return None
        order = self.file.read(self.roles[role])
        channels = np.arange(self.shape[axis])
        if order.dtype.kind not in "iu" or not np.array_equal(np.sort(order), channels):
            raise TicketError(
                f"layer {self.name}: its {role} is no permutation of {len(channels)} "
                "channels"
            )
        return order.astype(np.int32)

    def _weight(self) -> Array | None:
        for role in ("weight", "unpruned"):
            if role in self.roles:
                return self._array(role)
        return None

    def _mask(self) -> BoolArray:
        mask = self._array("mask")
        if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
            raise TicketError(
                f"layer {self.name}: the mask holds {mask.dtype} values other than 0 "
                "and 1"
            )
        return mask.astype(np.bool_, copy=False)

    def _array(self, role: str) -> Array:
        array = self.file.read(self.roles[role])
        if array.shape != self.shape:
            raise TicketError(
                f"layer {self.name}: its {role} has shape {array.shape}, "
                f"another of its arrays {self.shape}"
            )
        return array


@dataclass(frozen=True, slots=True)
class Ticket:
    """The layers of one file.

    Attributes
    ----------
    layers : tuple of TicketLayer
        In the order of the file.
    metadata : dict
        What the file says about itself (architecture, data set, accuracy, …).
    """

    layers: tuple[TicketLayer, ...]
    metadata: dict[str, Any]

    @classmethod
    def of(cls, file: ArrayFile) -> Ticket:
        """Find the layers among the arrays of a file.

        Raises
        ------
        TicketError
            No array has two or more dimensions.
        """
        roles: dict[str, dict[str, str]] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for key, shape in file.shapes().items():
            stem, _, last = key.rpartition(".")
            role = _ROLES.get(last) if stem else None
            name = stem if role else key
            if role in (*ORDER_ROLES, *_HISTORY):
                roles.setdefault(name, {})[role] = key
            elif len(shape) >= 2:
                roles.setdefault(name, {})[role or "weight"] = key
                shapes.setdefault(name, shape)
        if not shapes:
            raise TicketError("holds no weights or masks of two or more dimensions")
        return cls(
            tuple(TicketLayer(n, shapes[n], roles[n], file) for n in shapes),
            file.metadata(),
        )


def open_ticket(path: str | os.PathLike[str]) -> Ticket:
    """List the layers of a .safetensors or .npz file; their arrays stay on the disk.

    Raises
    ------
    TicketError
        A file that is missing, damaged, of another format, or without layers.
    """
    path = Path(path)
    try:
        return Ticket.of(open_arrays(path))
    except TicketError as error:
        text = str(error)
        raise TicketError(text if str(path) in text else f"{path}: {text}") from error


def shipped_ticket() -> Path:
    """Path of the ticket that is installed with the package.

    A spiking network (32c3-64c3-mp2-64c3-fc10, 4 time steps) trained on scikit-learn's
    8 x 8 digits, after 14 lottery rounds: 98.2 % sparse, 93.9 % test accuracy (97.8 %
    before). CONTRIBUTING.md has the command that makes it.
    """
    return Path(str(resources.files("balancer") / "data" / "digits-conv3.safetensors"))


def save_masks(
    path: Path,
    masks: Mapping[str, BoolArray],
    orders: Mapping[str, npt.NDArray[np.int32]],
    metadata: Mapping[str, Any],
    input_orders: Mapping[str, npt.NDArray[np.int32]] | None = None,
) -> None:
    """Write ``NAME.mask`` and ``NAME.order`` of every layer.

    Parameters
    ----------
    path : Path
        File to write, .safetensors or .npz. Give it a temporary name (see
        `atomic.replacing`) to leave nothing behind if something fails.
    masks : mapping of str to ndarray of bool
        Kept weights of each layer.
    orders : mapping of str to ndarray of int32
        Schedule position -> output channel, of each layer.
    metadata : mapping
        Whatever JSON can hold.
    input_orders : mapping of str to ndarray of int32, optional
        The same of input channels, written as ``NAME.input_order``.
    """
    arrays: dict[str, Array] = {}
    for name, mask in masks.items():
        arrays[f"{name}.mask"] = mask
        arrays[f"{name}.order"] = orders[name]
    for name, order in (input_orders or {}).items():
        arrays[f"{name}.input_order"] = order
    save_arrays(path, arrays, metadata)
