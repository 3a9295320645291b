"""Every layer a task of its own: one huge checkpoint on many processors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from balancer import open_ticket
from hwmodel.sweeps.attempt import Executor, TaskEnd
from hwmodel.sweeps.journal import RowJournal
from hwmodel.sweeps.measures import LayerMeasure
from hwmodel.sweeps.points import SweepPoint
from hwmodel.sweeps.rows import done_row, failed_row
from hwmodel.sweeps.work import SweepTask, TaskMeasures, run_task

Group = tuple[SweepPoint, ...]  # points that share their masks


def run_layers(
    executor: Executor, groups: Sequence[Group], journal: RowJournal
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each group when all its layers are there, else nothing.

    Parameters
    ----------
    executor : Executor
        Where the layers are balanced.
    groups : sequence of tuple of SweepPoint
        Points that share their masks.
    journal : RowJournal
        Takes each layer as it is done; those that it has are not balanced again.
    """
    with journal.writing():
        assembly = list(map(_Assembly, groups, _layers_of(groups)))
        known = journal.read()
        for one in assembly:
            one.read(known)
        yield from (one.rows() for one in assembly if one.is_whole)
        tasks = [(one, name) for one in assembly for name in one.missing]
        sent = [SweepTask(one.group, name) for one, name in tasks]
        if not sent:
            return
        with closing(executor.run(run_task, sent)) as ending:  # type: ignore[type-var]
            for end in ending:
                one, name = tasks[end.number]
                journal.append(one.add(name, end))
                yield one.rows() if one.is_whole else []


def _layers_of(groups: Sequence[Group]) -> Iterator[tuple[str, ...]]:
    """Yield the names of the layers that take part; each file is opened once."""
    known: dict[tuple[Any, ...], tuple[str, ...]] = {}
    for group in groups:
        asked = group[0].settings
        key = (asked.path, asked.layers, asked.skip)
        if key not in known:
            chosen = open_ticket(asked.path).select(asked.layers, asked.skip)
            known[key] = tuple(layer.name for layer in chosen.layers)
        yield known[key]


@dataclass
class _Assembly:
    """The layers of a group, as they come."""

    group: Group
    names: tuple[str, ...]
    found: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Layers that nothing is known of."""
        return [n for n in self.names if n not in self.found and n not in self.failed]

    @property
    def is_whole(self) -> bool:
        """Whether all layers are over."""
        return not self.missing

    def read(self, known: dict[str, dict[str, Any]]) -> None:
        """Take the layers that a former session has done for all points."""
        for name in self.names:
            rows = {p.key: known.get(f"{p.key}/{name}") for p in self.group}
            there = {key: row for key, row in rows.items() if row is not None}
            if len(there) == len(rows):
                self.found[name] = there

    def add(self, name: str, end: TaskEnd[TaskMeasures]) -> list[dict[str, Any]]:
        """Take a layer; return what the journal keeps of it."""
        if end.result is None:
            said = f"{end.error}"
            named = f"layer {name}: " in said
            self.failed[name] = said if named else f"layer {name}: {said}"
            return []
        rows = {}
        for key, (measure,) in end.result.layers.items():
            rows[key] = {
                "key": f"{key}/{name}",
                "measure": measure.to_dict(),
                "note": end.result.notes[key],
                "seconds": end.seconds,
                "tries": end.tries,
            }
        self.found[name] = rows
        return list(rows.values())

    def rows(self) -> list[dict[str, Any]]:
        """Put the layers together."""
        of_layers = self.found.values()
        seconds = sum(next(iter(rows.values()))["seconds"] for rows in of_layers)
        tries = max((next(iter(r.values()))["tries"] for r in of_layers), default=1)
        if self.failed:
            why = "; ".join(self.failed.values())
            return [failed_row(point, why, seconds, tries) for point in self.group]
        return [
            done_row(
                point,
                [
                    LayerMeasure.from_dict(self.found[name][point.key]["measure"])
                    for name in self.names
                ],
                note=self.found[self.names[0]][point.key]["note"],
                columns={},
                seconds=seconds,
                tries=tries,
            )
            for point in self.group
        ]
