"""The schedule of a layer: in which order the PEs take its channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray
from balancer.errors import BalancerError


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A permutation of the output or of the input channels of one layer.

    A PE map applies to the weights as the schedule hands them out; masks and weights
    themselves stay in their natural order.

    Parameters
    ----------
    axis : int
        Axis of the weights that is permuted: 0 the output, 1 the input channels.
    order : array_like of int [channels]
        Schedule position -> channel.

    Raises
    ------
    BalancerError
        Another axis, or numbers that are no permutation.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import Schedule
    >>> schedule = Schedule(1, [2, 0, 1])
    >>> schedule.apply(np.array([[10, 11, 12]]))
    array([[12, 10, 11]])
    >>> schedule.invert(schedule.apply(np.array([[10, 11, 12]])))
    array([[10, 11, 12]])
    """

    axis: int
    order: npt.NDArray[np.int32]

    def __init__(self, axis: int, order: npt.ArrayLike) -> None:
        given = np.asarray(order)
        if axis not in (0, 1):
            raise BalancerError(
                f"`axis` is {axis!r}; a schedule permutes output channels (0) or input "
                "channels (1)"
            )
        whole = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
        if not whole or not np.array_equal(np.sort(given), np.arange(given.size)):
            raise BalancerError(
                f"`order` is {given.dtype} {given.shape} and no permutation: it must "
                f"hold each of the channels 0..{given.size - 1} once"
            )
        object.__setattr__(self, "axis", int(axis))
        object.__setattr__(self, "order", given.astype(np.int32))

    @classmethod
    def natural(cls, shape: Sequence[int], axis: int = 0) -> Schedule:
        """Take the channels of weights of some shape as they are."""
        return cls(axis, np.arange(shape[axis]))

    @property
    def is_natural(self) -> bool:
        """Whether the channels are taken as they are."""
        return bool((self.order == np.arange(len(self.order))).all())

    def apply(self, array: AnyArray, axis: int | None = None) -> AnyArray:
        """Put the channels of an array in the order in which the PEs take them.

        Parameters
        ----------
        array : ndarray
            In the shape of the weights, or anything else that counts the channels.
        axis : int, optional
            Axis of the array that counts them; default: that of the weights.

        Returns
        -------
        ndarray
            The array itself if the schedule is natural.

        Raises
        ------
        BalancerError
            An array with another number of channels.
        """
        return self._take(array, self.order, axis)

    def invert(self, array: AnyArray, axis: int | None = None) -> AnyArray:
        """Put the channels back where they were; parameters as in `apply`."""
        return self._take(array, np.argsort(self.order), axis)

    def _take(
        self, array: AnyArray, order: npt.NDArray[np.integer], axis: int | None
    ) -> AnyArray:
        axis = self.axis if axis is None else axis
        channels = array.shape[axis] if axis < array.ndim else 0
        if channels != len(order):
            raise BalancerError(
                f"a schedule of {len(order)} channels does not fit axis {axis} of an "
                f"array of shape {array.shape}"
            )
        return array if self.is_natural else np.take(array, order, axis)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self.axis == other.axis and np.array_equal(self.order, other.order)

    def __hash__(self) -> int:
        return hash((self.axis, self.order.tobytes()))

    def __repr__(self) -> str:
        of = ("output", "input")[self.axis]
        kind = "natural" if self.is_natural else "permuted"
        return f"Schedule({len(self.order)} {of} channels, {kind})"
