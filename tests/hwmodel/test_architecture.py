"""Architectures as text: every word is a layer, and sizes are those of the layers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.architecture import (
    Convolution,
    FullyConnected,
    Pooling,
    output_shape,
    parse_architecture,
)
from hwmodel.errors import ArchitectureError

NUMBERS = st.integers(1, 999)
STEPS = st.one_of(
    st.builds(Convolution, NUMBERS, NUMBERS, NUMBERS),
    st.builds(Pooling, st.sampled_from(["max", "average"]), NUMBERS),
    st.builds(FullyConnected, NUMBERS),
)


def word(step):
    if isinstance(step, Convolution):
        return f"{step.channels}c{step.kernel}s{step.stride}"
    if isinstance(step, Pooling):
        return f"{'m' if step.kind == 'max' else 'a'}p{step.window}"
    return f"fc{step.outputs}"


@given(st.lists(STEPS, min_size=1, max_size=6))
def test_what_is_written_is_read(steps):
    """Any sequence of layers is read as it was written."""
    assert parse_architecture("-".join(map(word, steps))) == steps


@pytest.mark.parametrize(
    "text", ["", "32c", "vgg16", "4c3--fc2", "0c3", "mp0", "fc", "4c3s0"]
)
def test_other_words_are_refused(text):
    """The error shows the word, the text and what is accepted."""
    with pytest.raises(ArchitectureError, match=r"is no layer; accepted: 32c3"):
        parse_architecture(text)


@pytest.mark.parametrize(
    "text", [f"{2**62}c3-fc10", "4c9999999", "mp2000000", "fc" + "9" * 5000]
)
def test_sizes_that_no_network_has_are_refused(text):
    """A number of millions is a mistake, and no reason to ask for so much memory."""
    with pytest.raises(ArchitectureError, match="more than 1,048,576 channels"):
        parse_architecture(text)


def test_shapes_follow_the_layers():
    """Odd kernels keep the size, strides round up, pooling rounds down."""
    shape = (2, 9, 7)
    shapes = []
    for step in parse_architecture("4c3-5c1s2-6c5s2-mp2-fc8-fc9"):
        shape = output_shape(step, shape)
        shapes.append(shape)
    assert shapes == [(4, 9, 7), (5, 5, 4), (6, 3, 2), (6, 1, 1), (8,), (9,)]


def test_layers_that_do_not_fit_are_refused():
    """Small images and features are named, with what is needed."""
    (pool,) = parse_architecture("ap2")
    with pytest.raises(ArchitectureError, match="ap2 needs an image of 2 x 2 at least"):
        output_shape(pool, (3, 5, 1))
    with pytest.raises(ArchitectureError, match=r"4c3 needs an image .*\(10,\)"):
        output_shape(Convolution(4, 3, 1), (10,))
