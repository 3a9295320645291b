"""The neurons of this package are spikingjelly's, in one function."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from spikingjelly.activation_based import functional, neuron, surrogate  # noqa: E402
from torch import nn  # noqa: E402

from balancer import Schedule  # noqa: E402
from snn import apply_order, build_network, live_weights, record_spikes  # noqa: E402
from snn.channels.graph import channel_graph  # noqa: E402
from snn.channels.module_rules import Treatment, treatment_of  # noqa: E402
from snn.networks.neurons import LEAK, FusedLIF, lif  # noqa: E402


def reference():
    """Make spikingjelly's neurons with the settings of `lif`."""
    return neuron.LIFNode(
        tau=LEAK,
        decay_input=True,
        v_threshold=1.0,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="m",
    )


def is_fused(spikes):
    return "_Steps" in type(spikes.grad_fn).__name__


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.transpose(1, -1).contiguous().transpose(1, -1),
    "batch first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "the same in all steps": lambda x: x[:1].expand_as(x),
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
}


@st.composite
def currents(draw):
    """Currents of some steps, of which some lift a neuron to just its threshold."""
    steps = draw(st.integers(1, 5))
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    x = 3 * torch.randn(steps, *shape, generator=generator)
    just = torch.rand(x.shape, generator=generator) < 0.2
    return torch.where(just, LEAK, x), generator


@given(currents(), st.sampled_from(sorted(LAYOUTS)), st.booleans(), st.booleans())
def test_spikes_potentials_and_gradients_are_those_of_spikingjelly(
    case, layout, of_spikes, of_last
):
    """They are the same bits for all times, shapes and places in memory."""
    x, generator = case
    weights = torch.randn(x.shape, generator=generator) * of_spikes
    last_weights = torch.randn(x.shape[1:], generator=generator)
    results = []
    for neurons in (lif(), reference()):
        leaf = x.clone().requires_grad_()
        spikes = neurons(LAYOUTS[layout](leaf))
        total = (spikes * weights).sum()
        if of_last:
            total = total + (neurons.v * last_weights).sum()
        total.backward()
        results.append((spikes, neurons.v, leaf.grad))
    assert is_fused(results[0][0])
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert torch.equal(ours, theirs)


@given(currents())
def test_time_steps_go_on_from_a_potential(case):
    """A second call without a reset is what spikingjelly makes of it, back to start."""
    x, generator = case
    weights = torch.randn(x.shape, generator=generator)
    results = []
    for neurons in (lif(), reference()):
        leaf = x.clone().requires_grad_()
        first, second = neurons(leaf), neurons(leaf)
        (second * weights).sum().backward()
        results.append((first, second, neurons.v, leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_spikes_lie_in_memory_as_the_currents_do():
    """What comes channels last goes on channels last, and so do its gradients."""
    x = torch.rand(2, 3, 4, 5, 6).transpose(2, 4).contiguous().transpose(2, 4)
    x.requires_grad_()
    spikes = lif()(x)
    (gradient,) = torch.autograd.grad(spikes.sum(), x)
    assert spikes.stride() == gradient.stride() == x.stride()


def set_(name, value):
    return lambda neurons: setattr(neurons, name, value)


OTHERS = {
    "threshold": set_("v_threshold", 0.5),
    "soft reset": set_("v_reset", None),
    "reset": set_("v_reset", -0.1),
    "decay": set_("decay_input", False),
    "gradient of the reset": set_("detach_reset", False),
    "all potentials": set_("store_v_seq", True),
    "sigmoid": set_("surrogate_function", surrogate.Sigmoid()),
    "no spikes": set_("surrogate_function", surrogate.ATan(spiking=False)),
    "float64": lambda neurons: neurons.double(),
    "bfloat16": lambda neurons: neurons.bfloat16(),
    "single step": set_("step_mode", "s"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_settings_are_those_of_spikingjelly(name):
    """What the function does not know is left to the class that does."""
    dtype = {"float64": torch.float64, "bfloat16": torch.bfloat16}.get(name)
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(4, 3, 5, generator=generator).to(dtype)
    weights = torch.randn(x.shape, generator=generator).to(dtype)
    results = []
    for neurons in (lif(), reference()):
        OTHERS[name](neurons)
        leaf = x.clone().requires_grad_()
        spikes = neurons(leaf)
        (spikes * weights).sum().backward()
        results.append((spikes, neurons.v, leaf.grad))
    assert not is_fused(results[0][0])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize("tau", [1.5, 8.0])
def test_other_curves_and_leaks_are_known(alpha, tau):
    """The leak and the width of the arctangent are arguments of the function."""
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(4, 3, 5, generator=generator)
    gradients = []
    for neurons in (lif(), reference()):
        neurons.tau, neurons.surrogate_function.alpha = tau, alpha
        leaf = x.clone().requires_grad_()
        spikes = neurons(leaf)
        spikes[1:].sum().backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)


def test_a_gradient_of_a_gradient_is_refused():
    """The function has one derivative; a wrong second one would be silent."""
    x = torch.rand(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad((lif()(x) * x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def with_reference(network):
    """Copy a network, with spikingjelly's own neurons."""
    other = copy.deepcopy(network)
    for module in other.modules():
        for name, child in module.named_children():
            if isinstance(child, FusedLIF):
                setattr(module, name, reference())
    return other


def settled(seed=0):
    """Make a network whose neurons fire in evaluation."""
    torch.manual_seed(seed)
    network = build_network("4c3-mp2-6c3-fc5", (1, 8, 8), classes=5, timesteps=3)
    for _ in range(30):
        network(torch.rand(8, 1, 8, 8))
    return network


def test_networks_have_these_neurons_and_no_more_state():
    """State dicts fit networks of before, copies work, and a reset forgets."""
    network = settled()
    fused = [module for module in network.modules() if isinstance(module, FusedLIF)]
    assert len(fused) == 2
    other = with_reference(network)
    assert list(network.state_dict()) == list(other.state_dict())
    other.load_state_dict(network.state_dict())
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(network(images), other(images))
    assert torch.equal(copy.deepcopy(network)(images), other(images))
    neurons = lif()
    neurons(torch.rand(2, 3))
    assert isinstance(neurons.v, torch.Tensor)
    functional.reset_net(neurons)
    assert neurons.v == 0.0


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_training_is_that_of_spikingjelly(dtype):
    """Gradients of all weights are the same bits, in bfloat16 too."""
    network = settled()
    images, gradients = torch.rand(4, 1, 8, 8), []
    for one in (network, with_reference(network)):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = one(images)
        logits.square().mean().backward()
        gradients.append({name: p.grad for name, p in one.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_channels_go_through_them():
    """Orders, paths and recorded spikes are those of the network with LIFNode."""
    network = settled().eval()
    other = with_reference(network)
    assert treatment_of(lif()) is treatment_of(reference()) is Treatment.ENTRYWISE
    assert str(channel_graph(network)) == str(channel_graph(other))
    layers = ("features.0", "features.4", "classifier")
    masks = {
        name: np.random.default_rng(0).random(network.get_submodule(name).weight.shape)
        < 0.1
        for name in layers
    }
    images = torch.rand(4, 1, 8, 8)
    ours, theirs = (live_weights(one, masks, images[:1]) for one in (network, other))
    for name in layers:
        assert np.array_equal(ours[name], theirs[name])
    assert not all(one.all() for one in ours.values())
    ours, theirs = (record_spikes(one, images) for one in (network, other))
    assert ours.keys() == theirs.keys()
    assert any(one.any() for one in ours.values())
    for name, spikes in ours.items():
        assert np.array_equal(spikes, theirs[name])
    order = np.array([2, 0, 3, 1], np.int32)
    moved = apply_order(network, {"features.0": Schedule(0, order)}).network
    assert torch.equal(moved.features[0].weight, network.features[0].weight[order])
    assert torch.equal(moved(images), network(images))


def test_paths_do_not_run_them():
    """Following paths asks no neuron, so nothing is counted or compiled for it."""

    class Loud(FusedLIF):
        def multi_step_forward(self, x_seq, *args, **kwargs):
            raise AssertionError

    Loud.__module__, Loud.__name__ = FusedLIF.__module__, FusedLIF.__name__
    loud = Loud(LEAK, surrogate_function=surrogate.ATan(), step_mode="m")
    network = nn.Sequential(nn.Linear(2, 2), loud, nn.Linear(2, 1))
    masks = {"0": np.eye(2, dtype=bool), "2": np.ones((1, 2), bool)}
    live = live_weights(network, masks, torch.ones(1, 2))
    assert np.array_equal(live["0"], np.ones((2, 2)))
