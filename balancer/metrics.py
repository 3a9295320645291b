"""How well a mask uses the array: loads, utilization, idle slots, kept magnitude.

One slot is one PE for one unit of load. A group lasts as long as its largest load, so
it offers ``PEs x largest load`` slots, of which its loads are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, BoolArray, IntArray
from balancer.maps.cell_arrays import pieces
from balancer.maps.pe_map import PEMap
from balancer.program.rounding import total_score

# So many scores tell where the largest begin, where there are many more.
SAMPLE = 2**16
WORTH_A_SAMPLE = 2**20


@dataclass(frozen=True, slots=True)
class LoadMetrics:
    """What the loads of one layer say about its use of the array.

    Attributes
    ----------
    nonzeros : int
        Weights kept: the sum of all loads, where no PEs hold copies.
    mu : float
        Utilization of the u-Ticket paper (arXiv 2302.06746), with the true mean load:
        ``1 - (T_max - T_avg) / T_max * n / (n - 1)`` over the n PEs that hold weights
        in a group, averaged over the groups with any load. 1.0 if no group has any;
        a group of one PE has 1.0.
    mu_ceil : float
        The same as in the paper's released code, which rounds the mean load up: loads
        ``[1, 0, …, 0]`` score 1.0 instead of 0.0. For comparison only.
    eta : float
        Used slots / all slots, over all PEs of the array; 1.0 for a layer without load.
    occupancy : float
        PEs that hold weights / all PEs: what is idle by structure.
    idle_unbalanced : int
        Unused slots of PEs that hold weights: what balancing can mend.
    idle_structural : int
        Unused slots of PEs without weights: what it cannot.
    slots : int
        All slots.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import LoadMetrics, PEMap
    >>> mask = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    >>> metrics = LoadMetrics.of(mask, PEMap.output_channel(mask.shape, pes=2))
    >>> metrics.mu, metrics.eta, metrics.idle_unbalanced
    (0.5, 0.75, 1)
    """

    nonzeros: int
    mu: float
    mu_ceil: float
    eta: float
    occupancy: float
    idle_unbalanced: int
    idle_structural: int
    slots: int

    @classmethod
    def of(cls, mask: BoolArray, pe_map: PEMap) -> LoadMetrics:
        """Measure a mask in the shape of the weights.

        Raises
        ------
        BalancerError
            A mask that is not boolean or not of the layer's shape.
        """
        return cls.of_loads(pe_map.cell_loads(mask), pe_map)

    @classmethod
    def of_loads(cls, cell_loads: IntArray, pe_map: PEMap) -> LoadMetrics:
        """Measure loads that are counted already, [cells]."""
        mean, largest, present = _of_groups(cell_loads, pe_map)
        nonzeros = int(cell_loads.sum())
        total = nonzeros * pe_map.copies
        slots = int(largest.sum()) * pe_map.pes
        held = int(present @ largest)
        return cls(
            nonzeros=nonzeros,
            mu=_mu(mean, largest, present),
            mu_ceil=_mu(np.ceil(mean), largest, present),
            eta=total / slots if slots else 1.0,
            occupancy=pe_map.occupancy,
            idle_unbalanced=held - total,
            idle_structural=slots - held,
            slots=slots,
        )


def mu_of_loads(cell_loads: IntArray, pe_map: PEMap) -> float:
    """Calculate `LoadMetrics.mu` alone, from loads that are counted already, [cells].

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.metrics import mu_of_loads
    >>> mu_of_loads(np.array([2, 1]), PEMap.output_channel((2, 3), pes=2))
    0.5
    """
    return _mu(*_of_groups(cell_loads, pe_map))


def _of_groups(
    cell_loads: IntArray, pe_map: PEMap
) -> tuple[npt.NDArray[np.float64], IntArray, IntArray]:
    """Mean and largest load of each group, and its PEs that hold weights."""
    present = pe_map.group_sizes() * pe_map.copies
    largest = pe_map.largest_of_group(cell_loads)
    sums = np.bincount(pe_map.cell_group, cell_loads, minlength=pe_map.groups)
    return sums * pe_map.copies / np.maximum(present, 1), largest, present


def _mu(mean: npt.NDArray[np.float64], largest: IntArray, present: IntArray) -> float:
    """Average the paper's formula over the groups with any load."""
    busy = largest > 0
    if not busy.any():
        return 1.0
    n = present[busy]
    waiting = (1 - mean[busy] / largest[busy]) * n / np.maximum(n - 1, 1)
    return float(np.mean(1 - waiting))


def utilization(mask: BoolArray, pe_map: PEMap) -> float:
    """Utilization mu of a mask, from 0 (one PE works) to 1 (all work all the time).

    See `LoadMetrics.mu` for the formula and its source.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, utilization
    >>> mask = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    >>> utilization(mask, PEMap.output_channel(mask.shape, pes=2))
    0.5
    """
    return LoadMetrics.of(mask, pe_map).mu


def fraction(part: float, whole: float) -> float | None:
    """Divide a part by its whole; of nothing there is no share, so None.

    The same numbers, added up in another order, may make the part seem larger.
    """
    return min(1.0, part / whole) if whole > 0 else None


def network_utilization(values: Sequence[float], weights: Sequence[int]) -> float:
    """Mean over layers weighted by parameter count, as in the u-Ticket paper.

    Parameters
    ----------
    values : sequence of float
        A utilization for each layer.
    weights : sequence of int
        Number of weights of each layer.

    Returns
    -------
    float
        1.0 for a network without weights.

    Examples
    --------
    >>> from balancer import network_utilization
    >>> network_utilization([1.0, 0.5], weights=[300, 100])
    0.875
    """
    total = sum(weights)
    if not total:
        return 1.0
    return float(np.dot(values, weights) / total)


def network_eta(layers: Sequence[LoadMetrics]) -> float:
    """Divide used slots by all slots, over all layers; 1.0 without any load.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import LoadMetrics, PEMap, network_eta
    >>> mask = np.array([[1, 1], [1, 0]], dtype=bool)
    >>> network_eta([LoadMetrics.of(mask, PEMap.output_channel((2, 2), pes=2))])
    0.75
    """
    slots = sum(layer.slots for layer in layers)
    idle = sum(layer.idle_unbalanced + layer.idle_structural for layer in layers)
    return (slots - idle) / slots if slots else 1.0


def top_k(scores: AnyArray, k: int, allowed: BoolArray | None = None) -> AnyArray:
    """Return the `k` largest scores, in any order and from any shape.

    Of all, or of the `allowed` ones, and all of these if they are no more than `k`.
    """
    flat = scores.reshape(-1)
    mask = None if allowed is None or allowed.all() else allowed.reshape(-1)
    found = _candidates(flat, k, mask)
    if found is None:
        found = flat if mask is None else flat[mask]
    if k >= found.size:
        return found
    return np.partition(found, found.size - k)[found.size - k :] if k else found[:0]


def _candidates(flat: AnyArray, k: int, allowed: BoolArray | None) -> AnyArray | None:
    """Leave out most scores that are not among the `k` largest, and copy no others.

    None unless a sample tells a bar that at least `k` of them reach.
    """
    if flat.size < WORTH_A_SAMPLE:
        return None
    step = flat.size // SAMPLE | 1  # odd, because channels are even
    sample = flat[::step] if allowed is None else flat[::step][allowed[::step]]
    rank = int(1.2 * k * SAMPLE / flat.size) + 16
    if 2 * rank > sample.size:
        return None
    bar = np.partition(sample, sample.size - rank)[sample.size - rank]
    found = reaching(flat, bar, allowed)
    return found if found.size >= k else None


def reaching(flat: AnyArray, bar: float, allowed: BoolArray | None) -> AnyArray:
    """Return the scores that reach a bar, of all or of the allowed ones."""
    found = [flat[:0]]
    for piece in pieces(flat.size):
        places = np.flatnonzero(flat[piece] >= bar)
        if allowed is not None:
            places = places[allowed[piece][places]]
        found.append(flat[piece][places])
    return np.concatenate(found)


def top_k_sum(scores: AnyArray, k: int, allowed: BoolArray | None = None) -> float:
    """Total of the `k` largest scores: what unstructured pruning keeps.

    Parameters
    ----------
    scores : ndarray of float
        Non-negative saliency.
    k : int
        How many to keep.
    allowed : ndarray of bool, optional
        Which may be kept, in the shape of the scores; default: all.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import top_k_sum
    >>> top_k_sum(np.array([[1.0, 4.0], [3.0, 2.0]]), 2)
    7.0
    """
    return float(top_k(scores, k, allowed).sum(dtype=np.float64))


def kept_fraction(scores: AnyArray, mask: BoolArray) -> float | None:
    """Kept magnitude of a mask relative to unstructured pruning at equal non-zeros.

    Parameters
    ----------
    scores : ndarray of float
        Non-negative saliency.
    mask : ndarray of bool
        In the shape of the scores.

    Returns
    -------
    float or None
        None where unstructured pruning keeps nothing either, as of an empty mask.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer.metrics import kept_fraction
    >>> scores = np.array([4.0, 3.0, 2.0, 1.0])
    >>> round(kept_fraction(scores, np.array([True, False, True, False])), 3)
    0.857
    """
    kept = total_score(scores, mask)
    return fraction(kept, top_k_sum(scores, int(np.count_nonzero(mask))))
