"""The literal program: one boolean for each weight, as ground truth for small layers.

Written from the formulation in `balancer.program.problem` alone: it uses neither
slices nor anything derived from them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from balancer.array_types import BoolArray, FloatArray
from balancer.errors import SolverUnavailableError
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import ROUNDING
from balancer.solvers import or_tools
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination, proven

# Python fills a model with a few hundred thousand booleans a second, and CP-SAT finds
# nothing in a larger one anyway.
MOST_WEIGHTS = 1_000_000


@dataclass(frozen=True, slots=True)
class BinarySolver:
    """One boolean per weight in CP-SAT.

    Parameters
    ----------
    integer_bits : int
        The scores add up to less than 2**integer_bits after scaling.
    """

    integer_bits: int = 52

    def solve(
        self, problem: RetentionProblem, search: Search, hint: BoolArray | None = None
    ) -> Answer:
        """Answer one problem, from `hint` (a mask) if there is one.

        Raises
        ------
        InfeasibleError
            No mask satisfies the constraints.
        SolverUnavailableError
            No OR-Tools, no solution in time, or too many weights.
        """
        or_tools.require(search)
        pe_map = problem.pe_map
        if pe_map.weights > MOST_WEIGHTS:
            raise SolverUnavailableError(
                f"the literal program of {pe_map.weights} weights is larger than "
                f"{MOST_WEIGHTS} booleans"
            )
        cp_model = or_tools.load()
        total = cp_model.LinearExpr.sum
        model = cp_model.CpModel()
        keep = [model.new_bool_var("") for _ in range(pe_map.weights)]
        load = [
            model.new_int_var(int(least), int(min(largest, pe_map.weights)), "")
            for least, largest in zip(problem.min_load, problem.max_load, strict=True)
        ]
        group, pe = (labels.reshape(-1) for labels in pe_map.labels())
        cells: dict[tuple[int, int], list[int]] = {}
        for weight, cell in enumerate(zip(group.tolist(), pe.tolist(), strict=True)):
            cells.setdefault(cell, []).append(weight)
        for (g, _), weights in cells.items():
            model.add(total([keep[i] for i in weights]) == load[g])
        if pe_map.fixed_load is not None:
            for g, fixed in enumerate(pe_map.fixed_load.tolist()):
                model.add(load[g] == fixed)
        model.add(total(keep) <= problem.budget)
        fan_in = pe_map.weights // pe_map.channels if pe_map.channels else 0
        for channel, floor in enumerate(problem.channel_floor.tolist()):
            if floor:
                model.add(
                    total(keep[channel * fan_in : (channel + 1) * fan_in]) >= floor
                )
        if problem.previous_mask is not None:
            for i in np.flatnonzero(~problem.previous_mask).tolist():
                model.add(keep[i] == 0)
        if problem.forced is not None:
            for i in np.flatnonzero(problem.forced).tolist():
                model.add(keep[i] == 1)

        if hint is not None:
            for variable, value in zip(keep, hint.reshape(-1).tolist(), strict=True):
                model.add_hint(variable, value)
        scores = problem.scores.reshape(-1).astype(np.float64)
        answer = self._search(model, keep, scores, search)
        return replace(answer, mask=answer.mask.reshape(pe_map.shape))

    def _search(
        self, model: Any, keep: list[Any], scores: FloatArray, search: Search
    ) -> Answer:
        """Search a model whose booleans are worth some scores."""
        weighted_sum = or_tools.load().LinearExpr.weighted_sum
        best = out = np.zeros(len(keep), dtype=bool)
        kept_by_best, bound = -np.inf, np.inf
        ending: Termination | None = None
        while True:
            begun = time.perf_counter()
            scaled = or_tools.Scaled.of(np.where(out, 0.0, scores), self.integer_bits)
            model.maximize(weighted_sum(keep, scaled.values))
            try:
                outcome = or_tools.maximize(model, search, scaled.real)
            except SolverUnavailableError:
                if ending is None:
                    raise
                return Answer(best, bound, Termination.TIME_LIMIT)
            mask = np.array(outcome.values(keep), dtype=bool)
            kept = float(scores[mask].sum())
            if kept > kept_by_best:
                best, kept_by_best = mask, kept
            bound = min(bound, scaled.real_bound(outcome.bound, kept))
            bound = max(kept_by_best, bound)
            ending = proven(outcome.termination, kept_by_best, bound)
            if not or_tools.is_too_coarse(outcome, kept_by_best, bound):
                break
            # No mask keeps a weight beyond the bound, but for rounding.
            beyond = ~out & (scores > bound * (1 + ROUNDING))
            search = search.after(time.perf_counter() - begun, outcome.work)
            if not beyond.any() or search.why_not() is not None:
                break
            for i in np.flatnonzero(beyond).tolist():
                model.add(keep[i] == 0)
            out = out | beyond
            model.clear_objective()
        return Answer(best, bound, ending)
