"""Tickets are read layer by layer, never unpickled, and written whole or not at all."""

import os
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from balancer import Schedule, TicketError, open_ticket, save_masks, shipped_ticket
from balancer.files.array_files import save_arrays
from balancer.files.atomic import replacing
from balancer.files.safetensors_files import SafetensorsFile

RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
SCORE = np.abs(DENSE)
MASK = SCORE > 0.7
PRUNED = DENSE * MASK


def written(tmp_path, arrays, suffix=".safetensors"):
    path = tmp_path / f"ticket{suffix}"
    save_arrays(path, arrays, {"round": 3})
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize(
    ("arrays", "name", "scores", "mask"),
    [
        ({"a.weight": PRUNED, "a.mask": MASK, "a.score": SCORE}, "a", SCORE, MASK),
        ({"a.weight": PRUNED, "a.mask": MASK}, "a", np.abs(PRUNED), MASK),
        ({"a.weight": PRUNED}, "a", np.abs(PRUNED), MASK),
        ({"a.b.weight": DENSE, "a.b.bias": np.ones(4)}, "a.b", SCORE, DENSE != 0),
        ({"kernel": PRUNED}, "kernel", np.abs(PRUNED), MASK),
        ({"a.weight_orig": DENSE, "a.weight_mask": MASK * 1.0}, "a", SCORE, MASK),
        ({"a.score": SCORE, "a.mask": MASK}, "a", SCORE, MASK),
        ({"a.w_l0_orig": DENSE, "a.w_l0_mask": MASK * 1.0}, "a.w_l0", SCORE, MASK),
        ({"w_orig": DENSE, "w_mask": MASK}, "w", SCORE, MASK),
        ({"w": PRUNED, "w_mask": MASK}, "w", np.abs(PRUNED), MASK),
    ],
)  # fmt: skip
def test_every_kind_of_layer_is_understood(
    tmp_path, suffix, arrays, name, scores, mask
):
    """Scores come from `score`, else weights; masks from `mask`, else from zeros."""
    ticket = open_ticket(written(tmp_path, arrays, suffix))
    [layer] = ticket.layers
    read = layer.read()
    assert (layer.name, layer.shape) == (name, DENSE.shape)
    np.testing.assert_array_equal(read.scores, scores)
    np.testing.assert_array_equal(read.mask, mask)
    assert ticket.metadata == {"round": 3}


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 2], [0.0, 1.0, 2.0, 3.0]])
def test_an_order_that_is_none_is_refused(tmp_path, order):
    """An order names every output channel once."""
    path = written(tmp_path, {"a.weight": PRUNED, "a.order": np.array(order)})
    [layer] = open_ticket(path).layers
    with pytest.raises(TicketError, match=r"layer a: its order.* no permutation"):
        layer.read_schedules()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_masks_survive_a_round_trip(tmp_path, suffix):
    """Masks, orders and metadata are read back as they were written."""
    path, schedule = tmp_path / f"masks{suffix}", Schedule(0, [2, 0, 3, 1])
    save_masks(path, {"a": MASK}, {"pes": 16}, {"a": schedule})
    ticket = open_ticket(path)
    [layer] = ticket.layers
    assert ticket.metadata == {"pes": 16}
    assert layer.roles == {"mask": "a.mask", "order": "a.order"}
    np.testing.assert_array_equal(layer.read_mask(), MASK)
    assert layer.read_schedules() == (schedule,)
    with pytest.raises(TicketError, match="layer a: it has a mask, but neither wei"):
        layer.read()


def test_the_shipped_ticket_is_a_pruned_network():
    """The ticket in the package has four layers, 98.2 % sparse, and says what it is."""
    ticket = open_ticket(shipped_ticket())
    masks = [layer.read().mask for layer in ticket.layers]
    sparsity = 1 - sum(m.sum() for m in masks) / sum(m.size for m in masks)
    assert len(masks) == 4
    assert sparsity == pytest.approx(1 - 0.75**14, abs=2e-5)
    assert ticket.metadata["architecture"] == "conv3"
    listed = {layer["name"] for layer in ticket.metadata["layers"]}
    assert listed == {layer.name for layer in ticket.layers}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a.weight": DENSE, "a.mask": MASK}, "weights are not zero where the mask"),
        ({"a.weight": PRUNED, "a.mask": MASK[:2]}, "has shape"),
        ({"a.weight": PRUNED, "a.mask": PRUNED}, "values other than 0 and 1"),
        ({"a.mask": MASK}, "neither weights nor scores"),
    ],
)
def test_arrays_that_disagree_are_refused(tmp_path, arrays, message):
    """Mask, weight and score of a layer have to fit together; the error names it."""
    [layer] = open_ticket(written(tmp_path, arrays)).layers
    with pytest.raises(TicketError, match=message) as caught:
        layer.read()
    assert "layer a" in str(caught.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {"a.weight": DENSE, "a.mask": np.ones((4, 3, 3, 2), bool)},
        {"a.weight": DENSE, "a.mask": np.ones(4, bool)},
        {"a.weight": DENSE, "a.score": np.ones(4)},
        {"a.score": SCORE, "a.order": np.arange(4), "a.mask": MASK[:2]},
    ],
)
def test_shapes_that_disagree_are_refused_for_the_mask_alone(tmp_path, arrays):
    """A mask is never read as if the weights had its shape, or none were there."""
    [layer] = open_ticket(written(tmp_path, arrays)).layers
    for read in (layer.read, layer.read_mask):
        with pytest.raises(TicketError, match="need the same"):
            read()


def test_masks_and_empty_arrays_beside_weights_are_left_out_and_named(tmp_path):
    """A causal mask of attention or an empty table does not stop the other layers."""
    arrays = {
        "attn.in_proj_weight": DENSE[:, :, 0, 0],
        "attn.mask": np.ones((1, 1, 4, 4)),
        "table.weight": np.ones((4, 0)),
    }
    ticket = open_ticket(written(tmp_path, arrays))
    assert [layer.name for layer in ticket.layers] == ["attn.in_proj_weight"]
    assert ticket.left_out == {
        "attn.mask": "a mask without weights",
        "table.weight": "empty",
    }
    with pytest.raises(TicketError, match=r"left out, .*: a\.weight \(empty\)"):
        open_ticket(written(tmp_path, {"a.weight": np.ones((2**20, 0))}))


def test_parameters_that_are_added_are_no_layers(tmp_path):
    """Tokens, positions and biases of two or more dimensions multiply nothing."""
    arrays = {
        "cls_token": np.ones((1, 1, 8)),
        "encoder.pos_embedding": np.ones((1, 5, 8)),
        "block.relative_position_bias_table": np.ones((9, 2)),
        "attn.bias": np.ones((1, 1, 4, 4)),
        "attn.out_proj.weight": np.eye(4),
        "embed_tokens.weight": np.eye(4),
        "token": np.eye(4),
    }
    ticket = open_ticket(written(tmp_path, arrays, ".npz"))
    names = [layer.name for layer in ticket.layers]
    assert names == ["attn.out_proj", "embed_tokens", "token"]
    assert ticket.left_out == {
        "cls_token": "added to what comes in",
        "encoder.pos_embedding": "added to what comes in",
        "block.relative_position_bias_table": "added to what comes in",
        "attn.bias": "a bias",
    }


def files_that_are_no_tickets(tmp_path):
    good = written(tmp_path, {"a.weight": PRUNED}).read_bytes()
    zipped = written(tmp_path, {"a.weight": PRUNED}, ".npz").read_bytes()
    yield "empty.safetensors", b"", "is empty"
    yield "text.safetensors", b"not a ticket at all", "no readable safetensors"
    yield "cut.safetensors", good[:-20], "no readable safetensors"
    yield "huge.safetensors", struct.pack("<Q", 2**60), "no readable safetensors"
    yield "empty.npz", b"", "is empty"
    yield "text.npz", b"not a ticket at all", "no readable .npz"
    yield "cut.npz", zipped[:-30], "no readable .npz"
    yield "ticket.bin", b"not a ticket at all", "accepted: .safetensors, .npz"


def test_damaged_and_foreign_files_are_refused(tmp_path):
    """Every file that is no ticket is refused in one line that names it."""
    for name, content, message in files_that_are_no_tickets(tmp_path):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(TicketError, match=message) as caught:
            open_ticket(path)
        assert name in str(caught.value)
    with pytest.raises(TicketError, match="no such file"):
        open_ticket(tmp_path / "missing.npz")
    with pytest.raises(TicketError, match="no weights or masks of two or more"):
        open_ticket(written(tmp_path, {"bias": np.ones(3)}))


def test_pickled_objects_are_never_loaded(tmp_path):
    """An .npz with objects in it is refused without running what they say."""
    marker = tmp_path / "ran"

    class Malice:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path = tmp_path / "objects.npz"
    np.savez(path, **{"a.weight": np.array([[Malice()]], dtype=object)})
    with pytest.raises(TicketError, match="would have to be unpickled"):
        open_ticket(path)
    assert not marker.exists()


def test_what_prune_leaves_of_one_parameter_does_not_hide_another(tmp_path):
    """`_orig` and `_mask` belong together by parameter; alone they are bare names."""
    arrays = {
        "rnn.weight_ih_l0_mask": MASK * 1.0,
        "rnn.weight_ih_l0_orig": DENSE,
        "rnn.weight_hh_l0": DENSE,
        "lone_orig": DENSE,
    }
    ticket = open_ticket(written(tmp_path, arrays))
    assert {layer.name: set(layer.roles) for layer in ticket.layers} == {
        "rnn.weight_ih_l0": {"unpruned", "mask"},
        "rnn.weight_hh_l0": {"weight"},
        "lone_orig": {"weight"},
    }


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_buffers_are_no_layers_and_are_named(tmp_path, suffix):
    """Tables of bool and integers and factors of weights are left out, and said so."""
    buffers = {
        "attn.bias": (np.tril(np.ones((4, 4), np.bool_)), "bool"),
        "table": (np.arange(16).reshape(4, 4), "integers"),
        "packed.qweight": (np.ones((4, 4), np.int32), "integers"),
        "c.weight_g": (np.ones((4, 1, 1, 1), np.float32), "factors of weights"),
        "c.weight_scale": (np.ones((4, 1), np.float32), "factors of weights"),
    }
    arrays = {name: array for name, (array, _) in buffers.items()}
    weights = {
        "c.weight_v": DENSE,
        "quantized.weight": np.full((4, 4), -3, np.int8),
        "quantized.in_proj_weight": np.full((4, 4), 3, np.uint8),
    }
    ticket = open_ticket(written(tmp_path, arrays | weights, suffix))
    names = {layer.name for layer in ticket.layers}
    assert names == {"c.weight_v", "quantized", "quantized.in_proj_weight"}
    left_out = {name: kind for name, kind in ticket.left_out.items() if name in buffers}
    assert left_out == {name: kind for name, (_, kind) in buffers.items()}
    [note] = ticket.notes
    assert note.startswith("left out, being no weights: ")
    assert "attn.bias (bool)" in note
    with pytest.raises(TicketError, match=r"no weights or masks.*attn\.bias \(bool\)"):
        open_ticket(written(tmp_path, arrays, suffix))


def test_texts_are_no_layers(tmp_path):
    """Arrays of texts and dates stand beside the weights without being any."""
    arrays = {
        "a.weight": PRUNED,
        "classes": np.array([["cat", "dog"]]),
        "made": np.zeros((1, 1), "datetime64[D]"),
    }
    np.savez(tmp_path / "w.npz", **arrays)
    ticket = open_ticket(tmp_path / "w.npz")
    assert [layer.name for layer in ticket.layers] == ["a"]
    assert set(ticket.left_out) == {"classes", "made"}


@pytest.mark.parametrize(
    ("names", "role"),
    [(("a.weight", "a"), "weight"), (("a.mask", "a.weight_mask"), "mask")],
)
def test_two_arrays_in_one_role_are_refused(tmp_path, names, role):
    """Which of two weights or masks of one layer is meant is not guessed."""
    path = written(tmp_path, dict.fromkeys(names, MASK * 1.0))
    with pytest.raises(
        TicketError, match=f"both claim to be the {role} of layer a"
    ) as e:
        open_ticket(path)
    assert all(name in str(e.value) for name in (path.name, *names))


def test_bool_weights_are_a_mask(tmp_path):
    """`NAME.weight` of bool says what is kept: masks saved under the weights' names."""
    [layer] = open_ticket(written(tmp_path, {"a.weight": MASK})).layers
    np.testing.assert_array_equal(layer.read_mask(), MASK)
    with pytest.raises(TicketError, match="neither weights nor scores"):
        layer.read()


def test_the_least_integer_has_a_magnitude(tmp_path):
    """A weight of -128 in int8 scores 128."""
    weights = np.array([[-128, 127], [0, -1]], np.int8)
    [layer] = open_ticket(written(tmp_path, {"a.weight": weights})).layers
    assert layer.read().scores.tolist() == [[128, 127], [0, 1]]


def test_one_layer_is_read_without_the_others(tmp_path):
    """Reading a layer leaves the arrays of the other layers on the disk."""
    path = tmp_path / "two.safetensors"
    save_file({"small.weight": PRUNED, "large.weight": np.ones((2000, 1000))}, path)
    import tracemalloc

    layers = {layer.name: layer for layer in open_ticket(path).layers}
    tracemalloc.start()
    layers["small"].read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert SafetensorsFile(path).read("large.weight").nbytes == 16_000_000


def test_files_appear_complete_or_not_at_all(tmp_path):
    """A failure leaves neither files nor folders behind, success exactly the files."""
    first, second = tmp_path / "new" / "deep" / "a.txt", tmp_path / "b.txt"

    def fail_halfway():
        with replacing(first, second) as (one, _):
            one.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []
    with replacing(first, second) as (one, two):
        one.write_text("1")
        two.write_text("2")
    assert sorted(p.name for p in tmp_path.rglob("*.txt")) == ["a.txt", "b.txt"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "a.txt",
        "b.txt",
        "deep",
        "new",
    ]


def test_the_real_error_is_not_hidden_by_tidying_up(tmp_path):
    """A failure is told as it is where others have put files beside ours meanwhile."""

    def fail_beside_another():
        with replacing(tmp_path / "new" / "masks.npz"):
            (tmp_path / "new" / "other.txt").write_text("another process")
            raise TicketError("the real reason")

    with pytest.raises(TicketError, match="the real reason"):
        fail_beside_another()
    assert [path.name for path in tmp_path.rglob("*.*")] == ["other.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A path through a file cannot be written, and the error says which."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TicketError, match=r"cannot write .*file"),
        replacing(tmp_path / "file" / "masks.npz"),
    ):
        pass


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_have_the_permissions_of_any_new_file(tmp_path, umask):
    """What the umask withholds from a file, it withholds from ours."""
    before = os.umask(umask)
    try:
        (tmp_path / "plain").write_text("")
        with replacing(tmp_path / "ours") as (temporary,):
            temporary.write_text("")
    finally:
        os.umask(before)
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "ours")}
    assert len(modes) == 1


def told(tmp_path, metadata, **arrays):
    path = tmp_path / "told.safetensors"
    save_arrays(path, {"a.weight": PRUNED, **arrays}, metadata)
    return path


def test_the_list_of_layers_decides_what_a_layer_is(tmp_path):
    """Matrices that a ticket does not list are left out, and named."""
    metadata = {"layers": [{"name": "a"}, {"name": "not here"}]}
    recurrent = {"lstm.weight_ih_l0": np.ones((4, 2)), "up.weight": DENSE}
    path = told(tmp_path, metadata, **recurrent)
    ticket = open_ticket(path)
    assert [layer.name for layer in ticket.layers] == ["a"]
    assert ticket.unlisted == ("lstm.weight_ih_l0", "up")
    assert ticket.notes == (
        "left out, not being in the ticket's list of layers: lstm.weight_ih_l0, up.",
    )
    masks = {"a": MASK, "up": MASK}
    save_masks(tmp_path / "masks.npz", masks, {"ticket": metadata})
    assert open_ticket(tmp_path / "masks.npz").unlisted == ("up",)


@pytest.mark.parametrize(
    "layers", [5, {}, [], ["a"], [{"name": 1}], [{"name": "other"}], None]
)
def test_a_list_of_something_else_decides_nothing(tmp_path, layers):
    """Metadata that name none of the arrays leave all of them layers."""
    ticket = open_ticket(told(tmp_path, {"layers": layers}, b=PRUNED))
    assert [layer.name for layer in ticket.layers] == ["a", "b"]
    assert not ticket.notes


def test_rates_tell_the_time_steps_and_cannot_contradict_them(tmp_path):
    """Rates [T, channels] are of as many steps as the ticket says, if it says any."""
    rates = {"a.rates": np.full((2, 3), 0.1)}
    assert open_ticket(told(tmp_path, {}, **rates)).about["timesteps"] == 2
    assert open_ticket(told(tmp_path, {"timesteps": 2}, **rates)).layers
    with pytest.raises(TicketError, match=r"layer a: .* 2 time steps, but .* is 1"):
        open_ticket(told(tmp_path, {"timesteps": 1}, **rates))
    rates |= {"b.weight": PRUNED, "b.rates": np.full((3, 3), 0.1)}
    with pytest.raises(TicketError, match=r"layer b: .* 3 time steps, but .* a are of"):
        open_ticket(told(tmp_path, {}, **rates))
