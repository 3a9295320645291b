"""Problems refuse what no mask can satisfy, and say what would be accepted."""

import numpy as np
import pytest
from cases import shapes
from hypothesis import given
from hypothesis import strategies as st

from balancer import BalancerError as Bad
from balancer import InfeasibleError as Infeasible
from balancer import PEMap, RetentionProblem
from balancer.program.validation import budget_of_sparsity

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
    ("sparsity", "weights", "budget"), [(0.9, 10, 1), (0.7, 10, 3), (0.98, 50, 1)]
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
