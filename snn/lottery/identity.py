"""What stands in for the network and the data of a configuration, and what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import nn

from snn.data.image_data import ImageData

# What a run sets itself, or what is no part of what a module computes.
_LEFT_OUT = ("training", "timesteps")
Part: TypeAlias = bytes | memoryview
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True, slots=True)
class StandIns:
    """A network and data that were given, instead of named by a configuration.

    Attributes
    ----------
    network, data : str or None
        Their names; None for those of the configuration.
    fingerprint : str
        Differs where results would: initial weights, modules with their settings and
        code, images, labels and their scale.
    """

    network: str | None = None
    data: str | None = None
    fingerprint: str = ""

    @classmethod
    def of(cls, network: nn.Module | None, data: ImageData | None) -> Self:
        """Look at what was given."""
        prints = []
        if network is not None:
            prints.append(f"network {_digest(_of_network(network))}")
        if data is not None:
            prints.append(f"data {data.name} {_digest(_of_data(data))}")
        return cls(
            None if network is None else type(network).__name__,
            None if data is None else data.name,
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


def _of_code(code: CodeType) -> Iterator[Part]:
    """Describe what a function does, wherever it stands in its file."""
    yield code.co_code
    yield repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant)
        else:
            yield from _of_value(constant)
