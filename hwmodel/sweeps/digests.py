"""Digests: by them what was done is known again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable


def digest(text: str | bytes) -> str:
    """Sixteen characters that differ between texts."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]


def digest_of_files(paths: Iterable[str | os.PathLike[str]]) -> str:
    """Digest of the content of files, in a given order."""
    found = []
    for path in paths:
        with open(path, "rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digest(" ".join(found))
