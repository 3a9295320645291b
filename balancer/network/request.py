"""What to keep of a network, and for which PEs: one validated object for all calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from balancer.errors import BalancerError
from balancer.files.ticket_layer import LayerArrays
from balancer.hardware import Resource
from balancer.maps.pe_map import PEMap
from balancer.maps.registry import find_kind, settle_map
from balancer.network.layer_counts import RULES, Budgets
from balancer.network.revival import keeps_budget
from balancer.program.problem import ORDERS, Order, RetentionProblem
from balancer.program.validation import budget_of_sparsity

MapMaker: TypeAlias = Callable[[tuple[int, ...]], PEMap]
Scope: TypeAlias = Literal["layer", "global"]

BUDGET_OF: dict[Resource, str] = {"cycles": "latency_budget", "energy": "energy_budget"}


@dataclass(frozen=True, slots=True)
class BalanceRequest:
    """What is asked of `balance_network`, `balance_ticket` and `latency_frontier`.

    Attributes
    ----------
    budget : int or mapping of str to int, optional
        Non-zeros: of each layer (one number, or one by name), or with the global scope
        or `budgets` of all layers together. Default: as many as the masks that are read
        have.
    sparsity : float, optional
        Instead of `budget`: least fraction of weights to prune, in each layer or, with
        the global scope or `budgets`, in the network.
    scope : {"layer", "global"}
        One program for each layer, or one over the slices of all layers.
    budgets : {"global", "lamp", "cycles", "layer", "erk"}, optional
        With the layer scope: the rule by which the layers share one budget, as in
        `layer_counts`, before each is solved by itself. ``"cycles"`` needs costs or
        hardware. No layer gets less than its smallest slice, and all together get
        what there is, but for less than a slice. Default: each layer has its own.
    pe_map : str or callable, optional
        A text or file for `PEMap.parse`, or a function from a weight shape to a PE map.
        Default: that of the hardware, else ``"output_channel"``.
    pes : int, optional
        PEs of the array, where `pe_map` is a text that does not say it. Default: those
        of the hardware, else 16.
    channel_floor : int or mapping of str to int
        Least number of weights that every output channel keeps: of all layers, or of
        those named.
    min_load : int or mapping of str to int
        Least load of every group, likewise.
    nested : bool, optional
        Keep only weights of the masks that are read (True), or let all return that
        were pruned (False). Default: weights return in layers that cannot keep their
        budget without them, where a shared budget is given by `budget` or `sparsity`,
        and with `budgets`.
    order : {"fixed", "sorted", "optimized"}
        Order of the channels, as in `RetentionProblem`; the global scope takes only
        ``"fixed"``.
    allow_empty : bool
        Let layers lose all their weights. Default: a layer whose budget has no room for
        its smallest slice gets that much, and the layers with most non-zeros pay for
        it; a `budget` of single layers is not exceeded, but refused. What asks for
        nothing (``budget=0``, ``sparsity=1``, a mask that keeps no weight) gets it.
    latency_budget, energy_budget : float, optional
        Most cycles and energy of the network, with the global scope and costs: up to 1
        a fraction of what the layer-wise solution takes, above 1 in absolute terms.

    Raises
    ------
    BalancerError
        Values that are not accepted, or that do not go together.

    Examples
    --------
    >>> from balancer import BalanceRequest
    >>> BalanceRequest(sparsity=0.98, pes=32).make_map((64, 3, 3, 3)).groups
    2
    """

    budget: int | Mapping[str, int] | None = None
    sparsity: float | None = None
    scope: Scope = "layer"
    budgets: Budgets | None = None
    pe_map: str | MapMaker | None = None
    pes: int | None = None
    channel_floor: int | Mapping[str, int] = 0
    min_load: int | Mapping[str, int] = 0
    nested: bool | None = None
    order: Order = "fixed"
    allow_empty: bool = False
    latency_budget: float | None = None
    energy_budget: float | None = None

    def __post_init__(self) -> None:
        if self.scope not in ("layer", "global"):
            raise BalancerError(f"`scope` is {self.scope!r}; accepted: layer, global")
        if self.order not in ORDERS:
            accepted = ", ".join(ORDERS)
            raise BalancerError(f"`order` is {self.order!r}; accepted: {accepted}")
        if self.scope == "global" and self.order != "fixed":
            raise BalancerError(
                f"`order` is {self.order!r}; the global scope takes only 'fixed'"
            )
        if self.budgets is not None:
            self._check_rule()
        if self.budget is not None and self.sparsity is not None:
            raise BalancerError("`budget` and `sparsity` say the same thing; give one")
        if self.sparsity is not None:
            budget_of_sparsity(self.sparsity, 0)
        if self.scope == "global" and isinstance(self.budget, Mapping):
            raise BalancerError(
                "with the global scope `budget` is one number for all layers"
            )
        if self.scope != "global":
            self.refuse_limits()
        if callable(self.pe_map):
            return
        if self.pe_map is not None:
            text, pes = settle_map(self.pe_map, self.pes)
            # A frozen dataclass sets its fields through its base.
            object.__setattr__(self, "pe_map", text)
            object.__setattr__(self, "pes", pes)
        # A wrong text fails now, not at the first layer. Formulas are read by now, and
        # what they say of a layer of one weight tells nothing.
        if not find_kind(self.pe_map or DEFAULT_MAP)[0].finds_order:
            self.make_map((1, 1))

    def _check_rule(self) -> None:
        """Refuse a rule that is unknown, or has no budget of all layers to share."""
        if self.budgets not in RULES:
            raise BalancerError(
                f"`budgets` is {self.budgets!r}; accepted: {', '.join(RULES)}"
            )
        if self.scope == "global":
            raise BalancerError(
                f"`budgets` is {self.budgets!r}, a rule by which layers of their own "
                "programs share the weights; the global scope shares them itself: "
                "leave one of them out"
            )
        if isinstance(self.budget, Mapping):
            raise BalancerError(
                f"`budgets` is {self.budgets!r}, a rule by which layers share one "
                "`budget`; it is one number for all of them, or none"
            )

    @property
    def limits(self) -> dict[Resource, float]:
        """The budgets of cycles and energy that are given."""
        given: dict[Resource, float | None] = {
            "cycles": self.latency_budget,
            "energy": self.energy_budget,
        }
        return {name: limit for name, limit in given.items() if limit is not None}

    def refuse_limits(self) -> None:
        """Refuse budgets of cycles and energy, for which something is missing.

        Raises
        ------
        BalancerError
            There is one.
        """
        for resource in self.limits:
            raise BalancerError(
                f"`{BUDGET_OF[resource]}` is shared by the layers: it needs "
                "scope='global' and the `costs` of all layers"
            )

    def make_map(self, shape: tuple[int, ...]) -> PEMap:
        """Make the PE map of a layer."""
        if callable(self.pe_map):
            return self.pe_map(shape)
        pes = DEFAULT_PES if self.pes is None else self.pes
        return PEMap.parse(self.pe_map or DEFAULT_MAP, shape, pes)

    def on(self, pe_map: str, pes: int) -> BalanceRequest:
        """Settle the array with a model of the hardware.

        Raises
        ------
        BalancerError
            Another array was asked for.
        """
        asked = {"pe_map": self.pe_map, "pes": self.pes}
        for name, own in {"pe_map": pe_map, "pes": pes}.items():
            if asked[name] not in (None, own):
                raise BalancerError(
                    f"`{name}` is {asked[name]}, but the hardware has {own}; leave one "
                    "of them out"
                )
        return replace(self, pe_map=pe_map, pes=pes)

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse layers of one name, and budgets and floors of others.

        Raises
        ------
        BalancerError
            The names in question.
        """
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BalancerError(f"layers named twice: {', '.join(twice)}")
        for field in ("budget", "channel_floor", "min_load"):
            check_names(field, getattr(self, field), names)

    def own_budget(
        self, name: str, arrays: LayerArrays, pe_map: PEMap | None = None
    ) -> int | None:
        """Budget of one layer by itself; None if its map implies it.

        `pe_map` is that of `make_map`, where it is made already.
        """
        if isinstance(self.budget, Mapping):
            if name in self.budget:
                return self.budget[name]
        elif self.budget is not None:
            return self.budget
        if self.sparsity is not None:
            return budget_of_sparsity(self.sparsity, arrays.scores.size)
        pe_map = pe_map or self.make_map(arrays.scores.shape)
        if pe_map.fixed_load is not None:
            return None
        return int(np.count_nonzero(arrays.mask))

    def may_empty(self, name: str) -> bool:
        """Whether a layer may lose all its weights, because that was asked for."""
        given = self.budget
        own = given.get(name) if isinstance(given, Mapping) else given
        return self.allow_empty or own == 0 or self.sparsity == 1

    def problem(
        self,
        name: str,
        arrays: LayerArrays,
        budget: int | None,
        order: Order | None = None,
    ) -> RetentionProblem:
        """State the program of one layer.

        `budget` None is what its map implies; `order` goes before that of the request.
        """
        pe_map = self.make_map(arrays.scores.shape)
        order = order or self.order
        nested = self.nested
        if nested is None:
            nested = self._only_drops(name, arrays, pe_map, order)
        return RetentionProblem(
            arrays.scores,
            pe_map,
            budget,
            channel_floor=_of_layer(self.channel_floor, name),
            min_load=_of_layer(self.min_load, name),
            previous_mask=arrays.mask if nested else None,
            order=order,
        )

    def _only_drops(
        self, name: str, arrays: LayerArrays, pe_map: PEMap, order: Order
    ) -> bool:
        """Whether a layer is nested because that was not said."""
        given = self.budget is not None or self.sparsity is not None
        if self.scope == "global" and given:
            return False
        floors = (self.channel_floor, self.min_load)
        if any(_of_layer(floor, name) for floor in floors):
            return False  # which weights they need is for the program to say
        if order == "optimized" and pe_map.order_kind == "blocks":
            return False  # such an order takes no previous mask
        budget = self.own_budget(name, arrays, pe_map)
        return keeps_budget(arrays, pe_map, budget, order)


class GivenRequest(TypedDict, total=False):
    """The fields of `BalanceRequest` as keyword arguments."""

    budget: int | Mapping[str, int] | None
    sparsity: float | None
    scope: Scope
    budgets: Budgets | None
    pe_map: str | MapMaker | None
    pes: int | None
    channel_floor: int | Mapping[str, int]
    min_load: int | Mapping[str, int]
    nested: bool | None
    order: Order
    allow_empty: bool
    latency_budget: float | None
    energy_budget: float | None


def combined_request(request: BalanceRequest | None, given: Any) -> BalanceRequest:
    """Let keyword arguments go before the fields of an object."""
    return replace(request or BalanceRequest(), **given)


def check_names(field: str, given: object, names: Sequence[str]) -> None:
    """Refuse a mapping that names layers which do not exist."""
    if isinstance(given, Mapping) and not set(given) <= set(names):
        unknown = sorted(set(given) - set(names))
        raise BalancerError(
            f"`{field}` names {', '.join(unknown)}; accepted: {', '.join(names)}"
        )


def _of_layer(floor: int | Mapping[str, int], name: str) -> int:
    return floor.get(name, 0) if isinstance(floor, Mapping) else floor
