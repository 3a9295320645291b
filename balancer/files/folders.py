"""Folders that appear complete or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from balancer import __version__
from balancer.errors import TicketError
from balancer.files.atomic import missing_folders, remove_empty
from balancer.files.parts import FORMER, part_folder
from balancer.files.write_errors import writing
from balancer.text_files import read_text_file

DESCRIPTION = "export.json"
"""The file that every exported folder has, and by which it is known."""
_MAKER = "balanced-sparsity"


@contextmanager
def replacing_folder(
    folder: str | os.PathLike[str], inputs: Iterable[Path] = ()
) -> Iterator[Path]:
    """Give a temporary folder to write to; if all goes well it becomes `folder`.

    A folder of an earlier export is replaced as a whole. Whatever fails, no partial
    folder stays, and a kill between the two leaves the earlier one to come back.

    Parameters
    ----------
    folder : str or path
        Its final name.
    inputs : iterable of Path
        What has been read, and must not be lost.

    Raises
    ------
    TicketError
        Something else has the name, or the folder holds an input.
    WriteError
        It cannot be written.
    """
    folder = Path(folder)
    _refuse_to_replace(folder, inputs)
    made = missing_folders(folder.parent)
    try:
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with part_folder(folder.parent) as part:
                written = part / folder.name
                written.mkdir()
                yield written
                _exchange(folder, written, part / FORMER / folder.name)
                made = []
    finally:
        remove_empty(made)


def _exchange(folder: Path, written: Path, aside: Path) -> None:
    """Put a folder in the place of another, which stays if that fails."""
    try:
        if folder.exists():
            aside.parent.mkdir()
            folder.replace(aside)
        written.replace(folder)
    finally:
        if aside.exists() and not folder.exists():
            aside.replace(folder)


def describe(folder: Path, format: str, **known: Any) -> None:
    """Write the description of an exported folder, once all else is in it."""
    description = {
        "exported_by": f"{_MAKER} {__version__}",
        "format": format,
        **known,
        "files": _files_in(folder),
    }
    text = json.dumps(description, indent=1, allow_nan=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def description_of(folder: Path) -> dict[str, Any]:
    """Read the description of an exported folder.

    Raises
    ------
    TicketError
        There is none.
    """
    path = folder / DESCRIPTION
    try:
        known = read_text_file("JSON", path, TicketError)
        if known["exported_by"].startswith(_MAKER):
            return dict(known)
    except (TicketError, KeyError, TypeError, AttributeError):
        pass
    raise TicketError(
        f"no description of an export; the {DESCRIPTION} of one is needed", about=path
    )


def _files_in(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _refuse_to_replace(folder: Path, inputs: Iterable[Path]) -> None:
    if not folder.exists():
        return
    for given in inputs:
        if folder.resolve() in given.resolve().parents:
            raise TicketError(
                f"the export would replace {folder}, which holds the input {given}; "
                "give another place (--out)"
            )
    if folder.is_dir() and not any(folder.iterdir()):
        return
    try:
        known = {*description_of(folder).get("files", ()), DESCRIPTION}
        strange = [file for file in _files_in(folder) if file not in known]
    except (TicketError, TypeError):  # no description of ours, or no names of files
        strange = [DESCRIPTION]
    if strange:
        raise TicketError(
            f"the export would go to {folder}, which is there already and is no "
            f"earlier export alone ({strange[0]}); give another place (--out), or "
            "move it away"
        )
