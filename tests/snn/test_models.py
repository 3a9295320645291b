"""Networks have the authors' shapes, run for any steps, and never keep a state."""

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from spikingjelly.activation_based import monitor, neuron  # noqa: E402
from torch import nn  # noqa: E402

from snn.channels.apply_order import apply_order  # noqa: E402
from snn.channels.graph import channel_graph  # noqa: E402
from snn.networks.models import (  # noqa: E402
    ARCHITECTURES,
    ModelError,
    SpikingNetwork,
    build_network,
)

LAYERS = (nn.Conv2d, nn.Linear)


def build(architecture="conv3", shape=(1, 8, 8), classes=10, timesteps=2, seed=0):
    torch.manual_seed(seed)
    return build_network(architecture, shape, classes, timesteps)


def calibrated(network, *shape):
    """Statistics of random images, so that neurons fire in evaluation too."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    like = next(network.parameters())
    for _ in range(3):
        network(torch.randn(8, *shape, dtype=like.dtype))
    return network.eval()


def shapes_of(network):
    return {
        name: tuple(module.weight.shape)
        for name, module in network.named_modules()
        if isinstance(module, LAYERS)
    }


def weights(shapes, rank):
    return sum(
        torch.Size(shape).numel() for shape in shapes.values() if len(shape) == rank
    )


def test_layers_are_named_by_their_places():
    """Convolution, normalization and neurons, then pooling, and a classifier apart."""
    network = build()
    assert shapes_of(network) == {
        "features.0": (32, 1, 3, 3),
        "features.3": (64, 32, 3, 3),
        "features.7": (64, 64, 3, 3),
        "classifier": (10, 1024),
    }
    kinds = [type(module).__name__ for module in network.features]
    block = ["Conv2d", "BatchNorm2d", "FusedLIF"]
    assert kinds == [*block, *block, "MaxPool2d", *block, "Flatten"]
    biases = [m.bias for m in network.modules() if isinstance(m, LAYERS)]
    assert biases == [None] * 4


def test_vgg16_has_the_shapes_of_the_authors():
    """Thirteen convolutions with 14 710 464 weights, and one linear layer."""
    shapes = shapes_of(build("vgg16", (3, 32, 32)))
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    expected = list(zip(widths, [3, *widths], strict=False))
    assert list(shapes.values()) == [
        *((outputs, inputs, 3, 3) for outputs, inputs in expected),
        (10, 512),
    ]
    assert weights(shapes, 4) == 14_710_464


def test_resnet19_has_the_shapes_of_the_authors():
    """Seventeen convolutions, two projections and two linear layers: 12.7 M weights."""
    shapes = shapes_of(build("resnet19", (3, 32, 32)))
    stages = {128: 3, 256: 3, 512: 2}
    expected, inputs = [(128, 3, 3, 3)], 128
    for outputs, blocks in stages.items():
        for _ in range(blocks):
            expected += [(outputs, inputs, 3, 3), (outputs, outputs, 3, 3)]
            if inputs != outputs:
                expected.append((outputs, inputs, 1, 1))
            inputs = outputs
    assert list(shapes.values()) == [*expected, (256, 512), (10, 256)]
    assert weights(shapes, 4) == 12_553_600
    assert weights(shapes, 2) == 133_632


@pytest.mark.parametrize(
    ("name", "count"), [("vgg5", 1_001_152), ("vgg9", 5_938_880), ("vgg11", 9_222_848)]
)
def test_smaller_networks_have_as_many_weights_as_stated(name, count):
    """The sum over all layers is that of the architectures' texts."""
    shapes = shapes_of(build(name, (3, 32, 32)))
    assert weights(shapes, 4) + weights(shapes, 2) == count


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_fires_and_every_weight_learns(name):
    """All neurons' layers spike, and no gradient is missing, on random images."""
    network = build(name, (3, 32, 32), classes=7, timesteps=1)
    with monitor.OutputMonitor(
        network, neuron.LIFNode, lambda spikes: spikes.mean().item()
    ) as rates:
        logits = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (1, 2, 7)
    assert logits.dtype == torch.float32
    assert all(0 < rate < 0.5 for rate in rates.records)
    logits.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_timesteps_can_be_set_after_construction():
    """The first steps of a longer run are the shorter run."""
    network = calibrated(build(timesteps=3), 1, 8, 8)
    x = torch.randn(4, 1, 8, 8)
    short = network(x)
    network.timesteps = 5
    long = network(x)
    assert (short.shape, long.shape) == ((3, 4, 10), (5, 4, 10))
    torch.testing.assert_close(long[:3], short)
    assert not torch.equal(long[0], long[1])


def test_the_image_is_seen_once_and_events_step_by_step():
    """The first convolution gets N images, or T N; equal events are a still image."""
    network = calibrated(build(timesteps=3), 1, 8, 8)
    seen = []
    network.features[0].register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    x = torch.randn(4, 1, 8, 8)
    still = network(x)
    events = network(x.expand(3, 4, 1, 8, 8))
    assert seen == [(4, 1, 8, 8), (12, 1, 8, 8)]
    torch.testing.assert_close(still, events)
    x = torch.randn(3, 4, 1, 8, 8)
    torch.testing.assert_close(network(x)[0], network(x[:1].expand_as(x))[0])
    assert not torch.equal(network(x)[2], network(x[:1].expand_as(x))[2])


@pytest.mark.parametrize("name", ["conv3", "resnet19"])
def test_no_call_leaves_a_state_behind(name):
    """The same input gives the same output, whatever ran before, and can be copied."""
    network = calibrated(build(name, (2, 8, 8), timesteps=2), 2, 8, 8)
    x = torch.randn(3, 2, 8, 8)
    first = network(x)
    network(torch.randn(5, 2, 8, 8))
    torch.testing.assert_close(network(x), first, rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(network)(x), first, rtol=0, atol=0)


def test_a_call_that_failed_leaves_no_state_to_the_next():
    """An error between two neurons does not change what the next call computes."""
    network = calibrated(build(timesteps=2), 1, 8, 8)
    x = torch.randn(3, 1, 8, 8)
    first = network(x)

    def fail(*_):
        raise KeyboardInterrupt

    hook = network.classifier.register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        network(x)
    hook.remove()
    torch.testing.assert_close(network(x), first, rtol=0, atol=0)


def test_the_seed_decides_the_weights():
    """Equal seeds give equal networks, others do not."""
    one, same, other = (build(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["features.0.weight"], other["features.0.weight"])


def test_half_precision_gives_logits_of_single_precision():
    """Under bf16 autocast, channels last, scores are float32 and gradients flow."""
    network = build().to(memory_format=torch.channels_last)
    x = torch.randn(4, 1, 8, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(x)
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert network.features[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "shape"),
    [("conv3", (1, 8, 8)), ("vgg5", (3, 8, 8)), ("resnet19", (3, 8, 8))],
)
def test_renumbered_channels_compute_the_same(name, shape):
    """Any order of all layers but the classifier is applied, and changes nothing."""
    network = calibrated(build(name, shape).double(), *shape)
    generator = torch.Generator().manual_seed(1)
    orders = {}
    for group in channel_graph(network).groups():
        outputs = network.get_submodule(group[0]).weight.shape[0]
        order = torch.randperm(outputs, generator=generator).numpy()
        orders |= dict.fromkeys(group, order)
    result = apply_order(network, orders)
    kept = [name for name, layer in result.layers.items() if not layer.applied]
    assert kept == ["classifier"]
    x = torch.randn(2, *shape, dtype=torch.float64)
    before = network(x)
    assert before.std() > 0.01
    torch.testing.assert_close(result.network(x), before, rtol=0, atol=1e-9)


STEPS = st.sampled_from(["3c3", "4c3s2", "5c1", "4c2", "mp2", "ap2", "fc6"])


@given(st.lists(STEPS, min_size=1, max_size=5), st.integers(1, 3), st.integers(1, 9))
@settings(deadline=None)
def test_a_text_gives_a_network_that_runs_or_says_why_not(steps, timesteps, size):
    """Random texts either run, with scores for every step, or are refused in words."""
    text = "-".join([*steps, "fc4"])
    shrinking = sum(step in ("mp2", "ap2", "4c3s2") for step in steps)
    behind = itertools.dropwhile(lambda step: step != "fc6", steps)
    spiking = any(step[0] in "345f" for step in steps)
    fits = spiking and set(behind) <= {"fc6"} and size >= 2**shrinking
    try:
        network = build(text, (2, size, size), 4, timesteps).eval()
    except ModelError as refusal:
        said = str(refusal)
    else:
        assert network(torch.randn(3, 2, size, size)).shape == (timesteps, 3, 4)
        return
    assert not fits
    assert repr(text) in said


@pytest.mark.parametrize(
    ("architecture", "shape", "said"),
    [
        ("vgg7", (3, 32, 32), "conv3, vgg5, vgg9, vgg11, vgg16, resnet19, or the text"),
        ("fc10", (3, 32, 32), "accepted: conv3"),
        ("32c3-64x3-fc10", (1, 8, 8), "'64x3' in '32c3-64x3-fc10' is no layer; accept"),
        ("32c3-64c3", (1, 8, 8), "has to end with fc10"),
        ("32c3-fc7", (1, 8, 8), "has to end with fc10"),
        ("mp2-fc10", (1, 8, 8), "no layer with neurons"),
        ("fc9-4c3-fc10", (1, 8, 8), r"4c3 needs an image.*in front of all linear"),
        ("vgg16", (1, 28, 28), r"mp2 needs an image of 2 x 2 .*it is 1 x 1"),
        ("conv3", (64,), r"needed: \(channels, height, width\)"),
        ("1048576c3-1048576c3-fc10", (1, 8, 8), r"more than 2,147,483,648 weights"),
        ("8c3-fc1048576-fc1048576-fc10", (1, 8, 8), r"more than 2,147,483,648 weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(architecture, shape, said):
    """The error names what was given, what is accepted, or what does not fit."""
    with pytest.raises(ModelError, match=said):
        build_network(architecture, shape, 10, 4)


def test_more_classes_than_there_is_room_for_are_refused():
    """The classifier counts, too; nothing is allocated to find out."""
    with pytest.raises(ModelError, match="2147483648 classes: it has more than"):
        build_network("conv3", (1, 8, 8), 2**31, 4)


def test_inputs_that_do_not_fit_are_refused():
    """Vectors and events of other lengths are named, with what is needed."""
    network = build(timesteps=2)
    with pytest.raises(ModelError, match=r"\(8, 8\); needed: images \[N"):
        network(torch.randn(8, 8))
    with pytest.raises(ModelError, match="have 3 time steps, the network 2"):
        network(torch.randn(3, 1, 1, 8, 8))
    with pytest.raises(ModelError, match="`timesteps` is 0"):
        build(timesteps=0)
    with pytest.raises(ModelError, match="hold no neurons"):
        SpikingNetwork([nn.Flatten()], nn.Linear(4, 2), "of my own", 2)
