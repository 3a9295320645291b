"""The axes of weights are those of the user's framework, and said if guessed."""

from itertools import permutations
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from balancer import TicketError, balance_ticket, open_ticket
from balancer.files.array_files import save_arrays
from balancer.files.axes import OURS, Axes

RNG = np.random.default_rng(0)


@st.composite
def orders_and_shapes(draw):
    """An order of two to five axes, and a shape in it."""
    ours = OURS[draw(st.integers(2, 5))]
    text = "".join(draw(st.permutations(ours)))
    return text, tuple(draw(st.permutations(range(2, 2 + len(ours)))))


@given(orders_and_shapes())
def test_every_order_of_axes_can_be_turned_and_turned_back(case):
    """Each letter's axis comes to its place in o, i, d, h, w, and returns from it."""
    text, shape = case
    axes, array = Axes.of(text), np.arange(prod(shape)).reshape(shape)
    turned = axes.ours(array)
    size = dict(zip(text, shape, strict=True))
    assert turned.shape == axes.shape(shape) == tuple(size[x] for x in OURS[len(text)])
    assert np.array_equal(axes.back(turned), array)
    assert np.array_equal(np.einsum(f"{text}->{OURS[len(text)]}", array), turned)
    assert axes.is_ours == (turned.shape == shape)


@pytest.mark.parametrize("text", ["", "o", "ox", "oihx", "oi,", "ooi", "OIHW", "ohwd"])
def test_letters_that_are_no_axes_are_refused(tmp_path, text):
    """A letter is missing, unknown or there twice; the error shows what is right."""
    save_arrays(tmp_path / "a.npz", {"a": np.ones((2, 3))}, {})
    with pytest.raises(TicketError, match="io, iohw, hwio"):
        open_ticket(tmp_path / "a.npz", axes={"*": text})


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "order", [*map("".join, [*permutations("oihw")][1::5]), "io", "wio", "dhwio"]
)
def test_masks_are_balanced_and_written_in_the_file_s_own_axes(tmp_path, order, suffix):
    """Whatever the order of the axes, the same weights are kept, where they stood."""
    scores = RNG.random((16, 8, 3, 3, 2)[: len(order)])
    axes = Axes.of(order)
    plain, turned = tmp_path / f"plain{suffix}", tmp_path / f"turned{suffix}"
    save_arrays(plain, {"a": scores}, {})
    save_arrays(turned, {"a": axes.back(scores)}, {})
    masks = tmp_path / f"masks{suffix}"
    whole = balance_ticket(plain, sparsity=0.8).solution.masks["a"]
    balance_ticket(open_ticket(turned, axes={"a": order}), sparsity=0.8).save(masks)
    [layer] = open_ticket(masks).layers
    assert np.array_equal(layer.read_mask(), whole)
    stored = np.load(masks) if suffix == ".npz" else load_file(masks)
    assert np.array_equal(stored["a.mask"], axes.back(whole))
    assert open_ticket(masks).remarks == ()


def ticket_of(folder, arrays, axes=None):
    path = folder / "net.safetensors"
    save_file({name: np.zeros(shape) for name, shape in arrays.items()}, path)
    return open_ticket(path, axes)


@pytest.mark.parametrize(
    ("arrays", "axes", "why"),
    [
        ({"conv/kernel:0": (3, 3, 16, 32)}, "hwio", "its name"),
        ({"params.Dense_0.kernel": (16, 32)}, "io", "its name"),
        ({"c/kernel": (5, 16, 32), "c/bias": (32,)}, "wio", "its name"),
        ({"up/conv2d_transpose/kernel:0": (3, 3, 16, 32)}, "hwoi", "its name"),
        ({"s/depthwise_kernel:0": (3, 3, 16, 1), "s/bias:0": (9,)}, "hwoi", "its name"),
        ({"lstm/recurrent_kernel": (8, 32), "lstm/bias": (32,)}, "io", "its name"),
        ({"up.weight": (32, 16, 3, 3), "up.bias": (16,)}, "iohw", "its bias"),
        ({"c_attn.weight": (8, 24), "c_attn.bias": (24,)}, "io", "its bias"),
        ({"a.weight": (3, 3, 8, 24), "a.bias": (24,)}, "hwio", "its bias"),
        ({"c/weights": (3, 3, 4, 8), "c/biases": (8,)}, "hwio", "its bias"),
        ({"a.weight_orig": (8, 24), "a.bias_orig": (24,)}, "io", "its bias"),
        # Here nothing says otherwise: outputs first.
        ({"a.weight": (32, 16, 3, 3), "a.bias": (32,)}, None, None),
        ({"a.weight": (16, 16), "a.bias": (16,)}, None, None),
        ({"a.weight": (32, 16, 3, 3), "a.bias": (7,)}, None, None),
        ({"a.weight": (8, 24)}, None, None),
        ({"kernel": (3, 3, 16, 32)}, None, None),
        ({"a.kernel": (32, 16), "a.bias": (32,)}, None, None),
        ({"a.in_proj_weight": (24, 8), "a.in_proj_bias": (24,)}, None, None),
        ({"weight_ih_l0": (8, 24), "bias_ih_l0": (8,)}, None, None),
    ],
)
def test_axes_are_guessed_from_names_and_biases(tmp_path, arrays, axes, why):
    """What a framework calls kernels, or as many numbers as the bias has, is said."""
    ticket = ticket_of(tmp_path, arrays)
    [layer] = ticket.layers
    assert ticket.axes == ({} if axes is None else {layer.name: axes})
    said = " ".join(ticket.notes)
    assert (axes is None) == (said == "")
    if axes is not None:
        assert f"taken as {axes} from " in said
        assert why.removeprefix("its ") in said
        assert "--axes" in said
        size = dict(zip(axes, next(iter(arrays.values())), strict=True))
        assert layer.shape[:2] == (size["o"], size["i"])


def test_what_is_said_counts_more_than_a_guess(tmp_path):
    """The last pattern that fits counts, for layers with as many axes."""
    arrays = {"a/kernel": (3, 3, 4, 8), "b/kernel": (3, 3, 4, 8), "c/kernel": (4, 8)}
    ticket = ticket_of(tmp_path, arrays, {"*": "oihw,oi", "b*": "iohw"})
    assert ticket.axes == {"b/kernel": "iohw"}
    assert ticket.remarks == ()


@pytest.mark.parametrize("axes", [{"x": "io"}, {"a.*": "iohw"}])
def test_axes_of_no_layer_are_refused(tmp_path, axes):
    """A pattern without a layer of so many axes is an error that lists the layers."""
    with pytest.raises(TicketError, match=r"there are a \(8x24\)"):
        ticket_of(tmp_path, {"a.weight": (8, 24)}, axes)


@pytest.mark.parametrize("stated", [3, "io", {"a": 3}, {"a": "xy"}, [1]])
def test_axes_in_metadata_of_others_are_harmless(tmp_path, stated):
    """What another tool may mean by `axes` is not read."""
    save_arrays(tmp_path / "a.npz", {"a.weight": np.ones((2, 3))}, {"axes": stated})
    assert open_ticket(tmp_path / "a.npz").axes == {}


def test_a_score_or_mask_alone_has_axes_too(tmp_path):
    """All arrays of a layer are turned alike; orders of channels are not."""
    score = RNG.random((3, 3, 2, 4))
    arrays = {
        "a/kernel.score": score,
        "a/kernel.mask": score > 0.5,
        "a/kernel.order": np.array([3, 1, 0, 2]),
    }
    save_arrays(tmp_path / "a.npz", arrays, {})
    [layer] = open_ticket(tmp_path / "a.npz").layers
    read = layer.read()
    assert layer.shape == (4, 2, 3, 3)
    assert np.array_equal(read.scores, score.transpose(3, 2, 0, 1))
    assert np.array_equal(read.mask, (score > 0.5).transpose(3, 2, 0, 1))
    assert layer.read_schedules()[0].order.tolist() == [3, 1, 0, 2]
