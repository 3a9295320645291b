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

from balancer.blocks import Array, BoolArray, IntArray
from balancer.errors import BalancerError, InfeasibleError
from balancer.floors import Floors, best_of_channels
from balancer.pe_map import PEMap
from balancer.ranking import mark

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
    >>> problem = RetentionProblem(scores, PEMap.output_channel((4, 2), 2), budget=5)
    >>> problem.lower, problem.upper
    (array([0, 0]), array([2, 2]))
    """

    scores: Array
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
            budget=_budget(budget, sparsity, pe_map),
            min_load=_counts("min_load", min_load, groups, "groups"),
            max_load=_counts("max_load", max_load, groups, "groups"),
            channel_floor=_counts(
                "channel_floor", channel_floor, channels, "output channels"
            ),
            previous_mask=_mask("previous_mask", previous_mask, shape),
            forced=_mask("forced", forced, shape),
            order=_order(order, pe_map),
        )
        lower, upper = self._load_limits()
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
        return cls(np.abs(np.asarray(weights)), pe_map, budget, **more)

    @property
    def least(self) -> int:
        """Least non-zeros that the constraints allow."""
        return int(self.pe_map.group_sizes() @ self.lower)

    def allowed_scores(self) -> Array:
        """Scores of the weights that may be kept, in any shape."""
        mask = self.previous_mask
        return self.scores if mask is None else self.scores[mask]

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
        if self.pe_map.order_axis == 0:
            return bool((self.channel_floor == self.channel_floor[0]).all())
        return self.pe_map.fixed_load is None

    def in_schedule(self, mask: BoolArray, order: npt.NDArray[Any]) -> BoolArray:
        """Put a mask in the order in which the PEs take it: itself in a fixed order."""
        if self.order == "fixed":
            return mask
        return self.pe_map.schedule(mask, order)

    def scheduled(self, order: IntArray) -> RetentionProblem:
        """Return the problem of fixed order whose weights are in a given order.

        Parameters
        ----------
        order : ndarray of int
            Schedule position -> channel, along the map's `order_axis`.

        Raises
        ------
        InfeasibleError
            No mask satisfies the constraints in this order.
        """
        layer, floor = self.pe_map, self.channel_floor
        nested, forced = self.previous_mask, self.forced
        return RetentionProblem(
            layer.schedule(self.scores, order),
            layer,
            self.budget,
            min_load=self.min_load,
            max_load=self.max_load,
            channel_floor=floor[order] if layer.order_axis == 0 else floor,
            previous_mask=None if nested is None else layer.schedule(nested, order),
            forced=None if forced is None else layer.schedule(forced, order),
        )

    @cached_property
    def must_keep(self) -> BoolArray | None:
        """Weights that every solution may be assumed to keep, None if there are none.

        The forced ones and those that `floors` shows to be no loss.
        """
        return self._floors.must_keep

    @cached_property
    def _floors(self) -> Floors:
        return Floors.of(
            self.pe_map,
            self.channel_floor,
            scores=self.scores,
            allowed=self.previous_mask,
            forced=self.forced,
        )

    def keys(self) -> Array:
        """Ranking keys: scores, +inf for what must be kept, -inf for what must not.

        Returns
        -------
        ndarray of float, in the shape of the weights
            `scores` itself where there is nothing to mark.
        """
        return mark(self.scores, self.previous_mask, self.must_keep)

    def _load_limits(self) -> tuple[IntArray, IntArray]:
        layer = self.pe_map
        sizes = layer.cell_sizes()
        if self.forced is not None and self.previous_mask is not None:
            outside = int(np.count_nonzero(self.forced & ~self.previous_mask))
            if outside:
                raise InfeasibleError(
                    f"{outside} forced weights lie outside `previous_mask`"
                )
        if self.previous_mask is not None:
            sizes = layer.cell_loads(self.previous_mask)
        capacity = layer.least_of_group(sizes)
        if self.order != "fixed":  # the masks' and floors' part depends on the order
            capacity = layer.least_of_group(layer.cell_sizes())
        lower, upper = self.min_load, np.minimum(self.max_load, capacity)
        reasons = ["`min_load`"] if self.min_load.any() else []
        if layer.fixed_load is not None:
            lower = np.maximum(lower, layer.fixed_load)
            upper = np.minimum(upper, layer.fixed_load)
            reasons.append(f"the {layer.name} pattern")
        fixed = self.order == "fixed"
        if self.channel_floor.any() and self.floors_in_any_order:
            lower = np.maximum(lower, self._floors.group_floor)
            reasons.append("`channel_floor`")
        if fixed and self.must_keep is not None:
            lower = np.maximum(
                lower, layer.largest_of_group(layer.cell_loads(self.must_keep))
            )
            if self.forced is not None:
                reasons.append("`forced`")
        clash = np.flatnonzero(lower > upper)
        if clash.size:
            g = int(clash[0])
            raise InfeasibleError(
                f"group {g} needs a load of at least {lower[g]} (by "
                f"{', '.join(reasons)}) but can have at most {upper[g]}: its smallest "
                f"PE offers {capacity[g]} weights, `max_load` is {self.max_load[g]}"
            )
        least = int(layer.group_sizes() @ lower)
        if least > self.budget:
            raise InfeasibleError(
                f"budget of {self.budget} non-zeros: {', '.join(reasons)} need at "
                f"least {least}; raise the budget or lower them"
            )
        return lower, upper


def checked_scores(scores: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return scores as finite non-negative floats of a shape, or refuse them."""
    array = np.asarray(scores)
    if array.dtype.kind not in "fiub":
        raise BalancerError(f"scores are {array.dtype}; real numbers are needed")
    if array.shape != shape:
        raise BalancerError(f"scores have shape {array.shape}, the PE map {shape}")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array)
    if array.size:
        largest = _largest(array)
        if not largest < np.inf:
            bad = np.argwhere(~((array >= 0) & (array < np.inf)))
            place = tuple(int(axis) for axis in bad[0])
            raise BalancerError(
                f"score {place} is {array[place]}; scores are finite and at least 0 "
                f"({len(bad)} of {array.size} are not; of weights use the magnitudes)"
            )
        if not np.isfinite(float(largest) * array.size):
            raise BalancerError(
                f"scores reach {largest:g}, so their sum overflows; scale them down"
            )
    return array


def _largest(array: Array) -> float:
    """Largest entry; infinity if any is negative, infinite or NaN."""
    # Positive floats are ordered as the integers of the same bits, and all other floats
    # are larger than they: one pass instead of two.
    bits = array.view(np.uint32 if array.dtype == np.float32 else np.uint64).max()
    if bits <= np.array(np.inf, array.dtype).view(bits.dtype):
        return float(bits.view(array.dtype))
    least, largest = array.min(), array.max()  # -0.0 is in order; both propagate NaN
    return float(largest) if least >= 0 else np.inf


def _mask(
    name: str, mask: npt.ArrayLike | None, shape: tuple[int, ...]
) -> BoolArray | None:
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != shape:
        raise BalancerError(
            f"`{name}` is {array.dtype} {array.shape}; bool {shape} is needed"
        )
    return np.ascontiguousarray(array)


def _order(order: Order, layer: PEMap) -> Order:
    if order not in ORDERS:
        raise BalancerError(f"`order` is {order!r}; accepted: {', '.join(ORDERS)}")
    if order != "fixed" and layer.order_axis is None:
        raise BalancerError(
            f"`order` is {order!r}; the map {layer.name!r} takes only 'fixed' "
            "(order is for output_channel, grid, input_channel and n:m maps)"
        )
    return order


def _counts(name: str, value: npt.ArrayLike, length: int, of: str) -> IntArray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.shape not in ((), (length,)):
        raise BalancerError(
            f"`{name}` is {array.dtype} {array.shape}; one whole number, or one "
            f"for each of the {length} {of}, is needed"
        )
    if array.size and array.min() < 0:
        raise BalancerError(f"`{name}` is {array.min()} somewhere; the least is 0")
    return np.broadcast_to(array.astype(np.int64), (length,))


def _budget(budget: int | None, sparsity: float | None, layer: PEMap) -> int:
    implied = None
    if layer.fixed_load is not None:
        implied = int(layer.group_sizes() @ layer.fixed_load)
    if budget is not None and sparsity is not None:
        raise BalancerError("`budget` and `sparsity` say the same thing; give one")
    if sparsity is not None:
        return budget_of_sparsity(sparsity, layer.weights)
    if budget is None:
        if implied is None:
            raise BalancerError(
                "a `budget` (non-zeros) or a `sparsity` is needed; "
                "only an n:m map implies it"
            )
        return implied
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
        raise BalancerError(
            f"`budget` is {budget!r}; it counts non-zeros (a whole number). "
            "For a fraction use `sparsity`"
        )
    if not 0 <= budget <= layer.weights:
        raise BalancerError(
            f"`budget` is {budget}; this layer of {layer.weights} weights takes "
            f"0..{layer.weights}"
        )
    return int(budget)


def budget_of_sparsity(sparsity: float, weights: int) -> int:
    """Most non-zeros among `weights` that prune at least a fraction `sparsity`.

    Raises
    ------
    BalancerError
        A sparsity that is not a number from 0 to 1.
    """
    if (
        isinstance(sparsity, bool)
        or not isinstance(sparsity, (int, float, np.number))
        or not 0 <= sparsity <= 1
    ):
        raise BalancerError(
            f"`sparsity` is {sparsity!r}; a fraction from 0 (keep all) to 1 (keep "
            "none) is needed"
        )
    # 1 - 0.9 is 0.09999...; a relative slack of 1e-12 gives the tenth that was meant.
    return int((1.0 - float(sparsity)) * weights * (1 + 1e-12) + 1e-9)
