"""Two-way balance: as good as the best of all masks, or bounded, with all loads."""

import itertools
import sys

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    Cancellation,
    InfeasibleError,
    PEMap,
    Status,
    Termination,
    TransposableProblem,
    TwoWayProblem,
    solve_two_way,
)

ANY = ("flow", "cycles", "greedy")


def all_masks(size):
    return (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1


@st.composite
def two_maps(draw, max_weights=10):
    """Two maps of one layer, with any loads or with those of a mask."""
    first = draw(pe_maps(max_weights))
    shape, size = first.shape, first.weights

    def digits(most):
        drawn = draw(st.lists(st.integers(0, most), min_size=size, max_size=size))
        return np.array(drawn, dtype=int).reshape(shape)

    values = draw(scores(size)).reshape(shape)
    if draw(st.booleans()):
        second = PEMap.from_labels(digits(1), digits(2))
        loads = []
        for pe_map in (first, second):
            most = pe_map.least_of_group(pe_map.cell_sizes()).tolist()
            loads.append(np.array([draw(st.integers(0, m)) for m in most], dtype=int))
        return values, first, second, *loads
    # One PE in each group: any mask is balanced, and its loads are feasible.
    first, second = (PEMap.from_labels(digits(3), 0) for _ in range(2))
    mask = digits(1) == 1
    return values, first, second, *(m.loads(mask)[:, 0] for m in (first, second))


@given(two_maps())
def test_flow_keeps_the_best_of_all_masks_with_the_loads(case):
    """Exhaustive search finds nothing better, or nothing where flow finds nothing."""
    values, first, second, first_loads, second_loads = case
    masks = all_masks(values.size)
    fits = np.ones(len(masks), dtype=bool)
    for pe_map, loads in ((first, first_loads), (second, second_loads)):
        group, pe = (labels.reshape(-1) for labels in pe_map.labels())
        for g, p in set(zip(group.tolist(), pe.tolist(), strict=True)):
            fits &= masks[:, (group == g) & (pe == p)].sum(axis=1) == loads[g]
    if not fits.any():
        with pytest.raises(InfeasibleError):
            solve_two_way(TwoWayProblem(*case))
        return
    best = (masks[fits] @ values.reshape(-1).astype(float)).max()
    solution = solve_two_way(TwoWayProblem(*case))
    assert solution.kept == pytest.approx(best, rel=1e-9)
    assert solution.bound >= best * (1 - 1e-12)
    assert solution.status is Status.OPTIMAL


def best_of_block(block, n):
    """The best mask of one block, row by row over all choices of columns."""
    m = len(block)
    rows = [np.isin(np.arange(m), kept) for kept in itertools.combinations(range(m), n)]
    best = {(0,) * m: 0.0}
    for row in block:
        after = {}
        for loads, kept in best.items():
            for mask in rows:
                new = tuple((loads + mask).tolist())
                if max(new) <= n:
                    after[new] = max(after.get(new, -1.0), kept + row[mask].sum())
        best = after
    return best[(n,) * m]


@st.composite
def patterns(draw):
    """Scores of a few blocks, with kernel positions or without."""
    m = draw(st.integers(1, 4))
    n = draw(st.integers(1, m))
    kernel = draw(st.sampled_from([(), (2,), (1, 2)]))
    shape = (m * draw(st.integers(1, 2)), m * draw(st.integers(1, 2)), *kernel)
    return draw(scores(int(np.prod(shape)))).reshape(shape), n, m


@given(patterns(), st.sampled_from(ANY))
def test_transposable_masks_are_the_best_of_every_block(case, solver):
    """Flow and cycles keep what the best mask of each block keeps, greedy bounds it."""
    values, n, m = case
    solution = solve_two_way(TransposableProblem(*case), solver)
    outputs, inputs = values.shape[:2]
    best = 0.0
    flat = values.astype(float).reshape(outputs, inputs, -1)
    mask = solution.mask.reshape(flat.shape)
    for row in range(0, outputs, m):
        for column in range(0, inputs, m):
            for k in range(flat.shape[2]):
                place = slice(row, row + m), slice(column, column + m), k
                best += best_of_block(flat[place], n)
                assert (mask[place].sum(axis=0) == n).all()
                assert (mask[place].sum(axis=1) == n).all()
    assert solution.kept <= best * (1 + 1e-12)
    assert solution.bound >= best * (1 - 1e-12)
    if solver != "greedy":
        assert solution.kept == pytest.approx(best, rel=1e-9)
        assert solution.status is Status.OPTIMAL


@given(st.integers(0, 999), st.sampled_from([(2, 8), (5, 12), (8, 16), (9, 17)]))
def test_cycles_and_flow_agree_on_large_blocks(seed, pattern):
    """Both prove the same optimum; greedy is below it, its bound above."""
    n, m = pattern
    rng = np.random.default_rng(seed)
    values = rng.exponential(size=(2 * m, m))
    if seed % 2:  # ties and zeros
        values = np.floor(values)
    problem = TransposableProblem(values, n, m)
    flow, cycles, greedy = (solve_two_way(problem, solver) for solver in ANY)
    assert flow.status is cycles.status is Status.OPTIMAL
    assert cycles.kept == pytest.approx(flow.kept, rel=1e-9)
    assert greedy.kept <= flow.kept * (1 + 1e-12) <= greedy.bound * (1 + 2e-12)


def test_a_transposable_mask_is_two_n_m_maps():
    """The blocks give what a flow over both n:m maps of the whole matrix gives."""
    rng = np.random.default_rng(0)
    values = rng.random((12, 8))
    rows = PEMap.n_m(values.shape, 2, 4)
    channel, column = np.arange(12)[:, None], np.arange(8)
    columns = PEMap.from_labels(group=column, pe=channel // 4)
    whole = solve_two_way(TwoWayProblem(values, rows, columns, None, 2))
    blocks = solve_two_way(TransposableProblem(values, 2, 4))
    np.testing.assert_array_equal(whole.mask, blocks.mask)


def test_the_transpose_has_the_transposed_mask():
    """Rows and columns take the same part."""
    values = np.random.default_rng(1).random((16, 32))
    for solver in ("flow", "cycles"):
        mask = solve_two_way(TransposableProblem(values, 3, 8), solver).mask
        other = solve_two_way(TransposableProblem(values.T.copy(), 3, 8), solver).mask
        np.testing.assert_array_equal(mask, other.T)


@pytest.mark.parametrize("solver", ["flow", "cycles"])
def test_without_time_every_block_is_greedy_with_a_bound(solver):
    """A limit of 0 leaves masks with the loads, an honest gap and the reason."""
    values = np.random.default_rng(2).random((512, 512))
    problem = TransposableProblem(values, 2, 4)
    solution = solve_two_way(problem, solver, time_limit=0)
    assert solution.termination is Termination.TIME_LIMIT
    assert solution.status is Status.FEASIBLE
    assert 0 < solution.gap < 0.05
    problem.check(solution.mask)
    np.testing.assert_array_equal(solution.mask, solve_two_way(problem, "greedy").mask)


def test_a_cancelled_search_says_so():
    """After a cancellation greedy answers what is left."""
    cancellation = Cancellation()
    cancellation.cancel()
    problem = TransposableProblem(np.random.default_rng(3).random((8, 8)), 2, 4)
    solution = solve_two_way(problem, cancellation=cancellation)
    assert solution.termination is Termination.CANCELLED
    assert solution.gap > 0


def test_without_or_tools_cycles_prove_the_same(monkeypatch):
    """Transposable masks need no OR-Tools; the reason for the other solver is told."""
    values = np.random.default_rng(4).random((32, 32))
    problem = TransposableProblem(values, 4, 8)
    best = solve_two_way(problem)
    monkeypatch.setitem(sys.modules, "ortools.graph.python.min_cost_flow", None)
    without = solve_two_way(problem)
    assert without.solver == "cycles"
    assert "OR-Tools cannot be imported" in without.fallback_reason
    assert without.kept == pytest.approx(best.kept, rel=1e-12)
    assert without.status is Status.OPTIMAL


ROWS, COLUMNS = PEMap.input_channel((4, 6), 2), PEMap.output_channel((4, 6), 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransposableProblem(np.ones((6, 8)), 2, 4), "multiples of 4"),
        (lambda: TransposableProblem(np.ones(8), 2, 4), "shape .8,."),
        (lambda: TransposableProblem(np.ones((4, 4)), 5, 4), "5:4: 1 <= n <= m"),
        (lambda: TransposableProblem(np.ones((4, 4)), 2.0, 4), "whole numbers"),
        (lambda: TransposableProblem(-np.ones((4, 4)), 2, 4), "at least 0"),
        (
            lambda: TwoWayProblem(np.ones((4, 6)), ROWS, PEMap.n_m((4, 4), 1, 2), 1),
            "the first PE map has shape .4, 6., the second .4, 4.",
        ),
        (lambda: TwoWayProblem(np.ones((4, 6)), ROWS, COLUMNS, 1), "`second_loads` is"),
        (lambda: TwoWayProblem(np.ones((4, 6)), ROWS, COLUMNS, 1.5, 1), "float64"),
        (lambda: TwoWayProblem(np.ones((4, 6)), ROWS, COLUMNS, 4, 1), "takes 0..3"),
        (
            lambda: TwoWayProblem(np.ones((4, 6)), ROWS, COLUMNS, 1, 1),
            "add up to 8 weights, `second_loads` to 4",
        ),
    ],
)
def test_what_is_no_two_way_problem_is_refused(make, message):
    """Wrong patterns, maps and loads are refused with what is accepted."""
    with pytest.raises(BalancerError, match=message):
        make()


def test_solvers_of_blocks_do_not_answer_maps():
    """Only flow answers two PE maps, and unknown names are refused."""
    problem = TwoWayProblem(np.ones((4, 6)), ROWS, COLUMNS, 1, 2)
    assert solve_two_way(problem).kept == 8
    with pytest.raises(BalancerError, match="accepted: auto, flow"):
        solve_two_way(problem, "cycles")
    with pytest.raises(BalancerError, match="accepted: auto, flow, cycles, greedy"):
        solve_two_way(TransposableProblem(np.ones((4, 4)), 2, 4), "simplex")


@pytest.mark.parametrize("inner", [[[3.0, 1.0], [1.0, 3.0]], [[1.0, 3.0], [3.0, 1.0]]])
def test_scores_too_small_beside_others_are_bounded_all_the_same(inner):
    """Where rounding to whole numbers hides all differences, no proof is claimed.

    The loads exclude the first row, whose scores set the scale of the whole numbers.
    """
    values = np.array([[1e15, 1e15], *inner])
    rows = PEMap.from_labels(group=[[0, 0], [1, 1], [2, 2]], pe=0)
    columns = PEMap.from_labels(group=[[0, 1]] * 3, pe=0)
    solution = solve_two_way(TwoWayProblem(values, rows, columns, [0, 1, 1], [1, 1]))
    assert solution.bound >= 6.0
    assert solution.kept == 6.0 or solution.status is Status.FEASIBLE


@pytest.mark.parametrize("giant", [1e3, 1e15, 1e20, 1e38, 1e300])
def test_a_giant_that_no_loads_allow_changes_nothing(giant):
    """It lies in a row that keeps nothing; the flow is scaled by what can be kept."""
    rows = PEMap.from_labels(np.arange(3)[:, None], np.zeros((1, 3), int))
    columns = PEMap.from_labels(np.arange(3), np.zeros((3, 1), int))
    scores = np.array([[giant, giant, giant], [1.0, 1.1, 1.0], [1.0, 1.0, 1.25]])
    problem = TwoWayProblem(scores, rows, columns, [0, 1, 1], [0, 1, 1])
    solution = solve_two_way(problem)
    assert solution.kept == 2.35
    assert solution.bound == pytest.approx(2.35, rel=1e-9)
    assert (solution.status, solution.termination) == (
        Status.OPTIMAL,
        Termination.PROVED,
    )
