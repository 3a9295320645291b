"""The tasks of a sweep: every network at once, and the rows they end in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hwmodel.sweeps.attempt import TaskEnd
from hwmodel.sweeps.mask_store import MaskStore
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.rows import done_row, failed_row
from hwmodel.sweeps.trainer import PointTrainer
from hwmodel.sweeps.work import SweepTask, TaskMeasures

Group = tuple[SweepPoint, ...]  # points that share their masks
Row = dict[str, Any]


class TaskList(Protocol):
    """What there is to do, and what comes of it."""

    @property
    def tasks(self) -> Sequence[SweepTask]:
        """What workers are sent."""

    def ready(self) -> list[Row]:
        """Rows that need no further task."""

    def collect(self, end: TaskEnd[TaskMeasures]) -> list[Row]:
        """Keep what a task found; return the rows that this completes."""


@dataclass(frozen=True)
class WholeTasks:
    """A task for each group of points that share their masks (`TaskList`).

    Attributes
    ----------
    groups : list of tuple of SweepPoint
        What is missing.
    root : Path
        Folder of what training leaves.
    trainer : PointTrainer or None
        Who trains.
    store : MaskStore or None
        Where masks go, if they are wanted.
    """

    groups: list[Group]
    root: Path
    trainer: PointTrainer | None = None
    store: MaskStore | None = None

    @property
    def tasks(self) -> list[SweepTask]:
        """What workers are sent."""
        keep = self.store is not None
        return [
            SweepTask(group, trainer=self.trainer, root=self.root, keep_masks=keep)
            for group in self.groups
        ]

    def ready(self) -> list[Row]:
        """None."""
        return []

    def collect(self, end: TaskEnd[TaskMeasures]) -> list[Row]:
        """Write the masks; return the rows of all points of the task."""
        group, found = self.groups[end.number], end.result
        if found is None:
            error = end.error or "no reason is known"
            return [failed_row(point, error, end.seconds, end.tries) for point in group]
        columns = dict(found.columns)
        if self.store is not None:
            columns["masks"] = self.store.write(group[0], found.masks)
        return [
            done_row(
                point,
                found.layers[point.key],
                note=found.notes[point.key],
                columns=columns,
                seconds=end.seconds,
                tries=end.tries,
            )
            for point in group
        ]
