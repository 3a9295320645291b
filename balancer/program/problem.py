r"""The retention program: which weights to keep so that no PE waits for another.

In LaTeX, for weights $i$ with scores $s_i \ge 0$, lock-step groups $g$ of $P_g$ PEs
that hold weights, cells $(g, p)$ and output channels $c$:

$$
\begin{aligned}
\max_{x,\,k}\quad & \sum_i s_i x_i \\
\text{s.t.}\quad
& \sum_{i \in (g,p)} x_i = k_g     && \forall g, p && \text{(balance)} \\
& \sum_g P_g k_g \le K             &&              && \text{(budget)} \\
& \ell_g \le k_g \le u_g           && \forall g    && \text{(bounds on loads)} \\
& \sum_{i \in c} x_i \ge f_c       && \forall c    && \text{(channel floor)} \\
& x_i = 0 \;\; \forall i \notin M  &&              && \text{(nested: previous mask)} \\
& x_i = 1 \;\; \forall i \in F     &&              && \text{(forced)} \\
& x_i \in \{0, 1\}, \quad k_g \in \mathbb{Z}_{\ge 0}.
\end{aligned}
$$

In words: keep the weights with the largest total score, such that all PEs of a group
keep equally many, at most K weights are kept, every group's load lies within its
bounds, every output channel keeps its floor, nothing comes back that the previous mask
had pruned, and forced weights stay. Filling an idle slot never costs a cycle, so this
is also the mask of largest magnitude among all that need as few cycles in every group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError
from balancer.maps.cell_arrays import pieces
from balancer.maps.pe_map import PEMap
from balancer.maps.registry import map_kinds
from balancer.maps.schedule import Schedule
from balancer.program.floors import ChannelFloors, best_of_channels
from balancer.program.keys import mark
from balancer.program.load_limits import load_limits
from balancer.program.validation import (
    checked_budget,
    checked_counts,
    checked_mask,
    checked_scores,
    magnitudes,
)

Order: TypeAlias = Literal["fixed", "sorted", "optimized"]
ORDERS: tuple[str, ...] = get_args(Order)


@dataclass(frozen=True, eq=False, init=False)
class RetentionProblem:
    """The integer program of one layer, validated; see the module for the formulation.

    Parameters
    ----------
    scores : array_like of float, in the shape of the PE map
        Non-negative saliency of every weight. float32 and float64 are used as they are
        (and must not be changed afterwards), other numbers are converted.
    pe_map : PEMap
        Group and PE of every weight.
    budget : int, optional
        Most non-zeros to keep, K. Never exceeded, and reached up to the remainder that
        no further slice fits into. An n:m map implies it.
    sparsity : float, optional
        The budget as the least fraction of weights to prune; instead of `budget`.
    min_load, max_load : int or array_like of int [groups], optional
        Bounds on every group's load; default 0 and unbounded.
    channel_floor : int or array_like of int [output channels], optional
        Least number of weights that an output channel keeps; default 0.
    previous_mask : array_like of bool, optional
        Keep only weights from this mask (nested lottery rounds).
    forced : array_like of bool, optional
        Weights that must be kept.
    order : {"fixed", "sorted", "optimized"}
        Which channels share a tile or block: those that are neighbours in the weights,
        those that `balancer.order.sorted_order` puts together, or whichever keep most;
        see `balancer.order`. Bounds on loads hold for the groups of the schedule. An
        optimized order takes no forced weights; floors only if they are the same for
        all output channels or the map is ``input_channel``; and a previous mask only
        where output channels are permuted.

    Raises
    ------
    BalancerError
        Scores, masks or bounds of a wrong shape, type or range.
    InfeasibleError
        Bounds, floors, masks and budget that no mask satisfies.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem
    >>> scores = np.arange(8.0).reshape(4, 2)
    >>> pe_map = PEMap.output_channel((4, 2), pes=2)
    >>> problem = RetentionProblem(scores, pe_map, budget=5)
    >>> problem.lower, problem.upper
    (array([0, 0]), array([2, 2]))
    """

    scores: AnyArray
    pe_map: PEMap
    budget: int
    min_load: IntArray
    max_load: IntArray
    channel_floor: IntArray
    previous_mask: BoolArray | None
    forced: BoolArray | None
    order: Order
    lower: IntArray
    """Least load of each group that all constraints together allow, int64 [groups].

    Unless the order is fixed: that the bounds and the map allow.
    """
    upper: IntArray
    """Greatest load of each group that all constraints allow, int64 [groups]."""

    def __init__(
        self,
        scores: npt.ArrayLike,
        pe_map: PEMap,
        budget: int | None = None,
        *,
        sparsity: float | None = None,
        min_load: npt.ArrayLike = 0,
        max_load: npt.ArrayLike | None = None,
        channel_floor: npt.ArrayLike = 0,
        previous_mask: npt.ArrayLike | None = None,
        forced: npt.ArrayLike | None = None,
        order: Order = "fixed",
    ) -> None:
        shape, groups, channels = pe_map.shape, pe_map.groups, pe_map.channels
        if max_load is None:
            max_load = pe_map.weights
        # A frozen dataclass sets its fields through its dictionary.
        self.__dict__.update(
            scores=checked_scores(scores, shape),
            pe_map=pe_map,
            budget=checked_budget(budget, sparsity, pe_map),
            min_load=checked_counts("min_load", min_load, groups, "groups"),
            max_load=checked_counts("max_load", max_load, groups, "groups"),
            channel_floor=checked_counts(
                "channel_floor", channel_floor, channels, "output channels"
            ),
            previous_mask=checked_mask("previous_mask", previous_mask, shape),
            forced=checked_mask("forced", forced, shape),
            order=_checked_order(order, pe_map),
        )
        lower, upper = load_limits(self, self._floors)
        self.__dict__.update(lower=lower, upper=upper)

    @classmethod
    def from_weights(
        cls,
        weights: npt.ArrayLike,
        pe_map: PEMap,
        budget: int | None = None,
        **more: Any,
    ) -> RetentionProblem:
        """Make the problem whose scores are the magnitudes of `weights`.

        Parameters as in the class, but for `weights`: array_like of float.
        """
        return cls(magnitudes(weights), pe_map, budget, **more)

    @property
    def least(self) -> int:
        """Least non-zeros that the constraints allow."""
        return int(self.pe_map.group_sizes() @ self.lower)

    def allowed_scores(self) -> AnyArray:
        """Scores of the weights that may be kept, in any shape."""
        mask = self.previous_mask
        return self.scores if mask is None else self.scores[mask]

    @cached_property
    def prunes_zeros(self) -> bool:
        """Whether there is a previous mask, and it prunes just what is zero."""
        if self.previous_mask is None:
            return False
        scores, mask = self.scores.reshape(-1), self.previous_mask.reshape(-1)
        return all(
            np.array_equal(scores[piece] != 0, mask[piece])
            for piece in pieces(scores.size)
        )

    @cached_property
    def separable(self) -> bool:
        """Whether the groups are coupled by the budget alone.

        False where a channel with a floor has weights in several groups, or shares
        cells with other channels without lying inside one: then slices cannot express
        it.
        """
        return not self._floors.crossing.any()

    def relaxed(self) -> RetentionProblem:
        """Return the problem without the floors that make it inseparable."""
        return self._with(channel_floor=self.channel_floor * ~self._floors.crossing)

    def restricted(self) -> RetentionProblem:
        """Return a separable problem all of whose masks solve this one.

        It forces the best weights of every channel whose floor crosses the cells.

        Raises
        ------
        InfeasibleError
            This one may be feasible all the same.
        """
        crossing = self.channel_floor * self._floors.crossing
        keys = mark(self.scores, self.previous_mask, self.forced)
        best = best_of_channels(keys, crossing, self.forced)
        return self.relaxed()._with(forced=best)

    def _with(self, **changes: Any) -> RetentionProblem:
        names = ("min_load", "max_load", "channel_floor", "previous_mask", "forced")
        kept = {name: getattr(self, name) for name in names}
        return RetentionProblem(
            self.scores, self.pe_map, self.budget, **(kept | changes)
        )

    @property
    def floors_in_any_order(self) -> bool:
        """Whether the floors bound the same loads in every order there may be.

        So it is if every output channel has the same floor and fills places of equal
        size in a tile, or if it has a group of its own.
        """
        if self.order == "fixed" or not self.channel_floor.any():
            return True
        if self.pe_map.order_kind == "tiles":
            return bool((self.channel_floor == self.channel_floor[0]).all())
        return self.pe_map.fixed_load is None and self.pe_map.exchange is None

    def scheduled(self, schedule: Schedule) -> RetentionProblem:
        """Return the problem of fixed order whose weights a schedule hands out.

        Raises
        ------
        InfeasibleError
            No mask satisfies the constraints in this order.
        """
        nested, forced = self.previous_mask, self.forced
        floor = self.channel_floor
        return RetentionProblem(
            schedule.apply(self.scores),
            self.pe_map,
            self.budget,
            min_load=self.min_load,
            max_load=self.max_load,
            channel_floor=schedule.apply(floor) if schedule.axis == 0 else floor,
            previous_mask=None if nested is None else schedule.apply(nested),
            forced=None if forced is None else schedule.apply(forced),
        )

    @cached_property
    def must_keep(self) -> BoolArray | None:
        """Weights that every solution may be assumed to keep, None if there are none.

        The forced ones and those that `floors` shows to be no loss.
        """
        return self._floors.must_keep

    @cached_property
    def _floors(self) -> ChannelFloors:
        return ChannelFloors.of(
            self.pe_map,
            self.channel_floor,
            scores=self.scores,
            allowed=self.previous_mask,
            forced=self.forced,
        )

    def keys(self) -> AnyArray:
        """Ranking keys: scores, +inf for what must be kept, -inf for what must not.

        Returns
        -------
        ndarray of float, in the shape of the weights
            `scores` itself where there is nothing to mark.
        """
        return mark(self.scores, self.previous_mask, self.must_keep)

    def __repr__(self) -> str:
        return (
            f"RetentionProblem(at most {self.budget} of {self.pe_map.weights} weights, "
            f"order {self.order}, {self.pe_map})"
        )


def _checked_order(order: Order, pe_map: PEMap) -> Order:
    if order not in ORDERS:
        raise BalancerError(f"`order` is {order!r}; accepted: {', '.join(ORDERS)}")
    if order != "fixed" and pe_map.order_axis is None:
        able = (kind.shown for kind in map_kinds() if kind.order_axis is not None)
        raise BalancerError(
            f"`order` is {order!r}; the map {pe_map.name!r} takes only 'fixed' "
            f"(order is for {', '.join(able)}, and maps of your own in which whole "
            "channels can change places)"
        )
    return order
