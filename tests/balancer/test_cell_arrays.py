"""Cell matrices: counting and finding entries as NumPy does, only faster."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from balancer.maps.cell_arrays import count_rows, true_positions


@given(
    st.integers(0, 70),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_true_entries_are_where_numpy_finds_them(width, rows, density, seed, turned):
    """Positions are those of flatnonzero, for any size, density and memory layout."""
    mask = np.random.default_rng(seed).random((rows, width)) < density
    mask = mask.T if turned else mask
    found = true_positions(mask)
    np.testing.assert_array_equal(found, np.flatnonzero(mask))
    assert found.dtype == np.flatnonzero(mask).dtype


@given(st.integers(1, 70), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_true_entries_of_rows_are_counted(width, rows, seed):
    """Counts are those of count_nonzero, for widths of whole eights and others."""
    mask = np.random.default_rng(seed).random((rows, width)) < 0.3
    np.testing.assert_array_equal(count_rows(mask), np.count_nonzero(mask, axis=1))
