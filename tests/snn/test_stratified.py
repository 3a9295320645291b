"""A stratified choice is exact in number and in proportion."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snn.data.stratified import stratified_choice


@given(st.lists(st.integers(0, 5), max_size=60), st.data())
def test_shares_are_proportional(labels, data):
    """Exactly `count` are chosen, of every class its exact share up to rounding."""
    labels = np.array(labels, dtype=np.int64)
    count = data.draw(st.integers(0, len(labels)))
    chosen = stratified_choice(labels, count, np.random.default_rng(0))
    assert chosen.sum() == count
    for label in np.unique(labels):
        share = (labels == label).sum() * count / len(labels)
        assert abs((chosen & (labels == label)).sum() - share) < 1


def test_chance_decides_which():
    """Equal generators choose alike, others differently."""
    labels = np.arange(200) % 4
    first, again, other = (
        stratified_choice(labels, 40, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
