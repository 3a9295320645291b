"""What NumPy counts in a chain is what running the network tells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from torch import nn  # noqa: E402

from hwmodel import Geometry, chain_effective  # noqa: E402
from hwmodel.effective import live_in_chain  # noqa: E402
from hwmodel.known_chain import Link, known_chain  # noqa: E402
from snn import (  # noqa: E402
    build_network,
    layer_geometry,
    live_weights,
    prunable_layers,
)

TEXTS = (
    *("4c3-fc3", "4c3-mp2-6c3-fc3", "3c3s2-5c5-ap2-fc4-fc3", "mp2-4c1-4c2-mp3-fc3"),
    *("2c3-2c3-2c3-2c3-mp2-mp2-2c3-fc6-fc3", "conv3"),
)


def random_masks(network, seed, density):
    rng = np.random.default_rng(seed)
    return {
        name: rng.random(tuple(layer.weight.shape)) < density
        for name, layer in prunable_layers(network).items()
    }


@given(
    text=st.sampled_from(TEXTS),
    image=st.sampled_from([(1, 8, 8), (2, 9, 7), (1, 6, 6)]),
    density=st.sampled_from([0.003, 0.03, 0.2]),
    seed=st.integers(0, 10**6),
    listed=st.booleans(),
)
def test_chains_of_texts_have_the_paths_of_their_networks(
    text, image, density, seed, listed
):
    """With and without the list of layers that a ticket has."""
    network = build_network(text, image, 3, timesteps=2)
    masks = random_masks(network, seed, density)
    example = torch.ones(1, *image)
    about = {"architecture": text, "input_shape": list(image)}
    if listed:
        about["layers"] = layer_geometry(network, example)
    chain = known_chain({name: mask.shape for name, mask in masks.items()}, about)
    live, expected = live_in_chain(masks, chain), live_weights(network, masks, example)
    for name in masks:
        np.testing.assert_array_equal(live[name], expected[name])
    assert chain_effective(masks, about) == {
        name: int((mask & expected[name]).sum()) for name, mask in masks.items()
    }


@given(density=st.sampled_from([0.1, 0.4]), seed=st.integers(0, 10**6))
def test_groups_dilation_and_lines_have_the_paths_of_their_networks(density, seed):
    """What no text says, `Link` does: of images and of lines."""
    images = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, (1, 2), groups=8),
        nn.Flatten(),
        nn.Linear(8 * 2 * 1, 3),
    )
    lines = nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1),
        nn.Conv1d(4, 2, 2, 2),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    links = {
        images: [
            Link("0", Geometry((4, 9, 6), (2, 1), (0, 1), (1, 2), 2), 2),
            Link("2", Geometry((8, 2, 2), groups=8)),
            Link("4", Geometry((16,))),
        ],
        lines: [
            Link("0", Geometry((2, 8), padding=1)),
            Link("1", Geometry((4, 8), stride=2)),
            Link("3", Geometry((8,))),
        ],
    }
    for network, chain in links.items():
        masks = random_masks(network, seed, density)
        example = torch.ones(1, *chain[0].geometry.input_shape)
        live = live_in_chain(masks, chain)
        for name, expected in live_weights(network, masks, example).items():
            np.testing.assert_array_equal(live[name], expected)
