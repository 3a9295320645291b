"""Pruned weights return only where a layer cannot keep its budget without them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cli
from balancer import ArrayLayer, PEMap, balance_network, open_ticket, shipped_ticket
from balancer.files.ticket import LayerArrays
from balancer.network.revival import keeps_budget

MAPS = ("output_channel", "input_channel", "interleaved", "banked", "grid:2x2")


def some_layer(seed, shape=(8, 12), density=0.5):
    generator = np.random.default_rng(seed)
    mask = generator.random(shape) < density
    mask.flat[0] = True
    return ArrayLayer("a", generator.random(shape), mask)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    pe_map=st.sampled_from(MAPS),
    density=st.sampled_from([0.3, 0.6, 0.95]),
    share=st.floats(0.05, 1),
)
def test_no_weight_returns_where_the_mask_can_keep_the_budget(
    seed, pe_map, density, share
):
    """Less than a slice is left over by weights that are there, or some return."""
    layer = some_layer(seed, density=density)
    budget = max(8, int(share * np.count_nonzero(layer.mask)))
    given_ = {"pe_map": pe_map, "pes": 4, "budget": budget, "allow_empty": True}
    nested = balance_network([layer], nested=True, **given_)
    free = balance_network([layer], nested=False, **given_)
    found = balance_network([layer], **given_)
    (own,) = (x.solution for x in nested.layers)
    slice_ = PEMap.parse(pe_map, layer.shape, 4).group_sizes().min()
    expected = nested if budget - own.nonzeros < slice_ else free
    assert np.array_equal(found.masks["a"], expected.masks["a"])
    assert expected is free or found.layers[0].revived == 0


@given(seed=st.integers(0, 10**6), pe_map=st.sampled_from(MAPS))
def test_balancing_again_changes_nothing_whatever_the_scores(seed, pe_map):
    """Scores that training changed bring no pruned weight back."""
    layer = some_layer(seed)
    first = balance_network([layer], pe_map=pe_map, pes=4, allow_empty=True)
    scores = np.random.default_rng(seed + 1).random(layer.shape)
    again = ArrayLayer("a", scores, first.masks["a"])
    second = balance_network([again], pe_map=pe_map, pes=4, allow_empty=True)
    assert np.array_equal(second.masks["a"], first.masks["a"])


def test_scores_alone_prune_nothing():
    """Zeros among bare scores are worth nothing, but may fill a PE."""
    scores = np.array([[1.0, 2.0], [0.0, 0.0]])
    assert not keeps_budget(
        ArrayLayer("a", scores).read(), PEMap.output_channel((2, 2), 2), 2, "fixed"
    )


def test_the_order_that_is_there_counts():
    """A mask that is equal in its own order keeps its budget as it stands."""
    mask = np.array([[1, 1], [0, 1], [1, 1], [1, 0]], dtype=bool)
    pe_map = PEMap.output_channel((4, 2), 2)
    layer = LayerArrays(mask * 1.0, mask)
    assert not keeps_budget(layer, pe_map, 6, "fixed")
    assert keeps_budget(layer, pe_map, 6, "optimized")
    assert keeps_budget(layer, pe_map, 6, "sorted")


@pytest.mark.parametrize(
    ("options", "revived"), [([], False), (["--revive"], True), (["--nested"], False)]
)
def test_the_command_line_says_whether_weights_return(options, revived, tmp_path):
    """By default a ticket that drops some weights revives none; --revive may."""
    before = {x.name: x.read_mask() for x in open_ticket(shipped_ticket()).layers}
    out = tmp_path / "m.npz"
    only = ["--layers", "classifier", "--sparsity", "0.935"]
    assert cli.main(["balance", *only, *options, "--out", str(out)]) == 0
    after = open_ticket(out).layers[0].read_mask()
    assert bool((after & ~before["classifier"]).any()) is revived
