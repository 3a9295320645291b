"""Networks: each layer by itself, or exactly one budget for all of them."""

import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalanceRequest,
    BalancerError,
    Cancellation,
    InfeasibleError,
    LayerCost,
    PEMap,
    RetentionProblem,
    SearchLimits,
    Status,
    Termination,
    balance_network,
    latency_frontier,
    solve,
)
from balancer.files.ticket import open_ticket, shipped_ticket
from balancer.metrics import top_k_sum


@st.composite
def networks(draw, max_weights=30):
    """Up to three layers by name, each with scores and a PE map of its own."""
    maps = draw(st.lists(pe_maps(max_weights), max_size=3))
    maps = [pe_map for pe_map in maps if pe_map.fixed_load is None]
    # `balance_network` chooses the map by the shape, so no two may be of one shape.
    maps = list({pe_map.shape: pe_map for pe_map in maps}.values())
    return {
        f"layer{n}": (draw(scores(pe_map.weights)).reshape(pe_map.shape), pe_map)
        for n, pe_map in enumerate(maps)
    }


def balance(network, **options):
    maps = {pe_map.shape: pe_map for _, pe_map in network.values()}
    layers = {name: values for name, (values, _) in network.items()}
    return balance_network(layers, pe_map=maps.__getitem__, **options)


def union(values, maps):
    """One layer that consists of all layers, for the literal program."""
    groups, pes, first = [], [], 0
    for pe_map in maps:
        group, pe = pe_map.labels()
        groups.append(group.reshape(-1) + first)
        pes.append(pe.reshape(-1))
        first += pe_map.groups
    flat = np.concatenate([v.reshape(-1) for v in values])[None]
    labels = PEMap.from_labels(np.concatenate(groups)[None], np.concatenate(pes)[None])
    return flat, labels


@given(networks(), st.data())
def test_one_budget_is_one_program(network, data):
    """The global scope keeps as much as the literal program over all the weights."""
    total = sum(values.size for values, _ in network.values())
    budget = data.draw(st.integers(0, total))
    solution = balance(network, scope="global", budget=budget, allow_empty=True)
    assert solution.status is Status.OPTIMAL
    assert sum(layer.after.nonzeros for layer in solution.layers) <= budget
    assert solution.kept <= solution.bound
    assert solution.kept_unstructured >= solution.kept * (1 - 1e-12)
    if network:
        flat, labels = union(*zip(*network.values(), strict=True))
        literal = solve(RetentionProblem(flat, labels, budget), "binary")
        assert np.isclose(solution.kept, literal.kept, rtol=1e-9, atol=1e-9)


@given(networks(80), st.floats(0, 1))
def test_layer_scope_is_a_program_for_each_layer(network, sparsity):
    """Layer by layer, every mask is the one that `solve` gives for it."""
    for layer in balance(network, sparsity=sparsity, allow_empty=True).layers:
        values, pe_map = network[layer.name]
        alone = solve(RetentionProblem(values, pe_map, sparsity=sparsity))
        np.testing.assert_array_equal(layer.solution.mask, alone.mask)
        assert layer.kept_unstructured == top_k_sum(values, alone.nonzeros)


def test_threads_do_not_change_the_masks():
    """One worker and three give the same masks, in the order of the layers."""
    rng = np.random.default_rng(0)
    layers = {f"l{n}": rng.random((40 + n, 30)) for n in range(6)}
    runs = [balance_network(layers, sparsity=0.9, workers=w) for w in (1, 3)]
    assert [layer.name for layer in runs[0].layers] == list(layers)
    for one, other in zip(runs[0].layers, runs[1].layers, strict=True):
        np.testing.assert_array_equal(one.solution.mask, other.solution.mask)


def test_global_keeps_at_least_what_the_layers_keep_apart():
    """Sharing the same number of non-zeros can only keep more."""
    ticket = open_ticket(shipped_ticket())
    apart = balance_network(ticket)
    spent = sum(layer.after.nonzeros for layer in apart.layers)
    shared = balance_network(ticket, scope="global", budget=spent)
    assert shared.kept >= apart.kept
    assert shared.to_dict()["network"]["nonzeros"] <= spent


def test_a_ticket_keeps_its_own_number_of_nonzeros():
    """Without a budget each layer keeps its mask's non-zeros, up to the remainder."""
    for layer in balance_network(open_ticket(shipped_ticket())).layers:
        assert layer.after.nonzeros + layer.solution.remainder == layer.before.nonzeros
        assert layer.after.mu == 1.0
        assert layer.solution.status is Status.OPTIMAL


def test_nested_masks_revive_nothing():
    """With `nested` only weights of the ticket's mask are kept."""
    ticket = open_ticket(shipped_ticket())
    solution = balance_network(ticket, nested=True, allow_empty=True)
    for source, layer in zip(ticket.layers, solution.layers, strict=True):
        assert not (layer.solution.mask & ~source.read().mask).any()


def test_an_n_m_map_needs_no_budget():
    """Two of four input channels, whatever the ticket's mask has."""
    solution = balance_network(open_ticket(shipped_ticket()), pe_map="2:4")
    for layer in solution.layers:
        inputs = layer.shape[1]
        expected = (inputs // 4 * 2 + min(2, inputs % 4)) / inputs
        assert layer.after.nonzeros == layer.weights * expected


def test_results_come_as_they_are_ready():
    """`progress` sees every layer once, in either scope."""
    layers = {f"l{n}": np.ones((8, 8)) for n in range(3)}
    for scope in ("layer", "global"):
        seen = []
        balance_network(layers, sparsity=0.5, scope=scope, progress=seen.append)
        assert sorted(result.name for result in seen) == ["l0", "l1", "l2"]


def test_ctrl_c_finishes_the_network_with_greedy():
    """After an interrupt every layer has a valid mask, the last ones by greedy."""
    rng = np.random.default_rng(0)
    layers = {f"l{n}": rng.random((61, 500)) for n in range(4)}
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    solution = balance_network(layers, sparsity=0.7, solver="binary", time_limit=60)
    assert solution.cancelled
    assert solution.layers[-1].solution.solver == "greedy"
    assert "cancelled" in solution.fallback_reasons["l3"]


def test_a_cancelled_global_program_is_answered_by_greedy():
    """The global scope, too, ends with valid masks and says why."""
    cancellation = Cancellation()
    cancellation.cancel()
    layers = {"a": np.ones((10, 8)), "b": np.ones((7, 8))}
    solution = balance_network(
        layers, sparsity=0.5, scope="global", cancellation=cancellation
    )
    assert {layer.solution.termination for layer in solution.layers} == {
        Termination.CANCELLED
    }
    assert set(solution.fallback_reasons) == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": {"c": 3}}, "`budget` names c; accepted: a, b"),
        ({"budget": {"a": 3}, "scope": "global"}, "one number for all layers"),
        ({"budget": 3, "sparsity": 0.5}, "the same thing"),
        ({"scope": "tile"}, "accepted: layer, global"),
        ({"scope": "global", "solver": "binary"}, "use cp-sat or greedy"),
        ({"scope": "global", "budget": 99}, "have 48 weights"),
        ({"budget": 40}, "layer a: `budget` is 40"),
        ({"solver": "simplex"}, "unknown solver"),
        ({"pe_map": "spiral"}, "unknown PE map"),
        ({"sparsity": 0.9, "channel_floor": 7}, "layer a: output channel 0 has 6"),
    ],
)
def test_what_no_network_can_do_is_refused(options, message):
    """Wrong options are refused with the layer and what is accepted."""
    layers = {"a": np.ones((4, 6)), "b": np.ones((4, 6))}
    with pytest.raises(BalancerError, match=message):
        balance_network(layers, **options)


def test_floors_that_exceed_a_shared_budget_say_the_least():
    """An infeasible shared budget names the least that is possible."""
    layers = {"a": np.ones((4, 6)), "b": np.ones((4, 6))}
    with pytest.raises(InfeasibleError, match="at least 16"):
        balance_network(layers, scope="global", budget=10, channel_floor=2)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_totals_follow_from_the_masks(scope):
    """The price is what the kept fraction lacks; dead channels are those of masks."""
    rng = np.random.default_rng(8)
    scale = np.repeat([1.0, 0.1], 4)[:, None]  # the second tile is worth little
    layers = {name: rng.random((8, 30)) * scale for name in ("a", "b")}
    solution = balance_network(layers, sparsity=0.9, pes=4, scope=scope)
    document = solution.to_dict()
    empty = {name: ~mask.any(axis=1) for name, mask in solution.masks.items()}
    assert document["network"]["dead_channels"] == sum(
        map(np.count_nonzero, empty.values())
    )
    assert document["network"]["dead_channels"] > 0
    for row in (*document["layers"], document["network"]):
        kept = row["kept"] / row["kept_unstructured"]
        assert row["kept_fraction"] == pytest.approx(kept)
        assert row["price_of_balance"] == pytest.approx(1 - kept)
    for row in document["layers"]:
        assert row["dead_channels"] == np.count_nonzero(empty[row["name"]])


def test_objects_and_keywords_give_the_same_network():
    """A request and limits say what keywords say; who gives both means the keywords."""
    rng = np.random.default_rng(9)
    layers = {"a": rng.random((20, 30)), "b": rng.random((9, 40))}
    request = BalanceRequest(sparsity=0.8, pes=4, channel_floor={"a": 1})
    runs = [
        balance_network(layers, request, limits=SearchLimits(seed=1)),
        balance_network(layers, sparsity=0.8, pes=4, channel_floor={"a": 1}, seed=1),
        balance_network(layers, replace(request, pes=2), pes=4, seed=1),
    ]
    for run in runs[1:]:
        assert (run.kept, run.bound) == (runs[0].kept, runs[0].bound)
        for name in layers:
            np.testing.assert_array_equal(run.masks[name], runs[0].masks[name])


def test_misspelled_options_are_no_options():
    """A keyword that nobody knows is an error at once, wherever it is given."""
    layers, costs = {"a": np.ones((4, 4))}, {"a": LayerCost(1)}
    problem = RetentionProblem(layers["a"], PEMap.output_channel((4, 4), 2), 8)
    for call in (
        lambda: balance_network(layers, sparsty=0.5),
        lambda: latency_frontier(layers, costs, sparsty=0.5),
        lambda: solve(problem, sparsty=0.5),
        lambda: solve(problem, sparsity=0.5),
    ):
        with pytest.raises(TypeError, match="spars"):
            call()
