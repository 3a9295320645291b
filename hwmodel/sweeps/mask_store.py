"""The masks of a sweep, where they are asked for: a file for each that differs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

import balancer
from balancer import Schedule, open_ticket, save_masks
from balancer.array_types import BoolArray
from balancer.errors import malformed, naming
from balancer.files.atomic import replacing
from hwmodel.sweeps.masks import MaskedLayer
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.settings import SweepError
from hwmodel.sweeps.tickets import TicketSource


class PackedMask(NamedTuple):
    """A mask as it is sent: eight weights in a byte.

    Attributes
    ----------
    name : str
        The layer.
    shape : tuple of int
        Of its weights.
    bits : bytes
        Weights that are kept, packed.
    schedule : Schedule
        In which order the PEs take the channels.
    """

    name: str
    shape: tuple[int, ...]
    bits: bytes
    schedule: Schedule

    @classmethod
    def of(cls, layer: MaskedLayer) -> Self:
        """Pack the mask of a layer that has one schedule."""
        [schedule] = layer.schedules
        bits = np.packbits(layer.mask).tobytes()
        return cls(layer.name, layer.mask.shape, bits, schedule)

    @property
    def mask(self) -> BoolArray:
        """The mask in the shape of the weights."""
        bits = np.frombuffer(self.bits, np.uint8)
        return (
            np.unpackbits(bits, count=prod(self.shape)).astype(bool).reshape(self.shape)
        )


@dataclass(frozen=True)
class MaskStore:
    """Files of masks, as `balance` writes them.

    Attributes
    ----------
    folder : Path
        Where they are, by the digest of what they depend on.
    """

    folder: Path

    def path(self, point: SweepPoint) -> Path:
        """File of the masks of a point."""
        return self.folder / f"{point.masks_key}.safetensors"

    def write(self, point: SweepPoint, layers: Sequence[PackedMask]) -> str:
        """Write the masks of a point, whole or not at all; return their place."""
        ticket = TicketSource.of(point.settings).open()
        metadata = {
            "source": ticket.source,
            "version": balancer.__version__,
            **point.columns(),
            "ticket": ticket.about,
        }
        fixed = point.settings.order == "fixed"
        with replacing(self.path(point)) as (file,):
            save_masks(
                file,
                {layer.name: layer.mask for layer in layers},
                metadata,
                None if fixed else {layer.name: layer.schedule for layer in layers},
                ticket.axes,
            )
        return self._place(point)

    def part(self, point: SweepPoint, place: int) -> Path:
        """File of one layer, until the others are there."""
        return self.folder / f"parts-{point.masks_key}" / f"{place:05}.npz"

    def write_part(self, point: SweepPoint, place: int, layer: PackedMask) -> None:
        """Write the mask of one layer."""
        with replacing(self.part(point, place)) as (file,):
            save_masks(file, {layer.name: layer.mask}, {}, {layer.name: layer.schedule})

    def has(self, point: SweepPoint, place: int) -> bool:
        """Whether the mask of one layer is there, by itself or with all others."""
        return self.path(point).exists() or self.part(point, place).exists()

    def join(self, point: SweepPoint, layers: int) -> str:
        """Put the layers of a point into one file; return its place.

        After a kill there may be that file, and still some of the layers.
        """
        if not self.path(point).exists():
            self.write(point, [self._read_part(point, n) for n in range(layers)])
        shutil.rmtree(self.part(point, 0).parent, ignore_errors=True)
        return self._place(point)

    def _read_part(self, point: SweepPoint, place: int) -> PackedMask:
        path = self.part(point, place)
        with naming(path), malformed(SweepError, "holds no layer alone; remove it"):
            [layer] = open_ticket(path).layers
            mask, schedules = layer.read_mask(), layer.read_schedules()
        natural = Schedule.natural(mask.shape)
        own = next((one for one in schedules if not one.is_natural), natural)
        return PackedMask(layer.name, mask.shape, np.packbits(mask).tobytes(), own)

    def _place(self, point: SweepPoint) -> str:
        return str(self.path(point).relative_to(self.folder.parent))
