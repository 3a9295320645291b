"""Rates are the means of recorded spikes, which the hardware model takes as is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from spikingjelly.activation_based import functional, layer, neuron  # noqa: E402
from torch import nn  # noqa: E402

from hwmodel import (  # noqa: E402
    Accelerator,
    Basis,
    evaluate,
    load_spikes,
    network_workloads,
    save_spikes,
)
from snn.networks.geometry import layer_geometry  # noqa: E402
from snn.networks.models import build_network  # noqa: E402
from snn.networks.spikes import SpikeError, input_rates, mean_rates, record_spikes  # noqa: E402


def firing(architecture="4c3-6c3-mp2-5c3-fc3", shape=(2, 6, 6), steps=3, seed=0):
    """Make a network whose neurons fire in evaluation."""
    torch.manual_seed(seed)
    network = build_network(architecture, shape, 3, steps)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    for _ in range(3):
        network(torch.randn(16, *shape))
    return network


def masks_of(network):
    return {
        name: module.weight.detach().numpy()
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }


def means(spikes):
    """Mean over batch and pixels."""
    axes = (1, *range(3, spikes.ndim))
    return spikes.mean(axes).astype(np.float32)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_rates_are_the_means_of_the_spikes(sizes, steps):
    """However images are cut into batches, rates are exactly the spikes' means."""
    network = firing(steps=steps)
    images = torch.randn(sum(sizes), 2, 6, 6)
    rates = input_rates(network, images.split(sizes))
    spikes = record_spikes(network, images)
    assert list(rates) == list(spikes) == ["features.3", "features.7", "classifier"]
    for name, rate in rates.items():
        assert rate.dtype == np.float32
        np.testing.assert_array_equal(rate, means(spikes[name]))
    shapes = [rate.shape for rate in rates.values()]
    assert shapes == [(steps, 4), (steps, 6), (steps, 45)]
    assert rates["features.3"].any()
    average = mean_rates(rates)
    for name, rate in average.items():
        assert rate == pytest.approx(spikes[name].mean(), abs=1e-7)


def test_spikes_are_the_inputs_of_the_layers():
    """What is recorded is what neurons send, in its order of steps and images."""
    network = firing("4c3-6c3-fc3")
    images = torch.randn(5, 2, 6, 6)
    sent = {}
    for place in (2, 5):
        network.features[place].register_forward_hook(
            lambda _, x, y, place=place: sent.__setitem__(place, y.detach().numpy())
        )
    spikes = record_spikes(network, images)
    network.eval()(images)
    assert spikes["features.3"].dtype == np.bool_
    np.testing.assert_array_equal(spikes["features.3"], sent[2])
    np.testing.assert_array_equal(spikes["classifier"], sent[5].reshape(3, 5, -1))


@pytest.mark.parametrize("name", ["4c3-6c3-mp2-5c3-fc3", "resnet19"])
def test_recorded_spikes_evaluate_exactly(name, tmp_path):
    """Recorded, saved, loaded: the hardware model calls its result exact."""
    shape = (2, 6, 6) if name != "resnet19" else (2, 4, 4)
    network = firing(name, shape, steps=2)
    images = torch.randn(2, *shape)
    spikes = record_spikes(network, images)
    save_spikes(tmp_path / "spikes.npz", spikes)
    loaded = load_spikes(tmp_path / "spikes.npz")
    metadata = {"layers": layer_geometry(network, images), "timesteps": 2}
    workloads, assumption = network_workloads(
        masks_of(network), metadata, spikes=loaded
    )
    report = evaluate(workloads, Accelerator.load("u-ticket"))
    assert assumption is None
    assert {layer.basis for layer in report.layers[1:]} == {Basis.EXACT}
    assert report.inferences == 2
    total = sum(int(array.sum()) for array in spikes.values())
    assert report.activity.operations.spikes == total > 0


def test_mean_rates_are_the_rates_of_a_ticket():
    """As metadata of a ticket they are what its layers are evaluated with."""
    network = firing()
    images = torch.randn(4, 2, 6, 6)
    rates = mean_rates(input_rates(network, [images]))
    metadata = {"layers": layer_geometry(network, images), "spike_rates": rates}
    workloads, _ = network_workloads(masks_of(network), metadata)
    assert [layer.spike_rate for layer in workloads] == [None, *rates.values()]


def test_events_are_spikes_of_the_first_layer():
    """Events are recorded as they came, and no layer is direct-coded."""
    network = firing(steps=3)
    events = (torch.rand(3, 4, 2, 6, 6) < 0.2).float() * 2
    spikes = record_spikes(network, events)
    np.testing.assert_array_equal(spikes["features.0"], events.numpy() > 0)
    rates = input_rates(network, events.split([1, 3], dim=1))
    np.testing.assert_array_equal(rates["features.0"], means(spikes["features.0"]))
    metadata = {"layers": layer_geometry(network, events)}
    workloads, _ = network_workloads(masks_of(network), metadata, spikes=spikes)
    assert not any(layer.direct_coded for layer in workloads)


def test_means_of_spikes_count_where_they_are_not_zero():
    """Behind average pooling, a window with any spike is one event."""
    network = firing("4c3-ap2-6c3-fc3")
    images = torch.randn(3, 2, 6, 6)
    pooled = []
    hook = network.features[3].register_forward_hook(
        lambda _, x, y: pooled.append(y.detach().numpy())
    )
    network.eval()(images)
    hook.remove()
    assert {0.0, 0.25} < set(np.unique(pooled[0]))
    spikes = record_spikes(network, images)
    np.testing.assert_array_equal(spikes["features.4"], pooled[0] > 0)


class Unrolled(nn.Module):
    """One call a time step, in single-step mode, and joined time and batch behind."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3)
        self.neurons = neuron.IFNode(0.5)
        self.last = layer.SeqToANNContainer(nn.Flatten(), nn.Linear(20, 3))

    def forward(self, x):
        x = self.one(x)
        steps = [self.two(self.neurons(x)).relu() for _ in range(3)]
        return self.last(torch.stack(steps))


def test_other_ways_to_run_over_time_are_understood():
    """Calls step by step, and time joined with the batch, give time as first axis."""
    torch.manual_seed(0)
    network = Unrolled()
    images = torch.randn(4, 2, 6, 6)
    spikes = record_spikes(network, images)
    assert spikes["two"].shape == (3, 4, 4, 4, 4)
    assert spikes["last.1"].shape == (3, 4, 20)
    sent = network.one(images)
    functional.reset_net(network)
    for step in spikes["two"]:
        np.testing.assert_array_equal(step, network.neurons(sent).detach().bool())
    one = record_spikes(network, images[2:3])
    np.testing.assert_array_equal(one["last.1"], spikes["last.1"][:, 2:3])


def test_what_is_no_spike_is_refused():
    """Negative inputs name the layer; nothing to run on is refused too."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
    with pytest.raises(SpikeError, match="1 receives negative values"):
        record_spikes(network, torch.randn(2, 1, 3, 3))
    with pytest.raises(SpikeError, match="`batches` are empty"):
        input_rates(network, [])
    with pytest.raises(SpikeError, match="`images` are empty"):
        record_spikes(network, torch.zeros(0, 1, 3, 3))


class Repeated(nn.Module):
    """One layer that sees the image, then spikes twice in every time step."""

    def __init__(self, sizes=(4, 4), multi=False, steps=3):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(2, 3)
        self.sizes, self.multi, self.steps = sizes, multi, steps
        self.lif = neuron.IFNode(0.2, step_mode="m" if multi else "s")
        self.seen = []

    def forward(self, x):
        x = self.conv(x)
        if self.multi:
            steps = self.block(self.lif(x.expand(self.steps, *x.shape)))
            return self.head(steps.mean((-2, -1)))
        steps = [self.block(self.lif(x)) for _ in range(self.steps)]
        return self.head(torch.stack(steps).mean((-2, -1)))

    def block(self, x):
        for size in self.sizes:
            x = (x[..., :size, :size] > 0).float()
            self.seen.append(x.detach().numpy())
            flat = x.flatten(0, 1) if self.multi else x
            x = self.conv(flat).reshape(x.shape).relu()
        return x


@pytest.mark.parametrize("multi", [False, True])
def test_calls_of_a_shared_layer_are_told_apart_from_its_image(multi):
    """Its spikes are those of both calls, [T, calls x N], without the analog image."""
    network = Repeated(multi=multi)
    images = torch.randn(5, 2, 4, 4)
    spikes = record_spikes(network, images)["conv"]
    network.seen.clear()
    network(images)
    functional.reset_net(network)
    if multi:
        first, second = network.seen
    else:
        first, second = (np.stack(network.seen[place::2]) for place in (0, 1))
    np.testing.assert_array_equal(spikes, np.concatenate([first, second], axis=1))
    rates = input_rates(network, images.split([2, 3]))
    np.testing.assert_allclose(rates["conv"], means(spikes), rtol=1e-6)
    kinds = [
        (layer["name"], layer["analog"], layer["calls"])
        for layer in layer_geometry(network, images)
    ]
    assert kinds == [("conv", True, 1), ("conv", False, 2), ("head", False, 1)]


def test_inputs_of_several_sizes_have_rates_and_no_array():
    """Rates weigh every position alike; spikes of two sizes are refused."""
    network, images = Repeated(sizes=(4, 2)), torch.randn(5, 2, 4, 4)
    with pytest.raises(SpikeError, match=r"conv runs on inputs of several sizes"):
        record_spikes(network, images)
    network.seen.clear()
    rates = input_rates(network, [images])
    seen = [np.stack(network.seen[-6:][place::2]) for place in (0, 1)]
    counts = sum(one.sum((1, 3, 4)) for one in seen)
    np.testing.assert_allclose(rates["conv"], counts / (5 * 20), rtol=1e-6)


def test_rows_of_parts_of_an_image_are_calls():
    """A linear layer on 16 parts of an image runs 16 times in every time step."""

    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif, self.one = neuron.IFNode(0.2, step_mode="m"), nn.Linear(2, 2)
            self.stem, self.head = nn.Conv2d(2, 2, 1), nn.Linear(32, 3)

        def forward(self, x):
            x = self.lif(self.stem(x).expand(3, *x.shape)).flatten(3).transpose(2, 3)
            return self.head(self.one(x).relu().flatten(2))

    network, images = Parts(), torch.randn(5, 2, 4, 4)
    layers = {one["name"]: one for one in layer_geometry(network, images)}
    assert [layers[name]["calls"] for name in ("stem", "one", "head")] == [1, 16, 1]
    spikes = record_spikes(network, images)["one"]
    assert spikes.shape == (3, 16 * 5, 2)
    alone = record_spikes(network, images[3:4])["one"]
    np.testing.assert_array_equal(spikes[:, 3::5], alone)


def test_an_image_in_every_step_is_no_spike():
    """A layer that sees the image and then itself has the spikes of its second call."""
    shared = nn.Conv2d(2, 2, 1)
    network = nn.Sequential(shared, nn.ReLU(), shared)
    images = torch.randn(4, 2, 3, 3)
    spikes = record_spikes(network, images)["0"]
    np.testing.assert_array_equal(spikes[0], (shared(images) > 0).numpy())
