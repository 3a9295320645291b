"""Hostile ONNX models."""

from __future__ import annotations

from random import Random
from typing import Any

from . import grammar as g

OPERATORS = (
    *("Conv", "Gemm", "MatMul", "ConvTranspose", "Identity", "Transpose", "LSTM", "If"),
    *(
        "Constant",
        "DequantizeLinear",
        "Cast",
        "Reshape",
        "Relu",
        "GRU",
        "Unsqueeze",
        "",
    ),
)


def model(rng: Random) -> bytes:
    """Write a model of a few nodes that is wrong somewhere."""
    from onnx import ModelProto

    made = ModelProto()
    made.ir_version = rng.choice([8, 8, 8, 0, 2**62])
    _fill(rng, made.graph, 0)
    whole: bytes = made.SerializeToString()
    return g.maybe_damaged(rng, whole, 0.15)


def _fill(rng: Random, graph: Any, depth: int) -> None:
    names = ["x", "w0", "w1", "w2", ""]
    for name in names[1 : 1 + rng.randint(1, 3)]:
        _tensor(rng, graph.initializer.add(), name)
    for place in range(rng.randint(1, 4)):
        node = graph.node.add()
        node.op_type = rng.choice(OPERATORS)
        given = [
            rng.choice([*names, f"y{place - 1}"]) for _ in range(rng.randint(0, 4))
        ]
        if g.chance(rng, 0.5):  # a node as exporters write it
            node.op_type, given = rng.choice(["Conv", "Gemm", "MatMul"]), ["x", "w0"]
        node.input.extend(given)
        node.output.extend([f"y{place}"] * rng.choice([0, 1, 1, 1, 2]))
        for _ in range(rng.choice([0, 0, 1, 2])):
            _attribute(rng, node.attribute.add(), depth)


def _attribute(rng: Random, attribute: Any, depth: int) -> None:
    attribute.name = rng.choice(
        ["perm", "transB", "value", "axis", "group", "x", "body"]
    )
    attribute.type = rng.choice([0, 1, 2, 3, 4, 5, 7])
    kind = rng.randint(0, 4)
    if kind == 0:
        attribute.ints.extend(rng.choice([[1, 0], [0, 1], [9], [-1, -1], []]))
    elif kind == 1:
        attribute.i = rng.choice([0, 1, -1, 2**62])
    elif kind == 2:
        _tensor(rng, attribute.t, "t")
    elif kind == 3 and depth < rng.choice([2, 40]):
        _fill(rng, attribute.g, depth + 1)
    else:
        attribute.s = g.text(rng).encode("utf-8", "replace")[:99]


def _tensor(rng: Random, tensor: Any, name: str) -> None:
    tensor.name = (
        name if g.chance(rng, 0.9) else g.text(rng).encode("utf-8", "replace").decode()
    )
    dims = rng.choice(
        [[8, 4, 3, 3], [8, 8]] * 5
        + [[32, 10], [8], [], [0, 4], [2**31, 2**31], [-1, 4]]
    )
    tensor.dims.extend(dims)
    tensor.data_type = rng.choice([1] * 20 + [10, 11, 7, 9, 16, 17, 8, 22, 0, 99])
    count = min(4096, max(0, int(_product(dims))))
    kind = rng.randint(0, 19)
    if kind < 16:
        tensor.raw_data = b"\0\0\x80?" * (
            count if g.chance(rng, 0.95) else rng.randint(0, 99)
        )
    elif kind < 19:
        tensor.float_data.extend([1.0] * count)
    else:
        tensor.data_location = 1
        for key in rng.sample(
            ["location", "offset", "length", "checksum"], rng.randint(0, 4)
        ):
            entry = tensor.external_data.add()
            entry.key = key
            entry.value = rng.choice(
                [
                    "../../../etc/passwd",
                    "/etc/passwd",
                    "w.bin",
                    "",
                    "-1",
                    "99999999999999",
                    "0",
                    "x",
                ]
            )


def _product(dims: list[int]) -> int:
    product = 1
    for size in dims:
        product *= size
    return product
