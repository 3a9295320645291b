"""The layers of a network, and what is to be done with each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.errors import BalancerError
from balancer.files.ticket import LayerArrays, Ticket
from balancer.maps.cell_arrays import Array
from balancer.maps.pe_map import PEMap
from balancer.network.budgets import LayerCost
from balancer.program.problem import Order, RetentionProblem, budget_of_sparsity
from balancer.solvers import SliceSolver, get_solver
from balancer.solvers.limits import Search

MapMaker: TypeAlias = Callable[[tuple[int, ...]], PEMap]


class Layer(Protocol):
    """A named layer whose arrays can be read, as often as needed."""

    @property
    def name(self) -> str:
        """Name in reports and mask files."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""

    def read(self) -> LayerArrays:
        """Load scores and mask."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLayer:
    """A layer of which only the scores are known.

    Attributes
    ----------
    name : str
        Name in reports and mask files.
    scores : ndarray of float
        Non-negative saliency; what is zero counts as pruned so far.
    """

    name: str
    scores: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.scores.shape

    def read(self) -> LayerArrays:
        """Return scores and mask."""
        return LayerArrays(self.scores, self.scores != 0)


def as_layers(
    layers: Mapping[str, npt.ArrayLike] | Iterable[Layer] | Ticket,
) -> Sequence[Layer]:
    """List the layers of what `balance_network` accepts."""
    if isinstance(layers, Ticket):
        return layers.layers
    if isinstance(layers, Mapping):
        return [ArrayLayer(name, np.asarray(s)) for name, s in layers.items()]
    return list(layers)


def map_maker(pe_map: str | MapMaker, pes: int) -> MapMaker:
    """Return the function that makes the PE map of a shape; see `balance_network`."""
    if not isinstance(pe_map, str):
        return pe_map
    PEMap.parse(pe_map, (1, 1), pes)  # a wrong text fails now, not at the first layer
    return lambda shape: PEMap.parse(pe_map, shape, pes)


@dataclass(frozen=True, slots=True)
class Floors:
    """Least loads, for all layers or by name; see `balance_network`."""

    channel_floor: int | Mapping[str, int]
    min_load: int | Mapping[str, int]

    def check(self, names: Sequence[str]) -> None:
        """Refuse floors of layers that do not exist."""
        for field in ("channel_floor", "min_load"):
            check_names(field, getattr(self, field), names)

    def of(self, name: str) -> dict[str, int]:
        """Floors of one layer, as parameters of `RetentionProblem`."""
        given = {"channel_floor": self.channel_floor, "min_load": self.min_load}
        return {
            field: floor.get(name, 0) if isinstance(floor, Mapping) else floor
            for field, floor in given.items()
        }


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with every layer: the parameters of `balance_network`."""

    budget: int | Mapping[str, int] | None
    sparsity: float | None
    make_map: MapMaker
    floors: Floors
    nested: bool
    solver: str
    search: Search
    costs: Mapping[str, LayerCost] | None = None
    order: Order = "fixed"

    def check(self, names: Sequence[str], scope: str) -> None:
        """Refuse what is wrong before any work is done."""
        solver = get_solver(self.solver)
        if scope not in ("layer", "global"):
            raise BalancerError(f"`scope` is {scope!r}; accepted: layer, global")
        if scope == "global" and self.order != "fixed":
            raise BalancerError(
                f"`order` is {self.order!r}; the global scope takes only 'fixed'"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BalancerError(f"layers named twice: {', '.join(twice)}")
        if self.budget is not None and self.sparsity is not None:
            raise BalancerError("`budget` and `sparsity` say the same thing; give one")
        if scope == "global" and isinstance(self.budget, Mapping):
            raise BalancerError(
                "with the global scope `budget` is one number for all layers"
            )
        if scope == "global" and not isinstance(solver, SliceSolver):
            raise BalancerError(
                f"the solver {self.solver} answers one layer at a time; with the "
                "global scope use cp-sat or greedy"
            )
        check_names("budget", self.budget, names)
        self.floors.check(names)
        check_names("costs", self.costs, names)
        costs = self.costs or {}
        missing = [] if self.costs is None else sorted(set(names) - set(costs))
        missing += [name for name in costs if not isinstance(costs[name], LayerCost)]
        if missing:
            raise BalancerError(
                f"`costs` lacks {', '.join(missing)}; every layer needs a LayerCost"
            )

    def problem(
        self, name: str, arrays: LayerArrays, budget: int | None
    ) -> RetentionProblem:
        """State the program of one layer; None is the budget that its map implies."""
        return RetentionProblem(
            arrays.scores,
            self.make_map(arrays.scores.shape),
            budget,
            **self.floors.of(name),
            previous_mask=arrays.mask if self.nested else None,
            order=self.order,
        )

    def own_budget(self, name: str, arrays: LayerArrays) -> int | None:
        """Budget of one layer by itself; None if its map implies it."""
        if isinstance(self.budget, Mapping):
            if name in self.budget:
                return self.budget[name]
        elif self.budget is not None:
            return self.budget
        if self.sparsity is not None:
            return budget_of_sparsity(self.sparsity, arrays.scores.size)
        if self.make_map(arrays.scores.shape).fixed_load is not None:
            return None
        return int(np.count_nonzero(arrays.mask))


def check_names(field: str, given: object, names: Sequence[str]) -> None:
    """Refuse a mapping that names layers which do not exist."""
    if isinstance(given, Mapping) and not set(given) <= set(names):
        unknown = sorted(set(given) - set(names))
        raise BalancerError(
            f"`{field}` names {', '.join(unknown)}; accepted: {', '.join(names)}"
        )


@contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Say in an error which layer it is about."""
    try:
        yield
    except BalancerError as error:
        text = str(error)
        if text.startswith(f"layer {layer.name}"):
            raise
        raise type(error)(f"layer {layer.name}: {text}") from error
