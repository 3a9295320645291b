"""Checksums of what a run goes on from: a changed bit must not become other results."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ARRAYS, METADATA = "arrays_sha256", "metadata_sha256"


def checksums(
    arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Compute what the metadata of a ticket say of its arrays and of themselves."""
    content = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).data)
    known = {**metadata, ARRAYS: content.hexdigest()}
    return {ARRAYS: content.hexdigest(), METADATA: _of_metadata(known)}


def damage_of_metadata(metadata: Mapping[str, Any]) -> str | None:
    """Say what is damaged; None if all is as written, or has no checksum."""
    if METADATA not in metadata or metadata[METADATA] == _of_metadata(metadata):
        return None
    return "its metadata are not what was written"


def damage_of_arrays(
    arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]
) -> str | None:
    """Say what is damaged; None if all is as written, or has no checksum."""
    known = metadata.get(ARRAYS)
    if known is None or known == checksums(arrays, {})[ARRAYS]:
        return None
    return "its arrays are not what was written"


def damage_of_archive(path: Path) -> str | None:
    """Say which member of a zip archive, as torch writes them, is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except Exception as error:  # zip and zlib fail in many ways on damage
        return str(error) or type(error).__name__
    return None if member is None else f"{member} is not what was written"


def _of_metadata(metadata: Mapping[str, Any]) -> str:
    known = {name: value for name, value in metadata.items() if name != METADATA}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
