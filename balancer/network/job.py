"""The layers of a network, and everything that is said about balancing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import BalancerError
from balancer.files.ticket import Ticket
from balancer.files.ticket_layer import LayerArrays
from balancer.hardware import LayerCost
from balancer.maps.schedule import Schedule
from balancer.network.request import (
    BalanceRequest,
    GivenRequest,
    check_names,
    combined_request,
)
from balancer.solvers import SliceSolver, get_solver
from balancer.solvers.limits import (
    Cancellation,
    GivenLimits,
    Search,
    SearchLimits,
    combined_limits,
)


class Layer(Protocol):
    """A named layer whose arrays can be read, as often as needed."""

    @property
    def name(self) -> str:
        """Name in reports and mask files."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""

    def read(self) -> LayerArrays:
        """Load scores, mask and order."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLayer:
    """A layer in memory.

    Attributes
    ----------
    name : str
        Name in reports and mask files.
    scores : ndarray of float
        Non-negative saliency.
    mask : ndarray of bool, optional
        Weights that are not pruned so far; default: those whose score is not zero.
    schedules : tuple of Schedule
        In which orders the PEs take the channels so far; default: as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import ArrayLayer
    >>> ArrayLayer("conv", np.array([[0.0, 2.0]])).read().mask
    array([[False,  True]])
    """

    name: str
    scores: AnyArray
    mask: BoolArray | None = None
    schedules: tuple[Schedule, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.scores.shape

    def read(self) -> LayerArrays:
        """Return scores, mask and order."""
        mask = self.scores != 0 if self.mask is None else self.mask
        return LayerArrays(self.scores, mask, self.schedules, self.mask is not None)


Layers: TypeAlias = Mapping[str, npt.ArrayLike] | Iterable[Layer] | Ticket
"""What balances as a network: scores by name, layers, or a ticket."""


def as_layers(layers: Layers) -> Sequence[Layer]:
    """List the layers of what `balance_network` accepts."""
    if isinstance(layers, Ticket):
        return layers.layers
    if isinstance(layers, Mapping):
        return [ArrayLayer(name, np.asarray(s)) for name, s in layers.items()]
    return list(layers)


class Given(GivenRequest, GivenLimits, total=False):
    """Fields of `BalanceRequest` and of `SearchLimits` as keyword arguments."""


@dataclass(frozen=True, slots=True)
class Job:
    """How to balance every layer of a network.

    Attributes
    ----------
    request : BalanceRequest
        What to keep.
    solver : str
        Who answers.
    search : Search
        How far it may go, for each program.
    costs : mapping of str to LayerCost, optional
        What the masks of each layer take from the hardware.
    """

    request: BalanceRequest
    solver: str
    search: Search
    costs: Mapping[str, LayerCost] | None = None

    @classmethod
    def of(
        cls,
        request: BalanceRequest | None,
        limits: SearchLimits | None,
        given: Mapping[str, Any],
        *,
        solver: str,
        costs: Mapping[str, LayerCost] | None,
        cancellation: Cancellation | None,
    ) -> Self:
        """Combine objects and keyword arguments, which go before the objects.

        Raises
        ------
        BalancerError
            Values that are not accepted.
        TypeError
            A keyword argument that is no field of either.
        """
        of_limits = {field.name for field in fields(SearchLimits)}
        limits = combined_limits(
            limits, {name: given[name] for name in given if name in of_limits}
        )
        request = combined_request(
            request, {name: given[name] for name in given if name not in of_limits}
        )
        search = Search(limits, None, cancellation or Cancellation())
        return cls(request, solver, search, costs)

    def check(self, names: Sequence[str]) -> None:
        """Refuse what does not fit the layers before any work is done.

        Raises
        ------
        BalancerError
            Unknown or missing names, or a solver that cannot do it.
        """
        solver = get_solver(self.solver)
        self.request.check_names(names)
        shared = self.request.scope == "global"
        if shared and not isinstance(solver, SliceSolver):
            raise BalancerError(
                f"the solver {self.solver} answers one layer at a time; with the "
                "global scope use cp-sat or greedy"
            )
        if self.costs is None:
            self.request.refuse_limits()
            return
        check_names("costs", self.costs, names)
        missing = sorted(set(names) - set(self.costs))
        missing += [
            name for name, cost in self.costs.items() if not isinstance(cost, LayerCost)
        ]
        if missing:
            raise BalancerError(
                f"`costs` lacks {', '.join(missing)}; every layer needs a LayerCost"
            )
