"""Workloads: validation, rates and their bounds, spike files, whole networks."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import Schedule
from hwmodel import (
    Accelerator,
    Basis,
    LayerWorkload,
    WorkloadError,
    evaluate,
    load_spikes,
    network_workloads,
    save_spikes,
)

PRESETS = Accelerator.names()
MASK = np.ones((4, 2, 3, 3), dtype=bool)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mask": np.ones(3)}, "mask has shape"),
        ({"mask": np.ones((0, 2))}, "none of them 0"),
        ({"input_shape": (3, 8, 8)}, r"needs \(2, height, width\)"),
        ({"input_shape": (2, 8)}, r"needs \(2, height, width\)"),
        ({"input_shape": (2, 2, 8)}, "smaller than the kernel"),
        ({"stride": 0}, "`stride` holds 0; a whole number from 1"),
        ({"padding": (1, -1)}, "`padding` holds -1; a whole number from 0"),
        ({"groups": 3}, "3 `groups`"),
        ({"timesteps": 0}, "`timesteps` holds 0"),
        ({"spikes": np.ones((2, 1, 2, 3, 4))}, r"needed: \(2 time steps, batch, 2, 3"),
        ({"spikes": np.full((2, 1, 2, 3, 3), 2)}, "other than 0 and 1"),
        ({"spike_rate": 1.5}, "between 0 and 1"),
        ({"spike_rate": [0.1, 0.2, 0.3]}, "each of the 2 input channels"),
        ({"spike_rate": 0.1, "spikes": np.ones((2, 1, 2, 3, 3))}, "not both"),
        ({"batch": 2, "spikes": np.ones((2, 1, 2, 3, 3))}, "`spikes` have 1 samples"),
        ({"rate_mode": "guess"}, "accepted: 'bound', 'sample'"),
        ({"mask": np.ones((4, 2, 3, 3, 3))}, "kernel length"),
        ({"mask": np.ones((4, 2, 3)), "input_shape": (2, 8, 8)}, r"\(2, length\)"),
        ({"mask": np.ones((4, 2, 3)), "padding": (1, 1)}, "an input with one row"),
        ({"timesteps": 10**9}, "too many; accepted: 1048576 time steps"),
        ({"input_shape": (2, 10**12, 10**12)}, "too many"),
    ],
)
def test_a_layer_that_does_not_fit_together_is_refused(fields, said):
    """The error names the layer, what was given and what is needed."""
    with pytest.raises(WorkloadError, match=said) as caught:
        LayerWorkload(**{"name": "conv7", "mask": MASK} | fields)
    assert "'conv7'" in str(caught.value)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("known", ["nothing", "rate", "spikes"])
def test_a_line_is_an_image_with_one_row(preset, known):
    """A convolution along a line costs what the same one of a one-row image does."""
    rng = np.random.default_rng(0)
    mask, spikes = rng.random((6, 4, 5)) < 0.4, rng.random((3, 2, 4, 20)) < 0.3
    about = {"nothing": {}, "rate": {"spike_rate": 0.3}, "spikes": {"spikes": spikes}}
    line = LayerWorkload(
        "a", mask, (4, 20), stride=2, padding=4, dilation=2, timesteps=3, **about[known]
    )
    if known == "spikes":
        about["spikes"] = {"spikes": spikes[:, :, :, None]}
    image = LayerWorkload(
        *("a", mask[:, :, None], (4, 1, 20), (1, 2), (0, 4)),
        dilation=(1, 2),
        timesteps=3,
        **about[known],
    )
    assert line.output_size == image.output_size == (1, 10)
    accelerator = Accelerator.load(preset)
    one, other = (evaluate([x], accelerator) for x in (line, image))
    assert one.layers[0].activity == other.layers[0].activity
    assert one.energy_pj == other.energy_pj
    assert one.layers[0].shape == (6, 4, 5)


def test_layers_without_a_model_hide_no_other():
    """Weights of three dimensions are named and in no sum; alone, they are refused."""
    masks = masks_of((4, 2, 3, 3, 3), (10, 64), (4, 2, 3))
    workloads, assumption = network_workloads(masks)
    assert [layer.name for layer in workloads] == ["layer2", "layer1"]
    assert "in no sum of cycles or energy: layer0" in assumption
    assert "one output pixel" in assumption
    with pytest.raises(WorkloadError, match=r"'layer0': weights of .* no model"):
        network_workloads(masks_of((4, 2, 3, 3, 3)))


def test_weights_are_read_as_a_mask():
    """Weights that are not zero are kept, whatever their sign and type."""
    layer = LayerWorkload("w", np.array([[0.0, -2.0], [1e-30, 0.0]]))
    assert layer.mask.tolist() == [[False, True], [True, False]]


# SATA_Sim takes one scalar for all sparsity, so it cannot be exact.
@given(st.integers(0, 2**32 - 1), st.sampled_from([p for p in PRESETS if p != "sata"]))
@settings(deadline=None)
def test_certain_rates_give_the_exact_results(seed, preset):
    """With every rate 0 or 1 the bound is what the spikes themselves give."""
    rng = np.random.default_rng(seed)
    mask, certain = rng.random((5, 3, 2, 2)) < 0.5, rng.integers(0, 2, 3)
    spikes = np.broadcast_to(certain[:, None, None], (2, 1, 3, 4, 4))
    fields = {"input_shape": (3, 4, 4), "timesteps": 2}
    accelerator = Accelerator.load(preset)
    if accelerator.array.fifo_depth_activations > 1:
        one = accelerator.array.model_copy(update={"fifo_depth_activations": 1})
        accelerator = accelerator.model_copy(update={"array": one})
    exact = evaluate([LayerWorkload("a", mask, spikes=spikes, **fields)], accelerator)
    bound = evaluate([LayerWorkload("a", mask, spike_rate=certain, **fields)],
                     accelerator)  # fmt: skip
    assert bound.cycles == pytest.approx(exact.cycles)
    assert bound.busy_cycles == pytest.approx(exact.busy_cycles)
    assert bound.energy_pj == pytest.approx(exact.energy_pj)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["eie", "generic-45nm", "loas"]))
@settings(deadline=None, max_examples=20)
def test_rates_bound_the_expected_cycles_from_below(seed, preset):
    """The mean over all spike patterns, weighted, is no smaller than the bound."""
    rng = np.random.default_rng(seed)
    mask, rates = rng.random((3, 2)) < 0.7, rng.random(2)
    accelerator = Accelerator.load(preset)
    bound = evaluate([LayerWorkload("fc", mask, timesteps=2, spike_rate=rates)],
                     accelerator)  # fmt: skip
    cycles = operations = 0.0
    for pattern in product([0, 1], repeat=4):
        spikes = np.reshape(pattern, (2, 1, 2))
        chance = np.where(spikes, rates, 1 - rates).prod()
        report = evaluate([LayerWorkload("fc", mask, spikes=spikes)], accelerator)
        cycles += chance * report.cycles
        operations += chance * report.activity.operations.sops
    assert bound.layers[0].basis is Basis.LOWER_BOUND
    assert bound.cycles <= cycles * (1 + 1e-9)
    assert bound.activity.operations.sops == pytest.approx(operations)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("rate", [None, 0.25])
def test_a_batch_adds_up_its_samples(preset, rate):
    """Three inferences of a layer without spikes cost three times one of it."""
    mask = np.random.default_rng(5).random((20, 6, 3, 3)) < 0.2
    fields = {"input_shape": (6, 5, 5), "timesteps": 3, "spike_rate": rate}
    accelerator = Accelerator.load(preset)
    one = evaluate([LayerWorkload("a", mask, **fields)], accelerator)
    three = evaluate([LayerWorkload("a", mask, **fields, batch=3)], accelerator)
    assert three.inferences == 3
    assert three.cycles == pytest.approx(3 * one.cycles)
    assert three.busy_cycles == pytest.approx(3 * one.busy_cycles)
    assert three.idle_cycles == pytest.approx(3 * one.idle_cycles)
    assert three.energy_pj == pytest.approx(3 * one.energy_pj)
    assert three.latency_s == pytest.approx(one.latency_s)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_spikes_bound_the_results_from_above(preset):
    """Without spikes given, cycles and operations are those of an input of ones."""
    rng = np.random.default_rng(3)
    mask, ones = rng.random((20, 6, 3, 3)) < 0.2, np.ones((3, 1, 6, 5, 5))
    fields = {"input_shape": (6, 5, 5), "timesteps": 3}
    accelerator = Accelerator.load(preset)
    unknown = evaluate([LayerWorkload("a", mask, **fields)], accelerator)
    full = evaluate([LayerWorkload("a", mask, spikes=ones, **fields)], accelerator)
    assert unknown.activity == full.activity
    assert unknown.layers[0].basis in (Basis.UPPER_BOUND, Basis.CYCLES_EXACT)


def test_samples_draw_every_channel_at_its_rate():
    """Channels that always or never spike are drawn so."""
    rates = np.array([1.0, 0.0, 1.0])
    layer = LayerWorkload(
        "a", np.ones((2, 3, 2, 2)), (3, 4, 4), timesteps=2, spike_rate=rates,
        rate_mode="sample", batch=3,
    )  # fmt: skip
    spikes = layer.real_spikes()
    assert spikes.shape == (2, 3, 3, 4, 4)
    np.testing.assert_array_equal(spikes, rates[:, None, None] + np.zeros(spikes.shape))


def test_samples_are_labelled_and_follow_the_seed():
    """Drawn spikes give the same results for the same seed, and are named samples."""
    mask = np.random.default_rng(0).random((8, 4, 3, 3)) < 0.5
    accelerator = Accelerator.load("generic-45nm")

    def sampled(seed):
        layer = LayerWorkload(
            "a", mask, (4, 6, 6), timesteps=2, spike_rate=0.3,
            rate_mode="sample", seed=seed,
        )  # fmt: skip
        return evaluate([layer], accelerator)

    assert sampled(1).activity == sampled(1).activity != sampled(2).activity
    assert sampled(1).basis == (Basis.SAMPLE,)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_spike_files_hold_one_bit_a_spike_and_round_trip(tmp_path_factory, shape, seed):
    """Any shape is read as it was written."""
    path = tmp_path_factory.mktemp("spikes") / "spikes.npz"
    spikes = {"a.b": np.random.default_rng(seed).random(shape) < 0.5}
    save_spikes(path, spikes)
    found = load_spikes(path)
    assert list(found) == ["a.b"]
    np.testing.assert_array_equal(found["a.b"], spikes["a.b"])
    assert [file.name for file in path.parent.iterdir()] == ["spikes.npz"]


def test_spike_files_that_are_none_are_refused(tmp_path):
    """Bytes that are no file of spikes are named in the error."""
    path = tmp_path / "spikes.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(WorkloadError, match=r"spikes\.npz"):
        load_spikes(path)
    with pytest.raises(WorkloadError, match="values besides 0 and 1"):
        save_spikes(path, {"a": [0, 0.5]})


def test_plain_arrays_are_spikes_of_the_layer_of_their_name(tmp_path):
    """What other tools store is read as it stands, beside packed spikes too."""
    path = tmp_path / "spikes.npz"
    spikes = np.random.default_rng(0).random((4, 2, 8)) < 0.5
    packed = {"a.bits": np.packbits(spikes), "a.shape": np.array(spikes.shape)}
    np.savez(path, b=spikes, c=spikes * 1.0, **packed)
    found = load_spikes(path)
    assert sorted(found) == ["a", "b", "c"]
    assert all((found[name] == spikes).all() for name in found)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "it holds no array"),
        ({"a": np.array([0, 2])}, "a is int64 and holds values besides 0 and 1"),
        ({"a": np.array([0.5])}, "a is float64 and holds values besides 0 and 1"),
        ({"a.bits": np.zeros(1, np.uint8)}, "a.shape"),
        (
            {"a.bits": np.zeros(0, np.uint8), "a.shape": np.array([2**32, 2**32])},
            r"a\.bits has 0 bytes for shape \(4294967296, 4294967296\)",
        ),
    ],
)
def test_spikes_that_are_none_are_refused(tmp_path, arrays, message):
    """Numbers besides 0 and 1, a size that the bits do not have, and nothing at all."""
    path = tmp_path / "spikes.npz"
    np.savez(path, **arrays)
    with pytest.raises(WorkloadError, match=message) as caught:
        load_spikes(path)
    assert "spikes.npz" in str(caught.value)


def masks_of(*shapes):
    return {f"layer{i}": np.ones(shape, dtype=bool) for i, shape in enumerate(shapes)}


def test_a_ticket_s_architecture_gives_every_layer_its_input():
    """Convolutions keep the size of their input, pooling divides it."""
    masks = masks_of((32, 1, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (10, 1024))
    metadata = {
        "architecture": "32c3-64c3-mp2-64c3-fc10",
        "input_shape": [1, 8, 8],
        "timesteps": 4,
        "spike_rates": {"layer1": 0.2, "layer2": 0.1, "layer3": 0.1},
    }
    layers, assumption = network_workloads(masks, metadata)
    assert assumption is None
    assert [layer.input_shape for layer in layers] == [
        (1, 8, 8), (32, 8, 8), (64, 4, 4), (1024,),
    ]  # fmt: skip
    assert [layer.output_size for layer in layers] == [(8, 8), (8, 8), (4, 4), (1, 1)]
    assert [layer.direct_coded for layer in layers] == [True, False, False, False]
    assert [layer.spike_rate for layer in layers] == [None, 0.2, 0.1, 0.1]
    layers, _ = network_workloads(masks, metadata, spike_rate=0.3, direct_coded=False)
    assert [layer.direct_coded for layer in layers] == [False] * 4
    assert [layer.spike_rate for layer in layers] == [0.3] * 4


def test_layers_run_in_the_order_of_the_architecture_not_of_the_file():
    """Names sorted as texts are put in order by shapes and the numbers in names."""
    shapes = {
        "classifier": (10, 64),
        "features.0": (4, 2, 3, 3),
        "features.10": (4, 4, 3, 3),
        "features.3": (4, 4, 3, 3),
    }
    masks = {name: np.ones(shape, dtype=bool) for name, shape in shapes.items()}
    metadata = {"architecture": "4c3-4c3-mp2-4c3-fc10", "input_shape": (2, 8, 8)}
    expected = ["features.0", "features.3", "features.10", "classifier"]
    layers, _ = network_workloads(masks, metadata)
    assert [layer.name for layer in layers] == expected
    assert [layer.pixels for layer in layers] == [64, 64, 16, 1]
    layers, _ = network_workloads(masks)
    assert [layer.name for layer in layers] == expected
    assert [layer.direct_coded for layer in layers] == [True, False, False, False]


def test_an_order_of_channels_decides_who_shares_a_tile():
    """Two heavy channels in one tile cost less than one in each of two tiles."""
    mask = np.zeros((32, 8), dtype=bool)
    mask[[0, 16]] = True
    order = Schedule(0, [0, 16, *range(1, 16), *range(17, 32)])
    u_ticket = Accelerator.load("u-ticket")
    apart = network_workloads({"fc": mask}).workloads
    together = network_workloads({"fc": mask}, schedules={"fc": order}).workloads
    assert evaluate(apart, u_ticket).cycles == 16
    assert evaluate(together, u_ticket).cycles == 8
    with pytest.raises(WorkloadError, match="16 channels does not fit axis 0"):
        network_workloads({"fc": mask}, schedules={"fc": Schedule(0, range(16))})


def test_spikes_of_some_layers_set_the_batch_of_all():
    """A first layer without spikes is evaluated for as many samples as the others."""
    masks = masks_of((4, 2, 3, 3), (10, 64))
    spikes = {"layer1": np.ones((2, 5, 64))}
    layers, _ = network_workloads(masks, {"timesteps": 2}, spikes=spikes)
    assert [layer.batch for layer in layers] == [5, 5]
    assert layers[1].spikes.shape == (2, 5, 64, 1, 1)


def test_spikes_or_rates_of_no_layer_are_refused():
    """A name that no mask has is an error, not silently left out."""
    masks = masks_of((4, 2, 3, 3), (10, 64))
    with pytest.raises(WorkloadError, match=r"'layer7'.*layer0, layer1"):
        network_workloads(masks, spike_rate={"layer7": 0.5})
    with pytest.raises(WorkloadError, match="'conv'"):
        network_workloads(masks, spikes={"conv": np.ones((2, 1, 64))})


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"architecture": "vgg16", "input_shape": [3, 32, 32]},
        {"architecture": "8c3-fc10", "input_shape": [2, 8, 8]},
        {"architecture": "4c3-fc10"},
        {"architecture": "4c3-fc10", "input_shape": 3},
        {"architecture": "4c3-fc10", "input_shape": [2, 4.0, 4]},
        {"architecture": "4c3-fc10", "input_shape": [2, "4", 4]},
    ],
)
def test_unknown_geometry_means_one_output_pixel_and_says_so(metadata):
    """Where the metadata do not fit, convolutions have one pixel, with a note."""
    network = network_workloads(masks_of((4, 2, 3, 3), (10, 64)), metadata)
    assert [layer.pixels for layer in network.workloads] == [1, 1]
    assert "one output pixel" in network.assumption


def listed(name, shape, analog=False, stride=1):
    pairs = {"stride": [stride] * 2, "padding": [1, 1], "dilation": [1, 1]}
    if len(shape) == 1:
        pairs["padding"] = [0, 0]
    return {"name": name, "input_shape": [*shape], **pairs, "groups": 1,
            "analog": analog}  # fmt: skip


LISTED = [
    listed("stem", (2, 8, 8), analog=True),
    listed("block.right", (4, 8, 8), stride=2),
    listed("block.left", (4, 8, 8), stride=2),
    listed("head", (64,)),
]
LISTED_MASKS = {
    "block.left": np.ones((4, 4, 3, 3), dtype=bool),
    "block.right": np.ones((4, 4, 3, 3), dtype=bool),
    "head": np.ones((10, 64), dtype=bool),
    "stem": np.ones((4, 2, 3, 3), dtype=bool),
}


def test_a_list_of_layers_tells_what_no_text_can():
    """Branches have one input, layers run as listed, and the text is not asked."""
    metadata = {
        "layers": LISTED, "architecture": "4c3-4c3-4c3-fc10", "input_shape": [2, 4, 4],
        "timesteps": 2,
    }  # fmt: skip
    layers, assumption = network_workloads(LISTED_MASKS, metadata)
    assert assumption is None
    assert [layer.name for layer in layers] == [layer["name"] for layer in LISTED]
    assert [layer.output_size for layer in layers] == [(8, 8), (4, 4), (4, 4), (1, 1)]
    assert [layer.direct_coded for layer in layers] == [True, False, False, False]
    events, _ = network_workloads(LISTED_MASKS, metadata, direct_coded=False)
    assert not any(layer.direct_coded for layer in events)


def test_layers_without_a_mask_are_left_out():
    """A list may name more layers than there are masks; the others keep their place."""
    masks = {name: LISTED_MASKS[name] for name in ("head", "block.right")}
    layers, assumption = network_workloads(masks, {"layers": LISTED, "timesteps": 2})
    assert assumption is None
    assert [layer.name for layer in layers] == ["block.right", "head"]
    assert not any(layer.direct_coded for layer in layers)


@pytest.mark.parametrize(
    "layers",
    [
        LISTED[:3],
        [*LISTED, LISTED[0]],
        [listed("stem", (3, 8, 8)), *LISTED[1:]],
        [listed("stem", (2, 8)), *LISTED[1:]],
        [{"name": "stem"}, *LISTED[1:]],
        [listed("stem", (2, 8, 8), stride="1"), *LISTED[1:]],
        ["stem", "head"],
        7,
    ],
)
def test_a_list_that_does_not_fit_is_not_used(layers):
    """Masks without an entry, other shapes or no list at all: the text is asked."""
    _, assumption = network_workloads(LISTED_MASKS, {"layers": layers})
    assert "one output pixel" in assumption
    text = {
        "architecture": "4c3-4c3-4c3-fc10", "input_shape": [2, 4, 4], "timesteps": 2,
    }  # fmt: skip
    workloads, assumption = network_workloads(LISTED_MASKS, text | {"layers": layers})
    assert assumption is None
    assert workloads[0].input_shape == (2, 4, 4)


@pytest.mark.parametrize("preset", ["u-ticket", "eie"])
@pytest.mark.parametrize("known", ["spikes", "rates"])
def test_inputs_follow_the_order_of_the_input_channels(preset, known):
    """In whatever order the channels come, every weight meets the spikes it met."""
    rng = np.random.default_rng(4)
    # The weights of a channel, and its spikes, become fewer from the first to the last.
    falling = np.linspace(0.9, 0.1, 8)
    masks = {"conv": rng.random((6, 8, 3, 3)) < falling[:, None, None]}
    given = {"spike_rate": {"conv": falling}}
    if known == "spikes":
        given = {
            "spikes": {"conv": rng.random((2, 3, 8, 5, 5)) < falling[:, None, None]}
        }
    about = {"layers": [listed("conv", (8, 5, 5))]}
    accelerator = Accelerator.load(preset)

    def operations(*schedules):
        layers, _ = network_workloads(
            masks, about, schedules={"conv": schedules}, **given
        )
        return evaluate(layers, accelerator).activity.operations

    natural = operations()
    assert natural.sops > 0
    for order in (Schedule(1, np.arange(8)[::-1]), Schedule(1, rng.permutation(8))):
        for schedules in ((order,), (Schedule(0, rng.permutation(6)), order)):
            changed = operations(*schedules)
            assert changed.sops == pytest.approx(natural.sops)
            assert changed.spikes == pytest.approx(natural.spikes)


@pytest.mark.parametrize("stride", [[1, [2]], [], (), [[]], (1, 1, 1)])
@pytest.mark.parametrize(
    "mask", [np.ones((4, 3, 3), bool), np.ones((4, 3, 3, 3), bool)]
)
def test_a_stride_of_other_than_numbers_is_named(stride, mask):
    """Be it along a line or over images, it is not taken apart by NumPy."""
    with pytest.raises(WorkloadError, match=r"layer 'a': `stride` "):
        LayerWorkload("a", mask, (3, 1, 8), stride=stride)
