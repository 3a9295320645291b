"""Two-way balance: given loads in two PE maps at once.

Every weight lies in a cell of a first PE map and in a cell of a second one: rows and
columns of a matrix, the forward and the backward pass on one array. Keep the weights
with the largest total score such that every PE has its load in both maps. This is a
transportation problem, totally unimodular, so a min-cost flow solves it exactly. In
LaTeX: "Two-way balance" in ``docs/programs.md``.

A **transposable n:m** mask has n weights in every row and in every column of each m x m
block (Hubara et al. 2021, arXiv 2102.08124): every block is a small program of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.errors import BalancerError, InfeasibleError, VerificationError
from balancer.maps.pe_map import PEMap
from balancer.program.validation import checked_scores

# Blocks are solved in pieces of about this many weights: large enough for NumPy, small
# enough for the cache and for a deadline.
PIECE_WEIGHTS = 2**16


@dataclass(frozen=True, eq=False, init=False)
class TwoWayProblem:
    """Weights with given loads in two PE maps; the module says what for.

    Parameters
    ----------
    scores : array_like of float, in the shape of the PE maps
        Non-negative saliency of every weight.
    first, second : PEMap
        Two maps of the same layer.
    first_loads, second_loads : int or array_like of int [groups], optional
        Load of every PE of each group; n:m maps imply theirs.

    Raises
    ------
    BalancerError
        Maps of different shapes, or loads of a wrong type or number.
    InfeasibleError
        A load that exceeds a cell, or maps whose loads add up differently.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, TwoWayProblem, solve_two_way
    >>> rows = PEMap.output_channel((4, 4), pes=4)
    >>> columns = PEMap.from_labels(group=np.zeros((4, 1), int), pe=np.arange(4))
    >>> scores = np.eye(4) + np.eye(4, k=1)
    >>> problem = TwoWayProblem(scores, rows, columns, first_loads=1, second_loads=1)
    >>> solve_two_way(problem).mask.astype(int)
    array([[1, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 1, 0],
           [0, 0, 0, 1]])
    """

    scores: AnyArray
    first: PEMap
    second: PEMap
    first_loads: IntArray
    second_loads: IntArray

    def __init__(
        self,
        scores: npt.ArrayLike,
        first: PEMap,
        second: PEMap,
        first_loads: npt.ArrayLike | None = None,
        second_loads: npt.ArrayLike | None = None,
    ) -> None:
        if first.shape != second.shape:
            raise BalancerError(
                f"the first PE map has shape {first.shape}, the second {second.shape}; "
                "they must be maps of the same layer"
            )
        # A frozen dataclass sets its fields through its dictionary.
        self.__dict__.update(
            scores=checked_scores(scores, first.shape),
            first=first,
            second=second,
            first_loads=_loads("first_loads", first_loads, first),
            second_loads=_loads("second_loads", second_loads, second),
        )
        total, other = (int(loads.sum()) for loads in self.cell_loads())
        if total != other:
            raise InfeasibleError(
                f"`first_loads` add up to {total} weights, `second_loads` to {other}; "
                "both maps need the same number"
            )

    def cell_loads(self) -> tuple[IntArray, IntArray]:
        """Load of every cell of the first and of the second map."""
        return (
            self.first_loads[self.first.cell_group],
            self.second_loads[self.second.cell_group],
        )

    def check(self, mask: BoolArray) -> None:
        """Raise `VerificationError` if a mask does not have the loads."""
        pairs = zip((self.first, self.second), self.cell_loads(), strict=True)
        for name, (pe_map, loads) in zip(("first", "second"), pairs, strict=True):
            if not np.array_equal(pe_map.cell_loads(mask), loads):
                raise VerificationError(f"the mask breaks the loads of the {name} map")


@dataclass(frozen=True, eq=False, init=False)
class TransposableProblem:
    """Transposable n:m: n weights in every row and column of each m x m block.

    Blocks lie on consecutive output and input channels, for each kernel position.

    Parameters
    ----------
    scores : array_like of float, output channels x input channels (x kernel positions)
        Non-negative saliency of every weight; both channels multiples of `m`.
    n, m : int
        The pattern, ``1 <= n <= m``.

    Raises
    ------
    BalancerError
        Scores or a pattern that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import TransposableProblem
    >>> problem = TransposableProblem(np.ones((8, 16)), n=2, m=4)
    >>> problem.n, problem.m
    (2, 4)
    """

    scores: AnyArray
    n: int
    m: int

    def __init__(self, scores: npt.ArrayLike, n: int, m: int) -> None:
        shape = np.shape(scores)
        for value in (n, m):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise BalancerError(f"n:m pattern {n!r}:{m!r}: whole numbers needed")
        if not 1 <= n <= m:
            raise BalancerError(f"n:m pattern {n}:{m}: 1 <= n <= m is needed")
        if len(shape) < 2 or shape[0] % m or shape[1] % m:
            raise BalancerError(
                f"scores have shape {shape}; a transposable {n}:{m} mask needs output "
                f"and input channels that are multiples of {m} (pad them)"
            )
        checked = checked_scores(scores, shape)
        self.__dict__.update(scores=checked, n=int(n), m=int(m))

    def pieces(self) -> Iterator[slice]:
        """Yield ranges of output channels that hold whole blocks."""
        outputs = self.scores.shape[0]
        weights = self.scores.size // max(1, outputs) * self.m
        step = self.m * max(1, PIECE_WEIGHTS // max(1, weights))
        for start in range(0, outputs, step):
            yield slice(start, min(outputs, start + step))

    def blocks(self, array: AnyArray) -> AnyArray:
        """View some output channels as blocks [row, column, position, m, m]."""
        outputs, inputs, m = len(array), array.shape[1], self.m
        positions = prod(array.shape[2:])
        split = array.reshape(outputs // m, m, inputs // m, m, positions)
        return split.transpose(0, 2, 4, 1, 3)

    def check(self, mask: BoolArray) -> None:
        """Raise `VerificationError` if a mask does not have the pattern."""
        blocks = self.blocks(mask)
        for axis, name in ((3, "column"), (4, "row")):
            if (np.count_nonzero(blocks, axis=axis) != self.n).any():
                raise VerificationError(f"a {name} of a block does not keep {self.n}")


def _loads(name: str, loads: npt.ArrayLike | None, pe_map: PEMap) -> IntArray:
    if loads is None:
        if pe_map.fixed_load is None:
            raise BalancerError(f"`{name}` is needed; only an n:m map implies it")
        loads = pe_map.fixed_load
    array = np.asarray(loads)
    if array.dtype.kind not in "iu" or array.shape not in ((), (pe_map.groups,)):
        raise BalancerError(
            f"`{name}` is {array.dtype} {array.shape}; one whole number, or one for "
            f"each of the {pe_map.groups} groups, is needed"
        )
    given = np.broadcast_to(array.astype(np.int64), (pe_map.groups,))
    capacity = pe_map.least_of_group(pe_map.cell_sizes())
    wrong = np.flatnonzero((given < 0) | (given > capacity))
    if wrong.size:
        group = int(wrong[0])
        raise InfeasibleError(
            f"`{name}` of group {group} is {given[group]}; its smallest PE takes "
            f"0..{capacity[group]}"
        )
    return given
