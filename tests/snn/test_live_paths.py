"""Effective weights are those that random positive weights send something through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from spikingjelly.activation_based import layer, neuron  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from snn import build_network, live_weights, prunable_layers  # noqa: E402
from snn.training.masking import MaskError  # noqa: E402


class Mixed(nn.Module):
    """Residual sums, a concatenation, groups, pooling and flattening, as asked for."""

    def __init__(self, widths, groups, joins, pool, plain=False):
        super().__init__()
        a, b, c = widths
        self.joins, self.plain = joins, plain
        self.stem = nn.Conv2d(2, a, 3, padding=1)
        self.norm = nn.BatchNorm2d(a)
        self.same = nn.Conv2d(a, a, 3, padding=1, groups=groups)
        self.deep = nn.Conv2d(a, a, 3, padding=1, groups=a)
        self.other = nn.Conv2d(a, b, 1)
        self.wide = nn.Conv2d(a + b if joins else b, c, 3)
        self.pool = pool
        self.head = nn.Linear(c * (1 if pool else 4), 3)

    def forward(self, x):
        act = (lambda y: y) if self.plain else functional.relu
        x = act(self.stem(x) if self.plain else self.norm(self.stem(x)))
        x = x + self.deep(act(self.same(x)))
        y = act(self.other(x))
        y = torch.cat([x, y], 1) if self.joins else y
        y = act(self.wide(y))
        if self.pool:
            y = (
                functional.avg_pool2d(y, 2)
                if self.plain
                else functional.max_pool2d(y, 2)
            )
        return self.head(y.flatten(1))


def random_masks(network, density, seed):
    generator = np.random.default_rng(seed)
    return {
        name: generator.random(tuple(module.weight.shape)) < density
        for name, module in prunable_layers(network).items()
    }


def brute_force(network, masks, example):
    """Weights that the output of a linear network with random positive ones feels."""
    generator = torch.Generator().manual_seed(0)
    network = network.double()
    layers = prunable_layers(network)
    for name, module in layers.items():
        mask = torch.from_numpy(masks[name])
        weight = torch.rand(mask.shape, generator=generator, dtype=torch.float64) + 0.5
        module.weight = nn.Parameter(weight * mask)
        module.bias = None
    weights = [module.weight for module in layers.values()]
    out = network(torch.rand(example.shape, generator=generator).double() + 0.5)
    found = torch.autograd.grad(out.sum(), weights, allow_unused=True)
    return {
        name: np.zeros(masks[name].shape, bool) if g is None else (g != 0).numpy()
        for name, g in zip(layers, found, strict=True)
    }


@settings(max_examples=60)
@given(
    widths=st.tuples(*[st.sampled_from([2, 4])] * 3),
    groups=st.sampled_from([1, 2]),
    joins=st.booleans(),
    pool=st.booleans(),
    density=st.sampled_from([0.05, 0.1, 0.2, 0.5]),
    seed=st.integers(0, 10**6),
)
def test_live_weights_are_those_that_the_output_feels(
    widths, groups, joins, pool, density, seed
):
    """Brute force, on networks with sums, concatenations and groups."""
    shape = (widths, groups, joins, pool)
    network, plain = Mixed(*shape), Mixed(*shape, plain=True)
    masks = random_masks(network, density, seed)
    example = torch.zeros(1, 2, 4, 4)
    live = live_weights(network, masks, example)
    felt = brute_force(plain, masks, example)
    for name, weights in live.items():
        assert np.array_equal(weights, felt[name]), name


@settings(max_examples=20)
@given(density=st.sampled_from([0.02, 0.1, 0.4]), seed=st.integers(0, 10**6))
def test_spiking_networks_have_the_paths_of_their_layers(density, seed):
    """Neurons, normalization and time steps neither open nor close a path."""
    text, image = "4c3-mp2-6c3-mp2-fc8-fc3", (1, 8, 8)
    network = build_network(text, image, 3, timesteps=3)
    masks = random_masks(network, density, seed)
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 8),
        nn.Linear(8, 3),
    )
    renamed = dict(zip(prunable_layers(plain), masks.values(), strict=True))
    live = live_weights(network, masks, torch.zeros(1, *image))
    felt = brute_force(plain, renamed, torch.zeros(1, *image))
    for ours, theirs in zip(live.values(), felt.values(), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_pruned_weight_is_live_where_it_would_help():
    """Channel 0 is reached and read; 1 is not reached; 2 is not read."""
    network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    masks = {
        "0": np.array([[True], [False], [True]]),
        "2": np.array([[True, True, False]]),
    }
    live = live_weights(network, masks, torch.zeros(1, 1))
    assert live["0"].ravel().tolist() == [True, True, False]
    assert live["2"].ravel().tolist() == [True, False, True]


def test_kernel_positions_that_meet_only_padding_are_dead():
    """On an image of one pixel, only the middle of a padded kernel works."""
    network = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(1, 1)
    )
    masks = {"0": np.ones((1, 1, 3, 3), bool), "2": np.ones((1, 1), bool)}
    live = live_weights(network, masks, torch.zeros(1, 1, 1, 1))
    assert live["0"].sum() == live["0"][0, 0, 1, 1] == 1


def test_signs_hide_no_path():
    """Differences, negative factors and saturated neurons pass on what they get."""

    class Signs(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            y = self.a(x)
            return self.b(torch.tanh(-(y - y)))

    masks = {name: np.ones((2, 2), bool) for name in ("a", "b")}
    live = live_weights(Signs(), masks, torch.zeros(1, 2))
    assert all(weights.all() for weights in live.values())


def test_modules_that_are_not_understood_read_everything():
    """An attention may let anything depend on anything, so nothing in front is dead."""

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.b = nn.Linear(4, 2)

        def forward(self, x):
            y = self.a(x)
            y, _ = self.attention(y, y, y)
            return self.b(y)

    network = Attending()
    masks = {
        name: np.ones(tuple(module.weight.shape), bool)
        for name, module in prunable_layers(network).items()
    }
    masks["a"][1:] = False
    live = live_weights(network, masks, torch.zeros(1, 3, 4))
    assert live["a"].all()
    assert live["b"].all()


def test_the_network_stays_as_it_was():
    """Weights, modes and states are those of before."""
    network = nn.Sequential(layer.Conv2d(1, 2, 3), neuron.LIFNode(), nn.Flatten())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    live_weights(network, {"0": np.ones((2, 1, 3, 3), bool)}, torch.zeros(1, 1, 4, 4))
    assert network.training
    assert network[0].bias is not None
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_masks_of_other_layers_are_refused():
    """Names and shapes are checked before anything runs."""
    with pytest.raises(MaskError, match="other"):
        live_weights(
            nn.Sequential(nn.Linear(2, 2)),
            {"other": np.ones((2, 2), bool)},
            torch.zeros(1, 2),
        )
