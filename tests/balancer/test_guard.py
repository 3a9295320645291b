"""No layer is emptied unasked, budgets hold, and what is balanced stays as it is."""

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    ArrayLayer,
    BalancerError,
    InfeasibleError,
    LayerCost,
    PEMap,
    Schedule,
    balance_network,
    latency_frontier,
)
from balancer.network.guard import share_out


@st.composite
def networks(draw):
    """One to three layers with scores, masks and PE maps of their own."""
    maps = draw(st.lists(pe_maps(60), max_size=3))
    maps = [pe_map for pe_map in maps if pe_map.fixed_load is None]
    maps = list({pe_map.shape: pe_map for pe_map in maps}.values())
    density = draw(st.sampled_from([0.05, 0.3, 0.8, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    layers = []
    for number, pe_map in enumerate(maps):
        values = draw(scores(pe_map.weights)).reshape(pe_map.shape)
        mask = rng.random(pe_map.shape) < density
        layers.append(ArrayLayer(f"l{number}", values, mask))
    return layers, {pe_map.shape: pe_map for pe_map in maps}


requests = st.fixed_dictionaries(
    {"scope": st.sampled_from(["layer", "global"]), "nested": st.booleans()},
    optional={"sparsity": st.floats(0, 0.99)},
)


@given(networks(), requests)
def test_no_layer_is_emptied_and_the_budget_holds(network, request):
    """Every layer that had weights keeps some, within the budget of all, or says why.

    No share is above 1, and a layer that keeps no score has none.
    """
    layers, maps = network
    asked = {"pe_map": maps.__getitem__, **request}
    refused = ""
    try:
        solution = balance_network(layers, **asked)
    except InfeasibleError as error:
        refused = str(error)
    if refused:
        assert "need" in refused or "no balanced mask keeps" in refused
        balance_network(layers, allow_empty=True, **asked)
        return
    weights = [layer.mask.size for layer in layers]
    most = sum(np.count_nonzero(layer.mask) for layer in layers)
    if "sparsity" in request:
        most = (1 - request["sparsity"]) * sum(weights) * (1 + 1e-12) + 1e-9
    assert sum(x.after.nonzeros for x in solution.layers) <= most
    for layer, result in zip(layers, solution.layers, strict=True):
        assert result.solution.nonzeros or not layer.mask.any()
        scored = layer.scores[result.solution.mask].any()
        assert result.kept_fraction is None or 0 <= result.kept_fraction <= 1
        assert scored <= (result.kept_fraction is not None)
    row = solution.to_dict()["network"]
    assert row["kept_fraction"] is None or row["kept_fraction"] <= 1


@given(networks(), requests)
def test_balancing_again_changes_nothing(network, request):
    """Masks, loads and utilization before and after are those of the first time."""
    layers, maps = network
    given_ = {"pe_map": maps.__getitem__, "allow_empty": True, **request}
    first = balance_network(layers, **given_)
    again = balance_network(
        [ArrayLayer(x.name, x.scores, first.masks[x.name]) for x in layers], **given_
    )
    for one, other in zip(first.layers, again.layers, strict=True):
        np.testing.assert_array_equal(one.solution.mask, other.solution.mask)
        assert other.before == other.after == one.after
        assert other.revived == 0
        assert one.solution.bound == pytest.approx(other.solution.bound)


@given(
    st.integers(0, 99),
    st.sampled_from(["output_channel", "input_channel", "2:4", "grid:2x2"]),
    st.sampled_from(["sorted", "optimized"]),
)
def test_an_order_is_kept_where_no_other_is_better(seed, pe_map, order):
    """Balanced again in the order that it was given, a layer keeps order and mask."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (7, 8)) * rng.lognormal(0, 1, (7, 1))
    given_ = {"pe_map": pe_map, "pes": 3, "order": order, "work_limit": 0.2}
    if pe_map != "2:4":
        given_["budget"] = 24
    first = balance_network({"a": values}, **given_)
    [found] = first.layers
    layer = ArrayLayer("a", values, found.solution.mask, (found.solution.schedule,))
    [again] = balance_network([layer], **given_).layers
    assert again.before == again.after == found.after
    assert again.solution.schedule == found.solution.schedule
    np.testing.assert_array_equal(again.solution.mask, found.solution.mask)


def test_what_is_there_already_is_an_answer_to_begin_with():
    """The order that was read is taken if the search for one finds nothing better."""
    rng = np.random.default_rng(5)
    values = rng.random((8, 6)) * rng.lognormal(0, 1, (8, 1))
    given_ = {"pes": 4, "budget": 16, "order": "optimized"}
    best = balance_network({"a": values}, **given_).layers[0].solution
    layer = ArrayLayer("a", values, best.mask, (best.schedule,))
    given_ |= {"nested": False, "time_limit": 0.0}
    sorted_, hurried = (
        balance_network(layers, **given_).layers[0].solution
        for layers in ({"a": values}, [layer])
    )
    assert sorted_.kept < 0.995 * best.kept
    assert hurried.kept == pytest.approx(best.kept)
    np.testing.assert_array_equal(hurried.mask, best.mask)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_of_equal_scores_those_that_are_kept_stay(scope):
    """Where another mask is worth as much, the one that was read is kept."""
    mask = np.zeros((4, 6), bool)
    mask[:, 4:] = True
    layer = ArrayLayer("a", np.ones((4, 6)), mask)
    for nested in (False, True):
        solution = balance_network([layer], pes=2, scope=scope, nested=nested)
        np.testing.assert_array_equal(solution.masks["a"], mask)


def test_layers_with_most_nonzeros_pay_first():
    """The largest gives what it can, and only then the next."""
    wanted = {"a": 20, "b": 90, "c": 2, "d": 50}
    most = dict.fromkeys(wanted, 100)
    assert share_out(wanted, {**dict.fromkeys(wanted, 8)}, most) == {
        "a": 20, "b": 84, "c": 8, "d": 50
    }  # fmt: skip
    least = {"a": 8, "b": 88, "c": 8, "d": 8}
    assert share_out(wanted, least, most) == {"a": 20, "b": 88, "c": 8, "d": 46}


def test_the_largest_layer_pays_for_the_smallest():
    """A layer without room for a slice gets one; the network keeps as much."""
    rng = np.random.default_rng(0)
    layers = {"a": rng.random((3, 5)), "b": rng.random((16, 32))}
    solution = balance_network(layers, pe_map="grid:4x4", sparsity=0.5)
    counts = {x.name: x.solution.nonzeros for x in solution.layers}
    assert counts["a"] == 12  # a slice: three rows of four PEs
    assert counts["b"] <= 7 + 256 - 12
    assert solution.budget == 7 + 256
    seen = []
    balance_network(
        layers, pe_map="grid:4x4", sparsity=0.5, progress=lambda x: seen.append(x.name)
    )
    assert sorted(seen) == ["a", "b", "b"]  # it makes room, so it is solved again


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_network_without_room_says_what_each_layer_needs(scope):
    """The message names every layer with the least that it needs."""
    layers = {"a": np.ones((16, 4)), "b": np.ones((10, 4))}
    with pytest.raises(InfeasibleError, match=r"at least 26 \(a 16, b 10\).*empty"):
        balance_network(layers, sparsity=0.9, scope=scope, pes=16)
    emptied = balance_network(
        layers, sparsity=0.9, scope=scope, pes=16, allow_empty=True
    )
    assert emptied.layers[0].is_empty
    assert emptied.layers[0].kept_fraction is None


def test_own_budgets_are_not_exceeded_but_refused():
    """Who says how many weights a layer may keep is told that it needs more."""
    layers = {"a": np.ones((16, 4)), "b": np.ones((4, 4))}
    with pytest.raises(InfeasibleError, match=r"allows a 8; .* needs a 16"):
        balance_network(layers, budget=8, pes=16)


def test_masks_that_leave_no_slice_are_refused_by_name():
    """Nested in a mask without a weight on every PE of a group nothing can stay."""
    bad, good = np.eye(4, dtype=bool), np.ones((4, 4), bool)
    bad[0] = False
    layers = [ArrayLayer(n, np.ones((4, 4)), m) for n, m in (("a", bad), ("b", good))]
    for scope in ("layer", "global"):
        with pytest.raises(InfeasibleError, match=r"keeps any weight of a: in every"):
            balance_network(layers, nested=True, scope=scope, pes=4)


@pytest.mark.parametrize(
    "asked", [{"budget": 0}, {"sparsity": 1.0}, {"budget": 0, "scope": "global"}]
)
def test_who_asks_for_nothing_gets_it(asked):
    """A budget of nothing is a wish, not a mistake; so is an empty mask."""
    layers = {"a": np.ones((4, 4)), "b": np.ones((4, 4))}
    assert all(x.is_empty for x in balance_network(layers, pes=4, **asked).layers)
    empty = ArrayLayer("a", np.ones((4, 4)), np.zeros((4, 4), bool))
    assert balance_network([empty], pes=4).layers[0].is_empty


def test_a_ragged_layer_keeps_the_cheaper_slice_only_if_that_is_better():
    """Which tile stays is decided with the other layers, and proven."""
    layers = {"a": np.ones((5, 4)), "b": np.full((4, 40), 3.0)}
    layers["a"][:4] = 2.9  # a tile of four channels, and one of a single channel
    for budget, kept in ((8, 4 * 3 + 4 * 2.9), (9, 2 * 4 * 3 + 1)):
        solution = balance_network(layers, budget=budget, scope="global", pes=4)
        assert solution.kept == pytest.approx(kept)
        assert solution.gap < 1e-9
    tight = balance_network(layers, budget=4, scope="global", pes=4, allow_empty=True)
    assert tight.layers[0].is_empty
    alone = balance_network(layers, budget=5, scope="global", pes=4)
    assert [x.solution.nonzeros for x in alone.layers] == [1, 4]


def test_the_frontier_begins_where_every_layer_keeps_a_slice():
    """No point of it empties a layer, so the first takes a slice of each at least."""
    layers = {"a": np.full((5, 8), 0.1), "b": np.arange(1.0, 33.0).reshape(4, 8)}
    costs = {"a": LayerCost(cycles_per_slice=9), "b": LayerCost(cycles_per_slice=1)}
    points = latency_frontier(layers, costs, points=4, budget=24, pes=4)
    assert all(point.cycles >= 9 + 1 for point in points)
    with pytest.raises(InfeasibleError, match=r"least possible is 10.*allow_empty"):
        balance_network(
            layers, budget=24, pes=4, scope="global", costs=costs, latency_budget=9.5
        )


def test_loads_before_are_those_in_the_order_that_was_read():
    """A mask that is balanced in its own order is balanced before, too."""
    mask = np.zeros((4, 4), bool)
    mask[[0, 2], :3] = mask[[1, 3], :1] = True
    schedule = Schedule(0, [0, 2, 1, 3])
    layer = ArrayLayer("a", np.where(mask, 1.0, 0.0), mask, (schedule,))
    for order, utilization in (("optimized", 1.0), ("fixed", 1.0)):
        [found] = balance_network([layer], pes=2, order=order).layers
        assert found.before.mu == utilization
    [kept] = balance_network([layer], pes=2, order="optimized").layers
    np.testing.assert_array_equal(kept.solution.mask, mask)
    assert kept.solution.schedule == schedule


@given(
    st.dictionaries(
        st.sampled_from("abcde"),
        st.tuples(*(st.integers(0, 60) for _ in range(2)), st.integers(1, 9)),
        min_size=1,
    )
)
def test_shares_add_up(layers):
    """Each layer has what it needs, in whole units beyond, and all what all want."""
    wanted = {name: one for name, (one, _, _) in layers.items()}
    least = {name: one for name, (_, one, _) in layers.items()}
    most = {name: max(wanted[name], least[name]) + 5 for name in layers}
    units = {name: one for name, (_, _, one) in layers.items()}
    if sum(least.values()) > sum(wanted.values()):
        with pytest.raises(BalancerError, match="need at least"):
            share_out(wanted, least, most, units=units)
        return
    shares = share_out(wanted, least, most, units=units)
    assert sum(shares.values()) <= sum(wanted.values())
    for name, share in shares.items():
        assert least[name] <= share <= most[name]
    same = share_out(wanted, least, most)
    if all(wanted[name] >= least[name] for name in layers):
        assert same == wanted
    assert sum(same.values()) == sum(wanted.values())


def test_maps_without_cells_have_nothing_to_lose():
    """A layer without weights is no layer that is emptied."""
    solution = balance_network({"a": np.ones((0, 4)), "b": np.ones((4, 4))}, pes=4)
    assert not solution.layers[0].is_empty
    assert PEMap.output_channel((0, 4), 4).n_cells == 0
