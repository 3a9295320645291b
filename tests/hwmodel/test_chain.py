"""Input sizes of networks whose files hold weights alone."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from balancer import Ticket, balance_ticket, open_ticket
from balancer.files.array_files import ArraysInMemory
from hwmodel import (
    Accelerator,
    Hardware,
    WorkloadError,
    evaluate,
    given_geometry,
    network_workloads,
    place_layers,
)

ROOT = Path(__file__).resolve().parent.parent.parent

NET = {
    "features.0": (8, 3, 3, 3),
    "features.3": (16, 8, 3, 3),
    "classifier": (10, 1024),
}


def ticket_of(shapes):
    """Weights alone, in the order of a file."""
    return Ticket.of(ArraysInMemory({k: np.ones(shape) for k, shape in shapes.items()}))


def placed(shapes, input_shape=None, geometry=None):
    """Return the workloads of a chain, by name, and what is said about it."""
    ticket = place_layers(ticket_of(shapes), input_shape, geometry)
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    network = network_workloads(masks, ticket.about)
    assert "sizes" not in (network.assumption or "")
    return {layer.name: layer for layer in network.workloads}, " ".join(ticket.notes)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),  # channels
            st.integers(1, 5),  # kernel
            st.integers(1, 2),  # stride
            st.integers(0, 2),  # padding
            st.integers(1, 2),  # window
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 2),
    st.booleans(),
)
def test_a_chain_has_the_sizes_that_convolution_and_pooling_make(
    layers, dims, list_all
):
    """Each layer sees what the formula of a convolution and its pooling make of one."""
    size, channels, shapes, given, expected = 200, 2, {}, {}, {}
    for number, (outputs, kernel, stride, padding, window) in enumerate(layers):
        name = f"l{number}"
        shapes[name] = (outputs, channels, *[kernel] * dims)
        given[name] = {"stride": stride, "padding": padding, "pool": window}
        expected[name] = (channels, *[size] * dims)
        size = ((size + 2 * padding - kernel) // stride + 1) // window
        channels = outputs
    shapes["last"] = (1, channels * size**dims)
    expected["last"] = (channels * size**dims,)
    if list_all:  # then the order of the file does not matter
        given["last"] = {}
        shapes = {name: shapes[name] for name in sorted(shapes, reverse=True)}
    workloads, _ = placed(shapes, (2, *[200] * dims), {"layers": given})
    assert {name: one.input_shape for name, one in workloads.items()} == expected
    assert list(workloads) == list(expected)


def test_what_is_not_given_is_usual_and_said():
    """Stride 1 and half a kernel of padding; what a linear layer tells is said."""
    workloads, said = placed(NET, (3, 8, 8))
    assert workloads["features.0"].output_size == (8, 8)
    assert workloads["features.0"].direct_coded
    assert not workloads["features.3"].direct_coded
    assert "a chain that sees 3x8x8: features.0, features.3, classifier" in said
    assert "stride 1 and half a kernel of padding where not given" in said
    assert "pooled" not in said
    workloads, said = placed(NET | {"classifier": (10, 64)}, (3, 8, 8))
    assert "taken for pooled: 8x8 to 2x2 before classifier" in said


def test_groups_follow_from_the_channels():
    """A depthwise layer has as many groups as channels come to it."""
    shapes = {"a": (8, 3, 3, 3), "b": (8, 1, 3, 3), "c": (4, 4, 1, 1)}
    workloads, _ = placed(shapes, (3, 8, 8))
    assert [workloads[name].groups for name in shapes] == [1, 8, 2]


def test_an_order_that_fits_is_found():
    """A file sorted by names is read in the order of their numbers."""
    shapes = {"classifier": (10, 1024), "f.10": (16, 8, 3, 3), "f.2": (8, 3, 3, 3)}
    workloads, said = placed(shapes, (3, 8, 8))
    assert list(workloads) == ["f.2", "f.10", "classifier"]
    assert "f.2, f.10, classifier" in said


def test_a_branch_is_told_by_its_input():
    """A layer that sees something else than what comes before it has its own input."""
    shapes = {"a": (8, 3, 3, 3), "shortcut": (16, 3, 1, 1), "b": (16, 16, 3, 3)}
    given = {"shortcut": {"input_shape": [3, 8, 8], "stride": 2}}
    workloads, _ = placed(shapes, (3, 8, 8), {"layers": given})
    assert workloads["b"].input_shape == (16, 4, 4)


@pytest.mark.parametrize(
    ("shapes", "input_shape", "geometry", "message"),
    [
        (NET, None, None, r"input of layer 'features\.0' is unknown; .*--input-shape"),
        (NET, (4, 8, 8), None, r"'features\.0' takes 3 channels .* is 4x8x8"),
        (
            NET,
            (3, 9, 9),
            None,
            r"'classifier' takes 1024 .* behind features\.3 is 16x9",
        ),
        (NET, (3, 0, 8), None, r"`input_shape.*` is 0; it needs"),
        (
            NET,
            (3, 8, 8),
            {"layers": {"x*": {}}},
            r"names 'x\*', which matches no layer",
        ),
        (NET, (3, 8, 8), {"layers": {"f*": {"pol": 2}}}, "is no field; accepted here"),
        (
            NET,
            (3, 8, 8),
            {"layers": {"f*": {"stride": 0}}},
            r"layer 'f\*': `stride.*` is 0; it needs",
        ),
        (NET, (3, 8, 8), {"layers": {"f*": {"pool": 9}}}, "smaller than the window 9"),
        (NET, (3, 8, 8), {"layer": {}}, "`layer` is no field"),
        (NET, (3, 8, 8), [1], "a mapping with the fields input_shape, layers"),
        (NET, (3, 8, 8), "missing.yaml", r"missing\.yaml: No such file"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, input_shape, geometry, message):
    """The layer or the field is named, with what would be accepted."""
    with pytest.raises(WorkloadError, match=message):
        place_layers(ticket_of(shapes), input_shape, geometry)


@pytest.mark.parametrize(
    "text", [(ROOT / "docs/hardware-model.md").read_text(), given_geometry.__doc__]
)
def test_the_documented_geometry_is_accepted(text):
    """What the documents show can be copied."""
    start = text.index("    input_shape: [3, 32, 32]")
    shown = yaml.safe_load(textwrap.dedent(text[start:].split("\n\n")[0]))
    shapes = {"features.0": (32, 3, 3, 3), "features.3": (64, 32, 3, 3)}
    shapes |= {"features.6": (64, 64, 3, 3), "shortcut": (64, 64, 1, 1)}
    workloads, _ = placed(shapes, None, shown)
    assert workloads["features.6"].output_size == (16, 16)
    assert workloads["shortcut"].output_size == (16, 16)


@pytest.mark.parametrize("text", ["[" * 3000, "a: [", "3", "- 1"])
def test_yaml_that_is_none_is_refused(tmp_path, text):
    """Whatever is in the file, the error is one that names it."""
    path = tmp_path / "g.yaml"
    path.write_text(text)
    with pytest.raises(WorkloadError, match=r"g\.yaml: "):
        place_layers(ticket_of(NET), (3, 8, 8), path)


def test_masks_carry_the_geometry_that_was_given(tmp_path):
    """`evaluate` of balanced masks needs no second word about sizes."""
    ticket = place_layers(ticket_of(NET), (3, 8, 8))
    report = balance_ticket(ticket, hardware=Hardware.of(), sparsity=0.9)
    report.save(tmp_path / "m.npz")
    masks = open_ticket(tmp_path / "m.npz")
    arrays = {layer.name: layer.read_mask() for layer in masks.layers}
    network = network_workloads(arrays, masks.about)
    assert "sizes" not in (network.assumption or "")
    cycles = evaluate(network.workloads, Accelerator.load("u-ticket")).cycles
    assert cycles == report.cycles
    again = place_layers(masks, (3, 16, 16), {"layers": {"features.3": {"pool": 2}}})
    assert again.about["layers"][0]["input_shape"] == [3, 16, 16]
    assert again.metadata["map"] == "output_channel"
