"""What every method of the lottery must hold to, on small ragged layers."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lottery_cases import FREE_MAPS, MAPS, ORDERED_MAPS, prunings

from balancer import (
    BalancerError,
    Cancellation,
    InfeasibleError,
    LayerCost,
    balance_network,
)
from balancer.metrics import LoadMetrics
from balancer.program.validation import budget_of_sparsity
from snn.lottery.methods import METHODS, ORDER_GAP, check_map, get_method
from snn.lottery.pruning import (
    Pruning,
    kept_magnitude,
    layer_budgets,
    least_kept,
    unstructured,
)

BALANCED = ("topk-per-pe", "optimal", "optimal-order", "latency")
NESTED = ("lth", "lth-sorted", *BALANCED)
RANDOM = ("u-ticket", "u-ticket-code")
# A map that says how many weights every group keeps leaves `optimal` no budget.


def dense_pruning(scores, **fields):
    """Nothing is pruned yet."""
    masks = {name: np.ones(array.shape, np.bool_) for name, array in scores.items()}
    fields = {"sparsity": 0.5, "step": 0.5} | fields
    return Pruning(scores=scores, masks=masks, carried=masks, **fields)


def random_scores(shape, names="a"):
    rng = np.random.default_rng(0)
    return {name: rng.random(shape, np.float32) for name in names}


# Every example solves programs.
FEW = settings(max_examples=max(10, settings.default.max_examples // 3), deadline=None)


def maps_of(method):
    if method == "lth-sorted":
        return ORDERED_MAPS
    if method == "optimal-order":
        return ORDERED_MAPS[:1]
    return FREE_MAPS if method in BALANCED[1:] else MAPS


def cases(method, **options):
    """Prunings for a method, on the maps it takes."""
    return prunings(maps_of(method), costs=method == "latency", **options)


def count(masks):
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def kept(pruning, masks):
    return {
        name: float(pruning.scores[name][mask].sum(dtype=np.float64))
        for name, mask in masks.items()
    }


def cell_loads(pruning, pruned, name):
    """Loads of a layer in its order, and the map."""
    pe_map = pruning.map_of(name)
    scheduled = pruned.schedules[name].apply(pruned.masks[name])
    return pe_map.cell_loads(scheduled), pe_map


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(data=st.data())
def test_decisions_are_well_formed_and_repeatable(method, data):
    """Masks fit their layers, orders are permutations; all of it the same twice."""
    pruning = data.draw(cases(method))
    pruned, again = METHODS[method](pruning), METHODS[method](pruning)
    assert list(pruned.masks) == list(pruning.scores)
    for name, scores in pruning.scores.items():
        for masks, others in (
            (pruned.masks, again.masks),
            (pruned.carried, again.carried),
        ):
            assert masks[name].dtype == np.bool_
            assert masks[name].shape == scores.shape
            np.testing.assert_array_equal(masks[name], others[name])
        schedule = pruned.schedules[name]
        assert schedule.axis == (pruning.map_of(name).order_axis or 0)
        assert len(schedule.order) == scores.shape[schedule.axis]
        assert schedule == again.schedules[name]


@pytest.mark.parametrize("method", NESTED)
@FEW
@given(data=st.data())
def test_masks_are_nested(method, data):
    """Without `revive` only weights that were carried are kept, and are carried on."""
    pruning = data.draw(cases(method))
    pruned = METHODS[method](pruning)
    for name, former in pruning.carried.items():
        assert not (pruned.masks[name] & ~former).any()
        np.testing.assert_array_equal(pruned.carried[name], pruned.masks[name])


@pytest.mark.parametrize("method", NESTED)
@FEW
@given(data=st.data())
def test_revival_takes_all_weights_for_candidates(method, data):
    """With `revive` a method prunes as if nothing had been pruned before."""
    pruning = data.draw(cases(method, revive=True))
    dense = {n: np.ones_like(mask) for n, mask in pruning.carried.items()}
    revived = METHODS[method](pruning).masks
    anew = METHODS[method](replace(pruning, carried=dense, masks=dense, revive=False))
    for name, mask in revived.items():
        np.testing.assert_array_equal(mask, anew.masks[name])


@pytest.mark.parametrize("method", BALANCED)
@FEW
@given(data=st.data())
def test_balanced_methods_balance(method, data):
    """All PEs of a group that hold weights keep equally many, so mu is 1."""
    pruning = data.draw(cases(method))
    pruned = METHODS[method](pruning)
    for name in pruning.scores:
        loads, pe_map = cell_loads(pruning, pruned, name)
        assert np.array_equal(loads, pe_map.largest_of_group(loads)[pe_map.cell_group])
        assert LoadMetrics.of_loads(loads, pe_map).mu == 1.0


@given(prunings())
def test_lth_keeps_the_budget_and_the_largest(pruning):
    """Exactly the budget is kept, and nothing smaller than what could have been."""
    masks = METHODS["lth"](pruning).masks
    names = list(pruning.scores)
    weights = sum(scores.size for scores in pruning.scores.values())
    budget = budget_of_sparsity(pruning.sparsity, weights)
    assert count(masks) == min(budget, count(pruning.carried))
    groups = [names] if pruning.budgets == "global" else [[name] for name in names]
    for group in groups:
        least = [pruning.scores[n][masks[n]].min(initial=np.inf) for n in group]
        left = [pruning.carried[n] & ~masks[n] for n in group]
        lost = [
            pruning.scores[n][mask].max(initial=-np.inf)
            for n, mask in zip(group, left, strict=True)
        ]
        assert min(least) >= max(lost)


@given(prunings(ORDERED_MAPS))
def test_lth_sorted_only_sorts(pruning):
    """The masks are those of lth; sorted tiles never take more slots."""
    sorted_, natural = METHODS["lth-sorted"](pruning), METHODS["lth"](pruning)
    for name, mask in natural.masks.items():
        np.testing.assert_array_equal(sorted_.masks[name], mask)
        if pruning.pe_map == "output_channel":
            after = LoadMetrics.of_loads(*cell_loads(pruning, sorted_, name))
            before = LoadMetrics.of_loads(*cell_loads(pruning, natural, name))
            assert after.slots <= before.slots


@pytest.mark.parametrize(
    ("method", "pe_map", "instead"),
    [
        ("lth-sorted", "banked", "lth"),
        ("optimal-order", "banked", "optimal"),
        ("optimal-order", "input_channel", "optimal"),
        ("optimal-order", "2:4", "optimal"),
    ],
)
def test_maps_must_have_an_order_to_choose(method, pe_map, instead):
    """A method that orders channels refuses other maps, and says what to use."""
    with pytest.raises(BalancerError, match=f"{method!r}.*{pe_map}; use {instead!r}"):
        check_map(method, pe_map)


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_take_tiles_of_output_channels(method):
    """The default map is good for every method, as a grid is."""
    check_map(method, "output_channel")
    check_map(method, "grid:2x3")


@given(prunings(FREE_MAPS))
def test_layer_budgets_add_up(pruning):
    """No layer is emptied that has weights, and the network keeps its budget."""
    masks = unstructured(pruning)
    budgets = layer_budgets(pruning, masks)
    for name in masks:
        assert 0 <= budgets[name] <= np.count_nonzero(pruning.carried[name])
        assert bool(budgets[name]) == pruning.carried[name].any()
    assert sum(budgets.values()) <= count(masks)


def test_a_budget_without_room_for_every_layer_is_refused():
    """The message says which layers need how much; so it does if nothing can help."""
    pruning = dense_pruning(random_scores((4, 6), "ab"), sparsity=0.9, pes=4)
    with pytest.raises(InfeasibleError, match=r"at least 8 \(a 4, b 4\)"):
        METHODS["optimal"](pruning)
    lost = {"a": np.eye(4, 6, dtype=bool), "b": np.eye(4, 6, dtype=bool)}
    lost["b"][0] = False  # one of the four PEs has nothing to keep
    nested = replace(pruning, sparsity=0.5, carried=lost, masks=lost)
    for method in ("optimal", "latency"):
        costs = dict.fromkeys("ab", LayerCost(1))
        with pytest.raises(InfeasibleError, match=r"no balanced mask .* of b:"):
            METHODS[method](replace(nested, costs=costs))


def test_smaller_layers_give_what_larger_ones_cannot():
    """A layer of one slice keeps it; what it has too much comes from the next one."""
    scores = random_scores((4, 6), "a") | random_scores((1, 6), "b")
    scores["a"].flat[:3] += 1
    scores["b"].flat[:2] += 1
    pruning = dense_pruning(scores, sparsity=25 / 30, pes=4)
    masks = unstructured(pruning)
    assert [np.count_nonzero(mask) for mask in masks.values()] == [3, 2]
    assert layer_budgets(pruning, masks) == {"a": 4, "b": 1}


@given(prunings(FREE_MAPS, dense=True, distinct=True))
def test_layer_budgets_waste_less_than_a_slice(pruning):
    """What rounding leaves over is less than a slice of the layer that keeps most."""
    masks = unstructured(pruning)
    budgets = layer_budgets(pruning, masks)
    largest = max(masks, key=lambda name: np.count_nonzero(masks[name]))
    if budgets[largest] < masks[largest].size:  # it could take more
        sizes = pruning.map_of(largest).group_sizes()
        assert count(masks) - sum(budgets.values()) < sizes.max(initial=1)


@pytest.mark.parametrize("method", ["optimal", "optimal-order"])
@FEW
@given(data=st.data())
def test_optimal_methods_keep_their_budgets(method, data):
    """Layers keep at most their budget, and waste less than the largest slice."""
    pruning = data.draw(cases(method, dense=True, distinct=True))
    budgets = layer_budgets(pruning, unstructured(pruning))
    masks = METHODS[method](pruning).masks
    for name, mask in masks.items():
        over = budgets[name] - np.count_nonzero(mask)
        sizes = pruning.map_of(name).group_sizes()
        cells = pruning.map_of(name).cell_sizes()
        room = np.unique(cells).size == 1 and not mask.all()
        assert over >= 0
        if room:  # then a slice that fits would have been kept
            assert over < sizes.max(initial=1)
        assert not budgets[name] or mask.any()


@FEW
@given(prunings(FREE_MAPS))
def test_optimal_keeps_at_least_the_best_of_every_pe(pruning):
    """Within its budget no balanced mask keeps more, not that of topk-per-pe either."""
    budgets = layer_budgets(pruning, unstructured(pruning))
    best = kept(pruning, METHODS["optimal"](pruning).masks)
    others = METHODS["topk-per-pe"](pruning).masks
    for name, value in kept(pruning, others).items():
        if np.count_nonzero(others[name]) <= budgets[name]:
            assert best[name] >= value * (1 - 1e-12)


@FEW
@given(prunings(("output_channel",)))
def test_an_optimized_order_keeps_no_less(pruning):
    """At equal layer budgets it keeps what the natural order does, up to its gap."""
    wanted = unstructured(pruning)
    budgets, others = (layer_budgets(pruning, wanted, one) for one in (True, False))
    assume(budgets == others)  # another order may need less of a layer
    natural = kept(pruning, METHODS["optimal"](pruning).masks)
    ordered = kept(pruning, METHODS["optimal-order"](pruning).masks)
    for name, value in natural.items():
        assert ordered[name] >= value * (1 - ORDER_GAP)


@given(prunings(FREE_MAPS, distinct=True))
def test_top_k_per_pe_keeps_the_best_of_every_pe(pruning):
    """No PE has a better weight left than the least that it keeps."""
    masks = METHODS["topk-per-pe"](pruning).masks
    for name, mask in masks.items():
        labels = pruning.map_of(name).cell_labels()
        scores, left = pruning.scores[name], pruning.carried[name] & ~mask
        for cell in np.unique(labels):
            mine = labels == cell
            least = scores[mine & mask].min(initial=np.inf)
            assert least >= scores[mine & left].max(initial=-np.inf)


@pytest.mark.parametrize("method", ["topk-per-pe", "optimal", "lth"])
def test_small_magnitudes_are_told_apart(method):
    """Scores far below 1, as weight decay leaves them, are ranked by all their bits."""
    scores = np.array([[1, 2, 4, 3], [4, 1, 2, 3]], np.float32) * np.float32(1e-12)
    pruning = dense_pruning({"a": scores}, sparsity=0.75, pes=2)
    mask = METHODS[method](pruning).masks["a"]
    assert mask.tolist() == [[False, False, True, False], [True, False, False, False]]


@given(prunings(("output_channel",)))
def test_u_ticket_balances(pruning):
    """Loads become the mean of their group, at least 1 where a layer would be lost."""
    before = unstructured(pruning)
    pruned = METHODS["u-ticket"](pruning)
    for name, mask in before.items():
        loads, pe_map = cell_loads(pruning, pruned, name)
        assert LoadMetrics.of_loads(loads, pe_map).mu == 1.0
        assert pruned.masks[name].any() == mask.any()
        np.testing.assert_array_equal(pruned.carried[name], pruned.masks[name])
        # Only PEs below the mean recover, only those above it lose weights.
        former = pe_map.cell_loads(mask)
        cells = pe_map.cell_labels()
        recovered = np.unique(cells[pruned.masks[name] & ~mask])
        removed = np.unique(cells[mask & ~pruned.masks[name]])
        assert (loads[recovered] > former[recovered]).all()
        assert (loads[removed] < former[removed]).all()


@pytest.mark.parametrize("method", RANDOM)
def test_random_methods_follow_their_seed(method):
    """Other seeds give other masks of the same loads."""
    scores = random_scores((8, 8, 3, 3), "ab")
    pruning = dense_pruning(scores, sparsity=0.9, step=0.9, pes=4)
    first, second = (METHODS[method](replace(pruning, seed=s)).masks for s in (0, 1))
    assert (first["b"] != second["b"]).any()
    pe_map = pruning.map_of("b")
    np.testing.assert_array_equal(pe_map.loads(first["b"]), pe_map.loads(second["b"]))


@given(prunings(FREE_MAPS))
def test_u_ticket_code_leaves_first_and_linear_layers_alone(pruning):
    """They and what is carried are unbalanced; targets of the others are rounded up."""
    pruned = METHODS["u-ticket-code"](pruning)
    for number, (name, mask) in enumerate(pruned.masks.items()):
        carried = pruned.carried[name]
        assert not (carried & ~pruning.carried[name]).any()
        pe_map = pruning.map_of(name)
        if number == 0 or mask.ndim == 2:
            np.testing.assert_array_equal(mask, carried)
        else:
            sizes = np.maximum(1, pe_map.group_sizes())
            target = np.ceil(pe_map.loads(carried).sum(axis=1) / sizes)
            expected = np.minimum(target[pe_map.cell_group], pe_map.cell_sizes())
            np.testing.assert_array_equal(pe_map.cell_loads(mask), expected)


def test_u_ticket_code_ends_sparser_than_planned():
    """What a round removes is lost beside what the next one prunes."""
    scores = random_scores((16, 8, 3, 3), "ab")
    pruning = dense_pruning(scores, step=0.25, pes=8)
    for seed in range(3):
        pruned = METHODS["u-ticket-code"](replace(pruning, seed=seed))
        pruning = replace(pruning, masks=pruned.masks, carried=pruned.carried)
    assert not np.array_equal(pruned.masks["b"], pruned.carried["b"])
    planned = 0.75**3 * 2 * scores["a"].size
    assert count(pruned.carried) < 0.99 * planned


def slices(pruning, masks):
    return {
        name: int(
            pruning.map_of(name)
            .largest_of_group(pruning.map_of(name).cell_loads(mask))
            .sum()
        )
        for name, mask in masks.items()
    }


def cycles(pruning, masks):
    taken = slices(pruning, masks)
    return sum(cost.cycles(taken[name]) for name, cost in pruning.costs.items())


@FEW
@given(
    prunings(FREE_MAPS, costs=True),
    st.sampled_from([0.25, 0.5, 0.9, 1.0, 1.5]),
)
def test_latency_keeps_its_budget(pruning, share):
    """It takes a share of what optimal takes with LAMP, or one weight for every PE."""
    pruning = replace(pruning, latency_budget=share)
    masks = METHODS["latency"](pruning).masks
    floors, needed = {}, 0
    for name, candidates in pruning.carried.items():
        pe_map = pruning.map_of(name)
        fed = bool(pe_map.cell_loads(candidates).min(initial=1))
        floors[name] = pe_map.groups if fed else int(candidates.any())
        needed += pe_map.n_cells if fed else least_kept(pruning, name)
        if fed:  # then no PE is without weights, and no channel dead
            assert pe_map.cell_loads(masks[name]).min(initial=1) >= 1
    least = sum(cost.cycles(floors[n]) for n, cost in pruning.costs.items())
    everything = METHODS["optimal"](replace(pruning, budgets="lamp", revive=True))
    most = share * cycles(pruning, everything.masks)
    assert cycles(pruning, masks) <= max(most, least, 1)
    weights = sum(scores.size for scores in pruning.scores.values())
    budget = budget_of_sparsity(pruning.sparsity, weights)
    assert count(masks) <= max(budget, needed)


def test_latency_uses_its_budget():
    """It is as slow as it may be, up to a slice, and keeps what that allows."""
    costs = {"a": LayerCost(cycles_per_slice=4), "b": LayerCost(cycles_per_slice=1)}
    scores = random_scores((16, 8, 3, 3), "ab")
    pruning = dense_pruning(scores, pes=8, costs=costs, latency_budget=0.75)
    whole = METHODS["optimal"](replace(pruning, budgets="lamp"))
    most = 0.75 * cycles(pruning, whole.masks)
    masks = METHODS["latency"](pruning).masks
    assert most - 4 < cycles(pruning, masks) <= most
    assert np.count_nonzero(masks["b"]) > np.count_nonzero(masks["a"])


def test_latency_needs_costs():
    """Without costs it says what is missing."""
    with pytest.raises(BalancerError, match="costs"):
        METHODS["latency"](dense_pruning(random_scores((4, 4))))


def test_two_of_four():
    """On an n:m map `optimal` keeps exactly n of m, and no fewer if it is asked to."""
    scores = random_scores((4, 8, 3, 3))
    pruning = dense_pruning(scores, pe_map="2:4")
    mask = METHODS["optimal"](pruning).masks["a"]
    assert (mask.reshape(4, 2, 4, 3, 3).sum(axis=2) == 2).all()
    with pytest.raises(BalancerError, match="layer a: budget of 72 non-zeros"):
        METHODS["optimal"](replace(pruning, sparsity=0.75))


def test_ragged_layers_are_not_emptied():
    """Tiles of 16 and 6 channels: rounding never asks for less than one of the two."""
    scores = {"a": np.full((64, 64), 2, np.float32)} | random_scores((22, 4), "b")
    scores["b"][0, 0] = 3
    pruning = dense_pruning(scores, sparsity=1 - 65 / (64 * 64 + 88))
    assert np.count_nonzero(unstructured(pruning)["b"]) == 1
    for method in ("optimal", "optimal-order"):
        masks = METHODS[method](pruning).masks
        assert np.count_nonzero(masks["b"]) == 6
        assert count(masks) <= 65


@given(prunings())
def test_kept_magnitude_compares_at_equal_nonzeros(pruning):
    """Layer-wise pruning keeps all that can be kept, others no more."""
    layer_wise = unstructured(replace(pruning, budgets="layer", revive=True))
    scored = any(scores[layer_wise[n]].any() for n, scores in pruning.scores.items())
    best = kept_magnitude(pruning.scores, layer_wise)
    assert best == pytest.approx(1.0) if scored else best is None
    share = kept_magnitude(pruning.scores, pruning.carried)
    assert share is None or share <= 1


@pytest.mark.parametrize("method", ["optimal", "optimal-order"])
def test_a_search_that_is_cut_short_gives_no_masks(method, monkeypatch):
    """Ctrl-C is not swallowed by the search: training would go on without it."""
    stopped = Cancellation()
    stopped.cancel()
    stopping = partial(balance_network, cancellation=stopped)
    monkeypatch.setattr("snn.lottery.methods.balance_network", stopping)
    pruning = dense_pruning(random_scores((16, 8)), sparsity=0.5)
    with pytest.raises(KeyboardInterrupt):
        METHODS[method](pruning)


def test_unknown_methods_are_named():
    """The message lists what there is."""
    with pytest.raises(BalancerError, match="'magic'; accepted: latency, lth"):
        get_method("magic")
