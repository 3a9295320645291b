"""The array of a point: its accelerator, with what a sweep changes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from balancer import PEMap
from balancer.maps.registry import find_kind
from hwmodel.accelerator import Accelerator
from hwmodel.hardware import Hardware
from hwmodel.sweeps.digests import digest
from hwmodel.sweeps.settings import PointSettings, SweepError

# Fields of a description that `map` and `pes` say.
ARRAY_FIELDS = ("array.mapping", "array.pes", "array.rows", "array.cols")


@dataclass(frozen=True)
class PointArray:
    """The array of PEs that a point runs on.

    Attributes
    ----------
    accelerator : Accelerator
        The description, on the PE map of the point where an array can have it.
    pe_map, pes : str, int
        The map and its PEs.
    has_hardware : bool
        Whether an array can have this PE map; without, there are no cycles.
    digest : str
        Of the description.
    """

    accelerator: Accelerator
    pe_map: str
    pes: int
    has_hardware: bool
    digest: str

    @property
    def hardware(self) -> Hardware | None:
        """The accelerator as the balancer asks for it."""
        return Hardware(self.accelerator) if self.has_hardware else None


@dataclass(frozen=True)
class ArraysOfPlan:
    """Makes the arrays of many points, reading and changing each description once."""

    _known: dict[str, PointArray] = field(default_factory=dict)

    def get(
        self, settings: PointSettings, description: Mapping[str, Any]
    ) -> PointArray:
        """Settle the array of a point with its accelerator.

        Raises
        ------
        BalancerError
            A description or a map that is not accepted, or that the accelerator cannot
            have.
        """
        given = settings.accelerator
        named = given if isinstance(given, str) else given.model_dump_json()
        asked = [named, settings.map, settings.pes, description]
        key = json.dumps(asked, default=repr)
        if key not in self._known:
            self._known[key] = _array(settings, description)
        return self._known[key]


def _array(settings: PointSettings, description: Mapping[str, Any]) -> PointArray:
    given = settings.accelerator
    own = given if isinstance(given, Accelerator) else Accelerator.load(given)
    own = described(own, description)
    own_map, own_pes = own.array.map_spec
    pe_map = settings.map or own_map
    pes = own_pes if settings.pes is None else settings.pes
    PEMap.parse(pe_map, (1, 1), pes)
    has_hardware = not find_kind(pe_map)[0].prescribes_loads
    if has_hardware:  # n:m prescribes masks, and is of no array
        own = Hardware.of(own, settings.map, settings.pes).accelerator
        pe_map, pes = own.array.map_spec
    known = digest(own.model_dump_json(exclude_unset=True))
    return PointArray(own, pe_map, pes, has_hardware, known)


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
    >>> from hwmodel.sweeps.arrays import described
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
