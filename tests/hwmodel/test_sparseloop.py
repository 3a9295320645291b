"""Problems of Timeloop with real masks."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from balancer import TicketError, export_streams, open_ticket, shipped_ticket
from hwmodel import (
    Accelerator,
    LayerWorkload,
    evaluate,
    export_sparseloop,
    network_workloads,
    read_mask_text,
)


def shipped_workloads():
    ticket = open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    return network_workloads(masks, ticket.about).workloads


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 4),
    groups=st.integers(1, 2),
    steps=st.tuples(st.integers(1, 3), st.integers(0, 2)),
)
def test_a_problem_has_the_layer_and_its_mask(sizes, groups, steps, tmp_path_factory):
    """Sizes, steps and mask of a layer come back from the files, group by group."""
    outputs, inputs, *kernel = sizes
    mask = np.random.default_rng(0).random((outputs * groups, inputs, *kernel)) < 0.5
    layer = LayerWorkload(
        "conv", mask, (inputs * groups, 7, 8), *steps, groups=groups, dilation=(1, 2)
    )
    folder = tmp_path_factory.mktemp("problem") / "out"
    path = export_sparseloop(folder, [layer])["conv"]
    problem = yaml.safe_load(path.read_text())["problem"]
    known = problem["instance"]
    densities = known["densities"]["Weights"]
    assert densities["distribution"] == "real-data"
    assert (known["E"], known["F"]) == layer.output_size
    assert [known[rank] for rank in "GMCRSN"] == [groups, *sizes, 1]
    assert (known["Hstride"], known["Wdilation"]) == (steps[0], 2)
    text = path.with_name(densities["data_file_path"])
    assert np.array_equal(read_mask_text(text, mask.shape), mask)
    # The first rank of the weights is the fastest in the file, the last the slowest.
    ranks = [rank for [[rank]] in problem["shape"]["data-spaces"][0]["projection"]]
    assert int(np.prod([known[rank] for rank in ranks])) == mask.size
    flat = text.read_text()
    for place in np.argwhere(mask):
        at = dict(zip("MCRS", place.tolist(), strict=True))
        at["G"], at["M"] = divmod(at["M"], outputs)
        index, step = 0, 1
        for rank in ranks:
            index, step = index + at[rank] * step, step * known[rank]
        assert flat[index] == "1"


def test_a_problem_is_a_convolution(tmp_path):
    """Its data spaces have the ranks, strides and dilations of a grouped one."""
    layer = LayerWorkload("fc", np.ones((2, 3), bool))
    path = export_sparseloop(tmp_path / "out", [layer])["fc"]
    shape = yaml.safe_load(path.read_text())["problem"]["shape"]
    assert sorted(shape["dimensions"]) == sorted("GMCRSEFN")
    defaults = {one["name"]: one["default"] for one in shape["coefficients"]}
    assert set(defaults.values()) == {1}
    weights, inputs, outputs = shape["data-spaces"]
    assert (weights["name"], inputs["name"]) == ("Weights", "Inputs")
    assert (outputs["name"], outputs["read-write"]) == ("Outputs", True)
    assert inputs["projection"] == [
        [["N"]],
        [["G"]],
        [["C"]],
        [["R", "Hdilation"], ["E", "Hstride"]],
        [["S", "Wdilation"], ["F", "Wstride"]],
    ]
    assert defaults.keys() == {"Hdilation", "Hstride", "Wdilation", "Wstride"}
    assert [rank for [[rank]] in outputs["projection"]] == list("NGMEF")


def test_the_shipped_ticket_is_exported(tmp_path):
    """Every layer has a problem with as many ones as it has weights."""
    layers = shipped_workloads()
    paths = export_sparseloop(tmp_path / "out", layers)
    for layer in layers:
        text = paths[layer.name].with_name(f"{layer.name}.weights.txt").read_text()
        assert (len(text), text.count("1")) == (layer.mask.size, layer.mask.sum())


def test_a_mask_file_of_others_is_refused(tmp_path):
    """Another number of digits, or other characters, are counted and named."""
    path = tmp_path / "mask.txt"
    for text in ("011", "01102", "01 1 0 1", ""):
        path.write_text(text)
        with pytest.raises(TicketError, match="4 zeros and ones are needed"):
            read_mask_text(path, (2, 2))
    path.write_text("0 1\n1 0\n")
    assert read_mask_text(path, (2, 2)).tolist() == [[False, True], [True, False]]


def test_streams_are_as_long_as_the_hardware_model_says(tmp_path):
    """The slowest streams, once for each pixel and time step, are the cycles."""
    streams = export_streams(tmp_path / "rtl", shipped_ticket())
    report = evaluate(shipped_workloads(), Accelerator.load("u-ticket"))
    for layer, workload in zip(report.layers, shipped_workloads(), strict=True):
        slowest = int(streams[layer.name].lengths.max(axis=1).sum())
        assert layer.cycles == slowest * workload.pixels * workload.runs
