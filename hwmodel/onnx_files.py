"""Weights of ONNX models as tickets; nothing in a model is run.

The weights are initializers and constants, those inside loops and branches too. Which
of them are weights, and in which order their axes stand, the nodes tell that read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.errors import TicketError, malformed, naming
from balancer.files.number_formats import plain_bools

# Axes of the kernels by how many they are, written as `balancer.open_ticket` has them.
KERNELS = {1: "w", 2: "hw", 3: "dhw"}
RECURRENT = ("LSTM", "GRU", "RNN")
# Nodes that hand on the numbers that they get.
PASSING = ("Identity", "Cast", "Unsqueeze", "DequantizeLinear", "QuantizeLinear")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxArrays:
    """Tensors of a model, converted one by one.

    Attributes
    ----------
    path : Path
        The model; tensors that it stores outside lie beside it.
    tensors : dict of str to TensorProto
        Those of two or more dimensions and biases, by name.
    axes : dict of str to str
        Order of the axes of weights.
    others : dict of str to str
        Tensors that no layer reads as weights.
    """

    path: Path
    tensors: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor."""
        return {name: tuple(one.dims) for name, one in self.tensors.items()}

    def kinds(self) -> dict[str, str]:
        """Kind of every tensor's numbers; formats that NumPy lacks are floating."""
        return {name: _kind(one.data_type) for name, one in self.tensors.items()}

    def read(self, name: str) -> npt.NDArray[Any]:
        """Convert one tensor; numbers in formats that NumPy lacks become float32."""
        from onnx.numpy_helper import to_array

        try:
            array = np.asarray(to_array(self.tensors[name], str(self.path.parent)))
        except Exception as error:  # sizes that do not fit, files that are missing
            raise TicketError(
                f"{name} cannot be read ({_first_line(error)})", about=self.path
            ) from error
        known = array.dtype.kind in "biufc" and array.dtype.isbuiltin == 1
        return plain_bools(array) if known else array.astype(np.float32)

    def metadata(self) -> dict[str, Any]:
        """Return the axes of the weights, and which tensors are none."""
        return {"axes": self.axes, "no_weights": self.others}


def open_onnx_arrays(path: Path) -> OnnxArrays:
    """Load the weights of an ONNX model.

    `balancer.open_ticket` comes here for ``.onnx`` files, with the extra ``onnx``.

    Parameters
    ----------
    path : Path
        The model.

    Raises
    ------
    TicketError
        onnx is missing, or the file is damaged.
    """
    with naming(path):
        try:
            import onnx
        except ImportError as error:
            raise TicketError(
                "reading it needs onnx, which is not installed; "
                "python -m pip install -e '.[onnx]'"
            ) from error
        try:
            model = onnx.load(str(path), load_external_data=False)
        except Exception as error:  # protobuf fails in many ways on other files
            raise TicketError(
                f"no readable ONNX model ({_first_line(error)})"
            ) from error
        found = OnnxArrays(path)
        with malformed(TicketError, "its graph cannot be followed; export it anew"):
            _collect(model.graph, found, {})
            if not all(isinstance(name, str) for name in found.tensors):
                raise TypeError("a name of a tensor is no text")
        return found


class _Known(NamedTuple):
    """A tensor of the file behind a name in a graph.

    Attributes
    ----------
    tensor : str
        Its name in `OnnxArrays`.
    turned : bool
        The graph has exchanged its two axes.
    """

    tensor: str
    turned: bool = False


def _collect(graph: Any, found: OnnxArrays, outer: dict[str, _Known]) -> None:
    """Collect the weights of a graph and of the graphs in its nodes.

    Inner graphs know the tensors of the `outer` ones.
    """
    names = dict(outer)
    for name, tensor in _tensors(graph):
        free, number = name, 2
        while free in found.tensors:  # graphs beside each other share no names
            free, number = f"{name}#{number}", number + 1
        names[name] = _Known(free)
        found.tensors[free] = tensor
        if len(tensor.dims) > 1:
            found.others[free] = "no layer reads it as it is"
    for node in graph.node:
        given = [names.get(name) for name in node.input]
        if given and given[0] is not None and node.output:
            passed = _passed(node, given[0], found)
            names.update({node.output[0]: passed} if passed else {})
        for known, axes in _weights_of(node, given, found):
            if len(found.tensors[known.tensor].dims) == len(axes):
                found.others.pop(known.tensor, None)
                found.axes[known.tensor] = axes[::-1] if known.turned else axes
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for one in (*inner, *attribute.graphs):
                _collect(one, found, names)


def _tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    """Name the initializers and constants of a graph, numbers alone left aside."""
    for tensor in graph.initializer:
        if tensor.dims:
            yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.t.dims:
                    yield node.output[0], attribute.t


def _passed(node: Any, given: _Known, found: OnnxArrays) -> _Known | None:
    """Say what a node hands on that changes no number; None for others."""
    if node.op_type in PASSING:
        return given
    swap = node.op_type == "Transpose" and len(found.tensors[given.tensor].dims) == 2
    if swap and list(_attribute(node, "perm", [1, 0])) == [1, 0]:
        return _Known(given.tensor, not given.turned)
    return None


def _weights_of(
    node: Any, given: list[_Known | None], found: OnnxArrays
) -> Iterator[tuple[_Known, str]]:
    """Name the weights that a node reads, and the order of their axes."""
    first, second, third, *_ = (*given, None, None, None)
    if second is not None:
        kernel = KERNELS.get(len(found.tensors[second.tensor].dims) - 2, "")
        if node.op_type in ("Conv", "ConvInteger"):
            yield second, f"oi{kernel}"
        elif node.op_type == "ConvTranspose":
            yield second, f"io{kernel}"
        elif node.op_type == "Gemm":
            yield second, "oi" if _attribute(node, "transB", 0) else "io"
        elif node.op_type in ("MatMul", "MatMulInteger"):
            yield second, "io"
    elif first is not None and node.op_type in ("MatMul", "MatMulInteger"):
        yield first, "oi"
    if first is not None and node.op_type == "Gather":
        yield first, "oi"  # an embedding
    if node.op_type in RECURRENT:
        for known in (second, third):
            if known is not None:
                _split(known.tensor, found)
            if known is not None and known.tensor in found.tensors:  # one direction
                yield known, "oi"


def _split(name: str, found: OnnxArrays) -> None:
    """Take the directions of a recurrent layer [directions, out, in] apart."""
    from onnx.numpy_helper import from_array

    if name in found.tensors and len(found.tensors[name].dims) == 3:
        array = found.read(name)
        del found.tensors[name]
        found.others.pop(name, None)
        for direction, weights in enumerate(array):
            found.tensors[f"{name}.{direction}"] = from_array(weights)
            found.axes[f"{name}.{direction}"] = "oi"


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx.helper import get_attribute_value

    found = [get_attribute_value(a) for a in node.attribute if a.name == name]
    return found[0] if found else default


def _kind(data_type: int) -> str:
    from onnx.helper import tensor_dtype_to_np_dtype

    try:
        kind = tensor_dtype_to_np_dtype(data_type).kind
    except (KeyError, ValueError):
        return "O"
    return kind if kind in "biufcOSU" else "f"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
