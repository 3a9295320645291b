"""Utilization, idle slots and kept magnitude are what their formulas say."""

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import LoadMetrics, PEMap, network_utilization, solve, utilization
from balancer.metrics import network_eta, top_k, top_k_sum
from balancer.program.problem import RetentionProblem


def one_group(loads, width=8):
    """A layer whose output channels form one group with these loads."""
    mask = np.arange(width) < np.array(loads)[:, None]
    return mask, PEMap.output_channel(mask.shape, pes=len(loads))


@pytest.mark.parametrize(
    ("loads", "mu", "mu_ceil", "eta"),
    [
        ([4, 4, 4, 4], 1.0, 1.0, 1.0),
        ([1, 0, 0, 0], 0.0, 1.0, 0.25),
        ([4, 2, 2, 0], 1 - (4 - 2) / 4 * 4 / 3, 1 - (4 - 2) / 4 * 4 / 3, 0.5),
        ([5, 2, 2, 0], 1 - (5 - 2.25) / 5 * 4 / 3, 1 - (5 - 3) / 5 * 4 / 3, 0.45),
        ([0, 0], 1.0, 1.0, 1.0),
        ([3], 1.0, 1.0, 1.0),
    ],
)
def test_utilization_of_one_group(loads, mu, mu_ceil, eta):
    """The paper's mu, the code's ceil variant and eta on loads done by hand."""
    metrics = LoadMetrics.of(*one_group(loads))
    assert metrics.mu == pytest.approx(mu)
    assert metrics.mu_ceil == pytest.approx(mu_ceil)
    assert metrics.eta == pytest.approx(eta)


def test_a_layer_averages_its_busy_groups():
    """mu is the mean over the groups that have any load, eta the ratio of sums."""
    mask = np.zeros((6, 4), dtype=bool)
    mask[0, :4], mask[1, :2], mask[2, :1], mask[3, :1] = True, True, True, True
    metrics = LoadMetrics.of(mask, PEMap.output_channel((6, 4), pes=2))
    assert metrics.mu == pytest.approx(((1 - (4 - 3) / 4 * 2) + 1) / 2)
    assert metrics.eta == pytest.approx(8 / (2 * (4 + 1)))


@given(pe_maps(60), st.randoms(use_true_random=False))
def test_slots_are_loads_and_idle_ones(pe_map, random):
    """Slots = non-zeros + idle of present PEs + idle of absent PEs; 0 <= mu <= 1."""
    mask = np.array([random.random() < 0.3 for _ in range(pe_map.weights)], dtype=bool)
    metrics = LoadMetrics.of(mask.reshape(pe_map.shape), pe_map)
    idle = metrics.idle_unbalanced + metrics.idle_structural
    assert metrics.nonzeros + idle == metrics.slots
    assert metrics.nonzeros == mask.sum()
    assert -1e-12 <= metrics.mu <= metrics.mu_ceil + 1e-12 <= 1 + 1e-9
    assert (metrics.idle_unbalanced == 0) == (metrics.mu > 1 - 1e-12)


@given(pe_maps(60), st.data())
def test_balanced_masks_are_fully_utilized(pe_map, data):
    """Any solution has mu = 1, and only structure keeps eta below 1."""
    values = data.draw(scores(pe_map.weights)).reshape(pe_map.shape)
    budget = pe_map.weights if pe_map.fixed_load is not None else pe_map.weights // 2
    mask = solve(RetentionProblem(values, pe_map, budget)).mask
    metrics = LoadMetrics.of(mask, pe_map)
    assert utilization(mask, pe_map) == metrics.mu == 1.0
    assert metrics.idle_unbalanced == 0


def test_a_network_weighs_its_layers():
    """mu is weighted by parameters, eta by slots, and an empty network is fine."""
    assert network_utilization([1.0, 0.5], [300, 100]) == pytest.approx(0.875)
    assert network_utilization([], []) == 1.0
    layers = [LoadMetrics.of(*one_group(loads)) for loads in ([2, 2], [8, 0])]
    assert network_eta(layers) == pytest.approx(12 / (4 + 16))
    assert network_eta([]) == 1.0


@given(st.integers(0, 30).flatmap(scores), st.data())
def test_top_k_is_the_sorted_tail(values, data):
    """The k largest scores are those at the end of the sorted scores."""
    k = data.draw(st.integers(0, values.size))
    tail = np.sort(values)[values.size - k :]
    np.testing.assert_array_equal(np.sort(top_k(values, k)), tail)
    assert top_k_sum(values, k) == pytest.approx(float(tail.astype(float).sum()))
