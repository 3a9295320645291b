"""The pair program by turns: each layer is solved for what the other one uses.

A turn is a retention program, so it is fast. What the other layer does not use counts
for nothing, except that it may fill. The best pair of all turns is the answer; from
several beginnings, since turns end where each layer suits the other.
"""

from __future__ import annotations

import numpy as np

from balancer.array_types import BoolArray
from balancer.pair.problem import Masks, PairProblem
from balancer.program.keys import mark
from balancer.program.problem import RetentionProblem
from balancer.program.ranking import top_per_cell
from balancer.solvers.greedy import GreedySolver
from balancer.solvers.limits import Search

MOST_TURNS = 10


def alternate(
    problem: PairProblem, search: Search, hint: Masks | None = None
) -> tuple[Masks, float]:
    """Find a good pair of masks, and a bound that no pair exceeds.

    Parameters
    ----------
    problem : PairProblem
        The pair.
    search : Search
        Ends it after the turn in which it is cancelled.
    hint : two ndarray of bool, optional
        Masks to begin with, beside those of each layer alone.

    Returns
    -------
    masks : two ndarray of bool
    bound : float
        Of the layers alone, each as if the other used all channels.
    """
    outer = problem.reached, problem.read
    alone, bound = [], 0.0
    for layer, ends in zip((problem.first, problem.second), outer, strict=True):
        mask, of_layer = _solved(layer, ends, search)
        alone.append(mask)
        bound += of_layer
    beginnings = [] if hint is None else [hint]
    beginnings.append((alone[0], alone[1]))
    best = max(beginnings, key=problem.value)
    most = problem.value(best)
    for beginning in beginnings:
        for first_turn in (0, 1):
            masks, value = beginning, problem.value(beginning)
            for turn in range(MOST_TURNS):
                if search.cancellation.cancelled:
                    return best, bound
                masks = _turned(problem, masks, (first_turn + turn) % 2, search)
                before, value = value, problem.value(masks)
                if value > most:
                    best, most = masks, value
                if turn and value <= before:
                    break
    return best, bound


def _turned(problem: PairProblem, masks: Masks, turn: int, search: Search) -> Masks:
    """Solve one layer for what the other uses, and let it use what it then has."""
    first, second = problem.ends(masks)
    if turn:
        return masks[0], _solved(problem.second, second, search)[0]
    return _solved(problem.first, first, search)[0], masks[1]


def _solved(
    layer: RetentionProblem, ends: BoolArray, search: Search
) -> tuple[BoolArray, float]:
    """Solve a layer in which only weights with an end count; and its bound."""
    counted = RetentionProblem(
        np.where(ends, layer.scores, 0),
        layer.pe_map,
        layer.budget,
        min_load=layer.min_load,
        max_load=layer.max_load,
        previous_mask=layer.previous_mask,
    )
    answer = GreedySolver().solve(counted, search)
    return _filled(layer, answer.mask, ends), answer.bound


def _filled(layer: RetentionProblem, mask: BoolArray, ends: BoolArray) -> BoolArray:
    """Let cells keep what works before what does not, at the loads that they have.

    Of weights without an end, those with the largest scores fill.
    """
    pe_map = layer.pe_map
    keys = np.where(
        ends, layer.scores, layer.scores - 2.0 * layer.scores.max(initial=1)
    )
    keys = mark(keys, layer.previous_mask, None)
    return top_per_cell(keys, pe_map, pe_map.cell_loads(mask))
