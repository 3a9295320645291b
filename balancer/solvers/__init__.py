"""The solvers: one protocol, one registry.

A solver takes any `RetentionProblem` and returns an `Answer`, or raises
`SolverUnavailableError` with the reason why it has none. Slice solvers also answer
programs whose slices come from several layers.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from balancer.errors import BalancerError
from balancer.program.problem import RetentionProblem
from balancer.program.slice_program import Allocation, SliceAllocator
from balancer.solvers.binary import BinarySolver
from balancer.solvers.cp_sat import CpSatSolver
from balancer.solvers.greedy import GreedySolver
from balancer.solvers.limits import Search
from balancer.solvers.solution import Answer, Termination


class Solver(Protocol):
    """Anything that answers retention problems."""

    def solve(self, problem: RetentionProblem, search: Search) -> Answer:
        """Answer one problem.

        Raises
        ------
        SolverUnavailableError
            There is no answer; `balancer.solve` then falls back to ``greedy``.
        """


@runtime_checkable
class SliceSolver(Solver, Protocol):
    """A solver that only needs to see the slices."""

    def allocate(
        self, allocator: SliceAllocator, search: Search
    ) -> tuple[Allocation, Termination]:
        """Answer one slice program, whatever layers its groups come from.

        Raises
        ------
        SolverUnavailableError
            There is no answer.
        """


DEFAULT = "cp-sat"
FALLBACK = "greedy"

_REGISTRY: dict[str, Solver] = {
    "cp-sat": CpSatSolver(),
    "greedy": GreedySolver(),
    "binary": BinarySolver(),
}


def register_solver(name: str, solver: Solver) -> None:
    """Make `solver` selectable by `name`.

    Raises
    ------
    BalancerError
        The name is taken.

    Examples
    --------
    >>> from balancer import register_solver, solver_names
    >>> from balancer.solvers.cp_sat import CpSatSolver
    >>> register_solver("coarse", CpSatSolver(integer_bits=20))
    >>> "coarse" in solver_names()
    True
    """
    if name in _REGISTRY or name == "auto":
        raise BalancerError(f"a solver named {name!r} exists already")
    _REGISTRY[name] = solver


def solver_names() -> tuple[str, ...]:
    """Names of all registered solvers.

    Examples
    --------
    >>> from balancer import solver_names
    >>> solver_names()[:3]
    ('cp-sat', 'greedy', 'binary')
    """
    return tuple(_REGISTRY)


def get_solver(name: str) -> Solver:
    """Look up a solver; ``"auto"`` is the default one.

    Raises
    ------
    BalancerError
        No solver has this name.
    """
    name = DEFAULT if name == "auto" else name
    if name not in _REGISTRY:
        raise BalancerError(
            f"unknown solver {name!r}; accepted: auto, {', '.join(_REGISTRY)}"
        )
    return _REGISTRY[name]
