"""What stands in for parts of a configuration (network, data, score, method)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import nn

from balancer.maps.registry import find_kind
from snn.data.batch_split import BatchSplit
from snn.data.image_data import ImageData
from snn.lottery.function_names import function_name

# What a run sets itself, or what is no part of what a module computes.
_LEFT_OUT = ("training", "timesteps")
# Code that is told by its version.
_LIBRARIES = frozenset(
    (
        *("numpy", "scipy", "sklearn", "torch", "torchvision", "spikingjelly"),
        *("balancer", "hwmodel", "snn", *sys.stdlib_module_names),
    )
)
Part: TypeAlias = bytes | memoryview
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True, slots=True)
class StandIns:
    """What was given, and not named by a configuration.

    Attributes
    ----------
    network, data, method : str or None
        Their names; None for those of the configuration.
    fingerprint : str
        Differs where results would: initial weights, modules with their settings and
        code, images, labels and their scale, the code of a score, a method or a
        registered PE map and what it uses.
    """

    network: str | None = None
    data: str | None = None
    method: str | None = None
    fingerprint: str = ""

    @classmethod
    def of(
        cls,
        network: nn.Module | None,
        data: ImageData | None,
        score: Callable[..., Any] | None = None,
        method: Callable[..., Any] | None = None,
        pe_map: str | None = None,
    ) -> Self:
        """Look at what was given, and at the code behind the name of a PE map."""
        prints = []
        if network is not None:
            prints.append(f"network {_digest(_of_network(network))}")
        if data is not None:
            prints.append(f"data {data.name} {_digest(_of_data(data))}")
        if score is not None:
            prints.append(f"score {_digest(_of_callable(score, {}))}")
        if method is not None:
            prints.append(f"method {_digest(_of_callable(method, {}))}")
        mapped = None if pe_map is None else find_kind(pe_map)[0].function
        if mapped is not None:
            prints.append(f"map {_digest(_of_callable(mapped, {}))}")
        return cls(
            None if network is None else type(network).__name__,
            None if data is None else data.name,
            None if method is None else function_name(method),
            "; ".join(prints),
        )


def _digest(parts: Iterator[Part]) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(len(part).to_bytes(8, "little"))
        content.update(part)
    return content.hexdigest()


def _of_data(data: ImageData) -> Iterator[Part]:
    yield f"{data.input_shape} {data.classes} {data.augmentation}".encode()
    for tensor in (data.mean, data.std):
        yield from _of_tensor(tensor)
    for split in (data.train, data.validation, data.test):
        if isinstance(split, BatchSplit):
            yield split.digest.encode()
            continue
        yield from _of_tensor(split.images)
        yield from _of_tensor(split.labels)


def _of_network(network: nn.Module) -> Iterator[Part]:
    """Describe all that tells two networks apart without running them."""
    kinds: dict[type, None] = {}
    for name, module in network.named_modules():
        kinds |= dict.fromkeys(kind for kind in type(module).__mro__ if _is_own(kind))
        yield f"{name}: {type(module).__qualname__} {module.extra_repr()}".encode()
        for attribute, value in sorted(vars(module).items()):
            if not attribute.startswith("_") and attribute not in _LEFT_OUT:
                yield attribute.encode()
                yield from _of_value(value)
    for kind in kinds:
        yield kind.__qualname__.encode()
        for function in vars(kind).values():
            yield from _of_value(getattr(function, "__func__", function))
    # Under every name: shared weights are another network than equal ones.
    for name, tensor in network.named_parameters(remove_duplicate=False):
        yield f"{name} {tensor.requires_grad}".encode()
        yield from _of_tensor(tensor)
    for name, buffer in network.named_buffers(remove_duplicate=False):
        yield name.encode()
        yield from _of_tensor(buffer)
    first: dict[int, str] = {}
    for name, tensor in network.named_parameters(remove_duplicate=False):
        yield first.setdefault(id(tensor), name).encode()


def _is_own(kind: type) -> bool:
    """Whether a class belongs to the user, and not to a library with a version."""
    home = kind.__module__.partition(".")[0]
    return home not in ("torch", "torchvision", "spikingjelly", "builtins", "typing")


def _of_tensor(tensor: torch.Tensor) -> Iterator[Part]:
    yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    yield flat.view(torch.uint8).numpy().data


def _of_value(value: Any) -> Iterator[Part]:
    """Describe a setting; of objects without a content of their own, the kind."""
    if isinstance(value, _PLAIN):
        yield repr(value).encode()
    elif isinstance(value, torch.Tensor):
        yield from _of_tensor(value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _of_value(one)
    elif isinstance(value, set | frozenset):  # in another order in every process
        yield repr(sorted(map(repr, value))).encode()
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _of_value(key)
            yield from _of_value(one)
    elif isinstance(value, FunctionType):
        yield from _of_code(value.__code__)
        yield from _of_value(value.__defaults__)
    else:
        named = value if hasattr(value, "__qualname__") else type(value)
        yield f"{type(value).__qualname__} {named.__qualname__}".encode()


def _of_callable(value: Any, known: dict[int, Any]) -> Iterator[Part]:
    """Describe what is called, with all of the user's own that it uses in turn.

    `known` are the objects that were described already, which may use each other.
    """
    if id(value) in known:
        return
    known[id(value)] = value
    named = value if hasattr(value, "__qualname__") else type(value)
    yield f"{type(value).__qualname__} {named.__qualname__}".encode()
    if isinstance(value, FunctionType) and _is_of_user(value):
        yield from _of_code(value.__code__)
    for one in _used_by(value):
        if isinstance(one, nn.Module):
            yield from _of_network(one)
        elif callable(one):
            yield from _of_callable(one, known)
        else:
            yield from _of_value(one)


def _used_by(value: Any) -> Iterator[Any]:
    """Yield what decides, beside the code, what a call returns."""
    if isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif not _is_of_user(value if hasattr(value, "__module__") else type(value)):
        return
    elif isinstance(value, FunctionType):
        yield from (value.__defaults__, value.__kwdefaults__)
        yield from (c.cell_contents for c in value.__closure__ or () if _filled(c))
        for name in sorted(set(_names(value.__code__)) & value.__globals__.keys()):
            yield value.__globals__[name]
    elif isinstance(value, type):
        yield from (getattr(one, "__func__", one) for one in vars(value).values())
    else:
        yield from (kind for kind in type(value).__mro__ if _is_own(kind))
        yield vars(value) if hasattr(value, "__dict__") else None


def _is_of_user(value: Any) -> bool:
    """Whether code is the user's own, and not of a library with a version."""
    home = str(value.__module__ or "").partition(".")[0]
    return home == "__main__" or home not in _LIBRARIES


def _filled(cell: CellType) -> bool:
    """Whether a variable of a closure has a value yet."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _names(code: CodeType) -> Iterator[str]:
    """Names that a function and those inside of it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _of_code(code: CodeType) -> Iterator[Part]:
    """Describe what a function does, wherever it stands in its file."""
    yield code.co_code
    yield repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant)
        else:
            yield from _of_value(constant)
