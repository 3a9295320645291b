"""Which runs a sweep has: a file or keywords, in which every setting may be a list."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from balancer.errors import naming
from balancer.text_files import read_text_file
from hwmodel.sweeps.arrays import ArraysOfPlan
from hwmodel.sweeps.points import SweepPoint, place
from hwmodel.sweeps.settings import OF_TRAINING, PointSettings, SweepError
from hwmodel.sweeps.tickets import TicketSource
from hwmodel.sweeps.trainer import PointTrainer
from hwmodel.validation import explain

# Tables of settings that are not those of balancing, by dotted names.
TABLES = ("description", "training")
OTHERS = ("grid", "by_layer", "masks")


@dataclass(frozen=True)
class SweepPlan:
    """All runs of a sweep, checked.

    Attributes
    ----------
    points : tuple of SweepPoint
        Each run once, in the order of the settings: the last list changes fastest.
    by_layer : bool
        Whether every layer is a task of its own.
    masks : bool
        Whether masks are kept, beside what is said of them.
    trainer : PointTrainer or None
        Who trains, where masks are not those of a ticket.

    Examples
    --------
    >>> from hwmodel import SweepPlan
    >>> plan = SweepPlan.of({"pes": [8, 16], "sparsity": [0.8, 0.9], "seed": 1})
    >>> len(plan.points), plan.axes
    (4, ('pes', 'sparsity'))
    """

    points: tuple[SweepPoint, ...]
    by_layer: bool = False
    masks: bool = False
    trainer: PointTrainer | None = None

    @classmethod
    def of(
        cls, fields: Mapping[str, Any], trainer: PointTrainer | None = None
    ) -> SweepPlan:
        """Combine the values of all fields.

        Parameters
        ----------
        fields : mapping
            Fields of `PointSettings`, each with a value or a list of them;
            ``description``, fields of the accelerator in the same way, by dotted names
            or in nested mappings; ``training``, fields of `snn.LotteryConfig` instead
            of a ticket; ``grid``, a list of mappings of such fields, each of which goes
            before those outside and has points of its own; ``by_layer``; ``masks``.
        trainer : PointTrainer, optional
            Needed by ``training``.

        Raises
        ------
        BalancerError
            A field that is none, a value that is not accepted, settings that do not go
            together, or a file that cannot be read; one line.
        """
        _known(fields, OTHERS)
        by_layer, masks = (_flag(fields, name) for name in ("by_layer", "masks"))
        grids = fields.get("grid", [{}])
        if not isinstance(grids, Sequence) or not all(
            isinstance(grid, Mapping) for grid in grids
        ):
            raise SweepError("`grid` is no list of tables; write each as [[grid]]")
        common = {name: fields[name] for name in fields if name not in OTHERS}
        maker = _PointMaker(trainer)
        points: dict[str, SweepPoint] = {}
        for grid in grids:
            _known(grid, ())
            for values in _combinations(_flat(common) | _flat(grid)):
                point = maker.make(values)
                points.setdefault(point.key, point)
        for point in points.values():
            if by_layer:
                _refuse_shared(point)
            if masks:
                _refuse_to_keep(point)
        return cls(tuple(points.values()), by_layer, masks, trainer)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        trainer: PointTrainer | None = None,
        **fields: Any,
    ) -> SweepPlan:
        """Read a TOML file of fields; those given here go before them.

        Raises
        ------
        BalancerError
            As `of`, naming the file; also one that cannot be read or is no TOML.
        """
        path = Path(path)
        with naming(path):
            return cls.of({**_read(path), **fields}, trainer)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the settings in which runs differ."""
        seen: dict[str, set[str]] = {}
        for point in self.points:
            for name, value in point.columns().items():
                seen.setdefault(name, set()).add(repr(value))
        everywhere = {name: self._has(name) for name in seen}
        return tuple(n for n in seen if len(seen[n]) > 1 or not everywhere[n])

    @property
    def trains(self) -> bool:
        """Whether any run trains."""
        return any(point.training is not None for point in self.points)

    def _has(self, name: str) -> bool:
        return all(name in point.columns() for point in self.points)

    def groups(self) -> list[tuple[SweepPoint, ...]]:
        """Points that share their masks, which are made once."""
        found: dict[str, list[SweepPoint]] = {}
        for point in self.points:
            found.setdefault(point.masks_key, []).append(point)
        return [tuple(group) for group in found.values()]


def _read(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = read_text_file(
        "TOML", path, SweepError, "a sweep is a TOML file"
    )
    return fields


def _known(fields: Mapping[str, Any], others: Sequence[str]) -> None:
    accepted = (*PointSettings.model_fields, *TABLES, *others)
    names = ", ".join(accepted)
    for name in fields:
        if name not in accepted:
            raise SweepError(f"no field is named {name!r}; accepted: {names}")


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Write tables as dotted names."""
    flat: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        table = name.partition(".")[0] in TABLES
        if table and isinstance(value, Mapping):
            for inner, one in value.items():
                add(f"{name}.{inner}", one)
        else:
            flat[name] = value

    for name, value in fields.items():
        if name in TABLES and not isinstance(value, Mapping):
            raise SweepError(f"`{name}` is {value!r}; it needs a table of fields")
        add(name, value)
    if "training" in fields and not fields["training"]:
        flat["training."] = None  # an empty table still asks for training
    return flat


def _combinations(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Take one of each list."""
    lists: dict[str, list[Any]] = {}
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            value = value.tolist()
        several = isinstance(value, Sequence) and not isinstance(value, str)
        values = list(value) if several else [value]
        lists[name] = list({repr(one): one for one in values}.values())
        if not lists[name]:
            raise SweepError(f"`{name}` is an empty list; give a value or leave it out")
    for one_of_each in itertools.product(*lists.values()):
        yield dict(zip(lists, one_of_each, strict=True))


@dataclass(frozen=True)
class _PointMaker:
    """Makes the points of one plan; every file that they name is read once."""

    trainer: PointTrainer | None
    arrays: ArraysOfPlan = field(default_factory=ArraysOfPlan)
    tickets: dict[TicketSource, str] = field(default_factory=dict)

    def make(self, values: Mapping[str, Any]) -> SweepPoint:
        """Check one combination."""
        asked = {name: one for name, one in values.items() if "." not in name}
        tables = {
            table: {
                name.partition(".")[2]: one
                for name, one in values.items()
                if name.startswith(f"{table}.")
            }
            for table in TABLES
        }
        try:
            settings = PointSettings.model_validate(asked)
        except ValidationError as error:
            raise SweepError(explain(error, PointSettings)) from None
        described = tables["description"]
        array = self.arrays.get(settings, described)
        if not any(name.startswith("training.") for name in values):
            source = self._digest(TicketSource.of(settings))
            return place(settings, array, source, described)
        given = [name for name in asked if name not in OF_TRAINING]
        if given:
            raise SweepError(
                f"`{given[0]}` does not go with `training`; accepted beside it: "
                f"{', '.join(sorted(OF_TRAINING))}, description"
            )
        if self.trainer is None:
            raise SweepError(
                "`training` needs who trains: `trainer=snn.LotteryTrainer()`, or the "
                "command `sweep`"
            )
        training = {name: one for name, one in tables["training"].items() if name}
        point = place(settings, array, "", described, training)
        return replace(point, source=self.trainer.digest(point))

    def _digest(self, source: TicketSource) -> str:
        """Digest a ticket's files; raises as `TicketSource.open` does."""
        if source not in self.tickets:
            self.tickets[source] = source.digest(source.open())
        return self.tickets[source]


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    given = fields.get(name, False)
    if not isinstance(given, bool):
        raise SweepError(f"`{name}` is {given!r}; accepted: true, false")
    return given


def _refuse_to_keep(point: SweepPoint) -> None:
    """Refuse to write masks that a ticket holds already."""
    if point.training is not None or point.settings.method == "unchanged":
        raise SweepError(
            "`masks` writes masks that are made, but those of training and of method "
            "'unchanged' are in their tickets; leave it out"
        )


def _refuse_shared(point: SweepPoint) -> None:
    """Refuse masks of a layer that depend on the other layers."""
    asked = point.settings
    shared = {
        "training": point.training is not None,
        "scope": asked.scope != "layer",
        "budgets": asked.budgets is not None,
    }
    for name, given in shared.items():
        if given:
            raise SweepError(
                f"`by_layer` makes every layer a task of its own, but with `{name}` "
                "layers depend on each other; leave one of them out"
            )
