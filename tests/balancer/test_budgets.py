"""Network budgets: optimal, never exceeded, and infeasible only where nothing fits."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from cases import pe_maps, scores
from hypothesis import given
from hypothesis import strategies as st

from balancer import (
    BalancerError,
    InfeasibleError,
    LayerCost,
    PEMap,
    Status,
    VerificationError,
    balance_network,
    latency_frontier,
)
from balancer.program.dual import Dual

# Energies in quarters add up without rounding, as cycles do.
quarters = st.integers(0, 12).map(lambda number: number / 4)
layer_costs = st.builds(
    LayerCost, st.integers(0, 5), quarters, quarters, st.integers(0, 2), quarters
)


@st.composite
def networks(draw, max_weights):
    """Scores, PE maps by shape and costs of up to three layers."""
    maps = draw(st.lists(pe_maps(max_weights), max_size=3))
    maps = list({m.shape: m for m in maps if m.fixed_load is None}.values())
    layers = {
        f"layer{n}": draw(scores(m.weights)).reshape(m.shape)
        for n, m in enumerate(maps)
    }
    costs = {name: draw(layer_costs) for name in layers}
    return layers, {m.shape: m for m in maps}, costs


def options(layers, maps, min_load=0):
    """Every choice of loads: kept, non-zeros, cycles of slices and energy of each."""
    cells, group_of = [], []
    for name, values in layers.items():
        group, pe = (labels.reshape(-1) for labels in maps[values.shape].labels())
        for g in np.unique(group):
            mine = [
                -np.sort(-values.reshape(-1)[(group == g) & (pe == p)].astype(float))
                for p in np.unique(pe[group == g])
            ]
            cells.append(mine)
            group_of.append(name)
    loads = [range(min_load, min(map(len, mine)) + 1) for mine in cells]
    for chosen in itertools.product(*loads):
        picked = list(zip(group_of, cells, chosen, strict=True))
        kept = sum(best[:k].sum() for _, mine, k in picked for best in mine)
        slices = {name: sum(k for n, _, k in picked if n == name) for name in layers}
        nonzeros = {
            name: sum(k * len(mine) for n, mine, k in picked if n == name)
            for name in layers
        }
        yield kept, slices, nonzeros


def taken(costs, slices, nonzeros):
    """Non-zeros, cycles and energy, straight from the definition of the costs."""
    cycles = sum(
        c.base_cycles + c.cycles_per_slice * slices[n] for n, c in costs.items()
    )
    energy = sum(
        c.base_energy
        + c.energy_per_slice * slices[n]
        + c.energy_per_nonzero * nonzeros[n]
        for n, c in costs.items()
    )
    return sum(nonzeros.values()), cycles, energy


@given(networks(10), st.integers(0, 1), st.data())
def test_the_answer_is_the_best_of_all_within_the_budgets(network, min_load, data):
    """It keeps as much as the best choice of loads, or none is within the budgets."""
    layers, maps, costs = network
    nonzeros = data.draw(st.integers(0, sum(v.size for v in layers.values())))
    # Above 1, so that both count in absolute terms.
    latency, energy = (data.draw(st.integers(5, 240)) / 4 for _ in range(2))
    allow_empty = nonzeros == 0 or data.draw(st.booleans())
    guarded = [n for n, v in layers.items() if v.any() and not allow_empty]
    every = [
        (kept, *taken(costs, slices, spent))
        for kept, slices, spent in options(layers, maps, min_load)
        if all(spent[name] for name in guarded)
    ]
    within = [
        kept
        for kept, n, c, e in every
        if n <= nonzeros and c <= latency and e <= energy
    ]

    def answer(**more):
        return balance_network(
            layers,
            pe_map=maps.__getitem__,
            scope="global",
            budget=nonzeros,
            latency_budget=latency,
            energy_budget=energy,
            costs=costs,
            min_load=min_load,
            allow_empty=allow_empty,
            **more,
        )

    if not within:
        with pytest.raises(InfeasibleError) as error:
            answer()
        least = [min(column) for column in zip(*every, strict=True)][1:]
        name, given_value, possible = re.search(
            r"`(\w+)` is (\S+) .*?(?:least possible is|at least) ([\d.]+)",
            str(error.value),
        ).groups()
        column = ["budget", "latency_budget", "energy_budget"].index(name)
        assert float(given_value) < float(possible) == pytest.approx(least[column])
        return
    best, greedy = answer(), answer(solver="greedy")
    for solution in (best, greedy):
        assert all(solution.masks[name].any() for name in guarded)
        assert sum(layer.after.nonzeros for layer in solution.layers) <= nonzeros
        assert solution.cycles <= latency
        assert solution.energy <= energy
        assert solution.bound >= max(within) * (1 - 1e-12)
        assert solution.kept <= max(within) * (1 + 1e-12)
    assert best.status is Status.OPTIMAL
    assert np.isclose(best.kept, max(within), rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**32))
def test_knapsacks_of_three_budgets_are_solved_to_the_optimum(seed):
    """With costs that differ in every group the answer is still the best of all."""
    rng = np.random.default_rng(seed)
    layers = {f"l{n}": rng.random((5, 2 + n)) for n in range(2)}
    maps = {v.shape: PEMap.output_channel(v.shape, 2) for v in layers.values()}
    costs = {
        name: LayerCost(*(int(cost) for cost in rng.integers(1, 40, 3)))
        for name in layers
    }
    every = [(kept, *taken(costs, *spent)) for kept, *spent in options(layers, maps)]
    budgets = np.max(every, axis=0)[1:] * rng.uniform(0.2, 0.8, 3)
    best = max(one[0] for one in every if (np.array(one[1:]) <= budgets).all())
    solution = balance_network(
        layers,
        pe_map=maps.__getitem__,
        scope="global",
        budget=int(budgets[0]),
        latency_budget=budgets[1],
        energy_budget=budgets[2],
        costs=costs,
        allow_empty=True,
    )
    assert solution.kept == pytest.approx(best, rel=1e-9)
    assert solution.status is Status.OPTIMAL


chains_and_costs = st.lists(
    st.tuples(
        st.lists(st.one_of(st.integers(0, 9), st.floats(0, 9)), max_size=12),
        st.lists(st.integers(0, 6), min_size=3, max_size=3),
    ),
    max_size=5,
)


@given(chains_and_costs, st.integers(1, 3), st.data())
def test_no_prices_bound_lower_than_the_multipliers(drawn, budgets, data):
    """The dual at its minimum is not above the dual at any other prices."""
    number = st.floats(0, 10)
    free, other = (
        np.array(data.draw(st.lists(kind, min_size=budgets, max_size=budgets)))
        for kind in (st.integers(0, 30), number)
    )
    chains = [-np.sort(-np.array(values, dtype=float)) for values, _ in drawn]
    costs = np.array([cost for _, cost in drawn], dtype=np.int64).reshape(-1, 3)
    costs = costs[:, :budgets]

    def dual(prices):
        surplus = [
            np.maximum(0, chain - cost @ prices).sum()
            for chain, cost in zip(chains, costs, strict=True)
        ]
        return float(free @ prices + sum(surplus))

    prices, bound = Dual(chains, costs, free.astype(np.int64)).minimize()
    assert (prices >= 0).all()
    assert bound == pytest.approx(dual(prices), rel=1e-9, abs=1e-9)
    near = [prices * (1 + step) for step in (-0.1, -0.001, 0.001, 0.1)]
    for elsewhere in (other, np.zeros(budgets), *near, *(prices + np.eye(budgets))):
        assert bound <= dual(elsewhere) * (1 + 1e-9) + 1e-9


def network_of(seed=0):
    """Three layers whose slices cost 64, 16 and 4 cycles, with a ragged last tile."""
    rng = np.random.default_rng(seed)
    scales = [rng.lognormal(0, 1, (n, 1)) for n in (64, 128, 122)]
    layers = {
        f"l{n}": np.abs(scale * rng.standard_normal((len(scale), 300)))
        for n, scale in enumerate(scales)
    }
    costs = {
        name: LayerCost(64 // 4**n, 2.7 * 64 // 4**n, 0.3)
        for n, name in enumerate(layers)
    }
    return layers, costs


@pytest.mark.parametrize(
    "budgets",
    [
        {"latency_budget": 0.7},
        {"energy_budget": 0.8},
        {"latency_budget": 0.7, "energy_budget": 0.75},
    ],
)
def test_a_fraction_is_of_the_layer_wise_solution(budgets):
    """Budgets up to 1 are fractions of what the layers take apart; the gap is small."""
    layers, costs = network_of()
    apart = balance_network(layers, sparsity=0.9, costs=costs)
    within = balance_network(
        layers, sparsity=0.9, scope="global", costs=costs, **budgets
    )
    layer_wise = within.alternatives["layer-wise"]
    assert (layer_wise.cycles, layer_wise.kept) == pytest.approx(
        (apart.cycles, apart.kept)
    )
    for name, resource in (("latency_budget", "cycles"), ("energy_budget", "energy")):
        fraction = budgets.get(name, np.inf)
        assert getattr(within, resource) <= fraction * getattr(apart, resource)
    free = within.alternatives["non-zeros only"]
    assert within.kept <= free.kept
    assert layer_wise.kept <= free.kept
    assert within.gap < 1e-5
    row = within.to_dict()["network"]
    assert row["cycles"] == within.cycles
    assert row["alternatives"]["layer-wise"]["cycles"] == apart.cycles


def test_the_same_masks_every_time():
    """Two runs under three budgets give the same masks."""
    layers, costs = network_of()
    first, second = (
        balance_network(
            layers,
            sparsity=0.9,
            scope="global",
            costs=costs,
            latency_budget=0.6,
            energy_budget=0.7,
        )
        for _ in range(2)
    )
    for one, other in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(one.solution.mask, other.solution.mask)


def test_without_time_the_answer_is_greedy_and_says_so():
    """A limit of 0 leaves greedy's masks within the budgets, its gap and the reason."""
    layers, costs = network_of()
    solution = balance_network(
        layers,
        sparsity=0.9,
        scope="global",
        costs=costs,
        latency_budget=0.7,
        time_limit=0,
    )
    assert solution.cycles <= solution.limits["cycles"]
    assert solution.status is Status.FEASIBLE
    assert 0 < solution.gap < 1e-2
    assert "a limit of 0" in solution.fallback_reasons["l0"]


def test_a_search_cut_short_brackets_the_optimum_and_repeats():
    """Within a limit of work the optimum lies between kept and bound, every time."""
    rng = np.random.default_rng(1)
    layers = {f"l{n}": rng.exponential(size=(20 + n, 30 + n)) for n in range(8)}
    costs = {
        name: LayerCost(int(rng.integers(50, 5000)), 9 * rng.random(), rng.random())
        for name in layers
    }
    given = {"sparsity": 0.8, "scope": "global", "costs": costs}
    given |= {"latency_budget": 0.7, "energy_budget": 0.75}
    best = balance_network(layers, **given)
    assert best.status is Status.OPTIMAL
    for work in (1e-4, 1e-2):
        short, again = (
            balance_network(layers, **given, work_limit=work) for _ in range(2)
        )
        assert short.status is Status.FEASIBLE
        assert short.kept <= best.kept * (1 + 1e-9)
        assert best.kept <= short.bound
        for one, other in zip(short.layers, again.layers, strict=True):
            np.testing.assert_array_equal(one.solution.mask, other.solution.mask)


def test_floors_by_name_hold_for_the_named_layer_alone():
    """A layer whose cycles are dear keeps its floor, and loses all without it."""
    layers, costs = network_of()
    given = {"sparsity": 0.99, "scope": "global", "costs": costs, "latency_budget": 1e3}
    loose = balance_network(layers, **given)
    floored = balance_network(layers, **given, min_load={"l0": 2})
    assert loose.layers[0].solution.loads.min() < 2
    assert floored.layers[0].solution.loads.min() >= 2
    assert floored.layers[1].solution.loads.min() < 2


def test_the_frontier_rises_to_the_unlimited_solution():
    """More cycles never keep less; each point is what `balance_network` finds."""
    layers, costs = network_of()
    points = latency_frontier(layers, costs, points=6, sparsity=0.9, min_load=1)
    given = {"sparsity": 0.9, "scope": "global", "costs": costs, "min_load": 1}
    assert len(points) == 6
    for point in points:
        assert point.cycles <= point.latency_budget
        assert point.kept <= point.bound
    kept = [point.kept for point in points]
    assert kept == sorted(kept)
    assert points[-1].kept == pytest.approx(balance_network(layers, **given).kept)
    third = balance_network(layers, **given, latency_budget=points[2].latency_budget)
    assert third.kept == pytest.approx(points[2].kept, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scope": "layer"}, "`latency_budget` is shared .* scope='global'"),
        ({"costs": None}, "and the `costs` of all layers"),
        ({"costs": {"a": LayerCost(1)}}, "`costs` lacks b"),
        ({"costs": {"a": 64, "b": LayerCost(1)}}, "`costs` lacks a"),
        ({"costs": {"c": LayerCost(1)}}, "`costs` names c; accepted: a, b"),
        ({"latency_budget": 0}, "`latency_budget` is 0; a fraction"),
        ({"latency_budget": True}, "`latency_budget` is True; a fraction"),
        ({"latency_budget": "0.7"}, "`latency_budget` is '0.7'; a fraction"),
        ({"min_load": {"c": 1}}, "`min_load` names c; accepted: a, b"),
        ({"budget": 4, "sparsity": 0.5}, "say the same thing"),
        (
            {"channel_floor": {"b": 1}, "latency_budget": 1.5},
            "`latency_budget` is 1.5 .*least possible is 2, most of it 2 by layer b, "
            "whose floors need loads up to 1",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    """Wrong budgets, costs and floors are refused with what is accepted."""
    layers = {"a": np.ones((4, 6)), "b": np.ones((4, 6))}
    given = {"scope": "global", "latency_budget": 8.0, "pes": 4, "allow_empty": True}
    given["costs"] = {"a": LayerCost(1), "b": LayerCost(2)}
    with pytest.raises(BalancerError, match=message):
        balance_network(layers, **(given | changes))


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", True])
def test_costs_are_finite_and_not_negative(value):
    """A cost that no hardware has is refused by its name."""
    with pytest.raises(BalancerError, match="`base_energy` is"):
        LayerCost(base_energy=value)


@pytest.mark.parametrize("points", [0, 2.5, True])
def test_a_frontier_needs_points(points):
    """The number of points is a whole number from 1."""
    with pytest.raises(BalancerError, match="`points` is"):
        latency_frontier({"a": np.ones((4, 6))}, {"a": LayerCost(1)}, points=points)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"limits": {"cycles": 1.0}}, "cycles exceed the limit of 1.0"),
        ({"limits": {"energy": 1.0}}, "energy exceed the limit of 1.0"),
        ({"cycles": None}, "None cycles exceed the limit"),
        ({"budget": 7}, "non-zeros exceed the budget of 7"),
        ({"kept": 1.0}, "`kept` is 1.0"),
        ({"bound": 1.0}, "the bound 1.0 is below"),
    ],
)
def test_a_network_that_breaks_its_budgets_is_found_out(damage, message):
    """Totals that the layers contradict, or that exceed a limit, do not verify."""
    rng = np.random.default_rng(0)
    layers = {name: rng.random((8, 20)) for name in ("a", "b")}
    costs = {name: LayerCost(4, 2.0, 0.5) for name in layers}
    solution = balance_network(
        layers,
        costs=costs,
        sparsity=0.5,
        scope="global",
        pes=4,
        latency_budget=0.8,
        energy_budget=0.9,
    )
    solution.verify()
    with pytest.raises(VerificationError, match=message):
        replace(solution, **damage).verify()


def test_a_budget_beyond_all_cycles_limits_nothing():
    """The largest number of cycles keeps what no limit keeps."""
    layers = {"a": np.arange(32.0).reshape(4, 8), "b": np.ones((4, 8))}
    costs = {name: LayerCost(cycles_per_slice=9, base_cycles=3) for name in layers}
    program = {"budget": 24, "pes": 4, "scope": "global", "costs": costs}
    limited = balance_network(layers, latency_budget=1e300, **program)
    assert limited.kept == balance_network(layers, **program).kept
