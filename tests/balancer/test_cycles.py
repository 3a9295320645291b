"""Cycle canceling and flow in square blocks, each step by itself."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.errors import InfeasibleError, SolverUnavailableError
from balancer.solvers import or_tools
from balancer.two_way import cycles, flow


@st.composite
def blocks(draw):
    """Scores of a few blocks, with ties or without, and how many to keep."""
    m = draw(st.integers(1, 5))
    n = draw(st.integers(1, m))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.exponential(size=(draw(st.integers(1, 3)), m, m))
    return (np.floor(2 * values) if draw(st.booleans()) else values), n


def holds(mask, n):
    return bool((mask.sum(axis=1) == n).all() and (mask.sum(axis=2) == n).all())


def best_kept(values, n):
    """What the flow, another method, keeps of each block."""
    return np.array([one[flow.block_masks(one[None], n)[0][0]].sum() for one in values])


@given(blocks())
def test_greedy_masks_take_the_best_that_fit(drawn):
    """The best that fit are taken; one that is short is mended at the least loss."""
    values, n = drawn
    mask = cycles.greedy_masks(values, n)
    assert holds(mask, n)
    m = values.shape[1]
    for one, kept in zip(values, mask, strict=True):
        taken = np.zeros((m, m), dtype=bool)
        for place in np.argsort(-one, axis=None, kind="stable"):
            row, column = divmod(int(place), m)
            if taken[row].sum() < n and taken[:, column].sum() < n:
                taken[row, column] = True
        short = n * m - taken.sum()
        if short == 0:
            np.testing.assert_array_equal(kept, taken)
        if short == 1:
            row, column = taken.sum(axis=1).argmin(), taken.sum(axis=0).argmin()
            best = max(
                one[row, come] + one[k, column] - one[k, come]
                for k in range(m)
                for come in range(m)
                if taken[k, come] and not taken[k, column] and not taken[row, come]
            )
            assert one[kept].sum() == pytest.approx(one[taken].sum() + best)


@given(blocks())
def test_canceled_cycles_leave_the_optimum_and_its_proof(drawn):
    """All masks are optimal, and the potentials prove it."""
    values, n = drawn
    mask = cycles.greedy_masks(values, n)
    before = values[mask].sum()
    potentials, done = cycles.cancel_cycles(values, mask, np.inf)
    assert done
    assert holds(mask, n)
    kept = np.where(mask, values, 0).sum(axis=(1, 2))
    assert kept.sum() >= before * (1 - 1e-12)
    np.testing.assert_allclose(kept, best_kept(values, n), rtol=1e-9)
    bound = cycles.dual_bound(values, n, potentials)
    np.testing.assert_allclose(bound, kept, rtol=1e-9)


@given(blocks(), st.integers(0, 2**32))
def test_any_potentials_bound_the_score(drawn, seed):
    """The bound holds whatever the potentials, and is that of the formula or less."""
    values, n = drawn
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=values.shape[:2])
    bound = cycles.dual_bound(values, n, columns)
    assert (bound >= best_kept(values, n) * (1 - 1e-9)).all()
    # With the best potentials of the rows for these of the columns.
    left = -np.sort(columns[:, None, :] - values, axis=2)
    once = n * columns.sum(axis=1) + left[:, :, :n].sum(axis=(1, 2))
    assert (bound <= once + 1e-9 * np.abs(once) + 1e-12).all()


def test_no_round_begins_after_the_deadline():
    """Late, masks stay as they are, unless they are optimal already: that is proven."""
    rng = np.random.default_rng(3)
    values = rng.random((40, 6, 6))
    mask = cycles.greedy_masks(values, 3)
    late = time.perf_counter() - 1
    first = mask.copy()
    potentials, done = cycles.cancel_cycles(values, mask, late)
    assert not done
    np.testing.assert_array_equal(mask, first)
    bound = cycles.dual_bound(values, 3, potentials)
    assert (bound >= best_kept(values, 3) * (1 - 1e-9)).all()
    cycles.cancel_cycles(values, mask, np.inf)
    assert cycles.cancel_cycles(values, mask, late)[1]


def test_no_blocks_are_optimal():
    """Without blocks there is nothing to do."""
    nothing = np.zeros((0, 4, 4))
    mask = cycles.greedy_masks(nothing, 2)
    potentials, done = cycles.cancel_cycles(nothing, mask, 0.0)
    assert (mask.shape, potentials.shape, done) == ((0, 4, 4), (0, 4), True)


@given(blocks())
def test_the_flow_bounds_what_rounding_costs(drawn):
    """Its bound is not below its score, and above it by rounding alone."""
    values, n = drawn
    mask, bound = flow.block_masks(values, n)
    assert holds(mask, n)
    kept = values[mask].sum()
    assert kept <= bound <= kept * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1.0, 1e20, 1e200])
def test_a_flow_is_exact_at_any_scale(scale):
    """Scores of any magnitude are scaled to whole numbers that tell them apart."""
    values = scale * (1 + np.random.default_rng(1).random(6) * 1e-6)
    tails, heads = np.array([0, 0, 0, 1, 1, 1]), np.array([2, 3, 4, 2, 3, 4])
    chosen, bound = flow.transport(
        values, tails, heads, np.array([1, 1, 0, -1, -1]) * 1
    )
    ways = [(1, 5), (2, 4)]
    best = max(ways, key=lambda way: values[list(way)].sum())
    np.testing.assert_array_equal(np.flatnonzero(chosen), best)
    kept = values[list(best)].sum()
    assert kept < bound <= kept * (1 + 1e-10)


def test_a_flow_of_no_weights_is_empty():
    """Without weights nothing is chosen and nothing rounded."""
    none = np.zeros(0)
    chosen, bound = flow.transport(none, none, none, np.array([0, 0]))
    assert (chosen.size, bound) == (0, 0.0)


def test_flows_that_do_not_exist_are_told_from_those_rejected(monkeypatch):
    """No choice meets the supplies: infeasible. Any other failure: no answer."""
    tails, heads = np.array([0, 1]), np.array([2, 2])
    with pytest.raises(InfeasibleError, match="share too few weights"):
        flow.transport(np.ones(2), tails, heads, np.array([2, 0, -2]))
    chosen, _ = flow.transport(np.zeros(2), tails, heads, np.array([1, 0, -1]))
    np.testing.assert_array_equal(chosen, [True, False])
    module = or_tools.load(or_tools.MIN_COST_FLOW)

    class Rejected(module.SimpleMinCostFlow):
        def solve(self):
            return self.BAD_COST_RANGE

    fake = type("Module", (), {"SimpleMinCostFlow": Rejected})
    monkeypatch.setattr(or_tools, "load", lambda name: fake)
    with pytest.raises(SolverUnavailableError, match="status BAD_COST_RANGE"):
        flow.transport(np.ones(2), tails, heads, np.array([1, 0, -1]))
