"""Who answers, who falls back, and what the solution says about it."""

import itertools
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import balancer.solving  # noqa: F401 - the module, which the function hides
from balancer import (
    Cancellation,
    InfeasibleError,
    PEMap,
    RetentionProblem,
    SolverUnavailableError,
    Status,
    Termination,
    register_solver,
    solve,
    solver_names,
)
from balancer.metrics import top_k_sum
from balancer.program.rounding import rounded_bound
from balancer.solvers import cp_sat, get_solver
from balancer.solvers.cp_sat import _holds_floors
from balancer.solvers.limits import Search, SearchLimits
from balancer.solvers.solution import Answer

MODULE = sys.modules["balancer.solving"]
SCORES = np.random.default_rng(7).random((11, 40))


def problem(**options):
    """A knapsack, which greedy does not prove: groups of 4, 4 and 3 PEs."""
    return RetentionProblem(
        SCORES, PEMap.output_channel(SCORES.shape, 4), 101, **options
    )


def first_weights(loads):
    """A balanced mask that keeps the first weights of every channel."""
    per_channel = np.repeat(loads, [4, 4, 3])
    return np.arange(40) < per_channel[:, None]


class Scripted:
    """A solver that gives an answer, or raises."""

    def __init__(self, answer):
        self.answer, self.searches = answer, []

    def solve(self, problem, search):
        self.searches.append(search)
        if isinstance(self.answer, Answer):
            return self.answer
        raise self.answer


def registered(answer):
    """Register a scripted solver under a name of its own."""
    solver = Scripted(answer)
    name = f"scripted-{len(solver_names())}"
    register_solver(name, solver)
    return name, solver


def test_the_defaults_are_those_of_a_search():
    """What a solver hears when nothing is said is what `SearchLimits` says."""
    name, solver = registered(
        Answer(first_weights([9, 9, 9]), 99.0, Termination.COMPLETED)
    )
    solve(problem(), name)
    [search] = solver.searches
    assert (search.limits, search.progress) == (SearchLimits(), None)
    assert not search.cancellation.cancelled


def test_keyword_arguments_go_before_the_limits():
    """A field that is given twice is that of the keyword argument."""
    name, solver = registered(
        Answer(first_weights([9, 9, 9]), 99.0, Termination.COMPLETED)
    )
    solve(problem(), name, limits=SearchLimits(time_limit=9.0, seed=2), seed=5)
    [search] = solver.searches
    assert search.limits == SearchLimits(time_limit=9.0, seed=5)
    with pytest.raises(TypeError, match="sead"):
        solve(problem(), name, sead=5)


def test_a_solver_is_told_everything():
    """Limits, seed, progress and cancellation arrive as they were given."""
    name, solver = registered(
        Answer(first_weights([9, 9, 9]), 99.0, Termination.COMPLETED)
    )
    cancellation = Cancellation()
    solution = solve(
        problem(),
        name,
        time_limit=3.0,
        work_limit=2.0,
        seed=5,
        progress=print,
        cancellation=cancellation,
        gap_limit=0.25,
    )
    limits = SearchLimits(time_limit=3.0, work_limit=2.0, gap_limit=0.25, seed=5)
    assert solver.searches == [Search(limits, print, cancellation)]
    assert (solution.solver, solution.fallback_reason) == (name, None)


def test_the_default_solver_is_named():
    """`auto` is cp-sat, and the solution says who answered."""
    assert get_solver("auto") is get_solver("cp-sat")
    assert solve(problem()).solver == "cp-sat"
    assert solve(problem(), "greedy").solver == "greedy"
    assert solve(problem(), "greedy").fallback_reason is None


@pytest.mark.parametrize("ending", [Termination.TIME_LIMIT, Termination.CANCELLED])
def test_an_answer_cut_short_gives_way_to_a_better_one(ending):
    """Greedy's mask, the smaller of the bounds, and the reason why."""
    greedy = solve(problem(), "greedy")
    for bound in (greedy.bound / 2 + greedy.kept / 2, greedy.bound + 1):
        name, _ = registered(Answer(first_weights([9, 9, 9]), bound, ending))
        solution = solve(problem(), name)
        assert solution.solver == "greedy"
        assert solution.termination is ending
        assert solution.fallback_reason == f"{name} kept less, cut short by: {ending}"
        assert solution.kept == greedy.kept
        assert solution.bound == min(bound, greedy.bound)


def test_an_answer_that_is_as_good_stays():
    """Cut short or not, greedy must keep more to take its place."""
    greedy = solve(problem(), "greedy")
    name, _ = registered(Answer(greedy.mask, 999.0, Termination.TIME_LIMIT))
    assert solve(problem(), name).solver == name
    worse = Answer(first_weights([9, 9, 9]), 999.0, Termination.COMPLETED)
    name, _ = registered(worse)
    assert solve(problem(), name).solver == name


@pytest.mark.parametrize("order", ["fixed", "sorted"])
def test_no_answer_is_answered_by_greedy(order):
    """The reason is what the solver said; a bug of a solver is no reason."""
    name, _ = registered(SolverUnavailableError("out of luck"))
    solution = solve(problem(order=order), name)
    assert (solution.solver, solution.fallback_reason) == ("greedy", "out of luck")
    assert solution.termination is Termination.COMPLETED
    assert solution.kept == solve(problem(order=order), "greedy").kept
    name, _ = registered(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        solve(problem(order=order), name)


def test_ctrl_c_in_a_solver_is_answered_by_greedy():
    """The search is cancelled, for later ones too, and the answer says so."""
    name, _ = registered(KeyboardInterrupt())
    cancellation = Cancellation()
    solution = solve(problem(), name, cancellation=cancellation)
    assert cancellation.cancelled
    assert (solution.solver, solution.fallback_reason) == ("greedy", "cancelled")
    assert solution.termination is Termination.CANCELLED


def crossing():
    """Floors that cross the cells of a labelled map, for which greedy has no mask."""
    group = np.array([[0, 1], [0, 1], [0, 1]])
    pe_map = PEMap.from_labels(group, np.array([[0, 0], [1, 1], [1, 1]]))
    return RetentionProblem(
        np.array([[9.0, 1], [9, 1], [9, 1]]), pe_map, 4, channel_floor=1
    )


def test_two_without_an_answer_say_both_reasons():
    """Greedy's own error stands alone; after another solver both are told."""
    with pytest.raises(SolverUnavailableError, match=r"^slice-greedy finds no mask"):
        solve(crossing(), "greedy")
    name, _ = registered(SolverUnavailableError("out of luck"))
    both = f"^{name}: out of luck; slice-greedy finds no mask"
    with pytest.raises(SolverUnavailableError, match=both):
        solve(crossing(), name)


def test_floors_that_cross_are_solved_by_the_literal_program():
    """Where the best mask without them breaks floors; where it holds them, it stays."""
    solution = solve(crossing())
    assert solution.status is Status.OPTIMAL
    assert (solution.solver, solution.kept) == ("cp-sat", 9 + 1 + 9 + 1)
    wide = RetentionProblem(
        np.array([[9.0, 1], [9, 1], [1, 9]]), crossing().pe_map, 4, channel_floor=1
    )
    solution = solve(wide)
    assert (solution.status, solution.kept) == (Status.OPTIMAL, 9 + 1 + 9 + 9)


def test_the_literal_program_holds_an_n_m_pattern():
    """It keeps n of every m, and as much as the slices do."""
    pattern = RetentionProblem(SCORES[:3, :8], PEMap.n_m((3, 8), 2, 4))
    literal, slices = solve(pattern, "binary"), solve(pattern)
    assert (literal.solver, literal.nonzeros) == ("binary", 12)
    assert literal.kept == pytest.approx(slices.kept)


def test_without_a_greedy_answer_one_cut_short_stays():
    """Where greedy has no mask, a feasible one is returned as it is."""
    mask = np.array([[True, True], [True, False], [False, True]])
    name, _ = registered(Answer(mask, 99.0, Termination.TIME_LIMIT))
    solution = solve(crossing(), name)
    assert (solution.solver, solution.kept) == (name, 9 + 1 + 9 + 1)


def test_greedy_says_whether_it_has_proven_its_answer():
    """With groups of one size it has; on a knapsack it has done all it does."""
    even = RetentionProblem(SCORES, PEMap.output_channel(SCORES.shape, 11), 101)
    assert solve(even, "greedy").termination is Termination.PROVED
    assert solve(problem(), "greedy").termination is Termination.COMPLETED


@pytest.mark.parametrize(
    "error", [SolverUnavailableError("no tool"), KeyboardInterrupt()]
)
def test_without_an_optimized_order_the_sorted_one_is_taken(monkeypatch, error):
    """Its bound is that of any order, its reason what went wrong."""

    def fail(problem, search):
        raise error

    monkeypatch.setattr(MODULE, "optimize_order", fail)
    cancellation = Cancellation()
    solution = solve(problem(order="optimized"), cancellation=cancellation)
    interrupted = isinstance(error, KeyboardInterrupt)
    assert cancellation.cancelled is interrupted
    assert solution.fallback_reason == ("cancelled" if interrupted else "no tool")
    ending = Termination.CANCELLED if interrupted else Termination.COMPLETED
    assert solution.termination is ending
    assert solution.solver == "greedy"
    assert solution.bound == top_k_sum(SCORES, 101)
    plain = solve(problem(order="sorted"), "greedy")
    assert solution.kept == plain.kept
    np.testing.assert_array_equal(solution.order, plain.order)


def test_an_optimized_order_has_a_solver_of_its_own():
    """Whichever is asked; but a name that none has is refused."""
    small = RetentionProblem(
        SCORES[:4, :5], PEMap.output_channel((4, 5), 2), 8, order="optimized"
    )
    solution = solve(small, "greedy")
    assert (solution.solver, solution.fallback_reason) == ("assignment", None)
    with pytest.raises(Exception, match="unknown solver 'none'"):
        solve(small, "none")


@pytest.mark.parametrize(
    ("shape", "pe_map", "channels"),
    [
        ((0, 3), PEMap.output_channel((0, 3), 2), 0),
        ((0, 3), PEMap.input_channel((0, 3), 2), 3),
        ((0, 4), PEMap.n_m((0, 4), 1, 2), 4),
        ((3, 0), PEMap.output_channel((3, 0), 2), 3),
    ],
)
@pytest.mark.parametrize("order", ["fixed", "sorted", "optimized"])
def test_a_layer_without_weights_has_a_solution(shape, pe_map, channels, order):
    """It keeps nothing, which is proven; its order permutes what the map permutes."""
    empty = RetentionProblem(np.zeros(shape), pe_map, 0, order=order)
    solution = solve(empty)
    assert (solution.nonzeros, solution.kept, solution.gap) == (0, 0.0, 0.0)
    assert solution.status is Status.OPTIMAL
    assert solution.termination is Termination.PROVED
    np.testing.assert_array_equal(np.sort(solution.order), np.arange(channels))


def test_a_sorted_order_needs_a_mask_there():
    """What is feasible only in another order is refused."""
    mask = np.ones((4, 2), dtype=bool)
    mask[0] = False
    with pytest.raises(InfeasibleError):
        solve(
            RetentionProblem(
                np.ones((4, 2)),
                PEMap.output_channel((4, 2), 2),
                8,
                order="sorted",
                previous_mask=mask,
                channel_floor=[0, 1, 1, 1],
            )
        )


def test_claims_follow_from_the_mask():
    """Kept, gap, remainder, dead channels and loads of a known mask."""
    mask = first_weights([9, 0, 2])
    kept = float(SCORES[mask].sum())
    name, _ = registered(Answer(mask, 2 * kept, Termination.COMPLETED))
    solution = solve(problem(), name)
    assert solution.kept == pytest.approx(kept)
    assert solution.bound == 2 * kept
    assert solution.gap == pytest.approx(0.5)
    assert solution.status is Status.FEASIBLE
    assert solution.nonzeros == 4 * 9 + 3 * 2
    assert solution.remainder == 101 - solution.nonzeros
    assert solution.dead_channels == 4
    np.testing.assert_array_equal(solution.loads[:, 0], [9, 0, 2])
    assert solution.loads[2, 3] == 0
    np.testing.assert_array_equal(solution.order, np.arange(11))
    assert solution.order.dtype == np.int32
    assert 0 <= solution.seconds < 60
    solution.verify(problem())


@pytest.mark.parametrize(
    ("gap", "status"), [(1e-8, Status.FEASIBLE), (1e-10, Status.OPTIMAL)]
)
def test_a_gap_of_rounding_is_a_proof(gap, status):
    """Scaling to whole numbers may leave a gap of a billionth, and no more."""
    mask = first_weights([9, 9, 9])
    kept = float(SCORES[mask].sum())
    name, _ = registered(Answer(mask, kept * (1 + gap), Termination.COMPLETED))
    solution = solve(problem(), name)
    assert solution.status is status
    assert solution.gap == pytest.approx(gap, rel=1e-3)


def test_bounds_that_differ_by_summation_are_the_score():
    """Less than a trillionth apart, or even below, they are equal."""
    assert rounded_bound(1 + 1e-13, 1.0) == 1.0
    assert rounded_bound(1 - 1e-13, 1.0) == 1.0
    assert rounded_bound(1 + 1e-11, 1.0) == 1 + 1e-11
    assert rounded_bound(0.0, 0.0) == 0.0


def test_without_time_an_optimized_order_is_no_proof():
    """The fallback proves its own order alone; all orders only at their bound."""
    alike = PEMap.output_channel((4, 5), 2)  # of one size: greedy proves its order
    scores = np.arange(20.0).reshape(5, 4).T.copy()
    scores[0] = scores[0, ::-1] * 3
    one = RetentionProblem(scores, alike, 8, order="optimized")
    solution = solve(one, time_limit=0)
    assert solution.gap > 1e-6
    assert solution.termination is Termination.TIME_LIMIT
    every = RetentionProblem(scores, alike, 20, order="optimized")
    assert solve(every, time_limit=0).termination is Termination.PROVED


@pytest.mark.parametrize(
    ("pe_map", "ending", "replaced"),
    [
        ("ragged", Termination.COMPLETED, True),
        ("ragged", Termination.TIME_LIMIT, False),
        ("even", Termination.COMPLETED, False),
        ("inputs", Termination.COMPLETED, False),
    ],
)
def test_tiles_of_unequal_size_are_held_against_the_natural_order(
    monkeypatch, pe_map, ending, replaced
):
    """Only there, and only at the end of a search, may the natural order keep more."""
    given_map = {
        "ragged": PEMap.output_channel(SCORES.shape, 4),
        "even": PEMap.output_channel(SCORES.shape, 1),
        "inputs": PEMap.input_channel(SCORES.shape, 4),
    }[pe_map]
    nothing = np.zeros(SCORES.shape, dtype=bool)
    poor = Answer(nothing, 1e3, ending, given_map.schedule())
    monkeypatch.setattr(MODULE, "optimize_order", lambda *_: poor)
    optimized = RetentionProblem(SCORES, given_map, 101, order="optimized")
    found = solve(optimized, "greedy")
    natural = solve(RetentionProblem(SCORES, given_map, 101), "greedy")
    assert natural.kept > 0
    assert found.kept == (natural.kept if replaced else 0)
    assert found.bound == 1e3


def test_floors_hold_if_every_channel_keeps_its_own():
    """One that is short is enough to look further; all that are, too."""
    floors = RetentionProblem(
        SCORES, PEMap.output_channel(SCORES.shape, 4), 101, channel_floor=2
    )
    kept = np.zeros(SCORES.shape, dtype=bool)
    assert not _holds_floors(kept, floors)
    kept[:, :2] = True
    assert _holds_floors(kept, floors)
    kept[4, 0] = False
    assert not _holds_floors(kept, floors)


def test_one_limit_is_for_all_searches_of_a_call(monkeypatch):
    """The natural order has the time that the search for a better one has left."""
    now = itertools.count(step=4.0)
    clock = SimpleNamespace(perf_counter=lambda: next(now))
    monkeypatch.setattr(MODULE, "time", clock)
    searched = []

    def natural(problem, solver, search):
        searched.append(search.limits.time_limit)
        return in_order(problem, solver, search)

    def unproven(problem, search):
        return replace(optimized(problem, search), termination=Termination.COMPLETED)

    in_order, optimized = MODULE._in_order, MODULE.optimize_order
    monkeypatch.setattr(MODULE, "_in_order", natural)
    monkeypatch.setattr(MODULE, "optimize_order", unproven)
    values = np.random.default_rng(0).random((5, 4))
    pe_map = PEMap.output_channel(values.shape, 4)
    solve(RetentionProblem(values, pe_map, 9, order="optimized"), time_limit=30.0)
    assert searched == [26.0]


def test_the_program_over_weights_has_the_time_that_slices_left(monkeypatch):
    """Floors that slices do not hold are not searched for as long once more."""
    now = itertools.count(step=4.0)
    clock = SimpleNamespace(perf_counter=lambda: next(now))
    monkeypatch.setattr(cp_sat, "time", clock)
    searched = []

    class Told(cp_sat.BinarySolver):
        def solve(self, problem, search, hint=None):
            searched.append(search.limits.time_limit)
            return super().solve(problem, search, hint)

    monkeypatch.setattr(cp_sat, "BinarySolver", Told)
    values = np.array([[5.0, 5.0], [1.0, 2.0], [1.5, 3.0]])
    pe_map = PEMap.from_labels(np.zeros((3, 2), int), np.array([[0, 1]] * 3))
    problem = RetentionProblem(values, pe_map, budget=3, channel_floor=[0, 1, 1])
    assert solve(problem, time_limit=30.0).kept == 4.0
    assert searched == [26.0]
