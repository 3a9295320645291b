"""A task of a sweep: points with the same masks, which are made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from balancer import Ticket, open_ticket, shipped_ticket
from balancer.errors import naming
from hwmodel.sweeps.digests import digest_of_files
from hwmodel.sweeps.mask_store import PackedMask
from hwmodel.sweeps.masks import make_masks
from hwmodel.sweeps.measures import LayerMeasure
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.settings import SweepError
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
    path : Path or None
        The ticket, by a name that other processes find, too; None is the shipped one.
    """

    points: tuple[SweepPoint, ...]
    layer: str | None = None
    trainer: PointTrainer | None = None
    root: Path = Path()
    keep_masks: bool = False
    path: Path | None = field(init=False)

    def __post_init__(self) -> None:
        # Here, since workers have working folders of their own.
        given = self.points[0].settings.ticket
        path = None if given is None else Path(given).resolve()
        object.__setattr__(self, "path", path)


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
    path = task.path or shipped_ticket()
    columns: Mapping[str, Any] = {}
    if first.training is not None:
        assert task.trainer is not None  # the plan saw to it
        path, columns = task.trainer.train(first, task.root)
    with naming(path):
        ticket = open_ticket(path)
        if first.training is None:
            _refuse_another(ticket, first)
        shapes = {layer.name: layer.shape for layer in ticket.layers}
        places, notes = {}, {}
        for point in task.points:
            hardware = point.array.hardware
            on = None if hardware is None else hardware.layers(shapes, ticket.about)
            places[point.key] = on
            notes[point.key] = None if on is None else on.assumption
        measured: dict[str, list[LayerMeasure]] = {key: [] for key in places}
        packed = []
        for masked in make_masks(ticket, first, task.layer):
            if task.keep_masks:
                packed.append(PackedMask.of(masked))
            for key, on in places.items():
                measured[key].append(LayerMeasure.of(masked, on))
    layers = {key: tuple(found) for key, found in measured.items()}
    return TaskMeasures(layers, notes, columns, tuple(packed))


def _refuse_another(ticket: Ticket, point: SweepPoint) -> None:
    """Refuse a file that has changed, or is another one on this machine.

    Its rows would be taken for those of the file that was planned with.
    """
    stats = [path.stat() for path in ticket.paths]
    stamps = tuple((one.st_mtime_ns, one.st_size) for one in stats)
    if _digest(ticket.paths, stamps) != point.source:
        raise SweepError(
            "it is not the file that the sweep was planned with: begin the sweep "
            "again, or copy the file to this machine anew"
        )


@lru_cache(maxsize=8)
def _digest(paths: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    """Digest files once, as long as their time and size stay."""
    return digest_of_files(paths)
