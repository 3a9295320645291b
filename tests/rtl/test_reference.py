"""The quantized layer in NumPy: sums, neurons, and what its numbers cannot hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtl_cases import random_job

from hwmodel import LayerWorkload
from rtl.errors import RtlError
from rtl.layer import FRACTION, quantize_inputs, quantize_layer
from rtl.network import NetworkStage, QuantizedNetwork, reference_engine, run_network
from rtl.reference import reference_spikes, reference_sums

seeds = st.integers(0, 2**32 - 1)


def sums_by_definition(layer, inputs):
    """Add up weight by weight and pixel by pixel."""
    shape, codes = layer.shape, layer.codes
    (above, left), (down, right) = shape.pairs("padding"), shape.pairs("stride")
    below, beside = shape.pairs("dilation")
    _, height, width = shape.image
    sums = np.zeros((len(inputs), shape.outputs, *shape.output_size), np.int64)
    for (out, channel, row, column), code in np.ndenumerate(codes):
        for y, x in np.ndindex(shape.output_size):
            at_y = y * down + row * below - above
            at_x = x * right + column * beside - left
            if 0 <= at_y < height and 0 <= at_x < width:
                sums[:, out, y, x] += code * inputs[:, channel, at_y, at_x]
    return sums.reshape(len(inputs), shape.outputs, -1)


@given(seeds, st.integers(1, 5))
def test_sums_are_those_of_the_definition(seed, pes):
    """A sum is every weight times the input that it meets, padding being zero."""
    job = random_job(np.random.default_rng(seed), pes)
    inputs = job.inputs.reshape(-1, *job.layer.shape.image).astype(np.int64)
    expected = sums_by_definition(job.layer, inputs)
    assert np.array_equal(reference_sums(job.layer, inputs), expected)


@given(seeds)
def test_neurons_are_those_of_the_network_but_for_rounding(seed):
    """Potentials in real numbers spike alike, unless they are near the threshold."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(5, 9))
    bias = rng.normal(size=5)
    shape = LayerWorkload("fc", weights != 0, timesteps=4)
    layer = quantize_layer(shape, weights, pes=2, bias=bias)
    sums = reference_sums(layer, rng.integers(0, 2, (4, 9)))
    spikes = reference_spikes(layer, sums, 4)
    currents = (sums * 2**FRACTION + layer.bias[:, None]) * layer.unit
    potential = np.zeros(currents.shape[1:])
    for current, spiked in zip(currents, spikes, strict=True):
        charged = potential + (current - potential) / (4 / 3)
        clear = np.abs(charged - 1) > 4 * layer.unit
        assert np.array_equal((charged >= 1)[clear], spiked[clear] == 1)
        potential = np.where(spiked, 0, charged)


@given(seeds)
def test_weights_and_biases_are_rounded_to_the_nearest_code(seed):
    """What a code means is at most half a step away from what was given."""
    rng = np.random.default_rng(seed)
    weights, bias = rng.normal(size=(4, 3, 2, 2)), rng.normal(size=4)
    shape = LayerWorkload("conv", np.ones_like(weights, bool))
    layer = quantize_layer(shape, weights, pes=3, bias=bias, input_scale=0.5)
    scale = layer.streams.values.scale
    assert layer.unit == scale * 0.5 / 2**FRACTION
    assert np.abs(layer.codes).max() == 127
    # Streams pass through float32.
    assert np.abs(layer.codes * scale - weights).max() <= scale * (0.5 + 1e-4)
    assert np.abs(layer.bias * layer.unit - bias).max() <= layer.unit / 2
    assert abs(layer.threshold * layer.unit - 1) <= layer.unit / 2


def test_what_the_bits_cannot_hold_is_refused():
    """Sums and charges beyond their bits are errors, not other numbers."""
    mask = np.ones((1, 2), bool)
    layer = quantize_layer(LayerWorkload("fc", mask), [[1.0, 1.0]], pes=1)
    with pytest.raises(RtlError, match="24 bits"):
        reference_sums(layer, np.full((1, 2), 2**20))
    with pytest.raises(RtlError, match="32 bits"):
        reference_spikes(layer, np.full((1, 1, 1), 2**24), 1)


def test_analog_inputs_are_rounded_to_their_bits():
    """The largest magnitude has the largest code, and silence has a scale, too."""
    codes, scale = quantize_inputs(np.array([-2.0, 0.0, 1.0]), 8)
    assert codes.tolist() == [-127, 0, 64]
    assert scale == 2 / 127
    assert quantize_inputs(np.zeros(3), 8)[0].tolist() == [0, 0, 0]


def test_pooling_lies_between_layers():
    """The maximum of a window of spikes is what the next layer receives."""
    first = quantize_layer(
        LayerWorkload(
            "conv", np.ones((1, 1, 1, 1), bool), (1, 5, 4), direct_coded=True
        ),
        np.ones((1, 1, 1, 1)),
        pes=1,
    )
    last = quantize_layer(
        LayerWorkload("fc", np.ones((1, 4), bool), timesteps=2), np.ones((1, 4)), pes=1
    )
    image = np.zeros((1, 1, 5, 4), np.int64)
    image[0, 0, 0, 1] = image[0, 0, 3, 3] = image[0, 0, 4, 0] = 100
    network = QuantizedNetwork((NetworkStage(replace(first), 2), NetworkStage(last)), 2)
    run = run_network(network, image, reference_engine, "tile")
    # The last row has no window; two of the four windows spike in both time steps.
    assert run.jobs["fc"][0].inputs.reshape(2, 4).tolist() == [[1, 0, 0, 1]] * 2
    assert run.scores.tolist() == [[2 * 2 * 127 * 2**FRACTION]]
