"""The default solver: Lagrangian presolve, then OR-Tools CP-SAT on what is left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from balancer.array_types import BoolArray
from balancer.errors import SolverUnavailableError
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import ROUNDING, is_reached
from balancer.program.slice_program import Allocation, CostClass, SliceAllocator
from balancer.solvers import or_tools
from balancer.solvers.binary import BinarySolver
from balancer.solvers.greedy import GreedySolver
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination, proven


@dataclass(frozen=True, slots=True)
class CpSatSolver:
    """Slices, Lagrangian presolve, CP-SAT on the core with the greedy answer as hint.

    Where the presolve leaves no core, its bound is the proof. Channel floors that
    slices cannot express go to the program over weights, if they bind.

    Parameters
    ----------
    integer_bits : int
        The values of the core add up to less than 2**integer_bits after scaling.
        CP-SAT rejects models beyond 62 bits; doubles hold 53.
    """

    integer_bits: int = 52

    def solve(self, problem: RetentionProblem, search: Search) -> Answer:
        """Answer one problem.

        Raises
        ------
        SolverUnavailableError
            No OR-Tools, no time, or a model that CP-SAT rejects.
        """
        begun = time.perf_counter()
        program = problem if problem.separable else problem.relaxed()
        slices = LayerSlices(program)
        allocator = settle([slices], problem.budget)
        allocation, termination = self.allocate(allocator, search)
        mask = slices.mask(allocation.loads, program)
        answer = Answer(mask, allocation.bound, termination)
        if problem.separable or _holds_floors(answer.mask, problem):
            return answer
        try:
            hint = GreedySolver().solve(problem, search).mask
        except SolverUnavailableError:
            hint = None
        left = search.after(time.perf_counter() - begun, 0.0)
        exact = BinarySolver(self.integer_bits).solve(problem, left, hint)
        return Answer(exact.mask, min(exact.bound, answer.bound), exact.termination)

    def allocate(
        self, allocator: SliceAllocator, search: Search
    ) -> tuple[Allocation, Termination]:
        """Answer one slice program; see `solve` for the errors."""
        or_tools.require(search)
        greedy = allocator.greedy
        if is_reached(greedy.kept, greedy.bound):
            return greedy, Termination.PROVED
        return self._search_core(allocator, search)

    def _search_core(
        self, allocator: SliceAllocator, search: Search
    ) -> tuple[Allocation, Termination]:
        core, best, bound = allocator.core(), allocator.greedy, allocator.greedy.bound
        ending: Termination | None = None
        while True:
            begun = time.perf_counter()
            try:
                found, of_core, sure, outcome = self._search(core, allocator, search)
            except SolverUnavailableError:
                if ending is None:
                    raise
                return replace(best, bound=bound), Termination.TIME_LIMIT
            best = max(found, best, key=lambda one: one.kept)
            bound = max(best.kept, min(bound, sure + of_core))
            ending = proven(outcome.termination, best.kept, bound)
            if not or_tools.is_too_coarse(outcome, best.kept, bound):
                break
            # Where the sums may be off by rounding, a slice stays.
            most = bound * (1 + ROUNDING) - sure
            shorter = [_within(c, most) for c in core]
            search = search.after(time.perf_counter() - begun, outcome.work)
            same = all(map(_as_long, core, shorter))
            if same or search.why_not() is not None:
                break
            core = shorter
        return replace(best, bound=bound), ending

    def _search(
        self, core: Sequence[CostClass], allocator: SliceAllocator, search: Search
    ) -> tuple[Allocation, float, float, or_tools.Outcome]:
        """Search some core slices.

        Returns the answer, a bound on what the core slices add, what is sure without
        them, and the outcome.
        """
        cp_model = or_tools.load()
        sure = allocator.take({c.cost: c.sure for c in core}, fill=False)
        values = np.concatenate([c.values for c in core])
        cost = np.array([c.cost for c in core])
        room = allocator.free_budget - np.array([c.sure for c in core]) @ cost
        costs = np.repeat(cost, [len(c.values) for c in core], axis=0)
        scaled = or_tools.Scaled.of(values, self.integer_bits)

        model = cp_model.CpModel()
        chosen = [model.new_bool_var("") for _ in values]
        for taken_of, most in zip(costs.T.tolist(), room.tolist(), strict=True):
            model.add(cp_model.LinearExpr.weighted_sum(chosen, taken_of) <= most)
        model.maximize(cp_model.LinearExpr.weighted_sum(chosen, scaled.values))
        ends = np.cumsum([len(c.values) for c in core])
        chains = [
            chosen[end - len(c.values) : end] for c, end in zip(core, ends, strict=True)
        ]
        hint = allocator.hint(core)
        for chain, number in zip(chains, hint, strict=True):
            for position, variable in enumerate(chain):
                model.add_hint(variable, position < number)
                if position:  # the best of a cost first: fewer equal answers to search
                    model.add_implication(variable, chain[position - 1])
        outcome = or_tools.maximize(
            model, search, lambda objective: sure.kept + scaled.real(objective)
        )

        taken = {
            c.cost: c.sure + sum(outcome.values(chain))
            for c, chain in zip(core, chains, strict=True)
        }
        found = allocator.take(taken)
        of_core = scaled.real_bound(outcome.bound, found.kept - sure.kept)
        return found, of_core, sure.kept, outcome


def _within(core: CostClass, most: float) -> CostClass:
    """Leave out the core slices with which those of one cost would exceed a bound."""
    return replace(core, values=core.values[np.cumsum(core.values) <= most])


def _as_long(one: CostClass, other: CostClass) -> bool:
    return len(one.values) == len(other.values)


def _holds_floors(mask: BoolArray, problem: RetentionProblem) -> bool:
    """Whether every output channel keeps its floor."""
    kept = np.count_nonzero(mask.reshape(problem.pe_map.channels, -1), axis=1)
    return bool((kept >= problem.channel_floor).all())
