"""The shipped ticket on the array, before and after balance."""

import json

import numpy as np
import pytest

from balancer import balance_ticket, open_ticket, shipped_ticket
from hwmodel import save_spikes
from rtl import simulate
from rtl.array_job import BARRIERS
from rtl.comparison import compare
from rtl.simulator import missing_simulator

pytestmark = pytest.mark.skipif(
    missing_simulator() is not None, reason=str(missing_simulator())
)


def test_the_command_prints_cycles_beside_those_of_the_model(capsys):
    """Every layer that is asked for has both, and they are equal."""
    assert simulate.main(["--layer", "classifier", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["layers"]
    assert (row["layer"], row["same_counts"], row["wrong_bits"]) == (
        "classifier",
        True,
        0,
    )
    assert row["cycles"] == row["model_cycles"] > 0


def test_recorded_spikes_are_what_the_array_gets(capsys, tmp_path):
    """Every recorded sample is run, in the natural order of the inputs."""
    spikes = np.random.default_rng(0).random((4, 3, 1024)) < 0.1
    save_spikes(tmp_path / "spikes.npz", {"classifier": spikes})
    options = ["--spikes", str(tmp_path / "spikes.npz"), "--layer", "classifier"]
    assert simulate.main([*options, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["layers"]
    mask = next(
        layer.read_mask()
        for layer in open_ticket(shipped_ticket()).layers
        if layer.name == "classifier"
    )
    assert row["samples"] == 3
    assert row["busy"] == (mask[:, None, None] & spikes).sum()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layer", "nix"], "no layer 'nix'; accepted: classifier"),
        (["--layer", "features.0"], "no layer has spikes: give --spikes"),
        (["--pes", "0"], "--pes is 0; a whole number from 1"),
        (["nowhere.npz"], "nowhere.npz"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_line(options, said, capsys):
    """Errors of the user end with status 1 and one line."""
    assert simulate.main(options) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    """Masks of the shipped ticket with optimized orders."""
    folder = tmp_path_factory.mktemp("balanced")
    report = balance_ticket(shipped_ticket(), order="optimized")
    return report.save(folder / "run").masks


@pytest.fixture(scope="module")
def runs(balanced):
    """What the quantized network gives its layers, for two images and both masks."""
    pytest.importorskip("torch")
    from rtl.network import reference_engine, run_network
    from rtl.ticket_network import LabelledImages, network_of_ticket

    images = LabelledImages.of(shipped_ticket(), 2)
    networks = [
        network_of_ticket(shipped_ticket(), masks, pes=16, input_scale=images.scale)
        for masks in (None, balanced)
    ]
    return {
        barrier: [
            run_network(network, images.codes, reference_engine, barrier)
            for network in networks
        ]
        for barrier in BARRIERS
    }


@pytest.mark.parametrize("analog", [True, False])
@pytest.mark.parametrize("skip", ["weight", "dual"])
def test_every_layer_takes_the_cycles_of_the_model(runs, skip, analog):
    """Before and after balance, with every barrier; outputs are the reference's."""
    jobs = [
        of_layer[0]
        for both in runs.values()
        for run in both
        for of_layer in run.jobs.values()
        if of_layer[0].analog == analog
    ]
    assert len(jobs) == (6 if analog else 18)
    compared = compare(jobs, skip)
    different = [one for one in compared if not one.agrees]
    assert [(one.job.layer.name, one.job.barrier) for one in different] == []


def test_the_whole_network_classifies_as_in_software(runs, balanced, capsys):
    """Layer after layer on the array, images get the scores of the NumPy network."""
    options = ["--images", "2", "--masks", str(balanced), "--skip", "dual", "--json"]
    assert simulate.main(options) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["network"]["same_scores"] == 2
    scores = runs["tile"][1].scores
    assert len(np.unique(scores)) > 10
    assert [row["layer"] for row in document["layers"]] == [*runs["tile"][1].jobs]


def test_quantization_hardly_changes_what_is_recognized():
    """The quantized network classifies as many test images right, within 2 %."""
    torch = pytest.importorskip("torch")
    from rtl.network import reference_engine, run_network
    from rtl.ticket_network import LabelledImages, network_of_ticket
    from snn import load_network

    images = LabelledImages.of(shipped_ticket(), 359)
    network = network_of_ticket(shipped_ticket(), pes=16, input_scale=images.scale)
    quantized = run_network(network, images.codes, reference_engine, "tile").classes
    with torch.no_grad():
        scores = load_network(shipped_ticket()).eval()(images.images).sum(0)
    right = [
        float((classes == images.labels).mean())
        for classes in (quantized, scores.argmax(1).numpy())
    ]
    assert right[0] == pytest.approx(right[1], abs=0.02)
