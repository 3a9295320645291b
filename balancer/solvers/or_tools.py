"""Running OR-Tools CP-SAT: loading it, its limits, progress and cancellation."""

from __future__ import annotations

import importlib
import importlib.util
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.errors import InfeasibleError, SolverUnavailableError
from balancer.program.rounding import PROOF_TOLERANCE, is_reached, relative_gap
from balancer.solvers.limits import Search
from balancer.solvers.solution import Termination

CP_MODEL = "ortools.sat.python.cp_model"
MIN_COST_FLOW = "ortools.graph.python.min_cost_flow"
POLL_SECONDS = 0.1


def require(search: Search) -> None:
    """Make sure that a search can begin.

    Raises
    ------
    SolverUnavailableError
        OR-Tools cannot be imported, there is no time, or the search is cancelled.
    """
    try:
        found = importlib.util.find_spec(CP_MODEL) is not None
    except (ImportError, ValueError) as error:
        raise SolverUnavailableError(f"OR-Tools cannot be imported: {error}") from error
    if not found:
        raise SolverUnavailableError("OR-Tools cannot be imported: no CP-SAT in it")
    reason = search.why_not()
    if reason is not None:
        raise SolverUnavailableError(reason)


def load(module: str = CP_MODEL) -> Any:
    """Import a module of OR-Tools; CP-SAT takes about half a second the first time.

    Raises
    ------
    SolverUnavailableError
        OR-Tools is there but cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SolverUnavailableError(f"OR-Tools cannot be imported: {error}") from error


@dataclass(frozen=True, slots=True)
class Scaled:
    """Integers that CP-SAT maximizes in place of real values.

    Attributes
    ----------
    values : list of int
        The scaled values, rounded down.
    exponent : int
        They are scaled by 2**exponent.
    slack : float
        What rounding takes away from all of them together.
    """

    values: list[int]
    exponent: int
    slack: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float64], bits: int) -> Scaled:
        """Scale non-negative values so that they add up to less than 2**bits."""
        total = float(values.sum())
        exponent = bits - math.frexp(total)[1] - 1 if total else 0
        exact = np.ldexp(values, exponent)
        down = np.floor(exact)
        return cls([int(v) for v in down], exponent, float((exact - down).sum()))

    def real(self, objective: float) -> float:
        """Return the real value that an integer objective stands for, or less."""
        return math.ldexp(objective, -self.exponent)

    def real_bound(self, objective: float, kept: float) -> float:
        """Return the real value that no solution under an integer bound exceeds.

        It is `kept`, the real value of a solution, where only the rounding of sums
        separates them. What was lost by rounding the values to integers stays in the
        bound: between two solutions there may be less.
        """
        bound = self.real(objective) + math.ldexp(self.slack, -self.exponent)
        return kept if is_reached(kept, bound) else bound


def is_too_coarse(outcome: Outcome, kept: float, bound: float) -> bool:
    """Whether the scaling alone keeps a search that is complete from a proof.

    Then values beyond the bound, which are in no solution, have set the scale; the
    search can be repeated without them.
    """
    proved = outcome.termination is Termination.PROVED
    return proved and relative_gap(kept, bound) > PROOF_TOLERANCE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What CP-SAT found.

    Attributes
    ----------
    solver : ortools.sat.python.cp_model.CpSolver
        The solver after its search.
    bound : float
        Objective that no solution of the model exceeds.
    termination : Termination
        Why the search ended.
    """

    solver: Any
    bound: float
    termination: Termination

    @property
    def work(self) -> float:
        """Deterministic time that the search took."""
        return float(self.solver.response_proto.deterministic_time)

    def values(self, variables: Sequence[Any]) -> list[bool]:
        """Values of boolean variables in the best solution."""
        return [self.solver.boolean_value(variable) for variable in variables]


def maximize(model: Any, search: Search, real: Callable[[float], float]) -> Outcome:
    """Search `model` on one worker, the caller's thread free to be interrupted.

    Parameters
    ----------
    model : ortools.sat.python.cp_model.CpModel
        A model with an objective to maximize.
    search : Search
        Limits, seed, progress and cancellation; Ctrl-C cancels as well.
    real : callable
        Total score that an objective of the model stands for, to report progress.

    Raises
    ------
    InfeasibleError
        The model has no solution.
    SolverUnavailableError
        No solution was found in time, or the model was rejected.
    """
    cp_model = load()
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = 1  # several would make the answer depend on their timing
    # CP-SAT's presolve finds nothing in these models, heeds no limit, and takes longer
    # than their solution: 10 s against 0.06 s on a literal program of 64 x 36 weights.
    parameters.cp_model_presolve = False
    parameters.random_seed = search.limits.seed % 2**31
    parameters.max_time_in_seconds = search.limits.seconds
    if search.limits.work_limit is not None:
        parameters.max_deterministic_time = search.limits.work_limit
    parameters.catch_sigint_signal = False  # Python's own handler cancels, see below
    callback = _report_to(cp_model, solver, search, real)

    status: list[Any] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            status.append(solver.solve(model, callback))
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    with search.cancellation.calling(solver.stop_search):
        threading.Thread(target=run, name="cp-sat", daemon=True).start()
        # CP-SAT holds its thread until it ends; this one still sees Ctrl-C. Stopping is
        # repeated because CP-SAT ignores it in the moment before its search begins.
        while True:
            try:
                if done.wait(POLL_SECONDS):
                    break
                if search.cancellation.cancelled:
                    solver.stop_search()
            except KeyboardInterrupt:
                search.cancellation.cancel()
    if failure:
        raise failure[0]
    return _outcome(cp_model, model, solver, status[0], search)


def _report_to(
    cp_model: Any, solver: Any, search: Search, real: Callable[[float], float]
) -> Any:
    """Make the callback that turns CP-SAT's events into `Progress`."""
    if search.progress is None:
        return None
    begun = time.perf_counter()
    best = {"kept": 0.0, "bound": float("inf")}

    def tell(**news: float) -> None:
        best.update(news)
        seconds = time.perf_counter() - begun
        search.report(real(best["kept"]), real(best["bound"]), seconds)

    class Reporter(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
        def on_solution_callback(self) -> None:
            tell(kept=self.objective_value, bound=self.best_objective_bound)

    solver.best_bound_callback = lambda bound: tell(bound=bound)
    return Reporter()


def _outcome(
    cp_model: Any, model: Any, solver: Any, status: Any, search: Search
) -> Outcome:
    if status == cp_model.OPTIMAL:
        return Outcome(solver, solver.best_objective_bound, Termination.PROVED)
    cancelled = search.cancellation.cancelled
    if status == cp_model.FEASIBLE:
        ended = Termination.CANCELLED if cancelled else Termination.TIME_LIMIT
        return Outcome(solver, solver.best_objective_bound, ended)
    if status == cp_model.INFEASIBLE:
        raise InfeasibleError(
            "CP-SAT proves that no mask holds the bounds, floors and masks together; "
            "lower `channel_floor` or `min_load`, or raise the budget"
        )
    if status == cp_model.MODEL_INVALID:
        reason = model.validate().strip().splitlines()
        raise SolverUnavailableError(
            f"CP-SAT rejected the model: {' '.join(reason[:1])}"
        )
    if cancelled:
        raise SolverUnavailableError("cancelled before CP-SAT found a solution")
    seconds, work = search.limits.seconds, search.limits.work_limit
    within = f"{seconds:g} s" if math.isfinite(seconds) else f"a work limit of {work:g}"
    raise SolverUnavailableError(f"CP-SAT found no solution within {within}")
