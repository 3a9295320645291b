"""Masks for the network of a ticket: its own, or those of a mask file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from balancer import Schedule, shipped_ticket
from balancer.errors import TicketError, naming
from balancer.files.ticket import open_ticket
from hwmodel import Accelerator
from snn.lottery.hardware import RunArray
from snn.lottery.pruning import Pruned


@dataclass(frozen=True, slots=True, eq=False)
class MaskPlan:
    """Which ticket is trained, and with which masks.

    Attributes
    ----------
    ticket : Path
        Its weights are trained.
    masks : Path or None
        Where other masks than its own are.
    """

    ticket: Path
    masks: Path | None = None

    @classmethod
    def of(
        cls,
        given: str | os.PathLike[str],
        ticket: str | os.PathLike[str] | None = None,
    ) -> MaskPlan:
        """Tell a ticket from a mask file, and find the ticket that masks belong to.

        A mask file of the command ``balance`` names its ticket. It is looked for beside
        the masks, in the current folder, and among the tickets of this package.

        Raises
        ------
        TicketError
            The file cannot be read, or the ticket of its masks is not found.
        """
        given = Path(given)
        if ticket is not None:
            return cls(Path(ticket), given)
        opened = open_ticket(given)
        if "ticket" not in opened.metadata:
            return cls(given)
        name = opened.metadata.get("source")
        there = [place for place in _places(given, name) if os.path.isfile(place)]
        for place in there:
            if open_ticket(place).about == opened.about:
                return cls(place, given)
        where = "is not beside them, in the current folder, or in this package"
        if there:
            where = f"is another one than {there[0]}"
        raise TicketError(
            f"holds masks alone, and their ticket {name} {where}; name it with "
            "--ticket (`ticket`)",
            about=given,
        )

    def pruned(self, own: Pruned) -> Pruned:
        """Return the masks and orders to train with; layers without keep their own.

        Raises
        ------
        TicketError
            Masks of other layers, or of other shapes.
        """
        if self.masks is None:
            return own
        masks, schedules = dict(own.masks), dict(own.schedules)
        with naming(self.masks):
            for layer in open_ticket(self.masks).layers:
                if layer.name not in masks:
                    raise TicketError(
                        f"has masks of {layer.name}, which is no layer of "
                        f"{self.ticket}: {', '.join(masks)}"
                    )
                mask = layer.read_mask()
                if mask.shape != masks[layer.name].shape:
                    raise TicketError(
                        f"its mask of {layer.name} is {list(mask.shape)}, the weights "
                        f"in {self.ticket} are {list(masks[layer.name].shape)}"
                    )
                masks[layer.name] = mask
                schedules[layer.name] = _schedule(layer.read_schedules(), mask.shape)
        return Pruned(masks, masks, schedules)

    def array(self, run: Mapping[str, Any]) -> RunArray:
        """Return the array that the masks are for: the mask file's, else the run's."""
        known = run if self.masks is None else open_ticket(self.masks).metadata
        pe_map, pes = known.get("map", run["map"]), known.get("pes", run["pes"])
        # A mask file names its accelerator; only that of a preset says what it is.
        named = known.get("accelerator")
        accelerator = named if named in Accelerator.names() else run["accelerator"]
        return RunArray.on(accelerator, pe_map, pes)


def _places(masks: Path, name: Any) -> list[Path]:
    if not isinstance(name, str) or not name:
        return []
    places = [masks.parent / name, Path(name)]
    if shipped_ticket().name == name:
        places.append(shipped_ticket())
    return places


def _schedule(found: tuple[Schedule, ...], shape: tuple[int, ...]) -> Schedule:
    """Choose the order that says something: at most one is not the natural one."""
    natural = Schedule.natural(shape)
    for schedule in found:
        if not np.array_equal(schedule.order, np.arange(len(schedule.order))):
            return schedule
    return found[0] if found else natural
