"""Other people's tools count what the hardware model counts, and a difference shows."""

import importlib.util

import numpy as np
import pytest
import yaml

from hwmodel import LayerWorkload, load_spikes
from validation import arrays, eyeriss_v2, forms, published, recorded, sanafe_cores
from validation.__main__ import main

needs_sanafe = pytest.mark.skipif(
    importlib.util.find_spec("sanafe") is None, reason="needs the extra validate"
)


@needs_sanafe
def test_sanafe_counts_the_cycles_of_the_model():
    """Twenty linear layers, four convolutions or more, and the ticket, on both maps."""
    assert len(sanafe_cores.linear_layers()) >= 20
    assert len(sanafe_cores.convolutions()) >= 4
    check = sanafe_cores.check()
    assert check.holds
    for *_, ours, theirs, equal in check.rows:
        assert ours == theirs > 0
        assert len(set(equal.split(" of "))) == 1
    # Before and after balance, of each map.
    assert check.rows[3][2] < check.rows[2][2]
    assert check.rows[7][2] < check.rows[6][2]


def test_the_layers_tell_barriers_apart(monkeypatch):
    """With another barrier in the model as many differ as the document says, of 68."""
    layers = [
        *sanafe_cores.linear_layers(),
        *sanafe_cores.convolutions(),
        *recorded.ticket_layers(images=1),
        *recorded.ticket_layers(balanced=True, images=1),
    ]
    cases = [(layer, mapping) for layer in layers for mapping in sanafe_cores.MAPS]
    cycles = [sanafe_cores.cycles_of_model(*case) for case in cases]
    assert len(cases) == 68
    for barrier, said in (("pixel", 24), ("tile", 45), ("layer", 51)):

        def other(other=barrier, **fields):
            return arrays.pe_array(**fields | {"barrier": other})

        monkeypatch.setattr(sanafe_cores, "pe_array", other)
        others = [sanafe_cores.cycles_of_model(*case) for case in cases]
        different = sum(a != b for a, b in zip(cycles, others, strict=True))
        assert different == said


def test_a_difference_of_one_cycle_shows(monkeypatch, capsys):
    """The row says how many layers are equal, and the status is 1."""
    monkeypatch.setattr(sanafe_cores, "MAPS", ("interleaved",))
    monkeypatch.setattr(
        sanafe_cores,
        "cycles_of_sanafe",
        lambda layer, mapping: (
            sanafe_cores.cycles_of_model(layer, mapping) + (layer.name == "layer 3")
        ),
    )
    assert main(["sanafe"]) == 1
    said = capsys.readouterr().out
    assert "19 of 20" in said
    assert "7 of 8" in said
    assert "2 layers differ" in said


@needs_sanafe
@pytest.mark.parametrize("mapping", sanafe_cores.MAPS)
def test_messages_that_wait_never_save_time(mapping):
    """With its network on chip a layer takes its slowest core's time at least."""
    layer = sanafe_cores.convolutions(1)[0]
    least = sanafe_cores.cycles_of_model(layer, mapping)
    for buffer in (1, 64):
        waited = sanafe_cores.cycles_of_sanafe(layer, mapping, 16, "detailed", buffer)
        assert waited >= least > 0


@pytest.fixture
def artifact(tmp_path):
    """A folder in the format of Sparseloop's artifact, and what its layers are."""
    rng = np.random.default_rng(0)
    (tmp_path / eyeriss_v2.MASKS).mkdir(parents=True)
    (tmp_path / eyeriss_v2.CYCLES.parent).mkdir()
    cycles = {}
    for name, outputs, inputs, height, width in (
        ("L07", 6, 4, 3, 5),
        ("L09", 3, 8, 2, 2),
    ):
        weights = rng.random((outputs, inputs)) < 0.5
        activations = rng.random((height, width, inputs)) < 0.6
        cycles[name] = int(
            np.einsum("mc,hwc->", weights.astype(int), activations.astype(int))
        )
        sizes = {"M": outputs, "C": inputs, "F": height, "E": width, "R": 1, "S": 1}
        (tmp_path / eyeriss_v2.PROBLEMS / f"{name}.yaml").write_text(
            yaml.safe_dump({"problem": {"instance": sizes}})
        )
        for mask, kind in ((weights.T, "weights"), (activations, "iacts")):
            text = "".join(map(str, mask.astype(int).reshape(-1)))
            (tmp_path / eyeriss_v2.MASKS / f"{name}_{kind}.txt").write_text(text)
    # Cycles of layers without masks are published too.
    (tmp_path / eyeriss_v2.CYCLES).write_text(yaml.safe_dump(cycles | {"L11": 7}))
    return tmp_path


def test_a_folder_of_eyeriss_v2_is_read_and_compared(artifact, capsys):
    """Cycles of a PE are the kept weights that meet an activation, in each layer."""
    assert main(["eyeriss-v2", str(artifact)]) == 0
    said = capsys.readouterr().out
    assert "2 of 2 layers take the published cycles" in said
    known = yaml.safe_load((artifact / eyeriss_v2.CYCLES).read_text())
    known["L09"] += 1
    (artifact / eyeriss_v2.CYCLES).write_text(yaml.safe_dump(known))
    assert main(["eyeriss-v2", str(artifact)]) == 1
    said = capsys.readouterr().out
    assert "differs" in said
    assert "1 of 2 layers take the published cycles" in said


def test_another_folder_takes_one_line(artifact, tmp_path, capsys):
    """What is missing or of the wrong size is named with its file."""
    (artifact / eyeriss_v2.MASKS / "L09_iacts.txt").write_text("0110")
    assert main(["eyeriss-v2", str(artifact)]) == 1
    first = capsys.readouterr().err
    assert "L09_iacts.txt" in first
    assert "32 zeros and ones are needed" in first
    (artifact / eyeriss_v2.MASKS / "L09_iacts.txt").unlink()
    assert main(["eyeriss-v2", str(artifact)]) == 1
    assert "L09_iacts.txt" in capsys.readouterr().err
    assert main(["eyeriss-v2", str(tmp_path / "nowhere")]) == 1
    assert "fig12_eyerissv2_pe_setup" in capsys.readouterr().err
    assert first.count("\n") == 1


def test_mint_and_sato_are_the_published_forms_on_recorded_spikes():
    """Every layer of the shipped ticket's network that sees spikes, four digits."""
    check = forms.check()
    assert check.holds
    assert len(check.rows) == 6
    spikes = {row[1]: row[2] for row in check.rows}
    assert spikes["classifier"] == load_spikes(recorded.FILE)["classifier"].sum()


def test_unfolded_spikes_are_those_that_windows_see():
    """Strides and padding, counted window by window."""
    rng = np.random.default_rng(1)
    seen = (rng.random((2, 3, 2, 5, 7)) < 0.5).astype(np.uint8)
    layer = LayerWorkload(
        "conv", np.ones((1, 2, 3, 2)), (2, 5, 7), (2, 3), (1, 2), spikes=seen
    )
    height, width = layer.output_size
    padded = np.pad(seen, [(0, 0)] * 3 + [(1, 1), (2, 2)])
    rows = [
        [
            padded[t, sample, :, 2 * y : 2 * y + 3, 3 * x : 3 * x + 2].sum()
            for t in range(2)
            for y in range(height)
            for x in range(width)
        ]
        for sample in range(3)
    ]
    assert np.array_equal(forms.unfolded(layer), rows)


@pytest.mark.parametrize("known", published.LOAS, ids=lambda known: known.name)
def test_drawn_layers_have_the_published_sparsities(known):
    """Of weights exactly, of spikes and packed spikes within 0.3 points."""
    layers = published.layers(known)
    spikes = np.concatenate(
        [layer.spikes.reshape(published.STEPS, -1) for layer in layers], axis=1
    )
    kept = sum(int(layer.mask.sum()) for layer in layers)
    weights = sum(layer.mask.size for layer in layers)
    assert 100 * (1 - kept / weights) == pytest.approx(known.weights, abs=1e-3)
    assert 100 * (1 - spikes.mean()) == pytest.approx(known.spikes, abs=0.3)
    assert 100 * (1 - spikes.any(axis=0).mean()) == pytest.approx(known.packed, abs=0.3)


def test_balanced_layers_have_equal_loads():
    """Every PE of a tile keeps as many weights, and none more than the budget."""
    known = published.LOAS[0]
    for even, drawn in zip(
        published.layers(known, balanced=True), published.layers(known), strict=True
    ):
        loads = even.mask.reshape(-1, 16, even.mask[0].size).sum(axis=2)
        assert (loads == loads[:, :1]).all()
        assert 0 <= drawn.mask.sum() - even.mask.sum() < 16


def test_recorded_spikes_are_those_of_the_shipped_ticket():
    """Run again, at most one of a hundred differs: processors round differently."""
    pytest.importorskip("torch")
    kept = load_spikes(recorded.FILE)
    again = recorded.recorded_anew()
    assert (
        list(kept) == list(again) == [layer.name for layer in recorded.ticket_layers()]
    )
    for name, spikes in again.items():
        assert kept[name].shape == spikes.shape
        assert (kept[name] != spikes).mean() < 0.01
