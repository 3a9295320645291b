"""The pair program: two neighbouring layers, in which a weight needs both its ends.

A weight of the first layer works if something reaches its input and somebody reads its
output channel; a weight of the second, if its output is read and something reaches its
input channel, which is an output channel of the first. Layer by layer, a program spends
weights on channels that the other layer does not use. Jointly, what counts is the score
of the weights that work, with the loads and budgets of both layers as in their own
programs. In LaTeX: "Two layers jointly" in ``docs/programs.md``.

Kept weights that do not work are fillers: a PE that must keep pace with the others
holds them where it has nothing better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import total_score

Masks = tuple[BoolArray, BoolArray]


@dataclass(frozen=True, eq=False, init=False)
class PairProblem:
    """Two layers, the second of which reads the first; the module says what for.

    Parameters
    ----------
    first, second : RetentionProblem
        The program of each layer: fixed order, no floors, no forced weights.
    source : array_like of int, to be broadcast to the second layer's weights
        The output channel of the first layer that a weight reads. Default: its input
        channel is that channel; or each channel is as many neighbouring inputs as the
        numbers say, as a flattened one is.
    reached : array_like of bool, to be broadcast to the first layer's weights
        Something reaches its input. Default: everywhere.
    read : array_like of bool, to be broadcast to the second layer's weights
        Somebody reads its output. Default: everywhere.
    reached_anyway, read_anyway : array_like of bool [output channels of the first]
        Other layers reach or read the channel (residual sums). Default: none.

    Raises
    ------
    BalancerError
        Programs with more than balance, budget, bounds and previous masks; or arrays
        that do not fit.

    Examples
    --------
    Alone, the first would keep 9 + 8 and the second 5 + 5, of which nothing meets:

    >>> import numpy as np
    >>> from balancer import PEMap, PairProblem, RetentionProblem, solve_pair
    >>> first, second = np.array([[9.0, 8], [7, 1]]), np.array([[2.0, 5], [1, 5]])
    >>> layers = [
    ...     RetentionProblem(s, PEMap.output_channel((2, 2), pes=n), budget=2)
    ...     for s, n in ((first, 1), (second, 2))
    ... ]
    >>> solution = solve_pair(PairProblem(*layers))
    >>> solution.first.astype(int).tolist(), solution.second.astype(int).tolist()
    ([[1, 0], [1, 0]], [[1, 0], [0, 1]])
    """

    first: RetentionProblem
    second: RetentionProblem
    source: IntArray
    reached: BoolArray
    read: BoolArray
    reached_anyway: BoolArray
    read_anyway: BoolArray

    def __init__(
        self,
        first: RetentionProblem,
        second: RetentionProblem,
        *,
        source: npt.ArrayLike | None = None,
        reached: npt.ArrayLike = True,
        read: npt.ArrayLike = True,
        reached_anyway: npt.ArrayLike = False,
        read_anyway: npt.ArrayLike = False,
    ) -> None:
        for name, layer in (("first", first), ("second", second)):
            _check_layer(name, layer)
        channels = (first.pe_map.channels,)
        # A frozen dataclass sets its fields through its dictionary.
        self.__dict__.update(
            first=first,
            second=second,
            source=_checked_source(source, first, second),
            reached=_broadcast("reached", reached, first.pe_map.shape),
            read=_broadcast("read", read, second.pe_map.shape),
            reached_anyway=_broadcast("reached_anyway", reached_anyway, channels),
            read_anyway=_broadcast("read_anyway", read_anyway, channels),
        )

    def used(self, masks: Masks) -> tuple[BoolArray, BoolArray]:
        """Say which channels the first layer reaches, and which the second reads.

        Parameters
        ----------
        masks : two ndarray of bool
            Kept weights of the first and of the second layer.

        Returns
        -------
        reached, read : ndarray of bool [output channels of the first]
        """
        channels = self.first.pe_map.channels
        works = (masks[0] & self.reached).reshape(channels, -1).any(axis=1)
        asked = np.bincount(self.source[masks[1] & self.read], minlength=channels) > 0
        return works | self.reached_anyway, asked | self.read_anyway

    def ends(self, masks: Masks) -> Masks:
        """Say which weights of each layer have both ends, whether they are kept or not.

        Of the first layer those that the second's mask reads, and the other way round.
        """
        reached, read = self.used(masks)
        of_first = read.reshape(-1, *[1] * (masks[0].ndim - 1))
        return self.reached & of_first, self.read & reached[self.source]

    def working(self, masks: Masks) -> Masks:
        """Return the kept weights that work, of each layer."""
        first, second = self.ends(masks)
        return masks[0] & first, masks[1] & second

    def value(self, masks: Masks) -> float:
        """Total score of the kept weights that work, of both layers."""
        first, second = self.working(masks)
        scores = self.first.scores, self.second.scores
        return total_score(scores[0], first) + total_score(scores[1], second)


def _check_layer(name: str, layer: RetentionProblem) -> None:
    more = [
        what
        for what, there in (
            ("a channel floor", bool(layer.channel_floor.any())),
            ("forced weights", layer.forced is not None),
            ("an order to choose", layer.order != "fixed"),
        )
        if there
    ]
    if more:
        raise BalancerError(
            f"the {name} layer has {' and '.join(more)}; the pair program knows "
            "balance, budgets, bounds on loads and previous masks only"
        )


def _checked_source(
    source: npt.ArrayLike | None, first: RetentionProblem, second: RetentionProblem
) -> IntArray:
    channels, shape = first.pe_map.channels, second.pe_map.shape
    if source is None:
        inputs = shape[1] if len(shape) > 1 else 0
        if not channels or not inputs or inputs % channels:
            raise BalancerError(
                f"the second layer has {inputs} input channels, the first {channels} "
                "output channels; say with `source` which reads which"
            )
        source = np.arange(inputs) // (inputs // channels)
        source = source.reshape(-1, *[1] * (len(shape) - 2))
    array = np.asarray(source)
    if array.dtype.kind not in "iu":
        raise BalancerError(f"`source` is {array.dtype}; whole numbers are needed")
    if array.size and not (array.min() >= 0 and array.max() < channels):
        raise BalancerError(
            f"`source` holds {array.min()} to {array.max()}; the first layer's output "
            f"channels are 0 to {channels - 1}"
        )
    return _fitted("source", array.astype(np.int64), shape)


def _broadcast(name: str, given: npt.ArrayLike, shape: tuple[int, ...]) -> BoolArray:
    array = np.asarray(given)
    if array.dtype != np.bool_:
        raise BalancerError(f"`{name}` is {array.dtype}; bool is needed")
    return _fitted(name, array, shape)


def _fitted(name: str, array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise BalancerError(
            f"`{name}` has shape {array.shape}, which does not broadcast to {shape}"
        ) from error
