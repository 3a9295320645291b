"""Synaptic operations against counts that share no code with the model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Accelerator, LayerWorkload, evaluate

PRESETS = [name for name in Accelerator.names() if name != "sata"]


def convolved(kernel, images, stride, padding, groups):
    """Sum of a grouped convolution's output, position by position."""
    share = len(kernel) // groups
    depth = kernel.shape[1]
    padded = np.pad(images, [(0, 0)] * 3 + [(padding, padding)] * 2).astype(np.int64)
    height = (padded.shape[3] - kernel.shape[2]) // stride + 1
    width = (padded.shape[4] - kernel.shape[3]) // stride + 1
    total = 0
    for output, channel, row, column in np.argwhere(kernel):
        source = output // share * depth + channel
        met = padded[:, :, source, row : row + stride * height : stride]
        total += met[..., column : column + stride * width : stride].sum()
    return total


@st.composite
def layers(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = draw(st.sampled_from([1, 2, 4]))
    stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 2))
    kernel = rng.random((groups * 3, draw(st.integers(1, 3)), 3, 3)) < 0.4
    images = rng.random((2, 2, groups * kernel.shape[1], 5, 6)) < 0.3
    return kernel, images, stride, padding, groups


@given(layers(), st.sampled_from(PRESETS))
@settings(deadline=None)
def test_sops_equal_a_convolution_of_the_binarized_weights(layer, preset):
    """Operations are the sum of the binarized weights convolved with the spikes."""
    kernel, images, stride, padding, groups = layer
    rng = np.random.default_rng(0)
    workload = LayerWorkload(
        "conv",
        kernel * rng.normal(size=kernel.shape),
        images.shape[2:],
        stride=stride,
        padding=padding,
        groups=groups,
        spikes=images,
    )
    done = evaluate([workload], Accelerator.load(preset)).activity.operations
    assert done.accumulates == convolved(kernel, images, stride, padding, groups)
    full = np.ones_like(kernel)
    assert done.fan_out == convolved(full, images, stride, padding, groups)
    assert done.spikes == images.sum()


@pytest.mark.parametrize("skip", ["none", "weight", "spike", "dual"])
def test_only_pes_that_skip_both_join(skip):
    """A match is joined where zeros of weights and spikes are skipped, once each."""
    rng = np.random.default_rng(2)
    preset = Accelerator.load("generic-45nm").model_dump(exclude_unset=True)
    array = Accelerator.from_dict(preset | {"array": preset["array"] | {"skip": skip}})
    mask, spikes = rng.random((6, 9)) < 0.5, rng.random((2, 1, 9)) < 0.5
    report = evaluate([LayerWorkload("fc", mask, spikes=spikes)], array)
    met = (mask @ spikes[:, 0].T.astype(int)).sum()
    assert report.activity.operations.joins == (met if skip == "dual" else 0)


@pytest.mark.parametrize(
    ("stride", "padding", "groups", "linear"),
    [(1, 1, 1, False), (2, 0, 2, False), (1, 2, 4, False), (1, 0, 1, True)],
)
def test_dense_sops_equal_spikingjelly_s(stride, padding, groups, linear):
    """SOP of dense weights are those that spikingjelly's SynOpCounter finds."""
    torch = pytest.importorskip("torch")
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    rng = np.random.default_rng(1)
    if linear:
        shape, images = (7, 12), rng.random((3, 2, 12)) < 0.3
        module = torch.nn.Linear(12, 7, bias=False)
    else:
        shape, images = (8, 8 // groups, 3, 3), rng.random((3, 2, 8, 6, 5)) < 0.3
        module = torch.nn.Conv2d(8, 8, 3, stride, padding, groups=groups, bias=False)
    counter = counters.SynOpCounter()
    with counters.DispatchCounterMode([counter]), torch.no_grad():
        for step in images:
            module(torch.tensor(step, dtype=torch.float32))
    workload = LayerWorkload(
        "dense",
        rng.random(shape) < 0.1,
        images.shape[2:],
        stride=stride,
        padding=padding,
        groups=groups,
        spikes=images,
    )
    report = evaluate([workload], Accelerator.load("generic-45nm"))
    assert report.activity.operations.fan_out == counter.get_total()


def test_direct_coded_layer_counts_macs_once_and_updates_every_step():
    """An analog input costs MACs in one run; neurons are updated in all time steps."""
    mask = np.ones((4, 3, 3, 3), dtype=bool)
    analog = LayerWorkload(
        "first", mask, (3, 6, 6), padding=1, timesteps=4, direct_coded=True
    )
    report = evaluate([analog], Accelerator.load("u-ticket"))
    done = report.activity.operations
    assert done.accumulates == 0
    assert done.macs == mask.size * 36
    assert done.lif_updates == 4 * 36 * 4
    assert report.cycles == 27 * 36
    assert report.breakdown["mac"] > 0
