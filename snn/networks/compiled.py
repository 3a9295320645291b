"""Functions of tensors, compiled once that pays, and only if nothing changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

# Numbers after which a function is compiled. That takes 6 to 21 s, about as long as the
# function has then taken: so the total is never more than twice the least possible.
WORTH_COMPILING = 400_000_000

_log = logging.getLogger(__name__)


class CompiledOnce:
    """A function of tensors, compiled by `torch.compile` when it has run for a while.

    Compiled, its results must be the same bits as before, so that it makes no
    difference to anything when that happens. Where they are not, or it cannot be
    compiled (which takes a C++ compiler), it stays as it is, which is logged.

    The compiler makes code anew for other lengths of the first axis, and for tensors
    that have gaps or repeat themselves in memory. Calls that differ in these are
    counted, compiled and checked apart.

    Parameters
    ----------
    function : callable
        Takes tensors of float32 on the CPU, and numbers; returns one tensor, or a
        tuple of them.
    worth : int
        Numbers in first tensors after which it is compiled.
    """

    def __init__(
        self, function: Callable[..., Any], worth: int = WORTH_COMPILING
    ) -> None:
        self.function = function
        self.worth = worth
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._done: set[tuple[Any, ...]] = set()  # tried, whatever came of it
        self._compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        kind = tuple(map(_kind, arguments))
        if kind in self._compiled:
            return self._compiled[kind](*arguments)
        result = self.function(*arguments)
        if kind not in self._done:
            self._seen[kind] += arguments[0].numel()
            if self._seen[kind] >= self.worth:
                self._done.add(kind)
                self._compile(kind, arguments, result)
        return result

    def _compile(
        self, kind: tuple[Any, ...], arguments: tuple[Any, ...], expected: Any
    ) -> None:
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        compiled = torch.compile(self.function, dynamic=True)
        try:
            made = compiled(*arguments)
        except Exception as error:  # whatever a compiler says, there is another way
            first = str(error).splitlines()[:1]
            _log.info("%s is not compiled: %s", name, *first or [repr(error)])
            return
        if _same_bits(made, expected):
            self._compiled[kind] = compiled
            _log.info("%s is compiled", name)
        else:
            _log.info("%s is not compiled: the results would differ", name)


def _kind(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor):
        return len(argument), argument.is_contiguous()
    return argument


def _same_bits(one: Any, other: Any) -> bool:
    """Compare as whole numbers: 0.0 is another one than -0.0, and NaN equals itself."""
    if isinstance(other, tuple):
        return all(map(_same_bits, one, other))
    same: bool = torch.equal(one.view(torch.int32), other.view(torch.int32))
    return same
