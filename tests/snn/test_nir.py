"""Networks in NIR: read back, and run by its equations alone."""

import sys

import nir_reference
import numpy as np
import pytest

nir = pytest.importorskip("nir", reason="needs the extra export")
torch = pytest.importorskip("torch", reason="needs the extra snn")

from spikingjelly.activation_based import functional, layer, neuron  # noqa: E402
from torch import nn  # noqa: E402

from balancer import (  # noqa: E402
    ExportError,
    Schedule,
    balance_ticket,
    open_ticket,
    shipped_ticket,
)
from snn import (  # noqa: E402
    MaskedNetwork,
    Standardization,
    build_network,
    export_nir,
    fold_normalization,
    load_data,
    load_network,
    prunable_layers,
)
from snn.networks.calls import is_neuron  # noqa: E402
from snn.networks.inference import inference  # noqa: E402
from snn.networks.models import SpikingNetwork  # noqa: E402
from snn.networks.neurons import lif  # noqa: E402
from snn.networks.residual import ResidualBlock  # noqa: E402


def spikes_of(network, images):
    """Spikes [T, N, ...] of all neurons, and what the network returns."""
    seen, hooks = {}, []
    for name, module in network.named_modules():
        if is_neuron(module):
            hooks.append(
                module.register_forward_hook(
                    lambda _, __, made, name=name: seen.update({name: made.numpy()})
                )
            )
    with inference(network):
        output = network(images).numpy()
    for hook in hooks:
        hook.remove()
    return seen, output


def assert_same_spikes(network, source, images, timesteps, path, dt=1e-4):
    """The graph spikes as the network does, neuron by neuron and step by step."""
    export_nir(path, source, dt=dt)
    graph = nir.read(path)
    spikes, output = spikes_of(network, images)
    assert spikes
    for number, image in enumerate(images.numpy()):
        made = nir_reference.run(graph, image.astype(float), timesteps, dt)
        for name, theirs in spikes.items():
            assert np.array_equal(made[name], theirs[:, number]), name
        assert np.allclose(made["output"], output[:, number], rtol=1e-4, atol=1e-5)
    return graph


@torch.no_grad()
def warmed(network, shape, seed=0):
    """The network in float64, with statistics, gains and shifts of normalizations."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for one, low in ((module.running_mean, -0.5), (module.running_var, 0.5)):
                one.copy_(torch.rand(one.shape, generator=generator) + low)
            if module.affine:
                module.weight.copy_(
                    torch.randn(module.weight.shape, generator=generator)
                )
                module.bias.copy_(
                    torch.randn(module.bias.shape, generator=generator) + 1
                )
    images = torch.randn((3, *shape), generator=generator, dtype=torch.float64)
    return network.double().eval(), images


def shipped_images(count):
    standardize = Standardization.of(open_ticket(shipped_ticket()).about)
    return standardize(load_data("digits").test.images[:count])


def test_the_shipped_ticket_spikes_as_in_torch(tmp_path):
    """Twenty digits cause the same spikes in plain NumPy, from the file alone."""
    graph = assert_same_spikes(
        load_network(shipped_ticket()),
        MaskedNetwork.of(shipped_ticket()),
        shipped_images(20),
        timesteps=4,
        path=tmp_path / "digits.nir",
    )
    assert int(graph.metadata["timesteps"]) == 4
    assert float(graph.metadata["dt"]) == 1e-4
    about = open_ticket(shipped_ticket()).about["preprocessing"]
    assert graph.metadata["mean"].tolist() == about["mean"]
    assert graph.metadata["std"].tolist() == about["std"]


def test_masks_and_orders_are_in_the_metadata(tmp_path):
    """What `balance` chose prunes the weights, and stands beside them in its order."""
    report = balance_ticket(shipped_ticket(), order="optimized")
    masks = report.save(tmp_path / "balanced").masks
    source = MaskedNetwork.of(shipped_ticket(), masks)
    export_nir(tmp_path / "digits.nir", source)
    nodes = nir.read(tmp_path / "digits.nir").nodes
    network = load_network(shipped_ticket())
    for result in report.solution.layers:
        node, solution = nodes[result.name], result.solution
        assert np.array_equal(node.metadata["mask"], solution.mask)
        natural = np.arange(len(solution.mask))
        order = node.metadata.get("order", natural)
        assert np.array_equal(order, solution.schedule.order)
        assert not node.weight[~solution.mask].any()
        kept = network.get_submodule(result.name).weight.detach().numpy()[solution.mask]
        assert np.array_equal(node.weight[solution.mask] != 0, kept != 0)


class Everything(nn.Module):
    """A residual network of all modules that have nodes, over explicit time steps."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(2, 3, 3, (1, 2), (2, 1), (2, 1)), nn.BatchNorm2d(3)
        )
        self.first = neuron.LIFNode(1.5, decay_input=False, v_reset=0.25, step_mode="m")
        self.body = nn.Sequential(
            layer.Conv2d(3, 3, 3, padding="same", step_mode="m"),
            layer.BatchNorm2d(3, affine=False, step_mode="m"),
        )
        self.second = neuron.ParametricLIFNode(
            3.0, v_threshold=0.05, v_reset=-0.5, step_mode="m"
        )
        self.pool = layer.MaxPool2d(2, 1, 1, step_mode="m")
        self.mean = layer.AvgPool2d((2, 1), step_mode="m")
        self.drop = layer.Dropout(0.5, step_mode="m")
        self.flat = layer.Flatten(step_mode="m")
        self.hidden = nn.Linear(45, 5)
        self.third = neuron.IFNode(v_threshold=0.1, step_mode="m")
        self.last = nn.Linear(5, 4, bias=False)

    def forward(self, x):
        functional.reset_net(self)
        x = self.encode(x).unsqueeze(0).repeat(3, 1, 1, 1, 1)
        x = self.first(x)
        x = self.second(self.body(x) + x)
        x = self.flat(self.drop(self.mean(self.pool(x))))
        return self.last(self.third(self.hidden(x)))


def test_every_kind_of_module_keeps_its_spikes(tmp_path):
    """Resets, leaks, strides, paddings, residual sums, pooling and biases are right."""
    torch.manual_seed(0)
    network, images = warmed(Everything(), (2, 6, 8))
    path = tmp_path / "all.nir"
    source = MaskedNetwork(network, (2, 6, 8))
    graph = assert_same_spikes(network, source, images, 3, path, dt=1e-3)
    assert {type(node).__name__ for node in graph.nodes.values()} == {
        *("Input", "Conv2d", "LIF", "IF", "SumPool2d", "Threshold", "AvgPool2d"),
        *("Flatten", "Affine", "Linear", "Output"),
    }
    spikes, _ = spikes_of(network, images)
    assert {name: 0 < one.mean() < 1 for name, one in spikes.items()} == {
        "first": True,
        "second": True,
        "third": True,
    }


def a_residual_network(shape):
    """The first neurons and a block of ResNet-19, smaller."""
    features = [
        layer.Conv2d(shape[0], 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        lif(),
        ResidualBlock(4, 6, 2),
        ResidualBlock(6, 6, 1),
        layer.AdaptiveAvgPool2d((2, 2)),
        layer.Flatten(),
    ]
    return SpikingNetwork(features, layer.Linear(24, 3, bias=False), "own", 2)


@pytest.mark.parametrize("architecture", ["4c3-ap2-6c3s2-fc8-fc3", None])
def test_networks_of_the_package_keep_their_spikes(architecture, tmp_path):
    """Chains with average pooling and hidden linear layers, and residual ones."""
    torch.manual_seed(0)
    network = a_residual_network((1, 8, 8))
    if architecture is not None:
        network = build_network(architecture, (1, 8, 8), classes=3, timesteps=2)
    network, images = warmed(network, (1, 8, 8))
    source = MaskedNetwork(network, (1, 8, 8))
    graph = assert_same_spikes(network, source, images, 2, tmp_path / "net.nir")
    assert int(graph.metadata["timesteps"]) == 2


def test_a_line_keeps_its_spikes(tmp_path):
    """Convolutions along one axis have nodes of their own."""
    modules = nn.Sequential(
        nn.Conv1d(2, 3, 3, 2, 1), nn.BatchNorm1d(3), neuron.IFNode(), nn.Flatten()
    )
    network, images = warmed(modules, (2, 9))
    path = tmp_path / "line.nir"
    export_nir(path, MaskedNetwork(network, (2, 9)))
    graph = nir.read(path)
    spikes, _ = spikes_of(network, images)
    for number, image in enumerate(images.numpy()):
        made = nir_reference.run(graph, image, 1, 1e-4)
        assert np.array_equal(made["2"][0], spikes["2"][number])


def test_a_spike_at_the_threshold_is_kept(tmp_path):
    """NIR spikes above the threshold, torch at it: the number written makes it one."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), neuron.IFNode(v_threshold=0.5))
    nn.init.constant_(network[0].weight, 0.5)
    export_nir(tmp_path / "net.nir", MaskedNetwork(network, (1,)))
    graph = nir.read(tmp_path / "net.nir")
    made = nir_reference.run(graph, np.ones(1), 1, 1e-4)
    spikes, _ = spikes_of(network, torch.ones(1, 1))
    assert made["1"].item() == spikes["1"].item() == 1


def test_folded_layers_do_what_they_did(tmp_path):
    """A layer with its normalization folded in returns what both returned."""
    network, images = warmed(
        nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)), (2, 6, 6)
    )
    mask = np.random.default_rng(0).random((3, 2, 3, 3)) < 0.5
    source = MaskedNetwork(network, (2, 6, 6), {"0": mask}).pruned()
    [(name, folded)] = fold_normalization(source).items()
    made = nn.functional.conv2d(
        images, torch.from_numpy(folded.weight), torch.from_numpy(folded.bias)
    )
    assert name == "0"
    assert torch.allclose(made, source.network(images))
    assert not np.signbit(folded.weight[~mask]).any()
    assert not folded.weight[~mask].any()
    assert network[0].weight.detach().numpy()[~mask].all()  # the given one is as it was


def test_readouts_over_time_are_named(tmp_path):
    """A mean over the time steps is left to the reader, and said."""

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.neuron, self.fc = neuron.IFNode(step_mode="m"), nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(self.neuron(x.unsqueeze(0).repeat(2, 1, 1))).mean(0)

    export_nir(tmp_path / "net.nir", MaskedNetwork(Mean(), (3,)))
    graph = nir.read(tmp_path / "net.nir")
    assert graph.metadata["readout"] == "mean over the time steps"


class Twice(nn.Module):
    """Runs one module more than once."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.fc(x))


class Branching(nn.Module):
    """Decides by the numbers that it gets."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


class Doubled(nn.Module):
    """Adds a tensor to itself."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        y = self.fc(x)
        return y + y


class Indexed(nn.Module):
    """Takes a part of its input, or another view of it."""

    def __init__(self, take):
        super().__init__()
        self.fc, self.take = nn.Linear(3, 3), take

    def forward(self, x):
        return self.fc(self.take(x))


def soft(**options):
    return nn.Sequential(nn.Linear(3, 3), neuron.LIFNode(v_reset=None, **options))


@pytest.mark.parametrize(
    ("network", "shape", "said"),
    [
        (nn.Sequential(nn.Conv2d(2, 2, 1, groups=2)), (2, 4, 4), "of one group"),
        (nn.Sequential(nn.Conv2d(2, 2, (3, 2))), (2, 4, 4), "a square kernel"),
        (nn.Sequential(nn.Conv2d(2, 2, 2, padding="same")), (2, 4, 4), "equal sides"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3)), (2, 4, 4), "that divide those"),
        (nn.Sequential(nn.Conv3d(2, 2, 1)), (2, 4, 4, 4), "accepted are convolutions"),
        (nn.Sequential(nn.ConvTranspose2d(2, 2, 1)), (2, 4, 4), "is a ConvTranspose2d"),
        (
            nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")),
            (2, 4, 4),
            "padded with zeros",
        ),
        (nn.Sequential(nn.ReLU()), (3,), "is a ReLU; accepted are"),
        (soft(), (3,), "reset to a potential"),
        (nn.Sequential(neuron.QIFNode()), (3,), "is a QIFNode; accepted are LIFNode"),
        (nn.Sequential(nn.MaxPool2d(2)), (2, 4, 4), "max pooling behind neurons"),
        (
            nn.Sequential(neuron.IFNode(), nn.MaxPool2d(2, ceil_mode=True)),
            (2, 5, 5),
            "ceil_mode or dilation",
        ),
        (
            nn.Sequential(nn.AvgPool2d(3, padding=1, count_include_pad=False)),
            (2, 5, 5),
            "with padding counted",
        ),
        (nn.Sequential(nn.BatchNorm2d(2)), (2, 4, 4), "behind no layer of its own"),
        (
            nn.Sequential(
                nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)
            ),
            (3,),
            "track_running_stats=True",
        ),
        (nn.Sequential(nn.Linear(3, 2)), (4,), "needs 3 inputs"),
        (nn.Sequential(nn.Linear(3, 2)), (2, 3), "flatten them"),
        (nn.Sequential(nn.Flatten(2)), (2, 3, 3), "flattening all of them"),
        (Twice(), (3,), "fc runs more than once"),
        (Branching(), (3,), "cannot be traced"),
        (Doubled(), (3,), "fc twice"),
        (Indexed(lambda x: x[:1]), (3,), "getitem .* is not understood"),
        (Indexed(lambda x: x.T), (3,), "fc has 0 inputs"),
        (Indexed(lambda x: x * 2), (3,), "mul .* is not understood"),
        (Indexed(lambda x: x + 1), (3,), "add .* is not understood"),
    ],
)
def test_what_nir_cannot_express_is_refused(network, shape, said, tmp_path):
    """One line names the module, and what is accepted; no file is left."""
    with pytest.raises(ExportError, match=said) as error:
        export_nir(tmp_path / "net.nir", MaskedNetwork(network, shape))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_masks_of_another_network_are_refused():
    """A mask has to have the shape of a layer's weights."""
    network = nn.Sequential(nn.Linear(3, 2))
    for masks, said in (
        ({"1": np.ones((2, 3), bool)}, "the layers are 0"),
        ({"0": np.ones((3, 2), bool)}, r"its weights have shape \(2, 3\)"),
    ):
        with pytest.raises(ExportError, match=said):
            MaskedNetwork(network, (3,), masks)


def test_without_nir_the_export_says_how_to_get_it(tmp_path, monkeypatch):
    """One line, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "nir", None)
    source = MaskedNetwork(nn.Sequential(nn.Linear(3, 2)), (3,))
    with pytest.raises(ExportError, match=r"needs nir.*\[export\]"):
        export_nir(tmp_path / "net.nir", source)
    monkeypatch.undo()
    with pytest.raises(ExportError, match="seconds above 0"):
        export_nir(tmp_path / "net.nir", source, dt=0)


def test_an_order_of_inputs_is_in_the_metadata(tmp_path):
    """Maps that permute input channels leave their order under a name of its own."""
    network = nn.Sequential(nn.Linear(3, 2))
    schedules = {"0": Schedule(1, [2, 0, 1])}
    source = MaskedNetwork(network, (3,), schedules=schedules)
    assert list(prunable_layers(network)) == ["0"]
    export_nir(tmp_path / "net.nir", source)
    metadata = nir.read(tmp_path / "net.nir").nodes["0"].metadata
    assert metadata["input_order"].tolist() == [2, 0, 1]
    assert "order" not in metadata
