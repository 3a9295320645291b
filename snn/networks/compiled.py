"""Functions of tensors that are compiled once that pays, and only if nothing changes."""

from __future__ import annotations

import logging
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

    Parameters
    ----------
    function : callable
        Takes tensors of float on the CPU first, then numbers.
    worth : int
        Numbers in first tensors after which it is compiled.
    """

    def __init__(
        self, function: Callable[..., Any], worth: int = WORTH_COMPILING
    ) -> None:
        self.function = function
        self.worth = worth
        self._seen = 0
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        if self._compiled is not None:
            return self._compiled(*arguments)
        result = self.function(*arguments)
        before, self._seen = self._seen, self._seen + arguments[0].numel()
        if before < self.worth <= self._seen:
            self._compile(arguments, result)
        return result

    def _compile(self, arguments: tuple[Any, ...], expected: Any) -> None:
        name = self.function.__name__
        compiled = torch.compile(self.function, dynamic=True)
        try:
            made = compiled(*arguments)
        except Exception as error:  # whatever a compiler says, there is another way
            first = str(error).splitlines()[:1]
            _log.info("%s is not compiled: %s", name, *first or [repr(error)])
            return
        if _same_bits(made, expected):
            self._compiled = compiled
            _log.info("%s is compiled", name)
        else:
            _log.info("%s is not compiled: the results would differ", name)


def _same_bits(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return all(map(_same_bits, one, other))
    same: bool = torch.equal(one, other)
    return same
