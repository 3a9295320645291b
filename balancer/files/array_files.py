"""Files of named arrays, read one array at a time and never unpickled."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray
from balancer.errors import TicketError
from balancer.files.number_formats import plain_bools
from balancer.files.safetensors_files import (
    INDEX,
    SafetensorsFile,
    ShardedFile,
    is_index,
    mapping_of,
    ticket_metadata,
)
from balancer.files.signatures import misnamed

METADATA = "__metadata__"  # the array of an .npz file that holds the metadata as JSON
MOST_UNPACKED = 1032  # bytes that deflate makes of one, at most (zlib's manual)
NUMBERS = "biufc"  # NumPy's kinds of numbers: bool, integers, floating, complex


class ArrayFile(Protocol):
    """Named arrays that are read one by one."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array."""

    def kinds(self) -> dict[str, str]:
        """Kind of every array's numbers, as NumPy's ``dtype.kind``."""

    def read(self, name: str) -> AnyArray:
        """Load one array."""

    def metadata(self) -> dict[str, Any]:
        """Return what the file says about itself."""


@dataclass(frozen=True, slots=True)
class NpzFile:
    """A .npz file; arrays of Python objects are refused."""

    path: Path

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array."""
        return {name: shape for name, (shape, _) in self._headers().items()}

    def kinds(self) -> dict[str, str]:
        """Kind of every array's numbers."""
        return {name: dtype.kind for name, (_, dtype) in self._headers().items()}

    def _headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Read the shape and the type of every array alone."""
        with self._readable(), zipfile.ZipFile(self.path) as archive:
            found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
            for member in archive.namelist():
                self._check_packing(archive.getinfo(member))
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    header = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = header(stream)
                    stored = archive.getinfo(member).file_size - stream.tell()
                claimed = math.prod(shape) * dtype.itemsize
                if claimed > stored and not dtype.hasobject:
                    raise TicketError(
                        f"{member} is said to have shape {shape}, {claimed:,} bytes, "
                        f"but holds {stored:,}; copy the file anew",
                        about=self.path,
                    )
                if dtype.hasobject:
                    raise TicketError(
                        f"{member} holds Python objects, which would have to be "
                        "unpickled; store numbers",
                        about=self.path,
                    )
                name = member.removesuffix(".npy")
                if name in found:
                    raise TicketError(
                        f"holds two arrays called {name}; one is accepted",
                        about=self.path,
                    )
                found[name] = shape, dtype
            return found

    def _check_packing(self, member: zipfile.ZipInfo) -> None:
        """Refuse what unpacks to more than its bytes can hold."""
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise TicketError(
                f"{member.filename} is compressed by method {member.compress_type}; "
                "stored (0) or deflated (8) is accepted, as `numpy.savez` and "
                "`numpy.savez_compressed` do",
                about=self.path,
            )
        if member.file_size > MOST_UNPACKED * (member.compress_size + 1):
            raise TicketError(
                f"{member.filename} is said to unpack from {member.compress_size:,} "
                f"bytes to {member.file_size:,}, which no compression here does; copy "
                "the file anew",
                about=self.path,
            )

    def read(self, name: str) -> AnyArray:
        """Load one array."""
        with self._readable(), np.load(self.path, allow_pickle=False) as arrays:
            array: AnyArray = arrays[name]
        if array.dtype.kind not in NUMBERS:
            raise TicketError(
                f"{name} is an array of {array.dtype}, and no numbers; store it as "
                "float32",
                about=self.path,
            )
        return plain_bools(array)

    def metadata(self) -> dict[str, Any]:
        """Return the ticket's metadata, if there is any."""
        with self._readable(), np.load(self.path, allow_pickle=False) as arrays:
            text = _text_of(arrays[METADATA]) if METADATA in arrays else ""
            return ticket_metadata(mapping_of(text) or {})

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except TicketError:
            raise
        except Exception as error:  # zip, zlib and NumPy fail in many ways on damage
            detail = str(error) or type(error).__name__
            raise TicketError(
                f"no readable .npz file ({detail})", about=self.path
            ) from error


def _text_of(stored: AnyArray) -> str:
    """Return the text of an array; NumPy takes any four bytes for a character.

    Raises
    ------
    ValueError
        Some are none.
    """
    if stored.dtype.kind == "U" and stored.dtype.itemsize:
        native = np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))
        if native.reshape(-1).view(np.uint32).max(initial=0) > sys.maxunicode:
            raise ValueError("its metadata are no text")
    return str(stored)


@dataclass(frozen=True, slots=True, eq=False)
class ArraysInMemory:
    """Named arrays that are loaded already."""

    arrays: Mapping[str, npt.ArrayLike]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array."""
        return {name: np.shape(array) for name, array in self.arrays.items()}

    def kinds(self) -> dict[str, str]:
        """Kind of every array's numbers."""
        return {
            name: np.asarray(array).dtype.kind for name, array in self.arrays.items()
        }

    def read(self, name: str) -> AnyArray:
        """Return one array."""
        return np.asarray(self.arrays[name])

    def metadata(self) -> dict[str, Any]:
        """Return nothing: arrays say nothing about themselves."""
        return {}


def open_arrays(path: Path) -> ArrayFile:
    """Choose the reader for a file by its suffix.

    Beyond those of this module, readers are the entry points ``balancer.readers`` of
    installed packages, named after the suffix without its dot: callables that take the
    path.

    Raises
    ------
    TicketError
        An unknown suffix, no such file, or one that is not what its name says.
    """
    try:
        found = misnamed(path) if path.is_file() else None
    except OSError as error:
        raise TicketError(f"cannot be read: {error.strerror}", about=path) from error
    if found is not None:
        raise TicketError(f"is {found}", about=path)
    reader = _reader_of(path)
    if path.is_dir():
        raise TicketError("is a folder; give the file of weights in it", about=path)
    if not path.is_file():
        raise TicketError("no such file", about=path)
    return reader(path)


def files_of(path: Path) -> tuple[Path, ...]:
    """Name the files that a ticket is read from: an index comes with its shards.

    Raises
    ------
    TicketError
        An index that cannot be read.
    """
    shards = ShardedFile(path).paths() if is_index(path) else ()
    return (path, *shards)


def _reader_of(path: Path) -> Callable[[Path], ArrayFile]:
    if is_index(path):
        return ShardedFile
    return _READERS.get(path.suffix.lower()) or _installed_reader(path)


def _installed_reader(path: Path) -> Callable[[Path], ArrayFile]:
    suffix = path.suffix.lower().removeprefix(".")
    for entry in entry_points(group=READER_GROUP, name=suffix):
        reader: Callable[[Path], ArrayFile] = entry.load()
        return reader
    raise TicketError(f"unknown format; accepted: {', '.join(formats())}", about=path)


def formats() -> tuple[str, ...]:
    """Suffixes of the files that can be read."""
    installed = sorted({f".{entry.name}" for entry in entry_points(group=READER_GROUP)})
    return (*_READERS, f"{INDEX}.json", *installed)


def save_arrays(
    path: Path, arrays: Mapping[str, AnyArray], metadata: Mapping[str, Any]
) -> None:
    """Write named arrays with their metadata, in the format that the suffix names.

    Raises
    ------
    OSError
        The disk is full, say; `atomic.replacing` tells it in one line.
    """
    if path.suffix.lower() == ".npz":
        save_npz(path, arrays.items(), metadata)
    else:
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        try:
            save_file(dict(arrays), path, metadata_texts(metadata))
        except SafetensorError as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(path)) from error


def save_npz(
    path: Path, arrays: Iterable[tuple[str, AnyArray]], metadata: Mapping[str, Any]
) -> None:
    """Write a .npz file as `numpy.savez_compressed` does, an array at a time."""
    texts = np.array(json.dumps(metadata_texts(metadata)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, array in chain(arrays, [(METADATA, texts)]):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def metadata_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """State metadata as these files hold them, where all values are texts."""
    return {"ticket": json.dumps(dict(metadata))}


_READERS: dict[str, Callable[[Path], ArrayFile]] = {
    ".safetensors": SafetensorsFile,
    ".npz": NpzFile,
}
WRITTEN_FORMATS = tuple(_READERS)
# Whose arrays are read anew for each caller, who may change them.
FRESH = (SafetensorsFile, ShardedFile, NpzFile)
READER_GROUP = "balancer.readers"
