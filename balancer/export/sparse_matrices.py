"""Layers as SciPy's sparse matrices: whole, and what each PE holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.array_types import BoolArray
from balancer.errors import BalancerError
from balancer.maps.layer_cells import LayerCells
from balancer.maps.schedule import Schedule


class SparseLayer(NamedTuple):
    """A layer as matrices [output channels, inputs x kernel positions].

    Attributes
    ----------
    whole : csr_array
        All kept weights, in the natural order of the channels.
    pes : tuple of csr_array
        Those of each PE, in the same places: they add up to `whole`.
    """

    whole: Any
    pes: tuple[Any, ...]


def sparse_layer(
    weights: npt.ArrayLike,
    mask: BoolArray,
    pe_map: LayerCells,
    schedules: Iterable[Schedule] = (),
) -> SparseLayer:
    """Make a layer SciPy's sparse matrices.

    Parameters
    ----------
    weights : array_like of float
        Of the layer, in its natural order.
    mask : ndarray of bool
        What is kept; kept zeros are stored, too.
    pe_map : PEMap
        Who works on what.
    schedules : iterable of Schedule
        In which order the PEs take the channels; default: as they are.

    Raises
    ------
    BalancerError
        Shapes that do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, sparse_layer
    >>> weights = np.array([[0.5, 0, 0, 1], [0, 2, 0, 0]])
    >>> layer = sparse_layer(weights, weights != 0, PEMap.interleaved((2, 4), pes=2))
    >>> layer.pes[1].toarray()
    array([[0., 0., 0., 0.],
           [0., 2., 0., 0.]])
    """
    from scipy import sparse  # takes a while to load

    given = np.asarray(weights)
    if given.shape != pe_map.shape:
        raise BalancerError(
            f"the weights have shape {given.shape}; the PE map needs {pe_map.shape}"
        )
    pe_map.cell_loads(mask)  # refuses masks that do not fit
    pe = pe_map.labels()[1]
    for schedule in reversed(tuple(schedules)):
        pe = schedule.invert(pe)
    channels = pe_map.channels
    shape = (channels, pe_map.weights // channels if channels else 0)
    rows, columns = np.nonzero(np.reshape(mask, shape))
    values = given.reshape(shape)[rows, columns]
    owners = pe.reshape(shape)[rows, columns]

    def matrix(chosen: Any) -> Any:
        # One entry a place, and in order: nothing is summed, and no zero dropped.
        places = (rows[chosen], columns[chosen])
        return sparse.csr_array((values[chosen], places), shape=shape)

    return SparseLayer(
        matrix(slice(None)), tuple(matrix(owners == one) for one in range(pe_map.pes))
    )
