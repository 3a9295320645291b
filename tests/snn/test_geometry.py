"""The geometry found by running a network is the one it computes with."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from torch import nn  # noqa: E402

from hwmodel import LayerWorkload, network_workloads  # noqa: E402
from snn.networks.geometry import layer_geometry  # noqa: E402
from snn.networks.models import build_network  # noqa: E402


def masks_of(network):
    return {
        name: np.ones(module.weight.shape, dtype=bool)
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }


def test_a_text_and_a_run_agree():
    """The list of layers gives the workloads that the architecture's text gives."""
    text = "4c3-6c5s2-mp2-3c2-ap2-fc7-fc5"
    network = build_network(text, (2, 18, 14), 5, 2)
    layers = layer_geometry(network, torch.randn(1, 2, 18, 14))
    masks = masks_of(network)
    listed = network_workloads(masks, {"layers": layers, "timesteps": 2})
    metadata = {"architecture": text, "input_shape": [2, 18, 14], "timesteps": 2}
    written = network_workloads(masks, metadata)
    assert listed.assumption is written.assumption is None
    fields = ("name", "input_shape", "stride", "padding", "output_size", "direct_coded")
    for one, other in zip(listed.workloads, written.workloads, strict=True):
        assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]


def test_a_residual_network_is_listed_in_the_order_in_which_it_runs():
    """Every layer has its true input, projections too, and JSON holds it all."""
    network = build_network("resnet19", (3, 16, 16), 10, 1)
    layers = json.loads(json.dumps(layer_geometry(network, torch.randn(1, 3, 16, 16))))
    masks = masks_of(network)
    workloads, assumption = network_workloads(masks, {"layers": layers, "timesteps": 1})
    assert assumption is None
    assert [layer.name for layer in workloads] == [layer["name"] for layer in layers]
    assert {layer.name for layer in workloads} == set(masks)
    found = {layer.name: layer for layer in workloads}
    assert [layer.name for layer in workloads if layer.direct_coded] == ["features.0"]
    first, projection = found["features.6.conv1"], found["features.6.shortcut.0"]
    assert first.input_shape == projection.input_shape == (128, 16, 16)
    assert first.stride == projection.stride == (2, 2)
    assert first.output_size == projection.output_size == (8, 8)
    assert found["features.9.conv2"].input_shape == (512, 4, 4)
    assert found["classifier"].input_shape == (256,)


CONVS = st.fixed_dictionaries(
    {
        "kernel_size": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "groups": st.sampled_from([1, 2]),
    }
)


@given(CONVS)
@settings(deadline=None)
def test_workloads_have_the_outputs_of_torch(options):
    """Any convolution's output is as large as the hardware model says."""
    conv = nn.Conv2d(4, 6, **options)
    x = torch.randn(1, 4, 9, 7)
    (layer,) = layer_geometry(nn.Sequential(conv), x)
    fields = {name: layer[name] for name in ("input_shape", "groups")}
    pairs = {name: tuple(layer[name]) for name in ("stride", "padding", "dilation")}
    mask = conv.weight.detach().numpy() != 0
    workload = LayerWorkload(layer["name"], mask, **fields, **pairs)
    assert workload.output_size == tuple(conv(x).shape[-2:])


def test_padding_in_words_is_in_numbers():
    """Padding that keeps the size is that of the dilated kernel; none is 0."""
    convs = [nn.Conv2d(2, 2, (3, 5), padding="same", dilation=2), nn.Conv2d(2, 2, 3)]
    convs[1].padding = "valid"
    layers = layer_geometry(nn.Sequential(*convs), torch.randn(1, 2, 9, 9))
    assert [layer["padding"] for layer in layers] == [[2, 4], [0, 0]]


def test_events_are_not_analog():
    """Images are analog to the first layer only, events to none."""
    network = build_network("4c3-4c3-fc3", (2, 4, 4), 3, 2)
    images = layer_geometry(network, torch.randn(1, 2, 4, 4))
    events = layer_geometry(network, torch.randn(2, 1, 2, 4, 4))
    assert [layer["analog"] for layer in images] == [True, False, False]
    assert [layer["analog"] for layer in events] == [False, False, False]
    assert [layer["input_shape"] for layer in images] == [
        layer["input_shape"] for layer in events
    ]


def test_the_network_stays_as_it_was():
    """Modes, statistics and hooks are left alone, also after an error."""
    network = build_network("4c3-4c3-fc3", (2, 4, 4), 3, 2)
    network.features[1].eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    layer_geometry(network, torch.randn(3, 2, 4, 4))
    with pytest.raises(RuntimeError):
        layer_geometry(network, torch.randn(3, 5, 4, 4))
    assert [module.training for module in network.modules()] == modes
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(module._forward_pre_hooks for module in network.modules())
