"""Channels to tiles of given loads, against all ways to do it."""

from itertools import permutations

import numpy as np
import pytest

from balancer.errors import SolverUnavailableError
from balancer.order.assignment import assign
from balancer.solvers import or_tools


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_assignment_is_the_best_of_all(scale):
    """Tiles are full, and no other way to fill them is worth more."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        sizes = rng.integers(1, 4, int(rng.integers(1, 4)))[:3]
        sizes = sizes[np.cumsum(sizes) <= 6]
        channels = int(sizes.sum())
        totals = scale * np.cumsum(rng.random((channels, 4)), axis=1)
        totals[rng.random(channels) < 0.2] = 0
        loads = rng.integers(0, 4, len(sizes))
        tile, slack = assign(totals, loads, sizes)
        np.testing.assert_array_equal(np.bincount(tile, minlength=len(sizes)), sizes)
        each = np.arange(channels)
        load_of_place = np.repeat(loads, sizes)
        best = max(
            totals[list(order), load_of_place].sum()
            for order in permutations(range(channels))
        )
        kept = totals[each, loads[tile]].sum()
        assert kept == pytest.approx(best, rel=1e-9, abs=0)
        assert 0 <= slack <= 1e-11 * totals.max()
        assert best <= kept * (1 + 1e-15) + slack


def test_equal_loads_take_the_channels_as_they_come():
    """Tiles of one load, or of one load among others, are filled in order."""
    totals = np.array([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, 4.0], [0.0, 0.5]])
    alike, slack = assign(totals, np.array([1, 1]), np.array([2, 3]))
    np.testing.assert_array_equal(alike, [0, 0, 1, 1, 1])
    assert slack == 0
    mixed, _ = assign(totals, np.array([1, 0, 1]), np.array([1, 2, 2]))
    np.testing.assert_array_equal(mixed, [0, 1, 2, 2, 1])


def test_a_flow_that_fails_is_no_assignment(monkeypatch):
    """What OR-Tools does not solve is not taken for an answer."""

    class Flow:
        OPTIMAL, INFEASIBLE = "optimal", "infeasible"

        def add_arcs_with_capacity_and_unit_cost(self, tail, head, capacity, cost):
            return np.arange(len(tail))

        def set_nodes_supplies(self, nodes, supplies):
            assert supplies.sum() == 0

        def solve(self):
            return type("Status", (), {"name": "UNBALANCED"})()

    module = type("Module", (), {"SimpleMinCostFlow": Flow})
    monkeypatch.setattr(or_tools, "load", lambda name: module)
    with pytest.raises(SolverUnavailableError, match="ended with status UNBALANCED"):
        assign(np.array([[0.0, 1.0], [0.0, 2.0]]), np.array([0, 1]), np.array([1, 1]))
