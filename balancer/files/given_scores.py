"""Scores of layers from elsewhere than their ticket: a file, or arrays in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy.typing as npt

from balancer.array_types import AnyArray
from balancer.errors import TicketError, naming
from balancer.files.array_files import (
    ArrayFile,
    ArraysInMemory,
    files_of,
    open_arrays,
)
from balancer.program.validation import checked_scores

Scores: TypeAlias = Mapping[str, npt.ArrayLike] | str | os.PathLike[str]
"""Arrays by name of layer (or ``NAME.score``), or the file that holds them."""

# Of the arrays that a refusal lists.
MOST_NAMED = 8


@dataclass(frozen=True, slots=True, eq=False)
class GivenScores:
    """Scores by name of layer, in the layout of the weights that they are given for.

    Attributes
    ----------
    file : ArrayFile
        Where they are.
    source : str
        What to call that.
    paths : tuple of Path
        The files that are read.
    """

    file: ArrayFile
    source: str
    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, scores: Scores) -> GivenScores:
        """Open what is given.

        Raises
        ------
        TicketError
            A file that is missing, damaged or of another format.
        """
        if isinstance(scores, Mapping):
            return cls(ArraysInMemory(scores), "given scores")
        path = Path(scores)
        with naming(path):
            return cls(open_arrays(path), path.name, files_of(path))

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse scores that are missing, or of another shape than the weights.

        Raises
        ------
        TicketError
            The layers in question.
        """
        found = self.file.shapes()
        missing = [name for name in shapes if _key(name, found) is None]
        if missing:
            more = ", …" if len(found) > MOST_NAMED else ""
            raise TicketError(
                f"no scores of {', '.join(missing)}; arrays NAME or NAME.score of all "
                f"layers are needed, and there are {', '.join([*found][:MOST_NAMED])}"
                f"{more}; leave layers out with `skip` (--skip)",
                about=self.source,
            )
        for name, shape in shapes.items():
            key = _key(name, found)
            if key is not None and found[key] != shape:
                raise TicketError(
                    f"{key} has shape {found[key]}, the weights of {name} {shape}; "
                    "scores need that of the weights",
                    about=self.source,
                )

    def read(self, name: str) -> AnyArray:
        """Load the scores of a layer.

        Raises
        ------
        BalancerError
            They are no finite numbers of at least 0.
        """
        key = _key(name, self.file.shapes())
        assert key is not None  # `check` has seen it
        with naming(self.source):
            array = self.file.read(key)
            return checked_scores(array, array.shape)


def _key(name: str, found: Mapping[str, object]) -> str | None:
    """Name the array of a layer's scores; one that says so goes before a bare one."""
    keys = (f"{name}.score", name)
    return next((key for key in keys if key in found), None)
