"""Where the results of layers stay while others are still to come."""

from __future__ import annotations

from typing import Protocol

from balancer.network.network_solution import LayerResult
from balancer.program.problem import RetentionProblem
from balancer.solvers.solution import Solution


class LayerStore(Protocol):
    """Takes the masks of layers out of memory, and may know some of an earlier run.

    Both methods are called from several threads, each with layers of its own.
    """

    def recall(self, name: str, problem: RetentionProblem) -> Solution | None:
        """Return the verified solution of just this problem, if it is known."""

    def keep(self, result: LayerResult, problem: RetentionProblem) -> LayerResult:
        """Store a result; return it with its mask where that is now."""


class InMemory:
    """Keeps results as they are, and knows none of before."""

    def recall(self, name: str, problem: RetentionProblem) -> Solution | None:
        """Return None."""
        return None

    def keep(self, result: LayerResult, problem: RetentionProblem) -> LayerResult:
        """Return the result."""
        return result
