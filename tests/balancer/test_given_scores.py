"""Any file of scores ranks the weights of any ticket, or says what is wrong with it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import cli
from balancer import (
    ArrayLayer,
    BalancerError,
    balance_network,
    balance_ticket,
    open_ticket,
    shipped_ticket,
)

SHAPES = {"a": (8, 6), "b.c": (4, 3, 2)}


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) for name, shape in SHAPES.items()}


@pytest.fixture
def ticket(tmp_path):
    """Weights whose magnitudes say nothing."""
    np.savez(tmp_path / "net.npz", **{n: np.ones(s) for n, s in SHAPES.items()})
    return open_ticket(tmp_path / "net.npz")


def assert_ranked_by(ticket, scores, expected):
    """Masks are those of layers that have the scores themselves."""
    found = balance_ticket(ticket, scores=scores, sparsity=0.5, pes=4)
    layers = [ArrayLayer(name, array) for name, array in expected.items()]
    other = balance_network(layers, sparsity=0.5, pes=4)
    for name, mask in other.masks.items():
        assert np.array_equal(found.solution.masks[name], mask)
    return found


@pytest.mark.parametrize("ending", ["", ".score"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_files_of_all_formats_rank(ticket, tmp_path, suffix, ending):
    """Under the name of the layer or NAME.score, beside arrays of anything else."""
    scores = arrays()
    held = {name + ending: array for name, array in scores.items()}
    held["bias"] = np.ones(3)
    path = tmp_path / f"scores{suffix}"
    if suffix == ".npz":
        np.savez(path, **held)
    elif suffix == ".safetensors":
        save_file(held, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({key: torch.from_numpy(one) for key, one in held.items()}, path)
    found = assert_ranked_by(ticket, path, scores)
    assert found.ranked_by == f"the scores of {path.name}"
    assert path in found.inputs
    assert found.settings["scores"] == str(path)


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["f2", "f4", "f8", "u1", "?"]))
def test_scores_in_memory_rank_whatever_their_type(tmp_path_factory, seed, dtype):
    """One that is named as a score goes before a bare one."""
    path = tmp_path_factory.getbasetemp() / "type.npz"
    np.savez(path, **{n: np.ones(s) for n, s in SHAPES.items()})
    rng = np.random.default_rng(seed)
    scores = {n: rng.integers(0, 5, s).astype(dtype) for n, s in SHAPES.items()}
    held = {f"{name}.score": array for name, array in scores.items()}
    wrong = {name: -array.astype(float) for name, array in scores.items()}
    ticket = open_ticket(path)
    plain = {n: one.astype(np.float64) for n, one in scores.items()}
    layers = [ArrayLayer(n, a, np.ones(a.shape, bool)) for n, a in plain.items()]
    other = balance_network(layers, sparsity=0.5, pes=4)
    found = balance_ticket(ticket, scores=held | wrong, sparsity=0.5, pes=4)
    assert found.solution.kept == other.kept


def test_only_layers_that_take_part_need_scores(ticket):
    """Others may be missing; a layer without is named with what there is."""
    scores = {"a": arrays()["a"]}
    assert balance_ticket(ticket, scores=scores, layers="a", pes=4).ranked_by
    with pytest.raises(BalancerError, match=r"no scores of b\.c.*there are a;.*--skip"):
        balance_ticket(ticket, scores=scores, pes=4)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (np.ones((6, 8)), r"a has shape \(6, 8\), the weights of a \(8, 6\)"),
        (-np.ones((8, 6)), "finite and at least 0"),
        (np.full((8, 6), np.nan), "finite and at least 0"),
        (np.ones((8, 6), complex), "real numbers are needed"),
        (np.full((8, 6), "x"), "real numbers are needed"),
    ],
)
def test_scores_that_rank_nothing_are_refused(ticket, changed, said):
    """With the name of what holds them, in one line."""
    with pytest.raises(BalancerError, match=said) as caught:
        balance_ticket(ticket, scores=arrays() | {"a": changed}, pes=4)
    assert "scores" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused(ticket, tmp_path):
    """Missing, damaged, or of Python objects."""
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 nothing")
    objects = tmp_path / "objects.npz"
    np.savez(objects, a=np.array([[{}]], object))
    for path in (tmp_path / "none.npz", broken, objects):
        with pytest.raises(BalancerError, match=path.name):
            balance_ticket(ticket, scores=path, pes=4)


def test_scores_follow_the_axes_of_the_file(tmp_path):
    """They lie as the weights do in their file, also where inputs come first."""
    scores = np.random.default_rng(0).random((6, 8))
    np.savez(tmp_path / "net.npz", a=np.ones((6, 8)))
    ticket = open_ticket(tmp_path / "net.npz", {"*": "io"})
    assert_ranked_by(ticket, {"a": scores}, {"a": scores.T})
    with pytest.raises(BalancerError, match="has shape"):
        ticket.with_scores({"a": scores.T})


def test_a_pruned_layer_keeps_its_mask_under_other_scores(tmp_path):
    """Scores rank; what was pruned is for the masks or the zeros of the weights."""
    weights = np.ones((4, 4))
    weights[:, 2:] = 0
    np.savez(tmp_path / "net.npz", a=weights)
    scored = open_ticket(tmp_path / "net.npz").with_scores({"a": np.ones((4, 4))})
    assert np.array_equal(scored.layers[0].read().mask, weights != 0)


def test_what_a_ticket_of_scores_has_pruned_stays_pruned(tmp_path):
    """Where its own scores are zero, whatever other scores say."""
    own = np.eye(4)
    np.savez(tmp_path / "net.npz", **{"a.score": own})
    scored = open_ticket(tmp_path / "net.npz").with_scores({"a": np.ones((4, 4))})
    assert np.array_equal(scored.layers[0].read().mask, own != 0)


def test_masks_alone_become_a_ticket_with_scores(tmp_path):
    """They have neither weights nor scores of their own."""
    mask = np.eye(4, dtype=bool)
    np.savez(tmp_path / "net.npz", **{"a.mask": mask})
    ticket = open_ticket(tmp_path / "net.npz")
    with pytest.raises(BalancerError, match="neither weights nor scores"):
        ticket.layers[0].read()
    read = ticket.with_scores({"a": np.ones((4, 4))}).layers[0].read()
    assert np.array_equal(read.mask, mask)


def test_what_ranks_is_said(tmp_path):
    """The kind of a ticket's scores too, and which layers have none."""
    assert open_ticket(shipped_ticket()).ranked_by == "NAME.score"
    ones = np.ones((2, 2), np.float32)
    path = tmp_path / "net.safetensors"
    held = {"a.weight": ones, "a.score": ones, "b.weight": ones}
    save_file(held, path, {"ticket": json.dumps({"score": "gradient"})})
    said = "NAME.score (gradient) of a; weight magnitudes of b"
    assert open_ticket(path).ranked_by == said


def test_the_command_says_by_what_it_ranked(ticket, tmp_path, monkeypatch, capsys):
    """In its text and its JSON; the file of scores is never written over."""
    monkeypatch.chdir(tmp_path)
    np.savez("scores.npz", **arrays())
    asked = ["balance", "net.npz", "--scores", "scores.npz", "--sparsity", "0.5"]
    assert cli.main([*asked, "--pes", "4"]) == 0
    assert "ranked by the scores of scores.npz" in capsys.readouterr().out
    assert cli.main([*asked, "--pes", "4", "--json"]) == 0
    network = json.loads(capsys.readouterr().out)["network"]
    assert network["ranked_by"] == "the scores of scores.npz"
    assert cli.main([*asked, "--out", "scores.npz"]) == 2
    assert "which is the input" in capsys.readouterr().err
