"""How many weights each layer keeps: the network's budget, shared among its layers.

Global magnitude pruning ranks all weights together, which starves layers whose weights
are small. The other rules rank what is comparable between layers, or do not rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from balancer import BalancerError
from balancer.array_types import AnyArray
from balancer.network.guard import share_out
from snn.array_types import Masks

Budgets = Literal["global", "lamp", "cycles", "layer", "erk"]
BUDGETS: tuple[str, ...] = get_args(Budgets)


def layer_counts(
    budgets: Budgets,
    scores: Mapping[str, AnyArray],
    candidates: Masks,
    total: int,
    *,
    least: Mapping[str, int] | None = None,
    cycles_per_weight: Mapping[str, float] | None = None,
) -> dict[str, int]:
    r"""Share a number of weights among the layers.

    Parameters
    ----------
    budgets : {"global", "lamp", "cycles", "layer", "erk"}
        ``global`` keeps the largest scores of all layers together. ``lamp`` ranks the
        layer-adaptive scores of Lee et al. (arXiv 2010.07611),

        .. math:: u_i = s_i^2 / \sum_{j : s_j \ge s_i} s_j^2,

        with the sum over the candidates of the layer. ``cycles`` ranks these per cycle
        that a weight takes. ``layer`` gives every layer the same density, and ``erk``
        one proportional to the sum over the product of the sizes of its axes
        (Erdős-Rényi kernel; Evci et al., arXiv 1911.11134), at most 1.
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
    >>> from snn.lottery.layer_budgets import layer_counts
    >>> scores = {"a": np.array([[9.0, 8.0], [7.0, 6.0]]), "b": np.array([[2.0, 1.0]])}
    >>> every = {name: score > 0 for name, score in scores.items()}
    >>> layer_counts("global", scores, every, 3), layer_counts("lamp", scores, every, 3)
    ({'a': 3, 'b': 0}, {'a': 2, 'b': 1})
    """
    if budgets not in BUDGETS:
        raise BalancerError(f"`budgets` is {budgets!r}; accepted: {', '.join(BUDGETS)}")
    if budgets == "cycles" and cycles_per_weight is None:
        raise BalancerError(
            "`budgets` is 'cycles', but what a weight takes is not known; it needs an "
            "accelerator that can have the PE map"
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


def lamp_scores(scores: AnyArray) -> npt.NDArray[np.float64]:
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
    >>> from snn.lottery.layer_budgets import lamp_scores
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
    return made.reshape(np.shape(scores))


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
