"""What others do: the masks that optimal balancing is compared with.

The u-Ticket rules are our own writing of the algorithm in R. Yin et al., "Workload-
Balanced Pruning for Sparse Spiking Neural Networks", arXiv 2302.06746 (Algorithm 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import BalancerError
from balancer.maps.pe_map import PEMap
from balancer.maps.schedule import Schedule
from balancer.metrics import LoadMetrics, kept_fraction
from balancer.order.sorting import channel_nonzeros, sorted_schedule
from balancer.program.ranking import top_per_cell


def lth_mask(scores: AnyArray, budget: int) -> BoolArray:
    """Unstructured pruning, the mask of a lottery ticket: the best of the whole layer.

    Parameters
    ----------
    scores : ndarray of float
        Non-negative saliency.
    budget : int
        Non-zeros, at most the number of scores.

    Returns
    -------
    ndarray of bool
        In the shape of the scores; of equal scores, the first are kept.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer.baselines import lth_mask
    >>> lth_mask(np.array([[4.0, 3.0], [2.0, 1.0]]), budget=2).astype(int)
    array([[1, 1],
           [0, 0]])
    """
    everything = PEMap.output_channel((1, scores.size), pes=1)
    flat = top_per_cell(scores.reshape(1, -1), everything, np.array([budget]))
    return flat.reshape(scores.shape)


def u_ticket_mask(
    mask: BoolArray,
    pe_map: PEMap,
    rule: Literal["paper", "ceil"] = "paper",
    seed: int = 0,
) -> BoolArray:
    """Random recovery and removal: the loads of each group become its mean load.

    A PE below the mean recovers random pruned weights, one above it removes random kept
    ones; a PE with fewer weights than the mean keeps all it has.

    Parameters
    ----------
    mask : ndarray of bool
        Unbalanced mask in the shape of the weights.
    pe_map : PEMap
        Group and PE of every weight.
    rule : {"paper", "ceil"}
        ``"paper"`` rounds the true mean to the nearest number (half up), ``"ceil"``
        rounds it up as the released code does, which adds non-zeros.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of bool
        In the shape of the weights.

    Raises
    ------
    BalancerError
        An unknown rule, or a mask that does not fit the map.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.baselines import u_ticket_mask
    >>> mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], dtype=bool)
    >>> balanced = u_ticket_mask(mask, PEMap.output_channel((2, 4), pes=2))
    >>> balanced.sum(axis=1)
    array([2, 2])
    """
    if rule not in ("paper", "ceil"):
        raise BalancerError(f"u-Ticket rule {rule!r}; accepted: paper, ceil")
    loads = pe_map.cell_loads(mask)
    of_group = np.bincount(pe_map.cell_group, loads, minlength=pe_map.groups)
    mean = of_group / np.maximum(1, pe_map.group_sizes())
    target = np.ceil(mean) if rule == "ceil" else np.floor(mean + 0.5)
    cell_loads = np.minimum(
        target.astype(np.int64)[pe_map.cell_group], pe_map.cell_sizes()
    )
    # Kept weights draw from [1, 2), pruned ones from [0, 1): the best of these keys are
    # random kept weights first, then random pruned ones.
    keys = np.random.default_rng(seed).random(mask.shape, dtype=np.float32)
    keys += mask
    return top_per_cell(keys, pe_map, cell_loads)


def top_k_per_pe_mask(scores: AnyArray, pe_map: PEMap, budget: int) -> BoolArray:
    """Give every PE the same share of the budget and let it keep its best.

    Parameters
    ----------
    scores : ndarray of float
        Non-negative saliency in the shape of the weights.
    pe_map : PEMap
        Group and PE of every weight.
    budget : int
        Non-zeros; the share is rounded down. A PE with fewer weights keeps them all.

    Returns
    -------
    ndarray of bool
        In the shape of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.baselines import top_k_per_pe_mask
    >>> scores = np.array([[4.0, 3.0, 2.0], [1.0, 9.0, 0.0]])
    >>> pe_map = PEMap.output_channel(scores.shape, pes=2)
    >>> top_k_per_pe_mask(scores, pe_map, budget=4).astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    """
    share = budget // max(1, pe_map.n_cells)
    return top_per_cell(scores, pe_map, np.minimum(share, pe_map.cell_sizes()))


def lth_sorted_schedule(mask: BoolArray, pe_map: PEMap) -> Schedule:
    """Sort channels by their non-zeros: better balance without changing a weight.

    Parameters
    ----------
    mask : ndarray of bool
        Unbalanced mask in the shape of the weights.
    pe_map : PEMap
        A map whose channels can be permuted.

    Returns
    -------
    Schedule
        See `order.sorting.sorted_schedule`.

    Raises
    ------
    BalancerError
        A map whose channels cannot be permuted.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.baselines import lth_sorted_schedule
    >>> mask = np.array([[1, 0], [1, 1], [0, 0], [1, 1]], dtype=bool)
    >>> lth_sorted_schedule(mask, PEMap.output_channel((4, 2), pes=2)).order.tolist()
    [1, 3, 0, 2]
    """
    return sorted_schedule(pe_map, channel_nonzeros(mask, pe_map))


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """One method on one layer.

    Attributes
    ----------
    method : str
        Name of the method.
    metrics : LoadMetrics
        Use of the array by its mask.
    kept_fraction : float or None
        Kept magnitude relative to unstructured pruning with as many non-zeros; None if
        that keeps nothing either.
    """

    method: str
    metrics: LoadMetrics
    kept_fraction: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the row of the JSON report."""
        return {
            "method": self.method,
            "nonzeros": self.metrics.nonzeros,
            "kept_fraction": self.kept_fraction,
            "utilization": self.metrics.mu,
            "eta": self.metrics.eta,
            "slots": self.metrics.slots,
        }


def compare_baselines(
    scores: AnyArray, pe_map: PEMap, budget: int, seed: int = 0
) -> list[BaselineRow]:
    """Prune one layer by every method of this module.

    Parameters
    ----------
    scores : ndarray of float
        Non-negative saliency in the shape of the weights.
    pe_map : PEMap
        Group and PE of every weight.
    budget : int
        Non-zeros of the unstructured mask, from which the others start.
    seed : int
        Seed of the random methods.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.baselines import compare_baselines
    >>> scores = np.random.default_rng(0).random((16, 64))
    >>> pe_map = PEMap.output_channel(scores.shape, pes=16)
    >>> for row in compare_baselines(scores, pe_map, budget=64):
    ...     print(f"{row.method:<21} {row.metrics.mu:.3f} {row.kept_fraction:.3f}")
    lth                   0.407 1.000
    lth-sorted            0.407 1.000
    u-ticket (paper rule) 1.000 0.887
    u-ticket (ceil rule)  1.000 0.887
    topk-per-pe           1.000 0.992
    """
    unstructured = lth_mask(scores, budget)
    masks = {
        "lth": unstructured,
        "u-ticket (paper rule)": u_ticket_mask(unstructured, pe_map, "paper", seed),
        "u-ticket (ceil rule)": u_ticket_mask(unstructured, pe_map, "ceil", seed),
        "topk-per-pe": top_k_per_pe_mask(scores, pe_map, budget),
    }
    compared = [
        BaselineRow(method, LoadMetrics.of(mask, pe_map), kept_fraction(scores, mask))
        for method, mask in masks.items()
    ]
    if pe_map.order_axis is not None:
        schedule = lth_sorted_schedule(unstructured, pe_map)
        metrics = LoadMetrics.of(schedule.apply(unstructured), pe_map)
        compared.insert(
            1, BaselineRow("lth-sorted", metrics, compared[0].kept_fraction)
        )
    return compared
