"""What cutting a layer comes to: cells of weights, each of one group and PE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, IntArray
from balancer.errors import BalancerError, shortened
from balancer.maps.cell_arrays import CellMatrix
from balancer.maps.exchange import Exchange

# A table of loads has groups x PEs entries; labels that are not compact would fill the
# memory with zeros long before they describe an accelerator.
MAX_LOAD_TABLE = 2**27
MAX_NUMBER = 2**31 - 1  # PEs and channels are counted in 32 bits


class Part(NamedTuple):
    """A matrix of cells, and the group and the PE of each of them."""

    cells: CellMatrix
    group: AnyArray
    pe: AnyArray


class Layout(NamedTuple):
    """All cells of a layer, numbered matrix by matrix; see `PEMap` for the fields."""

    pes: int
    groups: int
    matrices: tuple[CellMatrix, ...]
    cell_group: npt.NDArray[np.int32]
    cell_pe: npt.NDArray[np.int32]
    fixed_load: IntArray | None = None
    input_blocks: IntArray | None = None
    copy_pe: npt.NDArray[np.int32] | None = None
    order_axis: int | None = None
    exchange: Exchange | None = None

    @classmethod
    def of(
        cls,
        pes: int,
        groups: int,
        parts: Iterable[Part],
        fixed_load: IntArray | None = None,
        input_blocks: IntArray | None = None,
    ) -> Layout:
        """Put together the parts that hold weights."""
        check_load_table(groups, pes)
        held = [part for part in parts if part.cells.n_cells and part.cells.width]
        return cls(
            pes,
            groups,
            tuple(part.cells for part in held),
            _joined([part.group for part in held]),
            _joined([part.pe for part in held]),
            fixed_load,
            input_blocks,
        )


def _joined(numbers: Sequence[AnyArray]) -> npt.NDArray[np.int32]:
    narrow = [np.asarray(some, dtype=np.int32) for some in numbers]
    if len(narrow) == 1:  # no second copy of what is large
        return narrow[0]
    return np.concatenate([np.empty(0, np.int32), *narrow])


@dataclass(frozen=True, slots=True)
class LayerShape:
    """A validated weight shape, seen as outputs x inputs x kernel positions."""

    shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int]) -> LayerShape:
        """Validate a weight shape.

        Raises
        ------
        BalancerError
            Fewer than two dimensions, or something that is no size.
        """
        try:
            sizes = tuple(int(size) for size in shape)
        except (TypeError, ValueError):
            sizes = ()
        if len(sizes) < 2 or min(sizes) < 0:
            raise BalancerError(
                f"weight shape {shape!r}: two or more dimensions are needed (output "
                "channels, input channels, then kernel positions)"
            )
        return cls(sizes)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.shape[0]

    @property
    def inputs(self) -> int:
        """Input channels that one output channel reads."""
        return self.shape[1]

    @property
    def positions(self) -> int:
        """Kernel positions."""
        return prod(self.shape[2:])

    @property
    def fan_in(self) -> int:
        """Weights of one output channel."""
        return prod(self.shape[1:])

    @property
    def weights(self) -> int:
        """Weights of the layer."""
        return prod(self.shape)


def whole_number(name: str, value: object) -> int:
    """Return a whole number from 1, or refuse it under its name."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise BalancerError(f"`{name}` is {value!r}; a whole number from 1 is needed")
    if value > MAX_NUMBER:
        raise BalancerError(
            f"`{name}` is {shortened(str(value), 40)}, more than the {MAX_NUMBER} that "
            "are accepted"
        )
    return int(value)


def check_load_table(groups: int, pes: int) -> None:
    """Refuse arrays whose table of loads could not be held.

    Raises
    ------
    BalancerError
        More than `MAX_LOAD_TABLE` entries.
    """
    if groups * pes > MAX_LOAD_TABLE:
        raise BalancerError(
            f"{groups} groups x {pes} PEs is more than {MAX_LOAD_TABLE} loads; use "
            "fewer PEs or groups (labels must be compact)"
        )
