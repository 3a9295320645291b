"""A point of a sweep: one run's settings, and all that they name, read and checked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from balancer import BalanceRequest, PEMap, SearchLimits
from balancer.maps.registry import find_kind
from hwmodel.accelerator import Accelerator
from hwmodel.errors import AcceleratorError
from hwmodel.hardware import Hardware
from hwmodel.sweeps.settings import PointSettings, SweepError

# Fields of a description that `map` and `pes` say.
ARRAY_FIELDS = ("array.mapping", "array.pes", "array.rows", "array.cols")
# They name what the masks rest on; their content counts instead.
NAMES = frozenset({"ticket", "accelerator", "map", "pes"})


@dataclass(frozen=True)
class SweepPoint:
    """One run of a sweep.

    Attributes
    ----------
    settings : PointSettings
        What was asked.
    accelerator : Accelerator
        The description, on the PE map of the point where it can have it.
    pe_map, pes : str, int
        The array.
    has_hardware : bool
        Whether an array can have this PE map; without, there are no cycles.
    source : str
        Digest of the content of the ticket, or of the training.
    description : mapping of str to object
        Fields of the accelerator that were changed, by their dotted names.
    training : mapping of str to object or None
        Fields of a lottery run; None if masks are those of a ticket.
    """

    settings: PointSettings
    accelerator: Accelerator
    pe_map: str
    pes: int
    has_hardware: bool
    source: str
    description: Mapping[str, Any]
    training: Mapping[str, Any] | None = None

    @property
    def hardware(self) -> Hardware | None:
        """The accelerator as the balancer asks for it."""
        return Hardware(self.accelerator) if self.has_hardware else None

    @property
    def request(self) -> BalanceRequest:
        """What to keep of the ticket; raises as `BalanceRequest` does."""
        asked = self.settings
        given: dict[str, Any] = {
            "sparsity": asked.sparsity,
            "scope": asked.scope,
            "budgets": asked.budgets,
            "pe_map": self.pe_map,
            "pes": self.pes,
            "channel_floor": asked.channel_floor,
            "nested": asked.nested,
            "order": asked.order,
            "allow_empty": asked.allow_empty,
            "latency_budget": asked.latency_budget,
            "energy_budget": asked.energy_budget,
        }
        return BalanceRequest(**given)

    @property
    def limits(self) -> SearchLimits:
        """How far the search goes; one thread, since runs are many."""
        asked = self.settings
        return SearchLimits(
            time_limit=asked.time_limit,
            work_limit=asked.work_limit,
            gap_limit=asked.gap_limit,
            seed=asked.seed,
            workers=1,
        )

    @cached_property
    def masks_key(self) -> str:
        """Digest of what the masks depend on; points that share it are one task."""
        known = self.settings.model_dump(mode="json", exclude=set(NAMES))
        known |= {"source": self.source, "map": self.pe_map, "pes": self.pes}
        if self.settings.needs_costs:
            known["accelerator"] = self.accelerator.to_yaml()
        return digest(json.dumps(known, sort_keys=True))

    @cached_property
    def key(self) -> str:
        """Digest of what the row depends on, by which a finished one is known again."""
        return digest(f"{self.masks_key} {self.accelerator.to_yaml()}")

    def columns(self) -> dict[str, Any]:
        """Return the settings as the first columns of a row."""
        asked = self.settings
        first: dict[str, Any] = {"ticket": asked.ticket}
        if self.training is not None:
            first = {f"training.{name}": one for name, one in self.training.items()}
        first |= {
            "map": self.pe_map,
            "pes": self.pes,
            "sparsity": asked.sparsity,
            "method": asked.method,
            "order": asked.order,
            "accelerator": asked.accelerator_name,
            "seed": asked.seed,
        }
        more = asked.model_dump(mode="json", include=asked.model_fields_set)
        changed = {f"description.{name}": one for name, one in self.description.items()}
        return first | {k: v for k, v in more.items() if k not in first} | changed


def place(
    settings: PointSettings,
    description: Mapping[str, Any],
    source: str,
    training: Mapping[str, Any] | None = None,
) -> SweepPoint:
    """Settle the array of a point with its accelerator.

    Raises
    ------
    BalancerError
        A description, a map, or settings that are not accepted.
    """
    given = settings.accelerator
    own = given if isinstance(given, Accelerator) else Accelerator.load(given)
    own = described(own, description)
    own_map, own_pes = own.array.map_spec
    pe_map = settings.map or own_map
    pes = own_pes if settings.pes is None else settings.pes
    PEMap.parse(pe_map, (1, 1), pes)
    try:
        accelerator = Hardware.of(own, settings.map, settings.pes).accelerator
        pe_map, pes = accelerator.array.map_spec
        has_hardware = True
    except AcceleratorError:  # n:m, which no array has
        accelerator, has_hardware = own, False
    point = SweepPoint(
        settings,
        accelerator,
        pe_map,
        pes,
        has_hardware,
        source,
        description,
        training,
    )
    if training is None:
        settings.check_method()
        _check_order(settings.order, pe_map)
        _ = point.request
    _ = point.limits
    if settings.needs_costs and not has_hardware:
        raise SweepError(
            f"`map` is {pe_map!r}, which no accelerator has: budgets of cycles or "
            "energy, and those by cycles, need one"
        )
    return point


def _check_order(order: str, pe_map: str) -> None:
    """Refuse orders of channels that a map cannot have."""
    if order != "fixed" and find_kind(pe_map)[0].order_axis is None:
        raise SweepError(
            f"`order` is {order!r} with the map {pe_map!r}, which takes only 'fixed'; "
            "give the pairs that go together in [[grid]] tables of their own"
        )


def described(accelerator: Accelerator, changes: Mapping[str, Any]) -> Accelerator:
    """Change fields of a description.

    Parameters
    ----------
    accelerator : Accelerator
        The description.
    changes : mapping of str to object
        Values by the dotted names of fields, as ``dram.bandwidth_bits_per_cycle``.

    Raises
    ------
    AcceleratorError
        A field that is none, or a value that is not accepted.
    SweepError
        A field that settings of the sweep say.

    Examples
    --------
    >>> from hwmodel import Accelerator
    >>> from hwmodel.sweeps.points import described
    >>> sata = Accelerator.load("sata")
    >>> described(sata, {"array.barrier": "layer"}).array.barrier
    'layer'
    """
    if not changes:
        return accelerator
    data = accelerator.model_dump(exclude_unset=True)
    for name, value in changes.items():
        if name in ARRAY_FIELDS:
            raise SweepError(
                f"`description.{name}` is what `map` and `pes` say; give these"
            )
        *sections, field = name.split(".")
        section = data
        for part in sections:
            inner = section.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SweepError(
                    f"`description.{name}`: {part!r} has no fields; accepted: fields "
                    "of the description as `accelerators NAME` prints it"
                )
            section = inner
        section[field] = value
    return Accelerator.from_dict(data, accelerator.name)


def digest(text: str | bytes) -> str:
    """Sixteen characters that differ between texts."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]


def digest_of_files(paths: tuple[str | os.PathLike[str], ...]) -> str:
    """Digest of the content of files, in a given order."""
    found = []
    for path in paths:
        with open(path, "rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digest(" ".join(found))
