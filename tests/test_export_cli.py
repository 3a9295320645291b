"""The command `export`: tables and JSON, files that read back, one line of error."""

import importlib.util
import json
import sys

import numpy as np
import pytest

import cli
from balancer import open_ticket, read_streams, shipped_ticket
from hwmodel import read_mask_text

LAYERS = ("classifier", "features.0", "features.3", "features.7")
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs the extra snn"
)


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capfd, *args):
    """Exit status, stdout and stderr of `export`, of native code too."""
    status = cli.main(["export", *map(str, args)])
    return status, *capfd.readouterr()


def exported(capfd, *args):
    """JSON of an export that must succeed."""
    status, out, err = run(capfd, *args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize("form", ["streams", "scipy", "sparseloop"])
def test_a_format_says_what_it_has_written(form, capfd, tmp_path):
    """Table and JSON have every layer, and the folder has a description."""
    status, out, err = run(capfd, form)
    assert (status, err) == (0, "")
    assert [name for name in LAYERS if f" {name} " in out] == list(LAYERS)
    known = exported(capfd, form)
    assert [layer["name"] for layer in known["layers"]] == list(LAYERS)
    assert [layer["nonzeros"] for layer in known["layers"]] == [836, 36, 130, 170]
    folder = tmp_path / known["out"]
    assert f"export: {known['out']}" in out  # the same settings, the same folder
    description = json.loads((folder / "export.json").read_text())
    assert sorted(layer["name"] for layer in description["layers"]) == list(LAYERS)
    assert all((folder / file).is_file() for file in description["files"])


def test_streams_of_balanced_masks(capfd):
    """Masks of `balance` bring their order, map and PEs; streams are equally long."""
    assert cli.main(["balance", "--pes", "8", "--out", "masks.npz"]) == 0
    capfd.readouterr()
    known = exported(capfd, "streams", "--masks", "masks.npz", "--out", "rtl.npz")
    masks = {layer.name: layer.read_mask() for layer in open_ticket("masks.npz").layers}
    for layer in known["layers"]:
        streams = read_streams("rtl.npz")[layer["name"]]
        assert layer["pes"] == streams.pes == 8
        assert np.array_equal(streams.mask(), masks[layer["name"]])
        present = streams.lengths.max(axis=1, keepdims=True) * (streams.lengths > 0)
        assert np.array_equal(streams.lengths, present)
        assert layer["slowest"] == streams.lengths.max(axis=1).sum()
    assert "zero in the ticket; train them" in known["notes"][0]


def test_sparseloop_gets_the_masks_in_the_order_of_the_pes(capfd, tmp_path):
    """A file of zeros and ones has its channels where the PEs take them."""
    assert cli.main(["balance", "--order", "optimized", "--out", "masks.npz"]) == 0
    capfd.readouterr()
    known = exported(capfd, "sparseloop", "--masks", "masks.npz")
    for layer in open_ticket("masks.npz").layers:
        text = tmp_path / known["out"] / f"{layer.name}.weights.txt"
        mask = layer.read_mask()
        for schedule in layer.read_schedules():
            mask = schedule.apply(mask)
        assert np.array_equal(read_mask_text(text, mask.shape), mask)


def test_sanafe_counts_beside_the_model(capfd):
    """`--run` shows its cycles, and nothing of what it prints itself."""
    pytest.importorskip("sanafe", reason="needs the extra validate")
    known = exported(capfd, "sanafe", "--run", "--spike-rate", 0.2)
    assert [layer["name"] for layer in known["layers"]] == list(LAYERS[2:] + LAYERS[:1])
    for layer in known["layers"]:
        assert layer["sanafe"] == layer["cycles"] > 0
    assert known["notes"][0].startswith("left out, since their input is analog")
    assert "drawn" in known["notes"][1]
    more = exported(capfd, "sanafe", "--spike-rate", 0.2, "--spiking-input")
    assert len(more["layers"]) == len(LAYERS)


@needs_torch
def test_torch_and_nir_write_whole_networks(capfd, tmp_path):
    """Both lie in a folder with a description, and read back as tickets or graphs."""
    known = exported(capfd, "torch", "--prune-keys", "--permute")
    network = open_ticket(tmp_path / known["out"] / "network.pt")
    assert {layer.name for layer in network.layers} == set(LAYERS)
    nir = pytest.importorskip("nir", reason="needs the extra export")
    known = exported(capfd, "nir", shipped_ticket())
    graph = nir.read(tmp_path / known["out"] / "network.nir")
    assert set(LAYERS) < set(graph.nodes)


@needs_torch
def test_normalization_is_folded_into_streams(capfd):
    """With `--fold` the streams have the weights of both, and their biases."""
    from snn import MaskedNetwork, fold_normalization

    exported(capfd, "streams", "--fold", "--out", "rtl.npz")
    folded = fold_normalization(MaskedNetwork.of(shipped_ticket()))
    for name, streams in read_streams("rtl.npz").items():
        assert np.array_equal(streams.weights(), folded[name].weight)
        if folded[name].bias is None:
            assert streams.bias is None
        else:
            assert np.array_equal(streams.bias, folded[name].bias)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("onnx", 2, "invalid choice: 'onnx'"),
        ("nir --bits 8", 2, "--bits is for streams, and not for nir"),
        ("scipy --permute", 2, "--permute is for torch, and not for scipy"),
        ("torch --map grid:2x2", 2, "--map is for streams, sanafe, scipy"),
        ("streams --layers nix", 2, "matches no layer"),
        ("streams --map nix", 1, "unknown PE map 'nix'; accepted: output_channel"),
        ("streams --pes 0", 1, "a whole number from 1 is needed"),
        ("streams --bits 40", 1, "accepted are 2 to 16"),
        ("streams nowhere.npz", 1, "nowhere.npz"),
        ("streams --masks here.npz", 1, "here.npz: the masks are of other"),
        ("streams --out there.txt/rtl", 1, "there.txt"),
        ("streams --out .", 1, "is no earlier export alone"),
        ("sanafe --map input_channel", 1, "accepted are maps of whole output channels"),
    ],
)
def test_a_mistake_takes_one_line(options, status, said, capfd, tmp_path):
    """Exit status 2 for wrong options, 1 for work that failed; nothing is left."""
    np.savez("here.npz", other=np.ones((2, 2)))
    (tmp_path / "there.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    found, out, err = run(capfd, *options.split())
    assert (found, out) == (status, "")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@needs_torch
@pytest.mark.parametrize("options", ["nir", "torch --permute", "streams --fold"])
def test_a_file_without_its_network_is_refused(options, capfd):
    """What runs a network says which files have one, and what else there is."""
    np.savez("own.npz", fc=np.ones((2, 2)))
    form, *others = options.split()
    status, out, err = run(capfd, form, "own.npz", *others)
    assert (status, out) == (1, "")
    assert "own.npz: no ticket of a lottery run; accepted are tickets" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("package", "options", "said"),
    [
        ("nir", "nir", "[export]"),
        ("sanafe", "sanafe --run", "[validate]"),
    ],
)
def test_a_package_that_is_missing_is_named(package, options, said, capfd, monkeypatch):
    """One line says what the format needs, and how to install it."""
    if package == "nir":
        pytest.importorskip("torch", reason="without it, that is what is missing")
    monkeypatch.setitem(sys.modules, package, None)
    status, out, err = run(capfd, *options.split())
    assert (status, out) == (1, "")
    assert f"python -m pip install -e '.{said}'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("options", ["nir", "torch", "streams --fold"])
def test_without_torch_networks_cannot_be_exported(options, capfd, monkeypatch):
    """Formats that run a network say that they need torch; the others do without."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "snn.lottery.run", raising=False)
    status, _, err = run(capfd, *options.split())
    assert status == 2
    assert "needs torch and spikingjelly" in err
