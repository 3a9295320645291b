"""The pair program in CP-SAT, from the best answer of turns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from balancer.array_types import BoolArray, FloatArray, IntArray
from balancer.errors import SolverUnavailableError
from balancer.pair.problem import Masks, PairProblem
from balancer.program.keys import mark
from balancer.program.problem import RetentionProblem
from balancer.program.ranking import top_per_cell
from balancer.program.rounding import ROUNDING
from balancer.solvers import or_tools
from balancer.solvers.limits import Search
from balancer.solvers.solution import Termination, proven

# Both layers' weights that can be kept; 55,000 have been proven in 16 s. A model of
# more takes long to write, whatever the time limit is.
MOST_WEIGHTS = 200_000
# The scores add up to less than 2**INTEGER_BITS after scaling.
INTEGER_BITS = 52


@dataclass(frozen=True, slots=True, eq=False)
class _LayerModel:
    """One layer in the model: a boolean for each weight that may work."""

    layer: RetentionProblem
    weights: IntArray  # flat positions of these weights
    channel: IntArray  # between the layers, of each of them
    keep: list[Any]
    scores: FloatArray

    @classmethod
    def of(
        cls,
        model: Any,
        layer: RetentionProblem,
        ends: BoolArray,
        channel: IntArray,
        hint: BoolArray,
    ) -> _LayerModel:
        """Add a layer's balance, budget and bounds to a model."""
        total = or_tools.load().LinearExpr.sum
        pe_map = layer.pe_map
        allowed = ends if layer.previous_mask is None else ends & layer.previous_mask
        weights = np.flatnonzero(allowed)
        scores = layer.scores.reshape(-1)[weights].astype(np.float64)
        of_weight = channel.reshape(-1)[weights]
        cell = pe_map.cell_labels().reshape(-1)[weights].astype(np.int64)
        keep = [model.new_bool_var("") for _ in weights]
        for variable, value in zip(
            keep, hint.reshape(-1)[weights].tolist(), strict=True
        ):
            model.add_hint(variable, value)
        # Of a cell's weights on one channel the best come first: the others are no use
        # without them, and without this every exchange of equals would be searched.
        order = np.lexsort((-scores, of_weight, cell))
        for better, worse in pairwise(order.tolist()):
            same = cell[better] == cell[worse] and of_weight[better] == of_weight[worse]
            if same:
                model.add_implication(keep[worse], keep[better])
        candidates = _sizes(layer)
        load = [
            model.new_int_var(int(least), int(most), "")
            for least, most in zip(layer.lower, layer.upper, strict=True)
        ]
        loads = pe_map.largest_of_group(pe_map.cell_loads(hint))
        for variable, value in zip(load, loads.tolist(), strict=True):
            model.add_hint(variable, int(value))
        members = np.split(
            np.argsort(cell, kind="stable"), _starts(cell, pe_map.n_cells)
        )
        for number, group in enumerate(pe_map.cell_group.tolist()):
            # The rest of the load are fillers, as many as it takes.
            model.add(total([keep[i] for i in members[number]]) <= load[group])
            model.add(load[group] <= int(candidates[number]))
        sizes = pe_map.group_sizes().tolist()
        model.add(or_tools.load().LinearExpr.weighted_sum(load, sizes) <= layer.budget)
        return cls(layer, weights, of_weight, keep, scores)

    def by_channel(self, channels: int) -> Iterator[list[Any]]:
        """Yield the booleans of each channel."""
        members = np.split(
            np.argsort(self.channel, kind="stable"), _starts(self.channel, channels)
        )
        for found in members:
            yield [self.keep[i] for i in found]

    def mask(self, outcome: or_tools.Outcome) -> BoolArray:
        """Read the answer; cells are filled up to the largest of their group."""
        pe_map = self.layer.pe_map
        kept = np.zeros(pe_map.weights, dtype=bool)
        kept[self.weights] = outcome.values(self.keep)
        return _levelled(self.layer, kept.reshape(pe_map.shape))


def search_pair(
    problem: PairProblem, search: Search, hint: Masks
) -> tuple[Masks, float, Termination]:
    """Search the program of a pair.

    Parameters
    ----------
    problem : PairProblem
        The pair.
    search : Search
        Limits, progress and cancellation.
    hint : two ndarray of bool
        Feasible masks to begin with.

    Returns
    -------
    masks : two ndarray of bool
        The best found, at least as good as the hint.
    bound : float
        Value that no pair of masks exceeds.
    termination : Termination
        Why it ended.

    Raises
    ------
    SolverUnavailableError
        No OR-Tools, no time, or too many weights.
    """
    or_tools.require(search)
    weights = sum(_sizes(layer).sum() for layer in (problem.first, problem.second))
    if weights > MOST_WEIGHTS:
        raise SolverUnavailableError(
            f"the pair program of {weights} weights is larger than {MOST_WEIGHTS}"
        )
    cp_model = or_tools.load()
    total, channels = cp_model.LinearExpr.sum, problem.first.pe_map.channels
    model = cp_model.CpModel()
    own = np.arange(channels).reshape(-1, *[1] * (len(problem.first.pe_map.shape) - 1))
    of_first = np.broadcast_to(own, problem.first.pe_map.shape)
    hints = problem.working(hint)
    first = _LayerModel.of(model, problem.first, problem.reached, of_first, hints[0])
    second = _LayerModel.of(
        model, problem.second, problem.read, problem.source, hints[1]
    )
    reached, read = problem.used(hints)
    for channel, (writers, readers) in enumerate(
        zip(first.by_channel(channels), second.by_channel(channels), strict=True)
    ):
        for ends, others, anyway, now in (
            (readers, writers, problem.reached_anyway[channel], reached[channel]),
            (writers, readers, problem.read_anyway[channel], read[channel]),
        ):
            if anyway:
                continue
            awake = model.new_bool_var("")
            model.add_hint(awake, bool(now))
            model.add(total(others) >= awake)
            for one in ends:
                model.add_implication(one, awake)
    keep = [*first.keep, *second.keep]
    scores = np.concatenate([first.scores, second.scores])
    best, bound, out = hint, np.inf, np.zeros(len(keep), dtype=bool)
    ending: Termination | None = None
    while True:
        begun = time.perf_counter()
        scaled = or_tools.Scaled.of(np.where(out, 0.0, scores), INTEGER_BITS)
        model.maximize(cp_model.LinearExpr.weighted_sum(keep, scaled.values))
        try:
            outcome = or_tools.maximize(model, search, scaled.real)
        except SolverUnavailableError:
            if ending is None:
                raise
            return best, bound, Termination.TIME_LIMIT
        found = first.mask(outcome), second.mask(outcome)
        best = max((best, found), key=problem.value)
        value = problem.value(best)
        bound = max(value, min(bound, scaled.real_bound(outcome.bound, value)))
        ending = proven(outcome.termination, value, bound)
        # As in the program of one layer: what is beyond the bound is in no answer.
        beyond = ~out & (scores > bound * (1 + ROUNDING))
        search = search.after(time.perf_counter() - begun, outcome.work)
        if (
            not or_tools.is_too_coarse(outcome, value, bound)
            or not beyond.any()
            or search.why_not() is not None
        ):
            return best, bound, ending
        for i in np.flatnonzero(beyond).tolist():
            model.add(keep[i] == 0)
        out |= beyond
        model.clear_objective()


def _levelled(layer: RetentionProblem, mask: BoolArray) -> BoolArray:
    """Fill every cell up to the largest load of its group, or the least allowed."""
    pe_map = layer.pe_map
    largest = np.maximum(pe_map.largest_of_group(pe_map.cell_loads(mask)), layer.lower)
    keys = mark(layer.scores, layer.previous_mask, mask)
    return top_per_cell(keys, pe_map, largest[pe_map.cell_group])


def _sizes(layer: RetentionProblem) -> IntArray:
    """Weights of each cell that may be kept."""
    if layer.previous_mask is None:
        return layer.pe_map.cell_sizes()
    return layer.pe_map.cell_loads(layer.previous_mask)


def _starts(labels: IntArray, number: int) -> IntArray:
    """Positions at which the sorted labels 1, 2, … begin."""
    return np.cumsum(np.bincount(labels, minlength=number))[:-1]
