"""State dicts of torch as tickets; only tensors are ever loaded."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from balancer.errors import TicketError, naming
from balancer.files.number_formats import plain_bools

if TYPE_CHECKING:
    import torch

# Where checkpoints keep their state dict, by what is usual.
STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net")
DEEPEST = 5  # mappings inside each other in which a state dict is looked for
# What a mapping of one layer's arrays may hold.
_OF_A_LAYER = {"weight", "weight_orig", "weight_mask", "mask", "score", "bias"}
# Where quantized linear layers of torch keep their weights and biases.
_PACKED = "_packed_params._packed_params"
_PARTS = ("weight", "bias")


@dataclass(frozen=True, slots=True, eq=False)
class TorchArrays:
    """Tensors in memory, converted one by one."""

    path: Path
    tensors: Mapping[str, torch.Tensor]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor; nested ones, which have none, are refused."""
        for name, tensor in self.tensors.items():
            if tensor.is_nested:
                raise TicketError(
                    f"{name} is a nested tensor, whose parts have shapes of their own; "
                    "save each part by itself",
                    about=self.path,
                )
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    def kinds(self) -> dict[str, str]:
        """Kind of every tensor's numbers; quantized ones are floating."""
        return {name: _kind(tensor) for name, tensor in self.tensors.items()}

    def read(self, name: str) -> npt.NDArray[Any]:
        """Convert one tensor: dense, dequantized, and in a format that NumPy has."""
        tensor = self.tensors[name]
        if tensor.is_meta:
            raise TicketError(
                f"{name} is a meta tensor, which has a shape but no numbers; save the "
                "state dict of the network with its weights loaded",
                about=self.path,
            )
        try:
            return _converted(tensor.detach())
        except (TypeError, RuntimeError, NotImplementedError) as error:
            kind = f"{tensor.dtype}, {tensor.layout}"
            raise TicketError(
                f"{name} is {kind}, which is not read; save it as a dense float32 "
                "tensor",
                about=self.path,
            ) from error

    def metadata(self) -> dict[str, Any]:
        """Return nothing: state dicts say nothing about themselves."""
        return {}


def open_torch_arrays(path: Path) -> TorchArrays:
    """Load a state dict, bare or in a checkpoint.

    `balancer.open_ticket` comes here for ``.pt`` and ``.pth`` files. In a checkpoint
    the state dict stands under one of `STATE_KEYS`, or else is the only mapping of
    tensors.

    Parameters
    ----------
    path : Path
        A file that `torch.save` wrote. It is read with ``weights_only=True``, so code
        in it is never run.

    Raises
    ------
    TicketError
        torch is missing, the file is damaged or holds other objects than tensors, or
        more than one mapping of tensors could be meant.
    """
    with naming(path):
        state = _state_dict(_loaded(path))
        return TorchArrays(path, dict(_tensors(state)))


def save_torch(values: Any, path: Path) -> None:
    """Write what `torch.save` can.

    Raises
    ------
    OSError
        The disk is full, say, where torch tells only that its position is wrong.
    """
    import torch

    with path.open("wb") as stream:
        try:
            torch.save(values, stream)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_torch(path: Path) -> Any:
    """Load what `torch.load` can without running code of the file; raises as it does.

    Sparse tensors are looked through: torch takes indices that lie outside, and later
    writes to where they point.
    """
    import torch

    with torch.sparse.check_sparse_tensor_invariants():
        return torch.load(path, map_location="cpu", weights_only=True)


def _loaded(path: Path) -> Any:
    try:
        with warnings.catch_warnings():  # that a kind of tensor is new, or old
            warnings.simplefilter("ignore")
            return load_torch(path)
    except ImportError as error:
        raise TicketError(
            "reading it needs torch, which is not installed; "
            "python -m pip install -e '.[snn]'"
        ) from error
    except pickle.UnpicklingError as error:
        raise TicketError(
            "holds more than tensors, which would have to be unpickled; save the state "
            "dict alone"
        ) from error
    except Exception as error:  # torch's unpickler fails in many ways on other files
        first = str(error).partition("\n")[0]
        raise TicketError(f"no readable torch file ({first})") from error


def _state_dict(loaded: Any, depth: int = 0) -> Mapping[Any, Any]:
    """Find the one mapping of tensors that a checkpoint is about."""
    if depth == DEEPEST:  # a mapping may hold itself
        raise TicketError(f"its state dict lies {DEEPEST} mappings deep; save it alone")
    if not isinstance(loaded, Mapping):
        raise TicketError(f"holds a {type(loaded).__name__}; a state dict is needed")
    inner = {key: one for key, one in loaded.items() if isinstance(one, Mapping)}
    if usual := {key: inner[key] for key in STATE_KEYS if _any_matrix(inner.get(key))}:
        return _state_dict(_only(usual), depth + 1)
    if _has_matrix(loaded):
        return loaded
    wanted = {key: one for key, one in inner.items() if _any_matrix(one)}
    if not wanted:
        keys = ", ".join(map(str, loaded)) or "none"
        raise TicketError(
            "holds no weights or masks of two or more dimensions, neither by "
            f"themselves nor in a mapping as under {', '.join(STATE_KEYS)}; its keys: "
            f"{keys}"
        )
    if all(set(one) <= _OF_A_LAYER for one in wanted.values()):
        return {
            f"{layer}.{part}": value
            for layer, arrays in wanted.items()
            for part, value in arrays.items()
        }
    return _state_dict(_only(wanted), depth + 1)


def _only(mappings: Mapping[Any, Any]) -> Any:
    if len(mappings) > 1:
        raise TicketError(
            f"holds several mappings of tensors: {', '.join(map(str, mappings))}; one "
            "is accepted: save the one that is meant alone"
        )
    return next(iter(mappings.values()))


def _any_matrix(value: Any, depth: int = 0) -> bool:
    """Whether a mapping holds tensors of two or more dimensions, or some inside does.

    What optimizers keep of each parameter is numbered, and no state dict.
    """
    if not isinstance(value, Mapping) or depth == DEEPEST:
        return False
    return _has_matrix(value) or any(
        _any_matrix(one, depth + 1)
        for key, one in value.items()
        if isinstance(key, str)
    )


def _has_matrix(state: Mapping[Any, Any]) -> bool:
    return any(tensor.dim() >= 2 for _, tensor in _tensors(state))


def _tensors(state: Mapping[Any, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Name the tensors of a state dict, those in its tuples too."""
    import torch

    for key, value in state.items():
        name = str(key)
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, (tuple, list)):
            packed = name.endswith(_PACKED)
            stem = name.removesuffix(_PACKED) if packed else f"{name}."
            for number, part in enumerate(value):
                if isinstance(part, torch.Tensor):
                    yield f"{stem}{_PARTS[number] if packed else number}", part


def _kind(tensor: torch.Tensor) -> str:
    import torch

    if tensor.dtype == torch.bool:
        return "b"
    if tensor.dtype.is_complex:
        return "c"
    return "f" if tensor.dtype.is_floating_point or tensor.is_quantized else "i"


def _converted(tensor: torch.Tensor) -> npt.NDArray[Any]:
    import torch

    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.dtype.is_complex:
        wide = tensor.dtype == torch.complex128
        tensor = tensor.to(torch.complex128 if wide else torch.complex64)
    elif tensor.dtype.is_floating_point and tensor.dtype not in (
        torch.float16,
        torch.float32,
        torch.float64,
    ):  # bf16 and fp8, which NumPy lacks
        tensor = tensor.float()
    array = tensor.resolve_conj().resolve_neg().contiguous().numpy()
    return plain_bools(np.ascontiguousarray(array))
