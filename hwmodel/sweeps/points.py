"""A point of a sweep: one run's settings, and all that they name, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from balancer import BalanceRequest, SearchLimits
from balancer.maps.registry import find_kind
from hwmodel.sweeps.arrays import PointArray
from hwmodel.sweeps.digests import digest
from hwmodel.sweeps.settings import PointSettings, SweepError

# Another number whenever a default, or what is measured, changes: former rows are then
# not taken for those of today.
FORMAT = 1
# They name what the masks rest on, whose content counts instead.
NAMES = frozenset({"ticket", "geometry", "accelerator", "map", "pes"})
# Masks rest on them only where these depend on cycles or energy.
OF_CYCLES = frozenset({"timesteps", "spike_rate"})


@dataclass(frozen=True)
class SweepPoint:
    """One run of a sweep.

    Attributes
    ----------
    settings : PointSettings
        What was asked.
    array : PointArray
        What it runs on.
    source : str
        Digest of the content of the ticket, or of the training.
    description : mapping of str to object
        Fields of the accelerator that were changed, by their dotted names.
    training : mapping of str to object or None
        Fields of a lottery run; None if masks are those of a ticket.
    """

    settings: PointSettings
    array: PointArray
    source: str
    description: Mapping[str, Any]
    training: Mapping[str, Any] | None = None

    @property
    def request(self) -> BalanceRequest:
        """What to keep of the ticket; raises as `BalanceRequest` does."""
        asked = self.settings
        given: dict[str, Any] = {
            "sparsity": asked.sparsity,
            "scope": asked.scope,
            "budgets": asked.budgets,
            "pe_map": self.array.pe_map,
            "pes": self.array.pes,
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
        known: dict[str, Any] = {"format": FORMAT, "source": self.source}
        if self.training is None:
            known |= {"map": self.array.pe_map, "pes": self.array.pes}
            known |= self.settings.model_dump(
                mode="json", exclude=set(NAMES | OF_CYCLES), exclude_defaults=True
            )
        if self.settings.needs_costs:
            known |= {"accelerator": self.array.digest, **self.settings.inputs}
        return digest(json.dumps(known, sort_keys=True))

    @cached_property
    def key(self) -> str:
        """Digest of what the row depends on, by which a finished one is known again."""
        inputs = json.dumps(self.settings.inputs)
        return digest(f"{self.masks_key} {self.array.digest} {inputs}")

    def columns(self) -> dict[str, Any]:
        """Return the settings as the first columns of a row."""
        asked = self.settings
        first: dict[str, Any] = {"ticket": asked.ticket}
        if self.training is not None:
            first = {f"training.{name}": one for name, one in self.training.items()}
        first |= {
            "map": self.array.pe_map,
            "pes": self.array.pes,
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
    array: PointArray,
    source: str,
    description: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
) -> SweepPoint:
    """Make a point whose settings go together.

    Raises
    ------
    BalancerError
        Settings that are not accepted.
    """
    point = SweepPoint(settings, array, source, description, training)
    if training is None:
        settings.check_method()
        _check_order(settings.order, array.pe_map)
        _ = point.request
    _ = point.limits
    if settings.spike_rate is not None and settings.spike_rate > 1:
        raise SweepError(f"`spike_rate` is {settings.spike_rate:g}; accepted: 0 to 1")
    if settings.needs_costs and not array.has_hardware:
        raise SweepError(
            f"`map` is {array.pe_map!r}, which no accelerator has: budgets of cycles "
            "or energy, and those by cycles, need one"
        )
    return point


def _check_order(order: str, pe_map: str) -> None:
    """Refuse orders of channels that a map cannot have."""
    if order != "fixed" and find_kind(pe_map)[0].order_axis is None:
        raise SweepError(
            f"`order` is {order!r} with the map {pe_map!r}, which takes only 'fixed'; "
            "give the pairs that go together in [[grid]] tables of their own"
        )
