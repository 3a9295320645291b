"""Every layer a task of its own: one huge checkpoint on many processors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from balancer.errors import malformed
from hwmodel.sweeps.attempt import TaskEnd
from hwmodel.sweeps.journal import RowJournal
from hwmodel.sweeps.mask_store import MaskStore
from hwmodel.sweeps.measures import LayerMeasure
from hwmodel.sweeps.result import refuse_other_rows
from hwmodel.sweeps.rows import done_row, failed_row
from hwmodel.sweeps.settings import SweepError
from hwmodel.sweeps.tickets import TicketSource
from hwmodel.sweeps.whole_tasks import Group, Row
from hwmodel.sweeps.work import SweepTask, TaskMeasures


@dataclass
class LayerTasks:
    """A task for each layer of each group of points (`whole_tasks.TaskList`).

    Attributes
    ----------
    groups : list of tuple of SweepPoint
        What is missing.
    journal : RowJournal
        Takes each layer as it is done; those that it has are not balanced again.
    store : MaskStore or None
        Where masks go, if they are wanted.
    """

    groups: list[Group]
    journal: RowJournal
    store: MaskStore | None = None
    _parts: list[_Assembly] = field(init=False)
    _places: list[tuple[_Assembly, int]] = field(init=False)

    def __post_init__(self) -> None:
        known = self.journal.read()
        self._parts = [
            _Assembly(group, names, self.store)
            for group, names in zip(self.groups, _layers_of(self.groups), strict=True)
        ]
        for one in self._parts:
            one.read(known)
        self._places = [(one, n) for one in self._parts for n in one.missing]

    @property
    def tasks(self) -> list[SweepTask]:
        """What workers are sent."""
        keep = self.store is not None
        return [
            SweepTask(one.group, one.names[place], keep_masks=keep)
            for one, place in self._places
        ]

    def ready(self) -> list[Row]:
        """Rows all of whose layers a former session has done."""
        ready = [one for one in self._parts if not one.missing]
        return [row for one in ready for row in self._rows(one)]

    def collect(self, end: TaskEnd[TaskMeasures]) -> list[Row]:
        """Keep a layer; return rows when it is the last of its network."""
        one, place = self._places[end.number]
        self.journal.append(one.add(place, end))
        return [] if one.missing else self._rows(one)

    def _rows(self, one: _Assembly) -> list[Row]:
        with malformed(SweepError, "a line is no layer of a sweep", self.journal.path):
            rows = one.rows()
        refuse_other_rows(rows, self.journal.path)
        return rows


def _layers_of(groups: Sequence[Group]) -> Iterator[tuple[str, ...]]:
    """Yield the names of the layers that take part; each file is opened once."""
    known: dict[tuple[object, ...], tuple[str, ...]] = {}
    for group in groups:
        asked = group[0].settings
        source = TicketSource.of(asked)
        key = (source, asked.layers, asked.skip)
        if key not in known:
            chosen = source.open().select(asked.layers, asked.skip)
            known[key] = tuple(layer.name for layer in chosen.layers)
        yield known[key]


@dataclass
class _Assembly:
    """The layers of a group, by their places, as they come."""

    group: Group
    names: tuple[str, ...]
    store: MaskStore | None
    found: dict[int, dict[str, Row]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """Layers that nothing is known of."""
        over = self.found.keys() | self.failed.keys()
        return [place for place in range(len(self.names)) if place not in over]

    def read(self, known: dict[str, Row]) -> None:
        """Take the layers that a former session has done for all points."""
        for place, name in enumerate(self.names):
            rows = [known.get(f"{point.key}/{name}") for point in self.group]
            there = {p.key: r for p, r in zip(self.group, rows, strict=True) if r}
            kept = self.store is None or self.store.has(self.group[0], place)
            if len(there) == len(rows) and kept:
                self.found[place] = there

    def add(self, place: int, end: TaskEnd[TaskMeasures]) -> list[Row]:
        """Take a layer; return what the journal keeps of it."""
        name, found = self.names[place], end.result
        if found is None:
            said = f"{end.error}"
            named = f"layer {name}: " in said
            self.failed[place] = said if named else f"layer {name}: {said}"
            return []
        if self.store is not None:
            [mask] = found.masks
            self.store.write_part(self.group[0], place, mask)
        self.found[place] = {
            key: {
                "key": f"{key}/{name}",
                "measure": measure.to_dict(),
                "note": found.notes[key],
                "seconds": end.seconds,
                "tries": end.tries,
            }
            for key, (measure,) in found.layers.items()
        }
        return list(self.found[place].values())

    def rows(self) -> list[Row]:
        """Put the layers together."""
        each = [next(iter(rows.values())) for rows in self.found.values()]
        seconds = sum(row["seconds"] for row in each)
        tries = max((row["tries"] for row in each), default=1)
        if self.failed:
            why = "; ".join(self.failed.values())
            return [failed_row(point, why, seconds, tries) for point in self.group]
        columns = {}
        if self.store is not None:
            columns["masks"] = self.store.join(self.group[0], len(self.names))
        rows = []
        for point in self.group:
            of_point = [self.found[n][point.key] for n in range(len(self.names))]
            rows.append(
                done_row(
                    point,
                    [LayerMeasure.from_dict(row["measure"]) for row in of_point],
                    note=of_point[0]["note"],
                    columns=columns,
                    seconds=seconds,
                    tries=tries,
                )
            )
        return rows
