"""Files of the format safetensors, alone or as the shards of a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from balancer.array_types import AnyArray
from balancer.errors import TicketError
from balancer.files.number_formats import plain_bools, widen
from balancer.text_files import parse_text, read_text_file

Found = TypeVar("Found")
PIECE = 2**20  # bytes that are widened at a time, within a cache
INDEX = ".safetensors.index"  # in the name of an index of shards
# Types that NumPy has, in the byte order of the format.
_NATIVE = {
    "BOOL": np.dtype(np.bool_),
    **{
        f"{letter}{8 * size}": np.dtype(f"<{kind}{size}")
        for letter, kind, sizes in (
            ("F", "f", (2, 4, 8)),
            ("I", "i", (1, 2, 4, 8)),
            ("U", "u", (1, 2, 4, 8)),
            ("C", "c", (8,)),
        )
        for size in sizes
    },
}
_KINDS = {"B": "b", "I": "i", "U": "u", "C": "c"}  # by the first letter


@dataclass(frozen=True, slots=True)
class SafetensorsFile:
    """A .safetensors file."""

    path: Path

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array."""
        with self._opened() as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)

    def kinds(self) -> dict[str, str]:
        """Kind of every array's numbers; those that NumPy lacks are floating."""
        with self._opened() as file:
            found = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
        return {key: _kind(str(kind)) for key, kind in found.items()}

    def read(self, name: str) -> AnyArray:
        """Load one array."""
        with self._opened() as file:  # which makes sure that the header is valid
            stored = file.get_slice(name)
            kind, shape = str(stored.get_dtype()), stored.get_shape()
        dtype = _NATIVE.get(kind)
        with self.path.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
            first, last = json.loads(stream.read(header))[name]["data_offsets"]
            stream.seek(8 + header + first)
            # Read, not mapped: pages of a mapping count as memory, and cost more time.
            numbers: AnyArray | None
            if dtype is not None:
                numbers = np.fromfile(stream, dtype, (last - first) // dtype.itemsize)
            else:
                numbers = _widened(kind, stream, last - first)
        if numbers is None:
            raise TicketError(
                f"{name} is {kind}, which is not read; store it as F32, F16, BF16 or "
                "F8_E4M3",
                about=self.path,
            )
        return plain_bools(numbers.reshape(shape))

    def metadata(self) -> dict[str, Any]:
        """Return the ticket's metadata, or else the file's."""
        with self._opened() as file:
            return ticket_metadata(file.metadata() or {})

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "numpy") as file:
                yield file
        except (SafetensorError, OSError) as error:
            raise TicketError(
                f"no readable safetensors file ({error})", about=self.path
            ) from error


def _widened(kind: str, stream: BinaryIO, size: int) -> AnyArray | None:
    """Read so many bytes of numbers that NumPy lacks; None: an unknown kind."""
    pieces = (stream.read(min(PIECE, size - at)) for at in range(0, size, PIECE))
    first = widen(kind, next(pieces, b""))
    if first is None or first.nbytes == 0:
        return first
    if size <= PIECE:
        return first
    whole = np.empty(first.size * size // PIECE, first.dtype)
    end = first.size
    whole[:end] = first
    for piece in pieces:
        part = widen(kind, piece)
        assert part is not None  # as the first is
        whole[end : end + part.size] = part
        end += part.size
    return whole


@dataclass(frozen=True, slots=True)
class ShardedFile:
    """A checkpoint in several .safetensors files, and the index that lists them."""

    path: Path

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array."""
        return self._gathered(SafetensorsFile.shapes)

    def kinds(self) -> dict[str, str]:
        """Kind of every array's numbers."""
        return self._gathered(SafetensorsFile.kinds)

    def read(self, name: str) -> AnyArray:
        """Load one array."""
        return SafetensorsFile(self.path.with_name(self._shards()[name])).read(name)

    def metadata(self) -> dict[str, Any]:
        """Return what the index says of the network."""
        about = self._index().get("metadata")
        return about if isinstance(about, dict) else {}

    def paths(self) -> tuple[Path, ...]:
        """Name the files that hold the arrays."""
        names = dict.fromkeys(self._shards().values())
        return tuple(self.path.with_name(name) for name in names)

    def _gathered(
        self, of_shard: Callable[[SafetensorsFile], dict[str, Found]]
    ) -> dict[str, Found]:
        """Ask every shard once; the arrays come in the order of the index."""
        # Unlike `Path.is_file` it takes names that no file can have.
        missing = [path.name for path in self.paths() if not os.path.isfile(path)]
        if missing:
            raise TicketError(
                f"its files {', '.join(missing)} are missing; put them beside it",
                about=self.path,
            )
        found = {path.name: of_shard(SafetensorsFile(path)) for path in self.paths()}
        shards = self._shards()
        for name, shard in shards.items():
            if name not in found[shard]:
                raise TicketError(
                    f"{name} is not in {shard}, where the index has it; copy both anew",
                    about=self.path,
                )
        return {name: found[shard][name] for name, shard in shards.items()}

    def _shards(self) -> dict[str, str]:
        """Read which file holds which array; files lie beside the index."""
        shards = self._index().get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise TicketError(
                "is no index of .safetensors files: it has no `weight_map` that says "
                "which array is in which file",
                about=self.path,
            )
        for name, shard in shards.items():
            if not isinstance(shard, str) or not shard or Path(shard).name != shard:
                raise TicketError(
                    f"its file of {name} is {shard!r}; the name of a file beside the "
                    "index is accepted",
                    about=self.path,
                )
        return shards

    def _index(self) -> dict[str, Any]:
        index = read_text_file("JSON", self.path, TicketError)
        return index if isinstance(index, dict) else {}


def is_index(path: Path) -> bool:
    """Whether a file is called an index of shards.

    As ``model.safetensors.index.json``, or with a variant before ``.json``.
    """
    stem, index, ending = path.name.lower().rpartition(INDEX)
    return bool(stem and index) and ending.endswith(".json")


def ticket_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ticket's metadata, or else the file's, whose values are texts."""
    text = metadata.get("ticket")
    return (
        mapping_of(text) or dict(metadata) if isinstance(text, str) else dict(metadata)
    )


def mapping_of(text: str) -> dict[str, Any]:
    """Read a mapping from JSON; empty where the text holds something else."""
    try:
        found = parse_text("JSON", text, TicketError)
    except TicketError:
        return {}
    return found if isinstance(found, dict) else {}


def _kind(name: str) -> str:
    """Kind of numbers by their name in safetensors; BF16 is no bool."""
    return "f" if name == "BF16" else _KINDS.get(name[:1], "f")
