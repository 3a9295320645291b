"""How many weights each layer keeps: the network's budget, shared among its layers.

Global magnitude pruning ranks all weights together, which starves layers whose weights
are small. The other rules rank what is comparable between layers, or do not rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np

from balancer.array_types import AnyArray, BoolArray, FloatArray
from balancer.errors import BalancerError
from balancer.hardware import LayerCost
from balancer.maps.pe_map import PEMap
from balancer.network.guard import share_out, smallest_slice

Budgets: TypeAlias = Literal["global", "lamp", "cycles", "layer", "erk"]
RULES: tuple[str, ...] = get_args(Budgets)


def layer_counts(
    budgets: Budgets,
    scores: Mapping[str, AnyArray],
    candidates: Mapping[str, BoolArray],
    total: int,
    *,
    least: Mapping[str, int] | None = None,
    cycles_per_weight: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Share a number of weights among the layers.

    Parameters
    ----------
    budgets : {"global", "lamp", "cycles", "layer", "erk"}
        ``global`` keeps the largest scores of all layers together. ``lamp`` ranks the
        layer-adaptive scores of Lee et al. (arXiv 2010.07611; `lamp_scores`) of the
        candidates. ``cycles`` ranks these per cycle that a weight takes. ``layer``
        gives every layer the same density, and ``erk`` one proportional to the sum over
        the product of the sizes of its axes (Erdős-Rényi kernel; Evci et al., arXiv
        1911.11134), at most 1. In LaTeX: "Network budgets" in ``docs/programs.md``.
    scores : mapping of str to ndarray of float
        Scores of the weights of each layer, not negative.
    candidates : mapping of str to ndarray of bool
        Weights that may be kept.
    total : int
        Weights to keep, exactly, or all candidates if they are fewer.
    least : mapping of str to int, optional
        What each layer keeps at least; it is taken from the layers with most.
    cycles_per_weight : mapping of str to float, optional
        What ``cycles`` needs, in each layer above 0.

    Returns
    -------
    dict of str to int

    Raises
    ------
    BalancerError
        An unknown rule, or ``cycles`` without cycles.
    InfeasibleError
        The least of all layers exceeds the total.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import layer_counts
    >>> scores = {"a": np.array([[9.0, 8.0], [7.0, 6.0]]), "b": np.array([[2.0, 1.0]])}
    >>> every = {name: score > 0 for name, score in scores.items()}
    >>> layer_counts("global", scores, every, 3), layer_counts("lamp", scores, every, 3)
    ({'a': 3, 'b': 0}, {'a': 2, 'b': 1})
    """
    if budgets not in RULES:
        raise BalancerError(f"`budgets` is {budgets!r}; accepted: {', '.join(RULES)}")
    if budgets == "cycles" and cycles_per_weight is None:
        raise BalancerError(
            "`budgets` is 'cycles', but what a weight takes is not known; it needs an "
            "accelerator that can have the PE map, or the `costs` of the layers"
        )
    most = {name: int(np.count_nonzero(mask)) for name, mask in candidates.items()}
    total = min(total, sum(most.values()))
    if budgets in ("layer", "erk"):
        shapes = {name: score.shape for name, score in scores.items()}
        wanted = _by_density(budgets, shapes, most, total)
    else:
        ranks = {name: score[candidates[name]] for name, score in scores.items()}
        if budgets != "global":
            ranks = {name: lamp_scores(rank) for name, rank in ranks.items()}
        if budgets == "cycles" and cycles_per_weight is not None:
            ranks = {n: rank / cycles_per_weight[n] for n, rank in ranks.items()}
        wanted = _by_rank(ranks, total)
    floors = {name: min(most[name], (least or {}).get(name, 0)) for name in wanted}
    if all(wanted[name] >= floors[name] for name in wanted):
        return wanted
    return share_out(wanted, floors, most, total=total)


def guarded_counts(
    budgets: Budgets,
    scores: Mapping[str, AnyArray],
    candidates: Mapping[str, BoolArray],
    total: int,
    maps: Mapping[str, PEMap],
    *,
    costs: Mapping[str, LayerCost] | None = None,
    allow_empty: bool = False,
) -> dict[str, int]:
    """Share a number of weights among layers of which none loses its smallest slice.

    With global budgets a layer may, as global pruning has it; so it may where the
    total has no room for a slice of each, which is for the caller to refuse.

    Parameters
    ----------
    budgets, scores, candidates, total
        As in `layer_counts`.
    maps : mapping of str to PEMap
        Of the layers.
    costs : mapping of str to LayerCost, optional
        What slices of the layers cost; the rule ``cycles`` needs them.
    allow_empty : bool
        Layers may lose all their weights, whatever the rule.

    Raises
    ------
    BalancerError
        An unknown rule, or ``cycles`` without costs.
    """
    least: dict[str, int] = {}
    if budgets != "global" and not allow_empty:
        least = {
            name: smallest_slice(one, one.least_of_group(one.cell_sizes()))
            for name, one in maps.items()
        }
    if sum(least.values()) > total:
        least = {}
    cycles = None
    if budgets == "cycles" and costs is not None:
        cycles = _cycles_per_weight(costs, maps)
    return layer_counts(
        budgets, scores, candidates, total, least=least, cycles_per_weight=cycles
    )


def whole_slices(
    counts: Mapping[str, int],
    least: Mapping[str, int],
    candidates: Mapping[str, BoolArray],
    maps: Mapping[str, PEMap],
) -> dict[str, int]:
    """Round the weights of layers to what balanced masks can keep.

    A balanced layer keeps whole slices, so each count becomes the nearest number of
    them, but not less than the layer needs; see `guard.share_out`.

    Parameters
    ----------
    counts, least : mapping of str to int
        Weights that the layers should keep, and need.
    candidates : mapping of str to ndarray of bool
        Weights that may be kept.
    maps : mapping of str to PEMap
        Of the layers.

    Raises
    ------
    InfeasibleError
        The layers need more than all of them should keep.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap
    >>> from balancer.network.layer_counts import whole_slices
    >>> every = {name: np.ones((16, 9), bool) for name in "ab"}
    >>> maps = {name: PEMap.output_channel((16, 9), pes=16) for name in "ab"}
    >>> whole_slices({"a": 90, "b": 5}, {"a": 16, "b": 16}, every, maps)
    {'a': 64, 'b': 16}
    """
    return share_out(
        counts,
        least,
        {name: int(np.count_nonzero(candidates[name])) for name in counts},
        units={name: _slice(pe_map) for name, pe_map in maps.items()},
    )


def _slice(pe_map: PEMap) -> int:
    """Weights of which every balanced mask keeps a multiple."""
    sizes = pe_map.group_sizes()
    return int(np.gcd.reduce(sizes[sizes > 0], initial=0)) or 1


def _cycles_per_weight(
    costs: Mapping[str, LayerCost], maps: Mapping[str, PEMap]
) -> dict[str, float]:
    """Say what a weight of each layer takes: its share of a slice."""
    cycles: dict[str, float] = {}
    for name, pe_map in maps.items():
        sizes = pe_map.group_sizes()
        weights_of_slice = float(sizes.sum()) / max(1, int(np.count_nonzero(sizes)))
        cycles[name] = costs[name].cycles_per_slice / (weights_of_slice or 1.0)
    # A layer that never runs takes no cycles; it must not get all the weights.
    least = min((one for one in cycles.values() if one > 0), default=1.0)
    return {name: one or least for name, one in cycles.items()}


def lamp_scores(scores: AnyArray) -> FloatArray:
    """Divide each squared score by the sum of those that are not smaller.

    Parameters
    ----------
    scores : ndarray of float [any shape]
        Of one layer, not negative.

    Returns
    -------
    ndarray of float64 [the same shape]
        From 0 to 1; 1 for a largest score that no other equals, 0 for a score of 0.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import lamp_scores
    >>> lamp_scores(np.array([3.0, 4.0, 0.0])).tolist()
    [0.36, 1.0, 0.0]
    """
    flat = np.asarray(scores, np.float64).ravel()
    largest = flat.max(initial=0.0)
    if not largest:
        return np.zeros(np.shape(scores))
    squares = np.square(flat / largest)  # whatever the unit, nothing overflows
    order = np.argsort(squares, kind="stable")
    rising = squares[order]
    above = np.cumsum(rising[::-1])[::-1]  # of this one and all behind it
    equal = np.searchsorted(rising, rising, side="left")
    made = np.zeros_like(squares)
    np.divide(rising, above[equal], out=rising, where=rising > 0)
    made[order] = rising
    shaped: FloatArray = made.reshape(np.shape(scores))
    return shaped


def _by_rank(ranks: Mapping[str, AnyArray], total: int) -> dict[str, int]:
    """Count the largest ranks; of equal ones, those of the first layers."""
    flat = np.concatenate([*ranks.values()] or [np.empty(0)])
    threshold = -np.inf
    if total < flat.size:
        threshold = np.partition(flat, -total)[-total] if total else np.inf
    counts = {name: int(np.count_nonzero(r > threshold)) for name, r in ranks.items()}
    left = total - sum(counts.values())
    for name, rank in ranks.items():
        more = min(left, int(np.count_nonzero(rank == threshold)))
        counts[name] += more
        left -= more
    return counts


def _by_density(
    budgets: str,
    shapes: Mapping[str, tuple[int, ...]],
    most: Mapping[str, int],
    total: int,
) -> dict[str, int]:
    """Share by densities that are in proportion, each layer up to its candidates."""
    sizes = {name: float(np.prod(shape)) for name, shape in shapes.items()}
    relative = {
        name: sum(shape) / max(1.0, sizes[name]) if budgets == "erk" else 1.0
        for name, shape in shapes.items()
    }
    exact: dict[str, float] = {}
    open_ = set(shapes)
    while True:
        left = total - sum(exact.values())
        weight = sum(relative[name] * sizes[name] for name in open_)
        factor = left / weight if weight else 0.0
        full = {n for n in open_ if factor * relative[n] * sizes[n] >= most[n]}
        if not full:
            break
        exact |= {name: float(most[name]) for name in full}
        open_ -= full
    exact |= {name: factor * relative[name] * sizes[name] for name in open_}
    counts = {name: int(exact[name]) for name in shapes}
    # The largest fractions first; of equal ones, those of the first layers.
    by_fraction = sorted(shapes, key=lambda name: counts[name] - exact[name])
    for name in by_fraction * 2:
        if sum(counts.values()) >= total:
            break
        counts[name] += counts[name] < most[name]
    return counts
