"""Numbers of files that NumPy lacks: bf16 and fp8, and bools of any byte."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from balancer.array_types import AnyArray


def widen(kind: str, stored: bytes) -> AnyArray | None:
    """Return the numbers of a kind of safetensors as float32; None: an unknown kind."""
    decode = _DECODERS.get(kind)
    return None if decode is None else decode(stored)


def plain_bools(array: AnyArray) -> AnyArray:
    """Return an array whose bools are the bytes 0 and 1, as NumPy counts on.

    A file may hold any byte for true; NumPy takes it as it is, and then counts wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer.files.number_formats import plain_bools
    >>> stored = np.frombuffer(bytes([0, 1, 64]), bool)
    >>> int(plain_bools(stored).view(np.uint8).sum())
    2
    """
    if array.dtype != np.bool_ or array.view(np.uint8).max(initial=0) <= 1:
        return array
    bools: AnyArray = array.view(np.uint8) != 0
    return bools


def _bf16(stored: bytes) -> AnyArray:
    """Take the upper half of a float32."""
    upper = np.frombuffer(stored, "<u2")
    whole = np.empty(len(upper), np.uint32)
    np.left_shift(upper, np.uint32(16), out=whole)  # widened piece by piece
    numbers: AnyArray = whole.view(np.float32)
    return numbers


def _from_table(table: Callable[[], AnyArray]) -> Callable[[bytes], AnyArray]:
    def decode(stored: bytes) -> AnyArray:
        numbers: AnyArray = table()[np.frombuffer(stored, np.uint8)]
        return numbers

    return decode


@cache
def _e4m3() -> AnyArray:
    """Four bits of exponent, no infinity; all ones is no number."""
    code = np.arange(256)
    exponent, fraction = code >> 3 & 15, code & 7
    scale = np.ldexp(1.0, np.maximum(exponent, 1) - 10)
    value = (fraction + 8 * (exponent > 0)) * scale
    value[code & 127 == 127] = np.nan
    numbers: AnyArray = np.where(code < 128, value, -value).astype(np.float32)
    return numbers


@cache
def _e5m2() -> AnyArray:
    """Take the upper half of a float16."""
    upper = np.arange(256, dtype=np.uint16)
    numbers: AnyArray = np.left_shift(upper, 8).view(np.float16).astype(np.float32)
    return numbers


@cache
def _e8m0() -> AnyArray:
    """Powers of two; all ones is no number."""
    value = np.ldexp(1.0, np.arange(256) - 127)
    value[255] = np.nan
    return value.astype(np.float32)


_DECODERS: dict[str, Callable[[bytes], AnyArray]] = {
    "BF16": _bf16,
    "F8_E4M3": _from_table(_e4m3),
    "F8_E5M2": _from_table(_e5m2),
    "F8_E8M0": _from_table(_e8m0),
}
