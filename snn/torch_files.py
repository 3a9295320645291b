"""State dicts of torch as tickets; only tensors are ever loaded."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balancer.errors import TicketError, naming
from balancer.files.array_files import ArraysInMemory


def open_torch_arrays(path: Path) -> ArraysInMemory:
    """Load a state dict, bare or under the usual key of a checkpoint.

    `balancer.open_ticket` comes here for ``.pt`` and ``.pth`` files.

    Parameters
    ----------
    path : Path
        A file that `torch.save` wrote. It is read with ``weights_only=True``, so code
        in it is never run.

    Raises
    ------
    TicketError
        torch is missing, or the file is damaged or holds other objects than tensors.
    """
    with naming(path):
        return ArraysInMemory(_arrays(_state_dict(_loaded(path))))


def _loaded(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise TicketError(
            "reading it needs torch, which is not installed; "
            "python -m pip install -e '.[snn]'"
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TicketError(
            "holds more than tensors, which would have to be unpickled; save the state "
            "dict alone"
        ) from error
    except Exception as error:  # torch's unpickler fails in many ways on other files
        first = str(error).partition("\n")[0]
        raise TicketError(f"no readable torch file ({first})") from error


def _state_dict(loaded: Any) -> Mapping[str, Any]:
    for key in ("state_dict", "model", "net"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            return _state_dict(loaded[key])
    if not isinstance(loaded, Mapping):
        raise TicketError(f"holds a {type(loaded).__name__}; a state dict is needed")
    return loaded


def _arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    arrays = {}
    for name, tensor in state.items():
        if isinstance(tensor, torch.Tensor) and not tensor.is_sparse:
            tensor = tensor.detach()
            if tensor.dtype == torch.bfloat16:  # NumPy lacks it
                tensor = tensor.float()
            arrays[str(name)] = tensor.numpy()
    return arrays
