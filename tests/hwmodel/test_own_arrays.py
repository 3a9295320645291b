"""Accelerators whose mapping is one's own cost what the same array costs."""

import numpy as np
import pytest
import yaml
from cases import pe_maps
from hypothesis import given, settings
from hypothesis import strategies as st
from own_maps import in_formulas, place_of

from balancer import PEMap, register_map
from hwmodel import Accelerator, AcceleratorError, Hardware, LayerWorkload, evaluate
from hwmodel.group_reach import group_reach
from hwmodel.sections import _pe_map

SKIPS = ("none", "weight", "spike", "dual")
BARRIERS = ("activation", "pixel", "timestep", "tile", "layer")
PAIRS = {"group": "out // 8", "pe": "(out // 2 % 4) * 3 + row", "pes": 12}
LABELS = {}


def labels_of(shape, pes):
    """Labels of the built-in map that an example is about."""
    return LABELS[shape]


register_map("labelled", labels_of)


def on_array(base, **array):
    """Another array in a preset that has buffers and a DRAM."""
    described = Accelerator.load(base).model_dump(exclude_unset=True)
    kept = {"source": "test", "timesteps_in_parallel": 2}
    return Accelerator.from_dict(described | {"array": kept | array}, "test")


def same_cost(one, other):
    """Cycles and energies of two reports are equal, part by part."""
    assert one.activity == other.activity
    assert one.energy == other.energy
    assert (one.utilization, one.eta) == (other.utilization, other.eta)
    assert one.layers[0].occupancy == other.layers[0].occupancy


# Weights of at most two axes beside the channels, of maps that an array can have.
built_in_maps = pe_maps(60, 1).filter(
    lambda pe_map: (
        len(pe_map.shape) <= 4 and pe_map.fixed_load is None and pe_map.name != "labels"
    )
)


@given(
    built_in=built_in_maps,
    skip=st.sampled_from(SKIPS),
    barrier=st.sampled_from(BARRIERS),
    base=st.sampled_from(["u-ticket", "sata", "generic-45nm"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_formulas_and_labels_cost_what_the_built_in_map_costs(
    built_in, skip, barrier, base, seed
):
    """Cycles, traffic and energy are those of the map described, on any array."""
    rng = np.random.default_rng(seed)
    shape = (*built_in.shape, 1, 1)[:4]
    if len(built_in.shape) == 3:
        shape = (*built_in.shape[:2], 1, built_in.shape[2])
    mask = rng.random(shape) < 0.5
    image = (shape[1], shape[2] + 2, shape[3] + 1)
    spikes = rng.random((3, 2, *image)) < 0.4
    layer = LayerWorkload("conv", mask, image, spikes=spikes)
    LABELS[shape] = PEMap.from_place(shape, place_of(built_in), built_in.pes).labels()
    _pe_map.cache_clear()  # which takes a name for always the same map
    same = {"skip": skip, "barrier": barrier}
    if barrier == "activation":
        same["fifo_depth_activations"] = int(rng.integers(1, 4))
    given_map = {"mapping": built_in.name, "pes": built_in.pes}
    if built_in.name.startswith("grid:"):
        rows, cols = map(int, built_in.name[5:].split("x"))
        given_map = {"mapping": "grid", "rows": rows, "cols": cols}
    expected = evaluate([layer], on_array(base, **same, **given_map))
    formulas = on_array(base, **same, mapping=in_formulas(built_in))
    labels = on_array(base, **same, mapping="labelled", pes=built_in.pes)
    for own in (formulas, labels):
        same_cost(evaluate([layer], own), expected)


@given(
    rows=st.integers(1, 3),
    cols=st.integers(1, 4),
    skip=st.sampled_from(SKIPS),
    barrier=st.sampled_from(BARRIERS[1:]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_copies_share_the_pixels_as_an_output_stationary_array_does(
    rows, cols, skip, barrier, seed
):
    """An output-stationary array is a map whose weights have a copy in every row."""
    rng = np.random.default_rng(seed)
    image = tuple(rng.integers(2, 5, 3))
    mask = rng.random((int(rng.integers(1, 7)), image[0], 2, 1)) < 0.5
    spikes = rng.random((3, 2, *image)) < 0.4
    layer = LayerWorkload("conv", mask, image, spikes=spikes)
    same = {"skip": skip, "barrier": barrier}
    array = {"mapping": "output_stationary", "rows": rows, "cols": cols}
    stationary = evaluate([layer], on_array("u-ticket", **same, **array))
    formulas = {"group": f"out // {cols}", "pe": f"out % {cols} + copy * {cols}"}
    mapping = formulas | {"copies": rows, "pes": rows * cols}
    copied = evaluate([layer], on_array("u-ticket", **same, mapping=mapping))
    assert copied.activity == stationary.activity
    assert copied.energy == stationary.energy


def test_groups_that_share_channels_move_partial_sums():
    """Two groups that share all channels write and read each partial sum once."""
    mask = np.ones((4, 6), dtype=bool)
    layer = LayerWorkload("linear", mask, timesteps=3)
    tables = []
    for group in ("0", "in // 3"):
        array = {"mapping": {"group": group, "pe": "out % 4"}, "pes": 4}
        accelerator = on_array("sata", skip="weight", barrier="tile", **array)
        described = accelerator.model_dump(exclude_unset=True)
        described["membrane"] = "output_buffer"
        described["array"]["timesteps_in_parallel"] = "all"
        accelerator = Accelerator.from_dict(described)
        tables.append(evaluate([layer], accelerator).activity.traffic)
    whole, shared = tables
    bits = accelerator.bits.membrane_bits
    assert whole.membrane_bits == 0
    assert shared.membrane_bits == 2 * 4 * 3 * bits  # channels, time steps
    assert shared.output.read_bits - whole.output.read_bits == 4 * 3 * bits
    assert shared.output.write_bits - whole.output.write_bits == 4 * 3 * bits
    same = ("dram_weight", "dram_output", "weight")
    assert all(getattr(whole, name) == getattr(shared, name) for name in same)


def test_a_description_takes_the_map_in_any_form(tmp_path):
    """A section, a text and a file beside the description are one mapping."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PAIRS))
    described = Accelerator.load("u-ticket").model_dump(exclude_unset=True)
    text = "pes=12; group=out // 8; pe=out // 2 % 4 * 3 + row"
    for form in (PAIRS, text, "mine.yaml"):
        described["array"] = {
            "mapping": form,
            "skip": "weight",
            "barrier": "pixel",
            "source": "test",
        }
        (tmp_path / "array.yaml").write_text(yaml.safe_dump(described))
        accelerator = Accelerator.load(tmp_path / "array.yaml")
        assert accelerator.array.map_spec == (text, 12)
        assert Accelerator.from_yaml(accelerator.to_yaml()) == accelerator
    hardware = Hardware.of("u-ticket", str(tmp_path / "mine.yaml"))
    assert (hardware.pe_map, hardware.pes) == (text, 12)
    assert hardware.accelerator.array.mapping == accelerator.array.mapping


@pytest.mark.parametrize(
    ("array", "said"),
    [
        ({"mapping": {"group": "out // 8", "pe": "out"}, "pes": 8}, "PEs are 0..7"),
        ({"mapping": PAIRS, "pes": 8}, "mapping has 12 PEs and `pes` is 8"),
        ({"mapping": {"group": "out", "pe": "out % 4"}}, "needs `pes` alone"),
        ({"mapping": {"group": "out"}, "pes": 8}, "it lacks one"),
        ({"mapping": "missing.yaml", "pes": 8}, "missing.yaml: No such file"),
        ({"mapping": PAIRS | {"load": 2}}, "it needs one of output_channel"),
    ],
)
def test_wrong_mappings_are_refused(array, said):
    """A description says in one line what its mapping lacks."""
    with pytest.raises(ValueError, match=said) as caught:
        on_array("u-ticket", skip="weight", barrier="tile", **array).array.pe_map(
            (16, 8, 3, 3)
        )
    assert "\n" not in str(caught.value)


def test_copies_have_no_barrier_at_every_activation():
    """Copies work on different pixels, so that no activation is broadcast to all."""
    mapping = {"group": "out // 2", "pe": "out % 2", "copies": 2}
    own = on_array(
        "u-ticket", skip="dual", barrier="activation", mapping=mapping, pes=4
    )
    with pytest.raises(AcceleratorError, match="holds 2 copies of a weight"):
        evaluate([LayerWorkload("linear", np.eye(4))], own)


def test_a_channel_is_finished_by_its_last_group():
    """Inputs heard, channels finished and partial sums of each group, by hand."""
    # Channel 0 lies in groups 0 and 2, channel 1 in group 1.
    group = np.array([[0, 0, 2], [1, 1, 1]])
    reach = group_reach(PEMap.from_labels(group, np.zeros_like(group)), 1)
    assert reach.inputs.tolist() == [2, 3, 1]
    assert reach.input_channels.tolist() == [2, 3, 1]
    assert reach.finished.tolist() == [0, 1, 1]
    assert reach.partial.tolist() == [1, 0, 1]
