"""Budgets of layers add up, respect what layers need, and follow their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    InfeasibleError,
    LayerCost,
    PEMap,
    lamp_scores,
    layer_counts,
)
from balancer.network.layer_counts import RULES, guarded_counts


@st.composite
def networks(draw):
    """Scores with ties and zeros, candidates, and what a weight takes."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    layers = draw(st.integers(1, 4))
    shapes = [tuple(rng.integers(0, 7, rng.integers(2, 5))) for _ in range(layers)]
    scores, candidates = {}, {}
    for number, shape in enumerate(shapes):
        unit = 10.0 ** rng.integers(-3, 4)
        scores[f"l{number}"] = rng.integers(0, 6, shape) * unit
        candidates[f"l{number}"] = rng.random(shape) < draw(st.sampled_from([0.5, 1]))
    cycles = {name: float(rng.integers(1, 9)) for name in scores}
    return scores, candidates, cycles


@given(network=networks(), rule=st.sampled_from(RULES), share=st.floats(0, 1.2))
def test_budgets_are_exact_and_within_the_candidates(network, rule, share):
    """All add up to the total, or to all candidates if they are fewer."""
    scores, candidates, cycles = network
    most = {name: int(mask.sum()) for name, mask in candidates.items()}
    total = int(share * sum(most.values()))
    found = layer_counts(rule, scores, candidates, total, cycles_per_weight=cycles)
    assert list(found) == list(scores)
    assert sum(found.values()) == min(total, sum(most.values()))
    assert all(0 <= found[name] <= most[name] for name in found)


@given(network=networks(), rule=st.sampled_from(RULES), share=st.floats(0, 1))
def test_no_layer_gets_less_than_it_needs(network, rule, share):
    """The guard holds, or the total has no room for it."""
    scores, candidates, cycles = network
    most = {name: int(mask.sum()) for name, mask in candidates.items()}
    least = {name: min(3, count) for name, count in most.items()}
    total = int(share * sum(most.values()))

    def counts():
        return layer_counts(
            rule, scores, candidates, total, least=least, cycles_per_weight=cycles
        )

    if total < sum(least.values()):
        with pytest.raises(InfeasibleError):
            counts()
    else:
        found = counts()
        assert sum(found.values()) == total
        assert all(found[name] >= least[name] for name in found)


@given(network=networks(), share=st.floats(0, 1))
def test_global_budgets_count_the_largest_scores(network, share):
    """As sorting all of them does; of equal scores the first layers' are taken."""
    scores, candidates, _ = network
    names = [n for n, s in scores.items() for _ in range(int(candidates[n].sum()))]
    flat = np.concatenate([scores[n][candidates[n]] for n in scores])
    total = int(share * flat.size)
    kept = np.argsort(-flat, kind="stable")[:total]
    expected = {name: sum(names[i] == name for i in kept) for name in scores}
    assert layer_counts("global", scores, candidates, total) == expected


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(-30, 30))
def test_lamp_scores_are_those_of_the_formula(values, exponent):
    """Term by term, in any unit."""
    scores = np.array(values) * 10.0**exponent
    expected = [
        s**2 / sum(t**2 for t in values if t >= s) if s else 0.0 for s in values
    ]
    assert lamp_scores(scores) == pytest.approx(expected, rel=1e-12)


@given(network=networks(), share=st.floats(0.01, 1), factor=st.sampled_from([0.01, 50]))
def test_lamp_budgets_do_not_know_the_units_of_a_layer(network, share, factor):
    """Scaling one layer's scores moves no weight from or to it."""
    scores, candidates, _ = network
    total = int(share * sum(mask.sum() for mask in candidates.values()))
    scaled = scores | {"l0": scores["l0"] * factor}
    ours, other = (
        layer_counts("lamp", one, candidates, total) for one in (scores, scaled)
    )
    assert all(abs(ours[name] - other[name]) <= 2 for name in ours)  # rounded ties


def test_layers_of_one_density_and_of_erdos_renyi_kernels():
    """Densities are equal, or in proportion to sum over product of the axes."""
    shapes = {"conv": (8, 4, 3, 3), "fc": (10, 100)}
    scores = {name: np.ones(shape) for name, shape in shapes.items()}
    every = {name: np.ones(shape, bool) for name, shape in shapes.items()}
    assert layer_counts("layer", scores, every, 322) == {"conv": 72, "fc": 250}
    erk = layer_counts("erk", scores, every, 128)
    assert erk == {"conv": 18, "fc": 110}  # 8+4+3+3 to 10+100
    # 18 : 110 of 900 would be more than the 288 weights of no layer; conv is full.
    assert layer_counts("erk", scores, every, 1200)["fc"] == 1000


def test_cheap_weights_get_more_of_a_budget_of_cycles():
    """Halving what a weight takes gives its layer more of the network's budget."""
    rng = np.random.default_rng(0)
    scores = {name: rng.random((20, 20)) for name in "ab"}
    every = {name: np.ones((20, 20), bool) for name in "ab"}
    found = layer_counts(
        "cycles", scores, every, 100, cycles_per_weight={"a": 1.0, "b": 4.0}
    )
    assert found["a"] > 2 * found["b"]


def test_a_weight_takes_its_share_of_a_slice():
    """Of a layer whose slices have fewer weights, a weight takes more cycles.

    One that never runs counts as the cheapest that does, so it does not get all.
    """
    rng = np.random.default_rng(0)
    scores = {name: rng.random((size, 20)) for name, size in (("a", 8), ("b", 2))}
    scores["idle"] = rng.random((8, 20))
    every = {name: np.ones(array.shape, bool) for name, array in scores.items()}
    maps = {
        name: PEMap.output_channel(array.shape, 8) for name, array in scores.items()
    }
    cycles = {"a": 16.0, "b": 16.0, "idle": 0.0}
    found = guarded_counts(
        "cycles",
        scores,
        every,
        100,
        maps,
        costs={name: LayerCost(cycles_per_slice=one) for name, one in cycles.items()},
    )
    of_weights = {"a": 2.0, "b": 8.0, "idle": 2.0}
    assert found == layer_counts(
        "cycles", scores, every, 100, cycles_per_weight=of_weights
    )
    assert 0 < found["idle"] < 100


@pytest.mark.parametrize("rule", RULES)
def test_a_total_below_all_slices_is_shared_all_the_same(rule):
    """What needs no slices can do with it; what does refuses it later."""
    scores = {name: np.ones((4, 3)) for name in "ab"}
    every = {name: np.ones((4, 3), bool) for name in "ab"}
    maps = {name: PEMap.output_channel((4, 3), 4) for name in "ab"}
    costs = dict.fromkeys("ab", LayerCost(1.0))
    for total in (5, 9):
        found = guarded_counts(rule, scores, every, total, maps, costs=costs)
        assert sum(found.values()) == total
    assert rule == "global" or min(found.values()) >= 4


def test_unknown_rules_and_missing_cycles_are_named():
    """What is accepted stands in the message."""
    scores = {"a": np.ones((2, 2))}
    every = {"a": np.ones((2, 2), bool)}
    with pytest.raises(BalancerError, match="erk"):
        layer_counts("best", scores, every, 2)  # type: ignore[arg-type]
    with pytest.raises(BalancerError, match="accelerator"):
        layer_counts("cycles", scores, every, 2)
