"""When sums of scores count as equal, and what is called optimal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem, Status, solve
from balancer.program.rounding import (
    is_reached,
    relative_gap,
    rounded_bound,
    same_sum,
)

sums = st.lists(st.floats(0, 1e9), min_size=1, max_size=50)


def test_a_mask_a_ten_millionth_below_the_best_is_not_optimal():
    """A mask that keeps 1e-7 less than another one is never called optimal.

    Once the large slice is taken, greedy prefers the denser slice of two PEs and leaves
    a budget of one, where the slice of three PEs fills it.
    """
    scores = np.array([[1e7 / 3, 1.0]] * 3 + [[1.01, 0.0]] * 2)
    problem = RetentionProblem(scores, PEMap.output_channel(scores.shape, 3), 6)
    greedy, best = solve(problem, "greedy"), solve(problem)
    assert greedy.kept < best.kept < greedy.kept * (1 + 2e-7)
    assert greedy.status is Status.FEASIBLE
    assert best.status is Status.OPTIMAL


@given(sums, st.randoms(use_true_random=False))
def test_the_order_of_summation_makes_no_difference(values, random):
    """Sums of the same numbers are equal, and as bounds reached, in whatever order."""
    shuffled = random.sample(values, len(values))
    one, other = float(np.cumsum(values)[-1]), float(np.cumsum(shuffled)[-1])
    assert same_sum(one, other)
    assert is_reached(one, other)
    assert is_reached(other, one)
    assert rounded_bound(other, one) == one


@given(st.floats(1e-300, 1e300), st.floats(1e-11, 1e-3))
def test_a_real_difference_is_no_rounding(bound, part):
    """What is less by more than rounding is another sum, and its gap is that part."""
    kept = bound * (1 - part)
    assert not same_sum(kept, bound)
    assert not is_reached(kept, bound)
    assert rounded_bound(bound, kept) == bound
    assert relative_gap(kept, bound) == pytest.approx(part, rel=1e-4)


def test_of_nothing_nothing_is_missing():
    """Where nothing can be kept the gap is 0 and the bound reached."""
    assert relative_gap(0.0, 0.0) == 0.0
    assert is_reached(0.0, 0.0)
