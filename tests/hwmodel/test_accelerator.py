"""Descriptions of accelerators: presets, round trips, and what errors say."""

import warnings

import pytest

from hwmodel import Accelerator, AcceleratorError, MixedNodesWarning

PRESETS = (
    *("eie", "generic-45nm", "loas", "loas-scheduled", "sata", "sato"),
    *("systolic", "u-ticket"),
)


def described(preset="sata"):
    """A description as plain dicts, to be damaged."""
    return Accelerator.load(preset).model_dump(exclude_unset=True)


def change(data, path, value):
    """Set a field by its dotted path, or remove it."""
    *sections, field = path.split(".")
    for section in sections:
        data = data[section]
    if value is None:
        del data[field]
    else:
        data[field] = value


# Each list holds the one before nine times over.
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefg", "bcdefgh", strict=True)
)


def test_presets_are_those_promised():
    """All presets are shipped under their names."""
    assert Accelerator.names() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_without_warnings_and_survive_a_round_trip(name):
    """A preset written as YAML and read again is the same accelerator."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preset = Accelerator.load(name)
        assert Accelerator.from_yaml(preset.to_yaml()) == preset
    assert preset.name == name


def test_a_file_of_your_own_loads(tmp_path):
    """A preset edited in a file is read with the edit."""
    text = Accelerator.load("u-ticket").to_yaml().replace("pes: 16", "pes: 32")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert Accelerator.load(path).array.size == 32


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("buffers.input.read_pj_per_bit", None, "a number of at least 0 in pJ per bit"),
        ("buffers.input.read_pj_per_bit", -1, "at least 0 in pJ per bit"),
        ("buffers.input.capacity_bytes", "big", "whole number of at least 1 in bytes"),
        ("buffers.input.leakage_mw", "x", "a number of at least 0 in mW"),
        ("array.rows", 0, "a whole number of at least 1 in PEs"),
        ("array.skip", "spikes", "one of 'none', 'weight', 'spike', 'dual'"),
        ("array.barrier", None, "one of 'activation', 'pixel', 'timestep', 'tile',"),
        ("array.timesteps_in_parallel", 0, "at least 1 in steps or 'all'"),
        ("frequency_hz", None, "a number above 0 in Hz"),
        ("frequency_hz", float("inf"), "a number above 0 in Hz"),
        ("node_nm", "small", "a number above 0 in nm"),
        ("weight_format", "coo", "one of 'dense', 'bitmap', 'csr'"),
        ("pe_units.lif.source", None, "a text that is not empty"),
        ("pe_units.lif.op_pj", None, "a number of at least 0 in pJ"),
        ("bits.weight_bits", 7.5, "a whole number of at least 1 in bits"),
        ("array", 3, "a section with the fields mapping, pes,"),
        ("dram.bandwidth_bits_per_cycle", 0, "above 0 in bits per cycle"),
    ],
)
def test_an_error_names_field_unit_and_allowed_values(path, value, said):
    """One line has the field's path, its unit, and what is allowed."""
    data = described()
    change(data, path, value)
    with pytest.raises(AcceleratorError) as caught:
        Accelerator.from_dict(data, "mine.yaml")
    text = str(caught.value)
    assert text.startswith("mine.yaml: ")
    assert f"`{path}`" in text
    assert said in text
    assert "\n" not in text


def test_an_unknown_field_is_named_with_those_accepted():
    """A misspelt field is refused, and the fields of its section are listed."""
    data = described()
    data["buffers"]["wieght"] = data["buffers"].pop("weight")
    with pytest.raises(AcceleratorError, match=r"`buffers\.wieght`.*weight, input"):
        Accelerator.from_dict(data)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("array.pes", 4, "`rows` and `cols` but not `pes`"),
        ("array.mapping", "banked", "needs `pes` alone"),
        ("array.barrier", "activation", "has no barrier 'activation'"),
        ("array.fifo_depth_activations", 2, "it needs barrier 'activation'"),
        ("membrane", "dram", "needs a section dram"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(path, value, said):
    """The error of a contradiction says what is needed instead."""
    data = described()
    del data["dram"]
    change(data, path, value)
    with pytest.raises(AcceleratorError, match=said):
        Accelerator.from_dict(data)


def test_mixed_nodes_warn_unless_a_reason_is_given():
    """Numbers of different technology nodes are not mixed silently."""
    data = described()
    Accelerator.from_dict(data)
    del data["mixed_nodes_reason"]
    with pytest.warns(MixedNodesWarning, match=r"buffers\.weight 32 nm.*28 nm"):
        Accelerator.from_dict(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [("- 1\n", "a YAML mapping"), ("a: [", "no YAML"), ("", "a YAML mapping")],
)
def test_text_that_is_no_description_is_refused_in_one_line(tmp_path, text, said):
    """A file that is no YAML mapping is named in a one-line error."""
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(AcceleratorError, match=said) as caught:
        Accelerator.load(path)
    assert "broken.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [BOMB + "name: *h\n", "&a\nname: *a\n", "[" * 3000])
def test_hostile_yaml_is_refused_in_a_short_line(tmp_path, text):
    """Lists in lists, of any depth and by the million, are not written out."""
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    with pytest.raises(AcceleratorError, match=r"^\S*hostile\.yaml: ") as caught:
        Accelerator.load(path)
    assert len(str(caught.value)) < 5000


def test_an_unknown_name_lists_the_presets():
    """What is neither preset nor file is answered with the presets' names."""
    with pytest.raises(
        AcceleratorError, match="eie, generic-45nm, loas, loas-scheduled, sata"
    ):
        Accelerator.load("no-such-accelerator")
