"""Weights of ONNX models: which tensors they are, and in which order of axes."""

import sys

import numpy as np
import pytest

from balancer import TicketError
from balancer.files.axes import Axes
from balancer.files.ticket import Ticket
from hwmodel.onnx_files import open_onnx_arrays

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
RNG = np.random.default_rng(0)


def model(path, nodes, constants=(), **tensors):
    """Write a model with tensors as initializers; the graph is never run."""
    graph = helper.make_graph(
        [*constants, *nodes],
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    onnx.save(helper.make_model(graph, producer_name="tests"), path)
    return path


def layers_of(path):
    """Shapes of the layers with their outputs first, and what is left out."""
    ticket = Ticket.of(open_onnx_arrays(path))
    assert ticket.remarks == ()
    return {layer.name: layer for layer in ticket.layers}, ticket


def node(kind, *inputs, out="y", **attributes):
    return helper.make_node(kind, [*inputs], [out], **attributes)


@pytest.mark.parametrize(
    ("nodes", "axes"),
    [
        ([node("Conv", "x", "w")], "oihw"),
        ([node("ConvTranspose", "x", "w")], "iohw"),
        ([node("Conv", "x", "w")], "oiw"),
        ([node("ConvTranspose", "x", "w")], "iodhw"),
        ([node("MatMul", "x", "w")], "io"),
        ([node("MatMul", "w", "x")], "oi"),
        ([node("Gemm", "x", "w")], "io"),
        ([node("Gemm", "x", "w", transB=1)], "oi"),
        ([node("Gather", "w", "x")], "oi"),
        ([node("Cast", "w", out="v", to=1), node("MatMul", "x", "v")], "io"),
        ([node("Transpose", "w", out="v"), node("MatMul", "x", "v")], "oi"),
        (
            [
                node("Transpose", "w", out="u", perm=[1, 0]),
                node("Identity", "u", out="v"),
                node("Gemm", "x", "v", transB=1),
            ],
            "io",
        ),
    ],
)
def test_the_node_that_reads_weights_tells_their_axes(tmp_path, nodes, axes):
    """The scores come with outputs first, whichever way the model stores them."""
    stored = RNG.standard_normal((6, 5, 4, 3, 2)[: len(axes)]).astype(np.float32)
    path = model(tmp_path / "net.onnx", nodes, w=stored, table=np.ones((3, 3)))
    layers, ticket = layers_of(path)
    assert list(layers) == ["w"]
    assert np.array_equal(layers["w"].read().scores, np.abs(Axes.of(axes).ours(stored)))
    assert ticket.left_out == {"table": "no layer reads it as it is"}


def test_constants_and_inner_graphs_are_read(tmp_path):
    """Weights may stand in nodes, and in the branches of an If, under one name."""

    def branch(scale):
        weights = numpy_helper.from_array(np.full((4, 3), scale, np.float32))
        inner = [node("Constant", out="w", value=weights), node("MatMul", "x", "w")]
        return helper.make_graph(inner, "branch", [], [])

    choice = node("If", "c", then_branch=branch(1), else_branch=branch(2))
    layers, _ = layers_of(model(tmp_path / "net.onnx", [choice]))
    assert sorted(layers) == ["w", "w#2"]
    assert {layer.read().scores.max() for layer in layers.values()} == {1, 2}


def test_each_direction_of_a_recurrent_layer_is_a_layer(tmp_path):
    """[directions, out, in] are as many matrices."""
    w, r = RNG.standard_normal((2, 8, 3)), RNG.standard_normal((2, 8, 2))
    path = model(tmp_path / "net.onnx", [node("LSTM", "x", "w", "r")], w=w, r=r)
    layers, _ = layers_of(path)
    assert {name: layer.shape for name, layer in layers.items()} == {
        **{"w.0": (8, 3), "w.1": (8, 3)},
        **{"r.0": (8, 2), "r.1": (8, 2)},
    }
    assert np.array_equal(layers["w.1"].read().scores, np.abs(w[1]))
    one = [
        node("Unsqueeze", "w", "axis", out="v"),
        node("LSTM", "x", "v"),
    ]
    path = model(tmp_path / "one.onnx", one, w=w[0], axis=np.array([0]))
    assert layers_of(path)[0]["w"].shape == (8, 3)


def test_formats_that_numpy_lacks_are_widened(tmp_path):
    """bf16 and float16 keep their values."""
    exact = np.array([[0.5, -3.0], [2.0, 0.0]], np.float32)
    for kind in (onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16):
        path = model(tmp_path / "net.onnx", [node("MatMul", "w", "x")])
        net = onnx.load(path)
        net.graph.initializer.append(
            helper.make_tensor("w", kind, exact.shape, exact.ravel())
        )
        onnx.save(net, path)
        layers, _ = layers_of(path)
        assert np.array_equal(layers["w"].read().scores, np.abs(exact))


def test_damage_and_missing_files_are_one_error(tmp_path):
    """What protobuf, or a tensor stored outside, makes of damage names the file."""
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x07\x12\xff not a model")
    with pytest.raises(TicketError, match=r"net\.onnx: no readable ONNX model"):
        open_onnx_arrays(path)
    model(path, [node("MatMul", "x", "w")], w=np.ones((64, 64), np.float32))
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    layers, _ = layers_of(path)
    assert layers["w"].read().scores.sum() == 64 * 64
    (tmp_path / "net.data").unlink()
    with pytest.raises(TicketError, match=r"net\.onnx: w cannot be read"):
        layers["w"].read()


def test_without_onnx_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    """The extra is named, and the file."""
    path = model(tmp_path / "net.onnx", [node("MatMul", "x", "w")], w=np.ones((2, 3)))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TicketError, match=r"net\.onnx: .*needs onnx.*'\.\[onnx\]'"):
        open_onnx_arrays(path)
