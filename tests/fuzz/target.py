"""One reader with the files that it is given, used as the commands use it.

A target writes one file (or folder) and reads it. It returns whether the file was
taken; a refusal is a `BalancerError` that names the file. Anything else is a failure.
"""

from __future__ import annotations

import json
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from balancer import BalancerError

MOST_SAID = 4096  # characters of a refusal
TORCH = ("torch", "spikingjelly")
PAGES = ("matplotlib.font_manager", "jinja2")
ONE_IN = 16  # files that were taken, of which a page is drawn: figures are slow

Write = Callable[[Random, Path], Path]
Read = Callable[[Path], object]


class HostileFailure(AssertionError):
    """A reader that did what none may do."""


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes
    ----------
    share : int
        How many of a thousand inputs it gets, about: slow readers get fewer.
    write : callable
        Writes an input into a folder and returns its path.
    read : callable
        Reads it.
    needs : tuple of str
        Modules beside those of the default installation.
    """

    share: int
    write: Write
    read: Read
    needs: tuple[str, ...] = ()

    def check(self, rng: Random, folder: Path) -> bool:
        """Write and read one input; whether it was taken.

        Raises
        ------
        HostileFailure
            A refusal that is too long or names no file.
        Exception
            Whatever the reader lets through.
        """
        return self.check_file(self.write(rng, folder))

    def check_file(self, path: Path) -> bool:
        """Read one input; raises as `check`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.read(path)
        except BalancerError as error:
            said = str(error)
            if len(said) > MOST_SAID:
                raise HostileFailure(f"says {len(said)} characters") from error
            if path.name not in said:
                raise HostileFailure(f"does not name the file: {said[:200]}") from error
            return False
        return True


def file(name: str, made: Callable[[Random], bytes]) -> Write:
    """Make what writes drawn bytes into a file of a name."""

    def write(rng: Random, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(made(rng))
        return path

    return write


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name the file as the commands do."""
    from balancer.errors import naming

    with naming(path):
        yield


def timeless(path: Path) -> bytes:
    """Read a file, and lines without how long things took: the same every time."""
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        data = re.sub(rb'("\w*seconds?": )[0-9.e-]+', rb"\g<1>0.5", data)
    return data


def is_drawn(path: Path) -> bool:
    """Whether a page of this file is drawn: the same for the same bytes."""
    return zlib.crc32(path.read_bytes()) % ONE_IN == 0


def strict_json(text: str) -> Any:
    """Read JSON that every parser reads."""
    return json.loads(text, parse_constant=_no_number)


def _no_number(text: str) -> None:
    raise HostileFailure(f"JSON with {text}")
