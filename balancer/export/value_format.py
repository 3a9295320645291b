"""How the weights of a layer are stored: float32, or integers with a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, IntArray
from balancer.errors import ExportError

FLOAT_BITS = 32
FEWEST_BITS, MOST_BITS = 2, 16


@dataclass(frozen=True, slots=True)
class ValueFormat:
    """The numbers of a stream: codes, and what they mean.

    A float32 is its own 32 bits. An integer of `bits` bits in two's complement means
    ``code * scale``; codes reach from ``-(2**(bits - 1) - 1)`` to its opposite, so the
    layer's largest magnitude has the largest code.

    Attributes
    ----------
    bits : int
        Of one code.
    scale : float or None
        Weight that the code 1 means, in the unit of the weights; None for float32.
    """

    bits: int = FLOAT_BITS
    scale: float | None = None

    @classmethod
    def of(cls, weights: AnyArray, bits: int | None = None) -> Self:
        """Choose the format of a layer.

        Parameters
        ----------
        weights : ndarray of float
            All that are kept.
        bits : int, optional
            Of integers, 2 to 16, rounded to the nearest code, ties to the even one.
            Default: float32.

        Raises
        ------
        ExportError
            Another number of bits, or weights without a largest magnitude.
        """
        if bits is None:
            return cls()
        whole = isinstance(bits, (int, np.integer)) and not isinstance(bits, bool)
        if not whole or not FEWEST_BITS <= bits <= MOST_BITS:
            raise ExportError(
                f"`bits` is {bits!r}; accepted are {FEWEST_BITS} to {MOST_BITS} for "
                "integers with a scale, or none for float32"
            )
        largest = float(np.abs(weights, dtype=np.float64).max(initial=0.0))
        if not np.isfinite(largest):
            raise ExportError(
                "weights that are infinite or no numbers have no scale; without "
                "`bits` they are kept as they are"
            )
        return cls(int(bits), largest / (2 ** (bits - 1) - 1) or 1.0)

    def encode(self, weights: npt.NDArray[np.float32]) -> IntArray:
        """Return the code of every weight."""
        if self.scale is None:
            return weights.view(np.uint32).astype(np.int64)
        codes = np.rint(weights.astype(np.float64) / self.scale)
        return codes.astype(np.int64)

    def decode(self, codes: IntArray) -> npt.NDArray[np.float32]:
        """Return what codes mean."""
        if self.scale is None:
            return codes.astype(np.uint32).view(np.float32)
        return (codes * self.scale).astype(np.float32)

    def to_bits(self, codes: IntArray) -> IntArray:
        """Return the codes as the numbers from 0 that their bits are."""
        return codes & ((1 << self.bits) - 1)

    def from_bits(self, words: IntArray) -> IntArray:
        """Return the codes that such numbers are the bits of."""
        if self.scale is None:
            return words
        sign = 1 << (self.bits - 1)
        return (words ^ sign) - sign

    def to_json(self) -> dict[str, Any]:
        """Describe the format, for `from_json` and for a reader."""
        if self.scale is None:
            return {"type": "float32", "bits": self.bits}
        return {"type": "integer", "bits": self.bits, "scale": self.scale}

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(known["bits"], known.get("scale"))
