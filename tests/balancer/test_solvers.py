"""The solvers against exhaustive search, the literal program, and their own bounds."""

import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from cases import Case, cases, pe_maps, scores
from exhaustive import best_kept
from hypothesis import assume, given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    Cancellation,
    InfeasibleError,
    PEMap,
    RetentionProblem,
    Solution,
    SolverUnavailableError,
    Status,
    Termination,
    register_solver,
    solve,
    solver_names,
    top_k_sum,
)
from balancer.program import layer_slices as slices
from balancer.solvers import binary
from balancer.solvers.cp_sat import CpSatSolver
from balancer.solvers.solution import Answer


@contextmanager
def shallow_rankings():
    """Rank so few weights at first that most solutions need deeper ones."""
    depths = slices.LEAST_DEPTH, slices.DEPTH_IN_MEAN_LOADS, slices.DEEPENING
    slices.LEAST_DEPTH, slices.DEPTH_IN_MEAN_LOADS, slices.DEEPENING = 1, 0, 2
    try:
        yield
    finally:
        slices.LEAST_DEPTH, slices.DEPTH_IN_MEAN_LOADS, slices.DEEPENING = depths


def answer(case: Case, solver: str) -> Solution | None:
    """Solve a case; None if it is refused as infeasible."""
    try:
        return solve(case.problem(), solver)
    except InfeasibleError:
        return None


def close(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=1e-9, atol=1e-9))


@given(cases(10))
def test_cp_sat_and_binary_equal_exhaustive_search(case):
    """On small cases both keep what the best mask does, or refuse if none exists."""
    best = best_kept(case)
    for solver in ("cp-sat", "binary"):
        solution = answer(case, solver)
        assert (solution is None) == (best is None)
        if solution is not None:
            assert solution.status is Status.OPTIMAL
            assert close(solution.kept, best)
            assert solution.bound >= best - 1e-9


@given(cases(10))
def test_shallow_rankings_lose_nothing(case):
    """Cells that are ranked too shallow at first are deepened until it is proven."""
    with shallow_rankings():
        solution = answer(case, "cp-sat")
    best = best_kept(case)
    assert (solution is None) == (best is None)
    if solution is not None:
        assert close(solution.kept, best)


@given(cases(10))
def test_greedy_is_bounded_and_exact_for_groups_of_one_size(case):
    """Greedy <= optimum <= its bound; with groups of one size it is the optimum."""
    best = best_kept(case)
    try:
        solution = answer(case, "greedy")
    except SolverUnavailableError:
        assert not case.problem().separable
        return
    assert (solution is None) == (best is None)
    if solution is None:
        return
    assert solution.kept <= best + 1e-9
    assert solution.bound >= best - 1e-9
    same_size = len(set(case.pe_map.group_sizes())) <= 1
    if same_size and case.problem().separable:
        assert close(solution.kept, best)
        assert solution.status is Status.OPTIMAL


@given(cases(200))
def test_every_solution_holds_all_constraints(case):
    """Balance, budget, bounds, floors, nestedness and forced weights all hold."""
    solution = answer(case, "cp-sat")
    if solution is None:
        return
    options, pe_map, mask = case.options, case.pe_map, solution.mask
    loads = pe_map.loads(mask)
    present = pe_map.present()
    for load, here in zip(loads, present, strict=True):
        assert len(set(load[here])) == 1
        assert options.get("min_load", 0) <= load[here][0]
        assert load[here][0] <= options.get("max_load", mask.size)
    assert mask.sum() <= options.get("budget", mask.size)
    rows = mask.reshape(pe_map.channels, -1).sum(axis=1)
    assert (rows >= options.get("channel_floor", 0)).all()
    assert not (mask & ~options.get("previous_mask", np.True_)).any()
    assert (mask | ~options.get("forced", np.False_)).all()
    assert solution.dead_channels == (rows == 0).sum()
    solution.verify(case.problem())


@given(cases(200, constrained=False))
def test_kept_is_between_greedy_and_unstructured(case):
    """Greedy <= cp-sat <= bound, and cp-sat <= unstructured with as many non-zeros."""
    best, greedy = answer(case, "cp-sat"), answer(case, "greedy")
    assert (best is None) == (greedy is None)
    if best is None:
        return
    assert greedy.kept <= best.kept * (1 + 1e-12)
    assert best.kept <= best.bound <= greedy.bound * (1 + 1e-12)
    assert best.status is Status.OPTIMAL
    unstructured = top_k_sum(case.scores, best.nonzeros)
    assert best.kept <= unstructured * (1 + 1e-12)


@given(cases(200, constrained=False))
def test_the_budget_is_reached_up_to_the_remainder(case):
    """No group can take another slice from what is left of the budget."""
    solution = answer(case, "cp-sat")
    if solution is None or case.pe_map.fixed_load is not None:
        return
    assert solution.remainder == case.options["budget"] - solution.nonzeros
    sizes = case.pe_map.group_sizes()
    full = case.pe_map.least_of_group(case.pe_map.cell_sizes())
    loads = solution.loads.max(axis=1, initial=0)
    assert not ((loads < full) & (sizes <= solution.remainder)).any()


@given(cases(60))
def test_the_same_seed_gives_the_same_mask(case):
    """Solving twice gives the same mask, bound and status."""
    first, second = answer(case, "cp-sat"), answer(case, "cp-sat")
    if first is None:
        assert second is None
        return
    np.testing.assert_array_equal(first.mask, second.mask)
    assert (first.bound, first.status) == (second.bound, second.status)


@given(pe_maps(60), st.data())
def test_relabeling_pes_and_groups_changes_nothing(pe_map, data):
    """The kept score does not depend on how PEs and groups are numbered."""
    assume(pe_map.fixed_load is None)
    values = data.draw(scores(pe_map.weights)).reshape(pe_map.shape)
    budget = data.draw(st.integers(0, pe_map.weights))
    group, pe = pe_map.labels()
    groups = np.array(data.draw(st.permutations(range(pe_map.groups))))
    pes = np.array(data.draw(st.permutations(range(pe_map.pes))))
    other = PEMap.from_labels(groups[group], pes[pe], pe_map.pes)
    kept = [
        solve(RetentionProblem(values, one, budget)).kept for one in (pe_map, other)
    ]
    assert close(*kept)


@given(cases(120, constrained=False), st.data())
def test_a_balanced_mask_can_shrink_to_any_smaller_budget(case, data):
    """From a balanced mask every smaller budget is feasible without a revival."""
    before = answer(case, "cp-sat")
    if before is None or case.pe_map.fixed_load is not None:
        return
    budget = data.draw(st.integers(0, before.nonzeros))
    problem = RetentionProblem(
        case.scores, case.pe_map, budget, previous_mask=before.mask
    )
    after = solve(problem)
    assert not (after.mask & ~before.mask).any()
    assert after.kept <= before.kept * (1 + 1e-12)


@pytest.mark.parametrize("solver", ["cp-sat", "greedy", "binary"])
@pytest.mark.parametrize("budget", [0, 24])
def test_nothing_and_everything_are_budgets(solver, budget):
    """A budget of nothing keeps nothing, one of everything keeps all."""
    pe_map = PEMap.output_channel((6, 4), pes=3)
    solution = solve(RetentionProblem(np.ones((6, 4)), pe_map, budget), solver)
    assert (solution.nonzeros, solution.gap) == (budget, 0.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_scores_of_any_magnitude_are_solved_exactly(scale):
    """Scaling all scores changes neither the optimal mask nor the proof."""
    rng = np.random.default_rng(3)
    pe_map = PEMap.output_channel((10, 30), pes=4)
    values = rng.random((10, 30))
    plain = solve(RetentionProblem(values, pe_map, 50))
    scaled = solve(RetentionProblem(values * scale, pe_map, 50))
    assert scaled.status is Status.OPTIMAL
    np.testing.assert_array_equal(plain.mask, scaled.mask)


def hard_problem() -> RetentionProblem:
    """A literal program that is a knapsack, too: CP-SAT needs minutes for its proof."""
    values = np.random.default_rng(0).random((61, 500))
    return RetentionProblem(values, PEMap.output_channel((61, 500)), sparsity=0.7)


def test_ctrl_c_stops_the_search_with_a_valid_answer():
    """An interrupt in mid-search returns the best answer so far, cancelled."""
    interrupts = []

    def interrupt(progress):
        if not interrupts:
            interrupts.append(progress)
            signal.raise_signal(signal.SIGINT)

    problem = hard_problem()
    solution = solve(problem, "binary", time_limit=60, progress=interrupt)
    assert interrupts
    assert solution.termination is Termination.CANCELLED
    assert solution.kept >= solve(problem, "greedy").kept
    assert solution.kept <= solution.bound < np.inf


def test_another_thread_can_cancel():
    """`Cancellation` ends a search from another thread; greedy answers if need be."""
    cancellation = Cancellation()
    timer = threading.Timer(0.3, cancellation.cancel)
    timer.start()
    problem = hard_problem()
    solution = solve(problem, "binary", time_limit=60, cancellation=cancellation)
    assert solution.termination is Termination.CANCELLED
    later = solve(problem, cancellation=cancellation)
    assert later.solver == "greedy"
    assert "cancelled" in later.fallback_reason


def test_a_time_limit_ends_with_the_best_answer():
    """A search that is cut short never keeps less than greedy, and says so."""
    problem = hard_problem()
    solution, best = solve(problem, "binary", time_limit=0.5), solve(problem)
    assert solution.kept >= solve(problem, "greedy").kept
    assert solution.bound >= best.kept
    if solution.solver == "greedy":
        assert "0.5 s" in solution.fallback_reason or "time" in solution.fallback_reason


def test_a_work_limit_repeats_exactly():
    """Two searches cut by the same deterministic limit give the same mask."""
    problem = hard_problem()
    runs = [solve(problem, "binary", work_limit=0.02, seed=5) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].mask, runs[1].mask)
    assert runs[0].bound == runs[1].bound


def test_cut_short_the_literal_program_claims_no_less_than_the_optimum():
    """Where it ends without a proof, its bound is above what could be kept."""
    values = np.random.default_rng(0).random((31, 120))
    problem = RetentionProblem(values, PEMap.output_channel(values.shape), sparsity=0.7)
    best = solve(problem)
    assert best.gap == 0
    for work in (0.02, 0.05):
        solution = solve(problem, "binary", work_limit=work)
        assert "binary kept less" in solution.fallback_reason
        assert solution.bound > best.kept > solution.kept


def ragged_problem() -> RetentionProblem:
    """A knapsack: groups of 4, 4 and 3 PEs whose slices do not fill the budget."""
    values = np.random.default_rng(7).random((11, 40))
    return RetentionProblem(values, PEMap.output_channel((11, 40), pes=4), budget=101)


def test_cp_sat_improves_on_greedy_where_groups_differ():
    """On a knapsack greedy leaves a gap, which cp-sat closes, reporting progress."""
    seen = []
    problem = ragged_problem()
    greedy, best = solve(problem, "greedy"), solve(problem, progress=seen.append)
    assert greedy.status is Status.FEASIBLE
    assert best.status is Status.OPTIMAL
    assert best.kept > greedy.kept
    assert close(max(p.kept for p in seen), best.kept)


@pytest.mark.parametrize(
    ("solver", "limit", "reason"),
    [
        (CpSatSolver(integer_bits=64), 30.0, "rejected the model"),
        (CpSatSolver(), 0.0, "limit of 0"),
    ],
)
def test_the_fallback_says_why(solver, limit, reason):
    """A rejected model and no time end with greedy's verified mask and a reason."""
    name = f"cp-sat-{solver.integer_bits}"
    if name not in solver_names():
        register_solver(name, solver)
    problem = ragged_problem()
    solution = solve(problem, name, time_limit=limit)
    assert solution.solver == "greedy"
    assert reason in solution.fallback_reason
    assert solution.bound >= solve(problem).kept
    solution.verify(problem)


def test_wrong_solvers_and_limits_are_refused():
    """Unknown names, names that are taken, and senseless limits are refused."""
    problem = ragged_problem()
    with pytest.raises(BalancerError, match="accepted: auto, cp-sat, greedy, binary"):
        solve(problem, "simplex")
    with pytest.raises(BalancerError, match="exists already"):
        register_solver("greedy", CpSatSolver())
    with pytest.raises(BalancerError, match="`time_limit` is -1"):
        solve(problem, time_limit=-1)
    with pytest.raises(BalancerError, match="`time_limit` is nan"):
        solve(problem, time_limit=float("nan"))
    with pytest.raises(BalancerError, match="`seed` is -3"):
        solve(problem, seed=-3)


@pytest.mark.parametrize("beyond", [0.0, 0.5, np.inf])
def test_of_two_bounds_the_tighter_one_holds(beyond):
    """If greedy beats an answer cut short, the lower of their two bounds is given."""
    problem = ragged_problem()
    greedy, best = solve(problem, "greedy"), solve(problem)
    known = best.kept if beyond == 0 else greedy.bound + beyond
    assert best.kept < greedy.bound

    class CutShort:
        def solve(self, problem, search):
            nothing = np.zeros(problem.pe_map.shape, dtype=bool)
            return Answer(nothing, known, Termination.TIME_LIMIT)

    register_solver(f"cut short {beyond}", CutShort())
    solution = solve(problem, f"cut short {beyond}")
    assert (solution.solver, solution.kept) == ("greedy", greedy.kept)
    assert solution.bound == min(known, greedy.bound)
    assert "kept less, cut short by: time limit" in solution.fallback_reason


@pytest.mark.parametrize("solver", ["cp-sat", "greedy", "binary"])
def test_a_floor_that_its_cells_share_unevenly_is_kept(solver):
    """A channel of two cells with a floor of three keeps two weights in each."""
    values = np.arange(16.0).reshape(2, 8)
    pe_map = PEMap.input_channel(values.shape, 2)
    solution = solve(RetentionProblem(values, pe_map, 8, channel_floor=3), solver)
    assert solution.loads.tolist() == [[2, 2], [2, 2]]


def test_floors_are_held_where_greedy_finds_no_mask():
    """Without greedy's mask as a hint the program over weights is solved all the same.

    The best weights of the two channels with a floor lie on one PE, so slice-greedy
    would need two slices; one is enough, and the budget has no more.
    """
    values = np.array([[5.0, 5.0], [1.0, 2.0], [1.5, 3.0]])
    pe_map = PEMap.from_labels(np.zeros((3, 2), int), np.array([[0, 1]] * 3))
    problem = RetentionProblem(values, pe_map, budget=3, channel_floor=[0, 1, 1])
    with pytest.raises(SolverUnavailableError):
        solve(problem, "greedy")
    found = solve(problem)
    assert (found.kept, found.status) == (4.0, Status.OPTIMAL)


def test_the_literal_program_holds_a_pattern_where_weights_are_worth_nothing():
    """Exactly n of m, though fewer would keep as much and the budget allows more."""
    pe_map = PEMap.n_m((2, 6), 1, 3)
    for budget in (4, 12):
        found = solve(RetentionProblem(np.zeros((2, 6)), pe_map, budget), "binary")
        assert found.loads.tolist() == [[1, 1], [1, 1]]
    found = solve(RetentionProblem(np.ones((2, 6)), pe_map, 12), "binary")
    assert found.kept == 4


def test_the_literal_program_has_a_size(monkeypatch):
    """As many weights as it takes are solved, one more is refused with the number."""
    problem = RetentionProblem(np.ones((2, 3)), PEMap.output_channel((2, 3)), 2)
    monkeypatch.setattr(binary, "MOST_WEIGHTS", 6)
    assert solve(problem, "binary").fallback_reason is None
    monkeypatch.setattr(binary, "MOST_WEIGHTS", 5)
    assert "of 6 weights is larger than 5" in solve(problem, "binary").fallback_reason
