"""Rules share the budget of a network among layers that are then solved alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    ArrayLayer,
    BalancerError,
    InfeasibleError,
    LayerCost,
    Status,
    balance_network,
    balance_ticket,
    budget_of_sparsity,
    latency_frontier,
    open_ticket,
    shipped_ticket,
)
from balancer.network.layer_counts import RULES

PES = 4


@st.composite
def networks(draw):
    """Layers of whole and ragged tiles, with masks, ties and zeros; and their costs."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    layers, costs = [], {}
    for number in range(draw(st.integers(1, 4))):
        shape = (int(rng.integers(1, 3)) * PES, int(rng.integers(2, 6)), 3)
        if draw(st.booleans()):
            shape = (int(rng.integers(1, 11)), int(rng.integers(2, 20)))
        scores = rng.integers(0, 9, shape) * 10.0 ** rng.integers(-3, 4)
        mask = rng.random(shape) < draw(st.sampled_from([0.4, 1]))
        layers.append(ArrayLayer(f"l{number}", scores, mask))
        costs[f"l{number}"] = LayerCost(cycles_per_slice=float(rng.integers(0, 9)))
    return layers, costs


def least_of(layer):
    """Fewest weights of a balanced mask of a layer: its smallest tile."""
    if not layer.mask.any():
        return 0
    channels = layer.shape[0]
    return (
        min(PES, channels) if channels % PES == 0 or channels < PES else channels % PES
    )


@given(network=networks(), rule=st.sampled_from(RULES), share=st.floats(0, 1))
def test_the_budget_is_spent_but_for_less_than_a_slice(network, rule, share):
    """Each layer keeps a slice at least and is proven; all keep what there is."""
    layers, costs = network
    weights = sum(layer.scores.size for layer in layers)
    budget = int(share * weights)
    least = {layer.name: least_of(layer) for layer in layers}

    def solved():
        return balance_network(
            layers, budget=budget, budgets=rule, costs=costs, pes=PES
        )

    if budget == 0:
        assert not any(layer.solution.nonzeros for layer in solved().layers)
        return
    if budget < sum(least.values()):
        with pytest.raises(InfeasibleError, match=f"at least {sum(least.values())}"):
            solved()
        return
    found = solved()
    kept = {layer.name: layer.solution.nonzeros for layer in found.layers}
    assert found.status is Status.OPTIMAL
    assert found.budget <= budget
    assert all(kept[name] >= least[name] for name in kept)
    assert budget - found.budget < PES


@given(network=networks(), rule=st.sampled_from(RULES))
def test_nested_layers_keep_their_candidates_only(network, rule):
    """With `nested` no weight returns; without, weights go where the rule says."""
    layers, costs = network
    asked = {"sparsity": 0.3, "budgets": rule, "costs": costs, "pes": PES}
    nested = balance_network(layers, nested=True, allow_empty=True, **asked)
    assert not any(layer.revived for layer in nested.layers)
    free = balance_network(layers, allow_empty=True, **asked)
    budget = budget_of_sparsity(0.3, sum(layer.scores.size for layer in layers))
    assert nested.budget <= budget
    assert budget - PES < free.budget <= budget


def test_layers_without_a_rule_keep_budgets_of_their_own():
    """One density is a rule; a sparsity of each layer is none, and may round apart."""
    rng = np.random.default_rng(0)
    scores = {"a": rng.random((16, 20)), "b": rng.random((16, 30)) * 100}
    own, shared = (
        balance_network(scores, sparsity=0.9, budgets=rule) for rule in (None, "global")
    )
    assert [layer.solution.nonzeros for layer in own.layers] == [32, 48]
    assert [layer.solution.nonzeros for layer in shared.layers] == [16, 64]


def test_a_ticket_keeps_as_many_weights_as_it_has():
    """Without a budget the non-zeros of its masks are shared anew."""
    report = balance_ticket(shipped_ticket(), budgets="lamp", reorder=False)
    network = report.to_dict()["network"]
    assert network["budgets"] == "lamp"
    assert 0 <= network["nonzeros_before"] - report.solution.budget < 16
    assert any(note.startswith("Density that lamp gives") for note in report.notes)
    assert report.settings["budgets"] == "lamp"


def test_a_ticket_is_balanced_as_its_layers_are():
    """The rule decides for tickets as it does for layers in memory."""
    ticket = open_ticket(shipped_ticket())
    asked = {"budgets": "lamp", "sparsity": 0.95}
    report, network = balance_ticket(ticket, **asked), balance_network(ticket, **asked)
    assert report.solution.kept == network.kept
    for name, mask in network.masks.items():
        assert np.array_equal(report.solution.masks[name], mask)


SCORES = {"a": np.ones((4, 4)), "b": np.ones((4, 4))}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"budgets": "best"}, "accepted: global, lamp, cycles, layer, erk"),
        ({"budgets": "lamp", "scope": "global"}, "leave one of them out"),
        ({"budgets": "lamp", "budget": {"a": 4}}, "one number for all"),
        ({"budgets": "lamp", "budget": 0.5}, "a whole number"),
        ({"budgets": "lamp", "budget": 33}, "they take 0..32"),
        ({"budgets": "lamp", "budget": -1}, "they take 0..32"),
        ({"budgets": "cycles", "sparsity": 0.5}, "the `costs` of the layers"),
        ({"budgets": "erk", "pe_map": "2:4"}, "nothing to share"),
    ],
)
def test_what_a_rule_cannot_share_is_refused(asked, said):
    """In one line that says what is accepted."""
    with pytest.raises(BalancerError, match=said) as caught:
        balance_network(SCORES, **{"pes": 4, **asked})
    assert "\n" not in str(caught.value)


def test_a_frontier_takes_no_rule():
    """Its layers share one budget in one program."""
    costs = {name: LayerCost(cycles_per_slice=1) for name in SCORES}
    with pytest.raises(BalancerError, match="budgets"):
        latency_frontier(SCORES, costs, budgets="lamp", pes=4)
