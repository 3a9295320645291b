"""Which channels may change places without changing a map of one's own.

Channels of one **block** lie in the same cells, weight for weight. If all blocks cut
their channels into the same **parts**, and no two blocks or parts share a cell, then a
channel can take the place of any other: the cells are the same, and hold other weights.
Otherwise there is no order to choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """The channels that a map lets change places.

    Attributes
    ----------
    axis : int
        0: output channels, 1: input channels.
    block : ndarray of int64 [channels]
        Block of each schedule position, numbered from 0.
    part : ndarray of int64 [weights of a channel]
        Part of each weight, in the order of the axes that are left.
    group : ndarray of int64 [blocks, parts]
        Lock-step group of each cell.
    """

    axis: int
    block: IntArray
    part: IntArray
    group: IntArray

    @property
    def tiles(self) -> bool:
        """Whether output channels form tiles: a channel is a block, in one group."""
        alone = len(self.group) == len(self.block)
        return (
            self.axis == 0 and alone and bool((self.group == self.group[:, :1]).all())
        )

    @property
    def matters(self) -> bool:
        """Whether another order is another program: channels share groups or cells."""
        blocks = len(self.group)
        if blocks < 2:
            return False
        own = np.unique(
            np.arange(blocks)[:, None] * (self.group.max() + 1) + self.group
        )
        shared = len(own) > len(np.unique(self.group))
        return shared or blocks < len(self.block)

    def components(self) -> IntArray:
        """Tell which set of blocks, connected by groups, each belongs to, [blocks]."""
        component = np.arange(len(self.group))
        while True:
            least = np.full(int(self.group.max()) + 1, len(component))
            np.minimum.at(least, self.group, component[:, None])
            smaller = least[self.group].min(axis=1)
            if (smaller == component).all():
                return np.unique(component, return_inverse=True)[1].astype(np.int64)
            component = smaller


def find_exchange(cell: npt.NDArray[np.integer], group: AnyArray) -> Exchange | None:
    """Find the axis along which channels may change places.

    Parameters
    ----------
    cell : ndarray of int [output channels, input channels, kernel positions]
        A label of each weight's cell, in any numbers.
    group : ndarray of int, of the same shape
        Its group.

    Returns
    -------
    Exchange or None
        Of the output channels if these can, else of the input channels; None if
        neither can, or no exchange matters.
    """
    for axis in (0, 1):
        channels = cell.shape[axis]
        rows = np.moveaxis(cell, axis, 0).reshape(channels, -1)
        groups = np.moveaxis(group, axis, 0).reshape(channels, -1)
        found = _along(axis, rows, groups)
        if found is not None and found.matters:
            return found
    return None


def _along(axis: int, cell: AnyArray, group: AnyArray) -> Exchange | None:
    """Look along one axis, [channels, weights of a channel]."""
    _, first, block = np.unique(cell[:, 0], return_index=True, return_inverse=True)
    # Blocks in the order of their first channels.
    rank = np.argsort(np.argsort(first))
    first, block = np.sort(first), rank[block.reshape(-1)]
    if (cell != cell[first[block]]).any():
        return None
    _, example, part = np.unique(cell[0], return_index=True, return_inverse=True)
    of_block = cell[first]
    cells = of_block[:, example]
    part = part.reshape(-1)
    if (of_block != cells[:, part]).any() or len(np.unique(cells)) < cells.size:
        return None
    return Exchange(
        axis,
        block.astype(np.int64),
        part.astype(np.int64),
        group[first][:, example].astype(np.int64),
    )
