"""Reports and comparisons: what they derive, and the files they write."""

import csv
import io
import json

import numpy as np
import pytest

from hwmodel import (
    Accelerator,
    HardwareModelError,
    LayerWorkload,
    ReportComparison,
    WorkloadError,
    evaluate,
    evaluate_many,
)
from hwmodel.commands.report_tables import comparison_table, report_table
from hwmodel.commands.text_tables import draw


def network(density, batch=2):
    rng = np.random.default_rng(0)
    fc_spikes = rng.random((2, batch, 30)) < 0.3
    return [
        LayerWorkload(
            "conv", rng.random((20, 3, 3, 3)) < density, (3, 6, 6), padding=1,
            timesteps=2, spikes=rng.random((1, batch, 3, 6, 6)) < 0.9,
            direct_coded=True,
        ),
        LayerWorkload(
            "fc", rng.random((10, 30)) < density, spikes=fc_spikes
        ),
    ]  # fmt: skip


@pytest.fixture
def report():
    return evaluate(network(0.2), Accelerator.load("generic-45nm"))


def test_derived_figures_follow_from_cycles_and_energy(report):
    """Rates, efficiencies and the energy-delay product agree with their definitions."""
    sops = report.activity.operations.sops
    seconds = report.cycles / 500e6
    assert report.inferences == 2
    assert report.latency_s == pytest.approx(seconds / 2)
    assert report.energy_per_inference_pj == pytest.approx(report.energy_pj / 2)
    assert report.inferences_per_s == pytest.approx(2 / seconds)
    assert report.pj_per_sop * sops == pytest.approx(report.energy_pj)
    assert report.gsops == pytest.approx(sops / seconds / 1e9)
    watts = report.energy_pj * 1e-12 / seconds
    assert report.gsops_per_w == pytest.approx(report.gsops / watts)
    joules = report.energy_pj * 1e-12 / 2
    assert report.edp_js == pytest.approx(joules * seconds / 2)


def test_json_is_the_report_and_has_neurobench_s_keys(report):
    """The JSON parses back to the numbers; NeuroBench's keys keep their names."""
    data = json.loads(report.to_json())
    assert data["cycles"] == report.cycles
    assert sum(data["breakdown_pj"].values()) == pytest.approx(data["energy_pj"])
    assert [layer["layer"] for layer in data["layers"]] == ["conv", "fc"]
    bench = data["neurobench"]
    assert set(bench) == {
        "Footprint", "ConnectionSparsity", "ActivationSparsity", "SynapticOperations",
    }  # fmt: skip
    conv, fc = network(0.2)
    assert bench["ConnectionSparsity"] == pytest.approx(
        1 - (conv.mask.sum() + fc.mask.sum()) / (conv.mask.size + fc.mask.size)
    )
    assert bench["ActivationSparsity"] == pytest.approx(1 - fc.spikes.mean())
    operations = bench["SynapticOperations"]
    assert operations["Effective_MACs"] * 2 == report.activity.operations.macs
    assert operations["Effective_ACs"] * 2 == report.activity.operations.accumulates
    assert operations["Dense"] == conv.mask.size * 36 + fc.mask.size * 2


def test_csv_has_a_row_for_each_layer_and_a_total(report):
    """Numbers of the layers add up to those of the last row."""
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["layer"] for row in rows] == ["conv", "fc", "total"]
    for column in ("nonzeros", "cycles", "idle_pe_cycles", "sops", "energy_pj"):
        parts = [float(row[column]) for row in rows]
        assert sum(parts[:-1]) == pytest.approx(parts[-1])
    assert float(rows[-1]["cycles"]) == report.cycles


def test_footprints_count_the_bits_of_the_sparse_format(report):
    """csr stores value and index of each weight kept and a pointer for each stream."""
    kept = [int(layer.mask.sum()) for layer in network(0.2)]
    streams = [20, 10]
    bits = [k * (8 + 8) + s * 16 for k, s in zip(kept, streams, strict=True)]
    assert report.footprint_bytes == sum(bits) // 8
    assert report.footprint_dense_bytes == 20 * 27 + 300


def test_a_report_without_any_work_is_still_a_file():
    """An empty mask on an array without memory takes no cycles and writes JSON."""
    empty = LayerWorkload("none", np.zeros((4, 4), dtype=bool))
    report = evaluate([empty], Accelerator.load("u-ticket"))
    assert report.cycles == 0
    assert (report.eta, report.utilization, report.pj_per_sop) == (1.0, 1.0, None)
    assert json.loads(report.to_json())["inferences_per_s"] is None
    comparison = ReportComparison(("a", "b"), (report, report))
    assert json.loads(comparison.to_json())["comparison"][1]["cycles_ratio"] is None


def test_two_masks_compare_on_one_accelerator(report):
    """Ratios are those of the second report to the first, layer rows carry both."""
    denser = evaluate(network(0.6), report.accelerator)
    comparison = ReportComparison(("before", "after"), (denser, report))
    before, after = comparison.rows()
    assert before["cycles_ratio"] == 1
    assert after["energy_pj_ratio"] == pytest.approx(
        report.energy_pj / denser.energy_pj
    )
    assert comparison.layer_rows()[1]["after_cycles"] == report.layers[1].cycles
    assert json.loads(comparison.to_json())["comparison"][1]["label"] == "after"


def test_one_mask_compares_on_many_accelerators():
    """Every accelerator has a row under its name."""
    accelerators = [Accelerator.load(name) for name in Accelerator.names()]
    comparison = ReportComparison.of_accelerators(
        evaluate_many(network(0.2), accelerators)
    )
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert tuple(row["label"] for row in rows) == Accelerator.names()
    assert len({row["cycles"] for row in rows}) > 1


def test_different_networks_do_not_compare(report):
    """Reports of different layers, or without labels, are refused."""
    other = evaluate([LayerWorkload("x", np.ones((2, 2)))], report.accelerator)
    with pytest.raises(HardwareModelError, match="names and shapes must agree"):
        ReportComparison(("a", "b"), (report, other))
    with pytest.raises(HardwareModelError, match="one label for each report"):
        ReportComparison(("a",), (report, report))


def test_layers_with_different_batches_are_refused():
    """A network runs one batch; layers of different batches are named."""
    conv, _ = network(0.2, batch=1)
    _, fc = network(0.2, batch=2)
    with pytest.raises(WorkloadError, match="1, 2 samples"):
        evaluate([conv, fc], Accelerator.load("u-ticket"))
    with pytest.raises(WorkloadError, match="at least one"):
        evaluate([], Accelerator.load("u-ticket"))


def test_what_is_printed_is_read_at_a_glance():
    """Workloads, reports and comparisons print a few lines, and never an array."""
    reports = [evaluate(network(0.2), Accelerator.load(n)) for n in ("u-ticket", "eie")]
    compared = ReportComparison(("u-ticket", "eie"), tuple(reports))
    for said, lines in (
        (repr(network(0.2)[0]), 1),
        (repr(reports[0]), 1 + len(reports[0].layers)),
        (repr(compared), 3),
    ):
        assert len(said.splitlines()) == lines
        assert "array(" not in said
        assert max(map(len, said.splitlines())) < 140


def test_energies_of_different_units_stand_apart():
    """E_d and pJ share neither a column nor a ratio, in rows, layers, CSV or tables."""
    layers = network(0.2)
    reports = evaluate_many(layers, map(Accelerator.load, ("u-ticket", "sata", "eie")))
    comparison = ReportComparison.of_accelerators(reports)
    assert comparison.units == ("E_d", "pJ")
    rows = comparison.rows()
    assert [row["energy_unit"] for row in rows] == ["E_d", "pJ", "pJ"]
    assert [row["energy_pj"] for row in rows] == [
        None,
        *(r.energy_pj for r in reports[1:]),
    ]
    assert [row["energy_E_d"] for row in rows] == [reports[0].energy_pj, None, None]
    assert [row["energy_pj_ratio"] for row in rows] == [1.0, None, None]
    assert rows[0]["pj_per_sop"] is None
    assert rows[1]["cycles_ratio"] == reports[1].cycles / reports[0].cycles
    layer = comparison.layer_rows()[0]
    assert layer["u-ticket_energy_E_d"] == reports[0].layers[0].energy_pj
    assert "u-ticket_energy_pj" not in layer
    assert layer["sata_energy_pj"] == reports[1].layers[0].energy_pj
    table = comparison_table(comparison)
    assert {"energy E_d", "energy pJ"} < set(table.header)
    alike = ReportComparison(("a", "b"), (reports[0], reports[0]))
    assert "energy E_d" in comparison_table(alike).header
    assert alike.rows()[1]["energy_pj_ratio"] == 1.0


def test_the_table_of_a_report_fits_a_terminal(report):
    """In 80, 120 and 160 columns nothing that matters is left out."""
    for width in (80, 120, 160):
        drawn = draw(report_table(report), width)
        assert max(map(len, (*drawn.header, *drawn.rows))) <= width
        assert not {"layer", "cycles", "utilization", "energy pJ"} & set(drawn.left_out)
