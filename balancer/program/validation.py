"""What a program accepts: scores, masks, counts and budgets, or one clear refusal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError
from balancer.maps.pe_map import PEMap


def checked_scores(scores: npt.ArrayLike, shape: tuple[int, ...]) -> AnyArray:
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


def magnitudes(weights: npt.ArrayLike, in_place: bool = False) -> AnyArray:
    """Return the absolute values of weights; those of integers as floats.

    The magnitude of the least integer, as of -128 in int8, is none of its type. Those
    of floats may take the place of the weights.
    """
    array = np.asarray(weights)
    if array.dtype.kind in "iu":
        narrow = array.dtype.itemsize <= 2  # float32 holds these exactly
        array = array.astype(np.float32 if narrow else np.float64)
    own = in_place and array.dtype.kind == "f"
    found: AnyArray = np.abs(array, out=array if own else None)
    return found


def _largest(array: AnyArray) -> float:
    """Largest entry; infinity if any is negative, infinite or NaN."""
    # Positive floats are ordered as the integers of the same bits, and all other floats
    # are larger than they: one pass instead of two.
    bits = array.view(np.uint32 if array.dtype == np.float32 else np.uint64).max()
    if bits <= np.array(np.inf, array.dtype).view(bits.dtype):
        return float(bits.view(array.dtype))
    least, largest = array.min(), array.max()  # -0.0 is in order; both propagate NaN
    return float(largest) if least >= 0 else np.inf


def checked_mask(
    name: str, mask: npt.ArrayLike | None, shape: tuple[int, ...]
) -> BoolArray | None:
    """Return a mask of a shape, or refuse it; None stays None."""
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != shape:
        raise BalancerError(
            f"`{name}` is {array.dtype} {array.shape}; bool {shape} is needed"
        )
    return np.ascontiguousarray(array)


def checked_counts(name: str, value: npt.ArrayLike, length: int, of: str) -> IntArray:
    """Return one whole number for each group or channel, or refuse them."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.shape not in ((), (length,)):
        raise BalancerError(
            f"`{name}` is {array.dtype} {array.shape}; one whole number, or one "
            f"for each of the {length} {of}, is needed"
        )
    if array.size and array.min() < 0:
        raise BalancerError(f"`{name}` is {array.min()} somewhere; the least is 0")
    return np.broadcast_to(array.astype(np.int64), (length,))


def checked_budget(budget: int | None, sparsity: float | None, pe_map: PEMap) -> int:
    """Return the non-zeros of a budget, a sparsity or the map, or refuse them."""
    implied = None
    if pe_map.fixed_load is not None:
        implied = int(pe_map.group_sizes() @ pe_map.fixed_load)
    if budget is not None and sparsity is not None:
        raise BalancerError("`budget` and `sparsity` say the same thing; give one")
    if sparsity is not None:
        return budget_of_sparsity(sparsity, pe_map.weights)
    if budget is None:
        if implied is None:
            raise BalancerError(
                "a `budget` (non-zeros) or a `sparsity` is needed; "
                "only an n:m map implies it"
            )
        return implied
    if not 0 <= whole_budget(budget) <= pe_map.weights:
        raise BalancerError(
            f"`budget` is {budget}; this layer of {pe_map.weights} weights takes "
            f"0..{pe_map.weights}"
        )
    return int(budget)


def whole_budget(budget: object) -> int:
    """Return a budget of non-zeros as a whole number, or refuse it."""
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
        raise BalancerError(
            f"`budget` is {budget!r}; it counts non-zeros (a whole number). "
            "For a fraction use `sparsity`"
        )
    return int(budget)


def budget_of_sparsity(sparsity: float, weights: int) -> int:
    """Most non-zeros among `weights` that prune at least a fraction `sparsity`.

    Raises
    ------
    BalancerError
        A sparsity that is not a number from 0 to 1.

    Examples
    --------
    >>> from balancer import budget_of_sparsity
    >>> budget_of_sparsity(0.98, 1024)
    20
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
