"""Windows: slices far from the price change no answer, however narrow the window."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import balance_network
from balancer.program import window
from balancer.program.slice_program import SliceAllocator, SliceProgram


@st.composite
def networks(draw):
    """Scores of some layers, with ties and tiles of unequal size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers = {}
    for n in range(draw(st.integers(1, 3))):
        shape = draw(st.tuples(st.integers(2, 30), st.integers(2, 80)))
        scores = rng.random(shape) ** draw(st.integers(1, 5))
        layers[f"l{n}"] = np.round(scores, draw(st.integers(1, 9))) + 0.1
    return layers


@given(
    networks(),
    st.integers(2, 9),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.sampled_from(["greedy", "cp-sat"]),
    st.tuples(st.sampled_from([8, 64, 4096]), st.floats(0, 2), st.integers(1, 3)),
)
def test_a_window_changes_no_answer(layers, pes, sparsity, solver, narrow):
    """Masks, what is kept and the bound are those of the program of all slices."""
    asked = {"pes": pes, "sparsity": sparsity, "scope": "global", "allow_empty": True}
    asked |= {"solver": solver, "work_limit": 1.0}
    whole = balance_network(layers, **asked)
    sample, deviations, least = narrow
    with mock.patch.multiple(
        window,
        WORTH_A_WINDOW=4,
        SAMPLE=sample,
        DEVIATIONS=deviations,
        AT_LEAST=least,
    ):
        found = balance_network(layers, **asked)
    for name, mask in whole.masks.items():
        np.testing.assert_array_equal(found.masks[name], mask)
    np.testing.assert_allclose(found.kept, whole.kept, rtol=1e-12)
    np.testing.assert_allclose(found.bound, whole.bound, rtol=1e-12)
    assert found.status is whole.status


@pytest.mark.parametrize(("surest", "holds"), [(11.7, False), (11.9, True)])
def test_what_is_above_the_window_must_be_worth_more_than_the_gap(surest, holds):
    """Else a better answer may be one without it: greedy is not optimal here.

    Of a budget of 4 it takes the slice of 9 for 3, and its bound adds what is left at a
    price of 2.95; both slices of 2 together are worth 11.7.
    """
    program = SliceProgram(
        values=np.array([9.0, 5.9, 5.8]),
        counts=np.array([1, 2]),
        cost=np.array([[3], [2]]),
        lower=np.array([1, 0]),  # what is above the window
        complete=np.array([True, True]),
        budget=np.array([7]),
        base=surest,
    )
    allocator = SliceAllocator(program)
    assert allocator.greedy.bound - allocator.greedy.kept == pytest.approx(2.95)
    kept = window.SliceWindow(
        (program,), np.array([surest, np.inf]), np.array([False, False])
    )
    assert kept.holds(allocator) == holds
