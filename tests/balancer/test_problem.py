"""Problems refuse what no mask can satisfy, and say what would be accepted."""

import numpy as np
import pytest
from cases import cases, shapes
from hypothesis import given
from hypothesis import strategies as st

from balancer import BalancerError as Bad
from balancer import InfeasibleError as Infeasible
from balancer import PEMap, RetentionProblem, Schedule, budget_of_sparsity

SHAPE = (4, 6)
ALL = np.ones(SHAPE, dtype=bool)
TILES = PEMap.output_channel(SHAPE, pes=2)


def scores_with(value):
    scores = np.ones(SHAPE)
    scores[1, 2] = value
    return scores


def scored(scores):
    return lambda: RetentionProblem(scores, TILES, 4)


def whole(**options):
    return lambda: RetentionProblem(np.ones(SHAPE), TILES, **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (scored(scores_with(np.nan)), Bad, r"score \(1, 2\) is nan"),
        (scored(scores_with(np.inf)), Bad, r"score \(1, 2\) is inf"),
        (scored(scores_with(-1)), Bad, r"score \(1, 2\) is -1"),
        (scored(np.full(SHAPE, 1e308)), Bad, "sum overflows"),
        (scored(np.ones((6, 4))), Bad, "shape"),
        (scored(np.ones(SHAPE, complex)), Bad, "real numbers"),
        (scored([["a"] * 6] * 4), Bad, "real numbers"),
        (whole(), Bad, "or a `sparsity` is needed"),
        (whole(budget=4, sparsity=0.5), Bad, "the same thing"),
        (whole(budget=0.5), Bad, "For a fraction use `sparsity`"),
        (whole(budget=True), Bad, "whole number"),
        (whole(budget=25), Bad, r"takes 0\.\.24"),
        (whole(budget=-1), Bad, r"takes 0\.\.24"),
        (whole(sparsity=1.5), Bad, "fraction from 0"),
        (whole(sparsity=float("nan")), Bad, "fraction from 0"),
        (whole(budget=4, min_load=-1), Bad, "the least is 0"),
        (whole(budget=4, min_load=[1, 1, 1]), Bad, "for each of the 2 groups"),
        (whole(budget=4, channel_floor=0.5), Bad, "whole number"),
        (whole(budget=4, min_load=3, max_load=2), Infeasible, "a load of at least 3"),
        (whole(budget=24, min_load=7), Infeasible, "offers 6 weights"),
        (whole(budget=4, min_load=2), Infeasible, "need at least 8"),
        (whole(budget=4, channel_floor=2), Infeasible, "_floor` need at least 8"),
        (whole(budget=24, channel_floor=7), Infeasible, "channel 0 has 6 weights"),
        (whole(budget=4, previous_mask=np.ones(SHAPE)), Bad, "bool"),
        (whole(budget=4, forced=np.ones((2, 2), bool)), Bad, "bool"),
        (
            whole(budget=4, forced=ALL, previous_mask=~ALL),
            Infeasible,
            "24 forced weights lie outside",
        ),
        (whole(budget=4, forced=ALL), Infeasible, "at least 24"),
        (
            lambda: RetentionProblem(np.ones(SHAPE), PEMap.n_m(SHAPE, 2, 3), 10),
            Infeasible,
            "the 2:3 pattern need at least 16",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, error, message):
    """Wrong input is refused with what was given and what is accepted."""
    with pytest.raises(error, match=message):
        make()


def test_an_n_m_map_implies_its_budget():
    """Without a budget, an n:m map keeps n of every m."""
    problem = RetentionProblem(np.ones(SHAPE), PEMap.n_m(SHAPE, 2, 3))
    assert problem.budget == problem.least == 16


@given(st.floats(0, 1), st.integers(0, 10**7))
def test_sparsity_never_keeps_more_than_it_says(sparsity, weights):
    """The budget of a sparsity prunes at least that fraction, up to rounding."""
    budget = budget_of_sparsity(sparsity, weights)
    assert 0 <= budget <= weights
    assert weights - budget >= sparsity * weights - 1e-3
    assert budget + 1 > (1 - sparsity) * weights - 1e-3


@pytest.mark.parametrize(
    ("sparsity", "weights", "budget"),
    [(0.9, 10, 1), (0.7, 10, 3), (0.98, 50, 1), (0.9, 10**9, 10**8)],
)
def test_round_fractions_give_round_budgets(sparsity, weights, budget):
    """Nine tenths of ten leave one, whatever binary fractions make of it."""
    assert budget_of_sparsity(sparsity, weights) == budget


@given(shapes(40), st.integers(1, 5))
def test_negative_zero_is_a_score(shape, pes):
    """-0.0 counts as zero."""
    scores = np.full(shape, -0.0, dtype=np.float32)
    problem = RetentionProblem(scores, PEMap.output_channel(shape, pes), 0)
    assert problem.scores.min() == 0


def test_weights_are_scored_by_magnitude():
    """`from_weights` takes the absolute value."""
    weights = np.arange(-12.0, 12).reshape(SHAPE)
    problem = RetentionProblem.from_weights(weights, TILES, 4)
    np.testing.assert_array_equal(problem.scores, np.abs(weights))
    weights = np.full(SHAPE, -128, np.int8)  # whose magnitude is no int8
    problem = RetentionProblem.from_weights(weights, TILES, 4)
    assert (problem.scores == 128).all()


@pytest.mark.parametrize(
    ("given_type", "used"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.longdouble, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (np.bool_, np.float64),
    ],
)
def test_scores_become_floats_that_hold_them(given_type, used):
    """float32 and float64 are used as they are, other numbers are converted."""
    given_scores = (np.arange(24).reshape(SHAPE) % 2).astype(given_type)
    scores = RetentionProblem(given_scores, TILES, 4).scores
    assert scores.dtype == used
    np.testing.assert_array_equal(scores, given_scores.astype(float))
    assert np.shares_memory(scores, given_scores) is (given_type is used)
    turned = RetentionProblem(given_scores.T.copy().T, TILES, 4).scores
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, scores)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_largest_scores_are_those_whose_sum_is_finite(kind):
    """A sum that just fits is accepted; -0.0 beside other scores is no fault."""
    scores = np.full(SHAPE, np.finfo(np.float64).max / 25)
    RetentionProblem(scores, TILES, 4)
    with pytest.raises(Bad, match=r"scores reach .*scale them down"):
        RetentionProblem(scores * 1.1, TILES, 4)
    mixed = np.full(SHAPE, -0.0, dtype=kind)
    mixed[1, 2], mixed[2, 3] = 3, np.finfo(kind).max / 50
    assert RetentionProblem(mixed, TILES, 4).scores.max() == mixed[2, 3]
    mixed[2, 2] = -1e-30
    with pytest.raises(Bad, match=r"score \(2, 2\) .*\(1 of 24 are not;"):
        RetentionProblem(mixed, TILES, 4)


@pytest.mark.parametrize("budget", [0, 24, np.int32(7)])
def test_budgets_from_nothing_to_everything_are_taken(budget):
    """The ends are budgets, and NumPy's whole numbers too."""
    problem = whole(budget=budget)()
    assert problem.budget == budget
    assert type(problem.budget) is int


@pytest.mark.parametrize("sparsity", [True, "0.5", None, -0.01])
def test_what_is_no_fraction_is_refused(sparsity):
    """Sparsities are numbers from 0 to 1, of NumPy too."""
    assert budget_of_sparsity(np.float32(0.5), 24) == 12
    assert (budget_of_sparsity(0, 24), budget_of_sparsity(1, 24)) == (24, 0)
    with pytest.raises(Bad, match=r"from 0 \(keep all\) to 1"):
        budget_of_sparsity(sparsity, 24)


def limits(case):
    """Least and greatest loads, straight from the constraints; None where they clash.

    Floors that bound no group and force no weight are not part of them.
    """
    pe_map, options = case.pe_map, case.options
    group, pe = (labels.reshape(-1) for labels in pe_map.labels())
    allowed = options.get("previous_mask", np.ones(pe_map.shape, bool)).reshape(-1)
    must = case.problem().must_keep
    must = np.zeros(pe_map.weights, bool) if must is None else must.reshape(-1)
    floors = case.problem()._floors.group_floor
    lower, upper = [], []
    for g in range(pe_map.groups):
        cells = [(group == g) & (pe == p) for p in np.unique(pe[group == g])]
        least = [options.get("min_load", 0), floors[g], *(must[c].sum() for c in cells)]
        most = [options.get("max_load", len(must)), *(allowed[c].sum() for c in cells)]
        if pe_map.fixed_load is not None:
            least.append(pe_map.fixed_load[g])
            most.append(pe_map.fixed_load[g])
        lower.append(max(least))
        upper.append(min(most))
    return lower, upper


@given(cases(60))
def test_loads_are_bounded_by_all_constraints_together(case):
    """Every group's bounds are the tightest that a single constraint gives."""
    try:
        problem = case.problem()
    except Infeasible:
        return
    lower, upper = limits(case)
    np.testing.assert_array_equal(problem.lower, lower)
    np.testing.assert_array_equal(problem.upper, upper)
    assert problem.least == problem.pe_map.group_sizes() @ problem.lower
    assert problem.least <= problem.budget
    mask = case.options.get("previous_mask")
    allowed = problem.scores.reshape(-1) if mask is None else problem.scores[mask]
    np.testing.assert_array_equal(
        np.sort(problem.allowed_scores(), None), np.sort(allowed, None)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"min_load": [0, 3], "max_load": [2, 2]},
            r"group 1 .* 3 \(by `min_load`\) .* most 2",
        ),
        (
            {"max_load": 1, "channel_floor": [0, 0, 2, 0]},
            r"group 1 .* 2 \(by `channel_floor`\) .* most 1: .* 6 weights, .* is 1",
        ),
        (
            {"min_load": 1, "max_load": 3, "forced": ALL},
            r"group 0 .* 6 \(by `min_load`, `forced`\)",
        ),
        (
            {"min_load": 1, "channel_floor": 4, "budget": 15},
            "15 non-zeros: `min_load`, `channel_floor` need at least 16",
        ),
    ],
)  # fmt: skip
def test_a_clash_names_the_constraints_that_make_it(options, message):
    """The first group that clashes, its bounds, and whose they are."""
    with pytest.raises(Infeasible, match=message):
        whole(**({"budget": 24} | options))()


def test_forced_weights_must_lie_in_the_previous_mask():
    """They may be all of it; one outside is refused."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, :2] = True
    assert whole(budget=8, forced=mask, previous_mask=mask)().least == 8
    forced = mask.copy()
    forced[3, 5] = True
    with pytest.raises(Infeasible, match="1 forced weights lie outside"):
        whole(budget=9, forced=forced, previous_mask=mask)()


def test_a_scheduled_problem_has_everything_in_the_order():
    """Weights, masks and floors of output channels are permuted, the bounds stay."""
    rng = np.random.default_rng(0)
    order = np.array([2, 0, 3, 1])
    forced = np.zeros(SHAPE, dtype=bool)
    forced[1, 4] = True
    options = {
        "min_load": [1, 2],
        "max_load": [4, 5],
        "previous_mask": rng.random(SHAPE) < 2,
        "forced": forced,
        "channel_floor": [0, 1, 2, 0],
    }
    options["previous_mask"][0, 0] = False
    scores = rng.random(SHAPE)
    problem = RetentionProblem(scores, TILES, 20, order="sorted", **options)
    found = problem.scheduled(Schedule(0, order))
    assert found.order == "fixed"
    assert found.budget == 20
    np.testing.assert_array_equal(found.scores, scores[order])
    np.testing.assert_array_equal(found.forced, forced[order])
    np.testing.assert_array_equal(found.previous_mask, problem.previous_mask[order])
    np.testing.assert_array_equal(found.channel_floor, [2, 0, 0, 1])
    np.testing.assert_array_equal(found.min_load, [1, 2])
    np.testing.assert_array_equal(found.max_load, [4, 5])


def test_floors_of_output_channels_stay_where_inputs_are_permuted():
    """Of a map of input blocks the order is that of the inputs."""
    pe_map = PEMap.input_channel(SHAPE, 2)
    scores = np.arange(24.0).reshape(SHAPE)
    problem = RetentionProblem(
        scores, pe_map, 20, order="sorted", channel_floor=[0, 1, 2, 3]
    )
    order = np.array([5, 3, 1, 0, 2, 4])
    found = problem.scheduled(Schedule(1, order))
    np.testing.assert_array_equal(found.scores, scores[:, order])
    np.testing.assert_array_equal(found.channel_floor, [0, 1, 2, 3])
    assert found.previous_mask is None
    assert found.forced is None


@pytest.mark.parametrize(
    ("pe_map", "order", "floor", "held"),
    [
        (TILES, "fixed", [1, 0, 0, 0], True),
        (TILES, "optimized", 0, True),
        (TILES, "optimized", 1, True),
        (TILES, "optimized", [1, 0, 0, 0], False),
        (PEMap.input_channel(SHAPE, 2), "optimized", [1, 0, 0, 0], True),
        (PEMap.n_m(SHAPE, 1, 2), "optimized", 1, False),
    ],
)
def test_floors_hold_in_any_order_where_all_channels_are_alike(
    pe_map, order, floor, held
):
    """The same floor everywhere, or a group for each channel, or no other order."""
    problem = RetentionProblem(
        np.ones(SHAPE), pe_map, 12, order=order, channel_floor=floor
    )
    assert problem.floors_in_any_order is held


def test_constraints_of_an_unknown_order_do_not_bound_the_loads():
    """Masks and unequal floors bound the loads of an order, not of all orders."""
    mask = ALL.copy()
    mask[0, 1:] = False
    fixed, open_order = (
        RetentionProblem(
            np.ones(SHAPE),
            TILES,
            20,
            order=order,
            previous_mask=mask,
            channel_floor=[0, 0, 0, 3],
        )
        for order in ("fixed", "sorted")
    )
    np.testing.assert_array_equal(fixed.upper, [1, 6])
    np.testing.assert_array_equal(fixed.lower, [0, 3])
    np.testing.assert_array_equal(open_order.upper, [6, 6])
    np.testing.assert_array_equal(open_order.lower, [0, 0])


def test_crossing_floors_are_left_out_or_made_weights():
    """Relaxed, they are gone; restricted, the best of each channel are forced."""
    group = np.repeat([[0, 1, 2]], 2, axis=0)  # both channels lie in all groups
    pe_map = PEMap.from_labels(group, np.array([[0], [1]]) * [1, 1, 1])
    scores = np.array([[1.0, 3, 2], [6, 4, 5]])
    whole_channel = RetentionProblem(scores, pe_map, 6, channel_floor=[2, 0])
    assert not whole_channel.separable
    relaxed, restricted = whole_channel.relaxed(), whole_channel.restricted()
    assert relaxed.separable
    assert restricted.separable
    assert not relaxed.channel_floor.any()
    assert relaxed.forced is None
    np.testing.assert_array_equal(restricted.forced, [[0, 1, 1], [0, 0, 0]])
