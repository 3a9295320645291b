"""SANA-FE counts the cycles that the hardware model counts, where the two agree."""

import json
import sys

import numpy as np
import pytest
import yaml
from cases import repeated
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import ExportError, TicketError, balance_ticket, open_ticket
from balancer import shipped_ticket as shipped
from hwmodel import (
    Accelerator,
    LayerWorkload,
    evaluate,
    export_sanafe,
    export_sparseloop,
    network_workloads,
    run_sanafe,
)
from hwmodel.sections import PEArray

MAPPINGS = ("output_channel", "interleaved")


def cycles_of_ours(workload, mapping, pes):
    """Cycles of an array that skips all zeros and waits after every time step."""
    array = PEArray(
        mapping=mapping, pes=pes, skip="dual", barrier="timestep", source="a test"
    )
    accelerator = Accelerator.load("u-ticket").model_copy(update={"array": array})
    return evaluate([workload], accelerator).cycles


def cycles_of_theirs(workload, mapping, pes, folder):
    pytest.importorskip("sanafe", reason="needs the extra validate")
    export_sanafe(folder, [workload], mapping, pes)
    cycles = run_sanafe(folder)[workload.name]
    [known] = json.loads((folder / "export.json").read_text())["layers"]
    assert known["cycles"] == cycles
    return cycles


@st.composite
def layers(draw):
    """Linear and convolutional layers, grouped, strided, padded and dilated ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps, samples = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    groups = draw(st.sampled_from([1, 1, 2]))
    outputs, inputs = draw(st.integers(1, 5)) * groups, draw(st.integers(1, 4))
    kernel, image, options = (), (), {}
    if draw(st.booleans()):
        kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
        image = draw(st.tuples(*[st.integers(5, 7)] * 2))
        options = {
            "stride": draw(st.integers(1, 3)),
            "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
            "dilation": draw(st.integers(1, 2)),
        }
    density = draw(st.sampled_from([0, 0.1, 0.5, 1]))
    mask = rng.random((outputs, inputs, *kernel)) < density
    shape = (inputs * groups, *image)
    spikes = rng.random((steps, samples, *shape)) < draw(st.sampled_from([0.2, 0.7]))
    return LayerWorkload(
        "a layer", mask, shape, groups=groups, spikes=spikes, **options
    )


@pytest.mark.parametrize("mapping", MAPPINGS)
@settings(max_examples=repeated(25))
@given(workload=layers(), pes=st.integers(1, 6))
def test_random_layers_take_the_cycles_of_the_model(
    workload, pes, mapping, tmp_path_factory
):
    """Its simple timing is our count, for every layer that it can be told."""
    folder = tmp_path_factory.mktemp("cores") / "out"
    theirs = cycles_of_theirs(workload, mapping, pes, folder)
    assert theirs == cycles_of_ours(workload, mapping, pes)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_the_shipped_ticket_takes_the_cycles_of_the_model(mapping, tmp_path):
    """All layers that see spikes, before and after balance, which makes them faster."""
    ticket = open_ticket(shipped())
    report = balance_ticket(ticket, order="optimized")
    results = report.solution.layers
    states = [
        ({layer.name: layer.read_mask() for layer in ticket.layers}, {}),
        (
            {layer.name: layer.solution.mask for layer in results},
            {layer.name: layer.solution.schedule for layer in results},
        ),
    ]
    rng = np.random.default_rng(0)
    shapes = {"features.3": (32, 8, 8), "features.7": (64, 4, 4), "classifier": (1024,)}
    spikes = {name: rng.random((4, 1, *shape)) < 0.15 for name, shape in shapes.items()}
    totals = []
    for masks, schedules in states:
        network = network_workloads(
            masks, ticket.about, schedules=schedules, spikes=spikes
        )
        total = 0
        for workload in network.workloads:
            if workload.direct_coded:
                continue
            theirs = cycles_of_theirs(workload, mapping, 16, tmp_path / "cores")
            assert theirs == cycles_of_ours(workload, mapping, 16)
            total += theirs
        totals.append(total)
    assert totals[1] < totals[0]


def test_a_core_holds_as_many_neurons_as_its_pe(tmp_path):
    """Large images on few PEs fit, whatever SANA-FE allows by default."""
    spikes = np.random.default_rng(0).random((2, 1, 1, 30, 30)) < 0.2
    layer = LayerWorkload("conv", np.ones((1, 1, 1, 1)), (1, 30, 30), spikes=spikes)
    theirs = cycles_of_theirs(layer, "output_channel", 2, tmp_path / "out")
    assert theirs == cycles_of_ours(layer, "output_channel", 2) == spikes.sum()


def test_several_layers_are_one_export(tmp_path):
    """Each has a folder of its own, whatever it is called, and one description."""
    spikes = np.ones((2, 1, 3), np.uint8)
    layers = [
        LayerWorkload(name, np.eye(3, dtype=bool), spikes=spikes)
        for name in ('a "b": c', "a/b", "a?b")
    ]
    folders = export_sanafe(tmp_path / "out", layers, pes=2)
    assert len(set(folders.values())) == 3
    for layer in layers:
        text = (folders[layer.name] / "network.yaml").read_text()
        assert yaml.safe_load(text)["network"]["name"] == layer.name
    pytest.importorskip("sanafe")
    # Tiles of two and one channel, a cycle each in both time steps.
    assert run_sanafe(tmp_path / "out") == {layer.name: 4 for layer in layers}


@pytest.mark.parametrize(
    ("change", "mapping", "said"),
    [
        ({}, "input_channel", "accepted are maps of whole output channels"),
        ({"direct_coded": True, "timesteps": 2}, "interleaved", "its input is analog"),
        ({"spikes": None}, "interleaved", "nothing is known of its spikes"),
    ],
)
def test_a_layer_that_cannot_be_told_is_refused(change, mapping, said, tmp_path):
    """One line says which layer, and what is accepted; nothing is left behind."""
    known = {"spikes": np.ones((1, 1, 4), np.uint8), **change}
    layer = LayerWorkload("fc", np.ones((2, 4), bool), **known)
    with pytest.raises(ExportError, match=rf"layer fc: .*{said}") as error:
        export_sanafe(tmp_path / "out", [layer], mapping, 2)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_without_sanafe_the_files_are_written(tmp_path, monkeypatch):
    """Only running them needs it, and the error says how to install it."""
    layer = LayerWorkload("fc", np.eye(3, dtype=bool), spikes=np.ones((1, 1, 3)))
    monkeypatch.setitem(sys.modules, "sanafe", None)
    export_sanafe(tmp_path / "out", [layer])
    with pytest.raises(ExportError, match=r"needs sanafe.*\[validate\]"):
        run_sanafe(tmp_path / "out")
    with pytest.raises(ExportError, match="accepted are 'simple'"):
        run_sanafe(tmp_path / "out", "fast")
    with pytest.raises(TicketError, match="no description of an export"):
        run_sanafe(tmp_path)
    export_sparseloop(tmp_path / "other", [layer])
    for place in (tmp_path / "other", str(tmp_path / "other")):
        with pytest.raises(TicketError, match="no export to SANA-FE"):
            run_sanafe(place)


def test_links_hold_as_many_messages_as_asked(tmp_path):
    """The architecture says so; a link that holds none is refused in one line."""
    layer = LayerWorkload("fc", np.eye(3, dtype=bool), spikes=np.ones((1, 1, 3)))
    folder = export_sanafe(tmp_path / "out", [layer], link_buffer=7)["fc"]
    mesh = yaml.safe_load((folder / "architecture.yaml").read_text())["architecture"]
    attributes, places = mesh["attributes"], len(mesh["tile"])
    assert attributes["link_buffer_size"] == 7
    assert attributes["width"] * attributes["height"] >= places
    assert attributes["height"] == 1
    assert attributes["sync_model"] == "fixed"
    with pytest.raises(ExportError, match=r"`link_buffer` is 0; .* at least$"):
        export_sanafe(tmp_path / "none", [layer], link_buffer=0)
    assert not (tmp_path / "none").exists()
