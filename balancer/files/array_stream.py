"""A .safetensors file whose arrays are written one by one, as they come.

The format needs shapes and types before any number, and these are known before: so the
header is written first, and every array has its place. The bytes are those that
`safetensors.numpy.save_file` writes, which wants all arrays at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray

# Names of types in the format, in the order in which their arrays come.
_TYPES = {np.dtype(np.int32): "I32", np.dtype(np.bool_): "BOOL"}
_ALIGNMENT = 8  # of the first array in the file


class ArrayPlace(NamedTuple):
    """Where an array stands in a file.

    Attributes
    ----------
    first : int
        Position of its first byte.
    dtype : dtype
        Kind of its numbers.
    shape : tuple of int
        Its shape.
    """

    first: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class ArrayStream:
    """A file that has its size and its header; its arrays are zero until written.

    Attributes
    ----------
    path : Path
        The file.
    header : bytes
        What comes before the arrays.
    places : mapping of str to ArrayPlace
        Where each array is.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from balancer import open_ticket
    >>> from balancer.files.array_stream import ArrayStream
    >>> shapes = {"fc.mask": (np.dtype(bool), (2, 2))}
    >>> stream = ArrayStream.of(Path("masks.safetensors"), shapes, {"ticket": "{}"})
    >>> stream.create()
    >>> stream.write("fc.mask", np.eye(2, dtype=bool))
    >>> open_ticket("masks.safetensors").layers[0].read_mask().sum()
    np.int64(2)
    """

    path: Path
    header: bytes
    places: Mapping[str, ArrayPlace]

    @classmethod
    def of(
        cls,
        path: Path,
        arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
        metadata: Mapping[str, str],
    ) -> Self:
        """Lay out a file of arrays of int32 and bool, and write nothing yet."""
        kinds = [*_TYPES]
        names = sorted(arrays, key=lambda name: (kinds.index(arrays[name][0]), name))
        entries: dict[str, Any] = {"__metadata__": dict(metadata)}
        places: dict[str, ArrayPlace] = {}
        end = 0
        for name in names:
            dtype, shape = arrays[name]
            places[name] = ArrayPlace(end, dtype, shape)
            last = end + places[name].size
            entries[name] = {
                "dtype": _TYPES[dtype],
                "shape": list(shape),
                "data_offsets": [end, last],
            }
            end = last
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        header = len(text).to_bytes(8, "little") + text
        return cls(
            path,
            header,
            {
                name: place._replace(first=len(header) + place.first)
                for name, place in places.items()
            },
        )

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return max(
            (place.first + place.size for place in self.places.values()),
            default=len(self.header),
        )

    def create(self) -> None:
        """Write the header of a new file, and make it as long as it will be."""
        with self.path.open("wb") as file:
            file.write(self.header)
            file.truncate(self.size)

    def is_there(self) -> bool:
        """Whether the file is one that `create` has made of the same arrays."""
        try:
            with self.path.open("rb") as file:
                known = file.read(len(self.header)) == self.header
            return known and self.path.stat().st_size == self.size
        except OSError:
            return False

    def write(self, name: str, array: AnyArray) -> None:
        """Put an array in its place; several threads may write different ones."""
        place = self.places[name]
        rows = np.ascontiguousarray(array, dtype=place.dtype)
        if rows.shape != place.shape:
            raise ValueError(f"{name} has shape {rows.shape}, not {place.shape}")
        with self.path.open("r+b") as file:
            file.seek(place.first)
            file.write(rows.reshape(-1).view(np.uint8).data)

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return an array as the file has it: it takes no memory until it is read.

        Whoever changes it changes a copy, never the file.
        """
        place = self.places[name]
        if not place.size:
            return np.zeros(place.shape, place.dtype)
        return np.memmap(self.path, place.dtype, "c", place.first, place.shape)
