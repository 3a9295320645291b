"""How CP-SAT is asked, and how its answers are read."""

import importlib.util
import threading
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from cases import search_of
from hypothesis import given
from hypothesis import strategies as st

from balancer import Cancellation, InfeasibleError, SolverUnavailableError, Termination
from balancer.solvers import or_tools


@given(st.lists(st.floats(0, 1e9), max_size=20), st.sampled_from([20, 52]))
def test_whole_values_stand_for_real_ones(values, bits):
    """They add up to less than 2**bits, nearly use them, and lose the slack alone."""
    exact = np.array(values, dtype=np.float64)
    scaled = or_tools.Scaled.of(exact, bits)
    total = sum(scaled.values)
    assert total < 2**bits
    assert total >= 2 ** (bits - 2) - len(values) or not exact.any()
    assert scaled.real(total) <= exact.sum() * (1 + 1e-12)
    lost = exact.sum() - scaled.real(total)
    rounding = 1e-14 * exact.sum()
    assert lost == pytest.approx(scaled.real(scaled.slack), rel=1e-6, abs=rounding)
    unit = Fraction(2) ** -scaled.exponent  # as floats, denormal ones would be equal
    for one, whole in zip(exact, scaled.values, strict=True):
        assert whole * unit <= Fraction(float(one)) < (whole + 1) * unit


def test_a_bound_carries_what_scaling_took_away():
    """It is the score where the order of a sum alone separates them, never less."""
    scaled = or_tools.Scaled([10, 20], exponent=1, slack=1.0)
    assert scaled.real(30) == 15
    # 15 and a half of slack are 15.5: another solution may keep as much.
    assert scaled.real_bound(30, 15.0) == 15.5
    assert scaled.real_bound(30, 14.9) == 15.5
    assert scaled.real_bound(30, 15.5) == 15.5
    below = 15.5 * (1 - 1e-13)
    assert scaled.real_bound(30, below) == below
    assert scaled.real_bound(30, 15.5 * (1 - 1e-11)) == 15.5


def one_of(weights, most):
    """A model that maximizes weights, of which at most so many are taken."""
    cp_model = or_tools.load()
    model = cp_model.CpModel()
    taken = [model.new_bool_var("") for _ in weights]
    model.add(sum(taken) <= most)
    model.maximize(cp_model.LinearExpr.weighted_sum(taken, weights))
    return model, taken


def test_a_proof_has_the_bound_and_the_values():
    """An optimal search says so, with the objective it proved."""
    model, taken = one_of([3, 5, 4], 2)
    outcome = or_tools.maximize(model, search_of(), float)
    assert outcome.termination is Termination.PROVED
    assert outcome.bound == 9
    assert outcome.work >= 0
    assert outcome.values(taken) == [False, True, True]


def test_the_search_is_as_it_was_asked():
    """Limits and seed arrive, one worker, no presolve, and signals are Python's."""
    model, _ = one_of([1], 1)
    search = search_of(time_limit=7.0, work_limit=3.0, seed=2**31 + 5)
    asked = or_tools.maximize(model, search, float).solver.parameters
    assert (asked.max_time_in_seconds, asked.max_deterministic_time) == (7.0, 3.0)
    assert (asked.random_seed, asked.num_workers) == (5, 1)
    assert not asked.cp_model_presolve
    assert not asked.catch_sigint_signal
    asked = or_tools.maximize(model, search_of(seed=4), float).solver.parameters
    assert asked.random_seed == 4
    assert asked.max_deterministic_time == np.inf


def test_progress_is_in_real_scores():
    """Every report is scaled back; kept never exceeds bound, and time goes on."""
    heard = []
    model, _ = one_of([3, 5, 4], 2)
    or_tools.maximize(model, search_of(progress=heard.append), lambda x: x / 2)
    assert max(report.kept for report in heard) == 4.5
    assert all(report.kept <= report.bound for report in heard)
    assert heard[-1].bound >= 4.5
    seconds = [report.seconds for report in heard]
    assert seconds == sorted(seconds)
    assert 0 <= seconds[0] < 60


def test_a_model_without_solution_is_infeasible():
    """CP-SAT's proof that nothing holds is passed on."""
    model, taken = one_of([3, 5], 1)
    model.add(sum(taken) == 2)
    with pytest.raises(InfeasibleError, match="no mask holds"):
        or_tools.maximize(model, search_of(), float)


def test_an_invalid_model_is_rejected_with_the_reason():
    """The reason is the first line of what CP-SAT says about the model."""
    model, _ = one_of([2**62, 2**62], 2)
    with pytest.raises(
        SolverUnavailableError, match=r"rejected the model: \S"
    ) as error:
        or_tools.maximize(model, search_of(), float)
    assert "\n" not in str(error.value)


class FakeSolver:
    """A solver that ends as it is told."""

    best_objective_bound = 7.0

    def __init__(self, status, while_running=lambda: None):
        self.parameters = SimpleNamespace()
        self._status, self._while_running = status, while_running
        self.stopped = 0

    def solve(self, model, callback):
        self._while_running()
        return self._status

    def stop_search(self):
        self.stopped += 1


def ending(monkeypatch, solver, search):
    real = or_tools.load()
    names = ("OPTIMAL", "FEASIBLE", "INFEASIBLE", "MODEL_INVALID", "UNKNOWN")
    statuses = {name: getattr(real, name) for name in names}
    solver._status = statuses[solver._status]
    fake = SimpleNamespace(CpSolver=lambda: solver, **statuses)
    monkeypatch.setattr(or_tools, "load", lambda: fake)
    return or_tools.maximize(None, search, float)


@pytest.mark.parametrize("cancelled", [True, False])
def test_an_answer_without_proof_says_what_cut_it_short(monkeypatch, cancelled):
    """A feasible answer has the bound, and ended by time or by cancellation."""
    cancellation = Cancellation()
    solver = FakeSolver("FEASIBLE", cancellation.cancel if cancelled else lambda: None)
    outcome = ending(monkeypatch, solver, search_of(cancellation=cancellation))
    expected = Termination.CANCELLED if cancelled else Termination.TIME_LIMIT
    assert (outcome.termination, outcome.bound) == (expected, 7.0)
    assert (solver.stopped > 0) is cancelled
    stopped = solver.stopped
    cancellation.cancel()
    assert solver.stopped == stopped  # it has ended


@pytest.mark.parametrize("cancelled", [True, False])
def test_no_answer_says_why(monkeypatch, cancelled):
    """Nothing found in time, or before a cancellation."""
    cancellation = Cancellation()
    solver = FakeSolver("UNKNOWN", cancellation.cancel if cancelled else lambda: None)
    said = "cancelled before CP-SAT" if cancelled else "within 12 s"
    with pytest.raises(SolverUnavailableError, match=said):
        ending(
            monkeypatch, solver, search_of(time_limit=12.0, cancellation=cancellation)
        )


def test_stopping_is_repeated_until_it_is_heard(monkeypatch):
    """A stop that comes before the search begins is lost; it is said once more."""
    cancellation, heard = Cancellation(), threading.Event()

    class Deaf(FakeSolver):
        def stop_search(self):
            super().stop_search()
            if self.stopped > 1:
                heard.set()

    def begin():
        cancellation.cancel()
        assert heard.wait(20)

    solver = Deaf("FEASIBLE", begin)
    outcome = ending(monkeypatch, solver, search_of(cancellation=cancellation))
    assert outcome.termination is Termination.CANCELLED


def test_a_failing_solver_fails_here(monkeypatch):
    """What is raised in CP-SAT's thread is raised where it was asked."""

    def fail():
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        ending(monkeypatch, FakeSolver("OPTIMAL", fail), search_of())


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (search_of(time_limit=0.0), "limit of 0"),
        (search_of(work_limit=0.0), "limit of 0"),
    ],
)
def test_a_search_without_time_does_not_begin(search, said):
    """A limit of 0 is refused, any other is not."""
    with pytest.raises(SolverUnavailableError, match=said):
        or_tools.require(search)
    or_tools.require(search_of(time_limit=1e-3, work_limit=1e-3))


def test_a_cancelled_search_does_not_begin():
    """After a cancellation no search begins."""
    cancellation = Cancellation()
    or_tools.require(search_of(cancellation=cancellation))
    cancellation.cancel()
    with pytest.raises(SolverUnavailableError, match="cancelled before the search"):
        or_tools.require(search_of(cancellation=cancellation))


def test_without_or_tools_no_search_begins(monkeypatch):
    """Missing, half missing, or broken: each is said, none raises another error."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SolverUnavailableError, match="no CP-SAT in it"):
        or_tools.require(search_of())

    def missing(name):
        raise ModuleNotFoundError("no ortools")

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(SolverUnavailableError, match="imported: no ortools"):
        or_tools.require(search_of())
    with pytest.raises(SolverUnavailableError, match="cannot be imported"):
        or_tools.load("ortools.nothing")
