"""The largest scores of a network, by two looks at each layer."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import PEMap, RetentionProblem, metrics, top_k_sum
from balancer.network import largest_scores
from balancer.network.largest_scores import LargestScores, Tally, largest_sum


@st.composite
def networks(draw):
    """Programs of some layers, with ties, zeros and masks."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    problems = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 40)))
        scores = rng.integers(0, draw(st.sampled_from([3, 1000])), shape) / 8
        mask = rng.random(shape) < 0.7 if draw(st.booleans()) else None
        pe_map = PEMap.interleaved(shape, 1)
        problem = RetentionProblem(scores, pe_map, 0, previous_mask=mask)
        problems.append(problem)
    return problems


@given(networks(), st.sampled_from([1, 16, 2**18]), st.data())
def test_the_sum_is_that_of_the_sorted_scores(problems, sample, data):
    """Whatever the sample, the sum is exact, or none is told."""
    scores = np.concatenate([one.allowed_scores().ravel() for one in problems])
    k = data.draw(st.integers(0, scores.size))
    expected = pytest.approx(np.sort(scores)[::-1][:k].sum())
    with mock.patch.object(largest_scores, "SAMPLE", sample):
        largest = LargestScores(sum(one.scores.size for one in problems))
        for one in problems:
            largest.add(one)
        tally = largest.tally(k)
    for one in problems:
        tally.add(one)
    found = tally.total()
    assert found is None or found == expected
    if sample == 2**18:
        assert found == expected
    assert largest_sum(k, problems) == expected


@pytest.mark.parametrize(("high", "low"), [(0.5, 0.1), (9.0, 8.0)])
def test_a_sample_that_misleads_is_noticed(high, low):
    """Too many scores above, or too few that are put aside, make no sum."""
    scores = np.arange(1.0, 5.0).reshape(1, 4)
    problem = RetentionProblem(scores, PEMap.interleaved((1, 4), 1), 0)
    tally = Tally(2, high, low)
    tally.add(problem)
    assert tally.total() is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 4000), st.booleans())
def test_a_bar_from_a_sample_leaves_out_nothing(seed, k, nested):
    """The largest scores are the same ones where most are never looked at twice."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(4000) ** 3, rng.integers(1, 9))
    mask = rng.random(4000) < 0.5 if nested else None
    expected = top_k_sum(scores, k, mask)
    with mock.patch.multiple(metrics, SAMPLE=500, WORTH_A_SAMPLE=1000):
        assert top_k_sum(scores, k, mask) == pytest.approx(expected)
    allowed = scores if mask is None else scores[mask]
    assert expected == pytest.approx(np.sort(allowed)[::-1][:k].sum())
