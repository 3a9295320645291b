"""Slice-greedy: the fallback, exact whenever all groups have the same size."""

from __future__ import annotations

from balancer.errors import InfeasibleError, SolverUnavailableError
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import total_score
from balancer.program.slice_program import Allocation, SliceAllocator
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination


class GreedySolver:
    """Take the slices of most score per non-zero until no other fits the budget.

    The bound is that of the linear relaxation. Needs neither OR-Tools nor time.
    """

    def solve(self, problem: RetentionProblem, search: Search) -> Answer:
        """Answer one problem; `search` limits nothing here.

        Raises
        ------
        SolverUnavailableError
            Floors of channels that cross the cells, and no mask that keeps the best
            weights of each.
        """
        if problem.separable:
            return self._by_slices(problem, search)
        bound = self._by_slices(problem.relaxed(), search).bound
        try:
            answer = self._by_slices(problem.restricted(), search)
        except InfeasibleError as error:
            raise SolverUnavailableError(
                f"slice-greedy finds no mask that keeps every channel's best: {error}"
            ) from error
        kept = total_score(problem.scores, answer.mask)
        return Answer(answer.mask, bound, _ending(kept, bound))

    def _by_slices(self, problem: RetentionProblem, search: Search) -> Answer:
        slices = LayerSlices(problem)
        allocator = settle([slices], problem.budget)
        allocation, termination = self.allocate(allocator, search)
        mask = slices.mask(allocation.loads, problem)
        return Answer(mask, allocation.bound, termination)

    def allocate(
        self, allocator: SliceAllocator, search: Search
    ) -> tuple[Allocation, Termination]:
        """Answer one slice program."""
        greedy = allocator.greedy
        return greedy, _ending(greedy.kept, greedy.bound)


def _ending(kept: float, bound: float) -> Termination:
    return Termination.PROVED if kept >= bound else Termination.COMPLETED
