"""A task of a sweep: points with the same masks, which are made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balancer import open_ticket
from balancer.errors import naming
from hwmodel.sweeps.mask_store import PackedMask
from hwmodel.sweeps.masks import make_masks
from hwmodel.sweeps.measures import LayerMeasure
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.tickets import TicketSource, with_inputs
from hwmodel.sweeps.trainer import PointTrainer


@dataclass(frozen=True)
class SweepTask:
    """What a worker is sent.

    Attributes
    ----------
    points : tuple of SweepPoint
        Points that share their masks.
    layer : str or None
        One layer of the network; None for all that take part.
    trainer : PointTrainer or None
        Who makes the ticket, where there is none.
    root : Path
        Folder of what training leaves.
    keep_masks : bool
        Whether the masks are sent back.
    source : TicketSource
        The ticket, where none is trained.
    """

    points: tuple[SweepPoint, ...]
    layer: str | None = None
    trainer: PointTrainer | None = None
    root: Path = Path()
    keep_masks: bool = False
    source: TicketSource = field(init=False)

    def __post_init__(self) -> None:
        # Here, since workers have working folders of their own.
        source = TicketSource.of(self.points[0].settings)
        object.__setattr__(self, "source", source)


@dataclass(frozen=True)
class TaskMeasures:
    """What a worker sends back.

    Attributes
    ----------
    layers : mapping of str to tuple of LayerMeasure
        By the key of the point.
    notes : mapping of str to str or None
        By the key of the point, what its cycles assume.
    columns : mapping of str to object
        What training adds to the rows.
    masks : tuple of PackedMask
        Of all layers, if they are wanted.
    """

    layers: Mapping[str, tuple[LayerMeasure, ...]]
    notes: Mapping[str, str | None]
    columns: Mapping[str, Any] = field(default_factory=dict)
    masks: tuple[PackedMask, ...] = ()


def run_task(task: SweepTask) -> TaskMeasures:
    """Make the masks of a task once, and measure them on every accelerator.

    Raises
    ------
    BalancerError
        What a point cannot do, or a file that this machine cannot read.
    """
    first = task.points[0]
    columns: Mapping[str, Any] = {}
    if first.training is None:
        ticket = task.source.open_same(first.source)
    else:
        assert task.trainer is not None  # the plan saw to it
        path, columns = task.trainer.train(first, task.root)
        ticket = open_ticket(path)
    with naming(ticket.paths[0]):
        shapes = {layer.name: layer.shape for layer in ticket.layers}
        places, notes = {}, {}
        for point in task.points:
            hardware = point.array.hardware
            about = with_inputs(ticket, point.settings).about
            on = None if hardware is None else hardware.layers(shapes, about)
            places[point.key] = on
            notes[point.key] = None if on is None else on.assumption
        measured: dict[str, list[LayerMeasure]] = {key: [] for key in places}
        packed = []
        told = with_inputs(ticket, first.settings)
        for masked in make_masks(told, first, task.layer):
            if task.keep_masks:
                packed.append(PackedMask.of(masked))
            for key, on in places.items():
                measured[key].append(LayerMeasure.of(masked, on))
    layers = {key: tuple(found) for key, found in measured.items()}
    return TaskMeasures(layers, notes, columns, tuple(packed))
