"""The methods we compare with do what their papers say."""

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import BalancerError, LoadMetrics, PEMap, RetentionProblem, solve
from balancer.baselines import (
    compare_baselines,
    lth_mask,
    lth_sorted_schedule,
    top_k_per_pe_mask,
    u_ticket_mask,
)
from balancer.metrics import top_k_sum


@given(st.integers(0, 40).flatmap(scores), st.data())
def test_lth_keeps_the_best_of_the_layer(values, data):
    """Unstructured pruning keeps exactly the budget, at the largest total."""
    budget = data.draw(st.integers(0, values.size))
    mask = lth_mask(values, budget)
    assert mask.sum() == budget
    kept = float(values[mask].astype(float).sum())
    assert kept == pytest.approx(top_k_sum(values, budget))


@pytest.mark.parametrize("rule", ["paper", "ceil"])
@given(pe_map=pe_maps(80), data=st.data())
def test_u_ticket_moves_every_load_to_the_mean(rule, pe_map, data):
    """Every PE ends at its group's rounded mean, by recovering or removing alone."""
    values = data.draw(scores(pe_map.weights)).reshape(pe_map.shape)
    budget = data.draw(st.integers(0, pe_map.weights))
    before = lth_mask(values, budget)
    after = u_ticket_mask(before, pe_map, rule, seed=1)
    sizes = dict(
        zip(
            zip(pe_map.cell_group, pe_map.cell_pe, strict=True),
            pe_map.cell_sizes(),
            strict=True,
        )
    )
    loads = pe_map.loads(before)
    for (g, p), size in sizes.items():
        present = pe_map.present()[g]
        mean = loads[g][present].mean()
        target = int(np.ceil(mean)) if rule == "ceil" else int(np.floor(mean + 0.5))
        assert pe_map.loads(after)[g, p] == min(target, size)
    group, pe = pe_map.labels()
    for g, p in sizes:
        mine = (group == g) & (pe == p)
        grew = after[mine].sum() >= before[mine].sum()
        assert (
            (after[mine] >= before[mine]).all()
            if grew
            else (after[mine] <= before[mine]).all()
        )


@given(st.integers(1, 12), st.integers(1, 5), st.data())
def test_sorting_channels_minimizes_the_cycles_of_a_mask(channels, pes, data):
    """No order of full tiles needs fewer cycles than channels sorted by non-zeros."""
    channels *= pes if data.draw(st.booleans()) else 1
    values = data.draw(scores(channels * 3)).reshape(channels, 3)
    mask, pe_map = values > 0.5, PEMap.output_channel(values.shape, pes)
    order = lth_sorted_schedule(mask, pe_map).order
    np.testing.assert_array_equal(np.sort(order), np.arange(channels))
    other = np.array(data.draw(st.permutations(range(channels))))

    def slots(order):
        return LoadMetrics.of(mask[order], pe_map).slots

    if channels % pes == 0:
        assert slots(order) <= slots(other)


def test_u_ticket_draws_by_seed():
    """The same seed gives the same mask, another seed another."""
    mask = lth_mask(np.random.default_rng(0).random((32, 64)), 300)
    pe_map = PEMap.output_channel(mask.shape)
    same = [u_ticket_mask(mask, pe_map, seed=4) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert (same[0] != u_ticket_mask(mask, pe_map, seed=5)).any()
    with pytest.raises(BalancerError, match="accepted: paper, ceil"):
        u_ticket_mask(mask, pe_map, "floor")


@given(pe_maps(80), st.data())
def test_top_k_per_pe_keeps_each_pes_best(pe_map, data):
    """Every PE keeps the same number of its largest scores."""
    values = data.draw(scores(pe_map.weights)).reshape(pe_map.shape)
    budget = data.draw(st.integers(0, pe_map.weights))
    mask = top_k_per_pe_mask(values, pe_map, budget)
    cell = pe_map.cell_labels()
    for number, size in enumerate(pe_map.cell_sizes()):
        mine = cell == number
        k = min(budget // pe_map.n_cells, size)
        assert mask[mine].sum() == k
        kept = float(values[mine & mask].astype(float).sum())
        assert kept == pytest.approx(top_k_sum(values[mine], k))


def best_of(values, comparison):
    """What unstructured pruning keeps with as many non-zeros."""
    return top_k_sum(values, comparison.metrics.nonzeros)


@given(pe_maps(120), st.data())
def test_no_balanced_baseline_keeps_more_than_the_optimum(pe_map, data):
    """Whatever is balanced within the budget keeps at most what the solver keeps."""
    values = data.draw(scores(pe_map.weights)).reshape(pe_map.shape)
    budget = data.draw(st.integers(0, pe_map.weights))
    if pe_map.fixed_load is not None:
        return
    best = solve(RetentionProblem(values, pe_map, budget))
    for comparison in compare_baselines(values, pe_map, budget):
        share = comparison.kept_fraction
        assert (share is None) == (not best_of(values, comparison))
        assert share is None or 0 <= share <= 1
        if (
            comparison.method == "lth-sorted"
        ):  # another order, which `best` may not take
            continue
        within = comparison.metrics.nonzeros <= budget
        if within and comparison.metrics.idle_unbalanced == 0:
            kept = (share or 0.0) * best_of(values, comparison)
            assert kept <= best.kept * (1 + 1e-9)


def test_lth_sorted_is_measured_in_its_sorted_order():
    """Its tiles are as slow as their heaviest channels once these are sorted."""
    values = np.random.default_rng(2).random((48, 40)) * np.arange(1, 49)[::-1, None]
    values = np.random.default_rng(3).permutation(values)
    pe_map = PEMap.output_channel(values.shape, 16)
    rows = {row.method: row for row in compare_baselines(values, pe_map, 300)}
    heavy = np.sort(lth_mask(values, 300).sum(axis=1))[::-1]
    slots = 16 * int(heavy[::16].sum())
    plain, ordered = rows["lth"], rows["lth-sorted"]
    assert ordered.metrics.slots == slots < plain.metrics.slots
    assert ordered.metrics.eta == pytest.approx(300 / slots)
    assert ordered.metrics.mu > plain.metrics.mu
    assert ordered.metrics.nonzeros == plain.metrics.nonzeros == 300
    assert ordered.kept_fraction == plain.kept_fraction == 1.0
