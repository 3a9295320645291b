"""Where masks and report of a balanced ticket go, and what they never replace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from balancer.errors import BalancerError, TicketError
from balancer.files.array_files import WRITTEN_FORMATS, open_arrays
from balancer.text_files import read_text_file

# What `BalanceReport.write` puts into every report and every mask file.
_OF_A_REPORT = {"layers", "network", "settings"}
_OF_MASKS = {"map", "pes", "version"}
_MASK_ROLES = ("mask", "order", "input_order")
# Names of files in formats that are not written; a folder is hardly meant.
_NO_FOLDERS = (".pt", ".pth", ".json", ".onnx", ".h5", ".hdf5", ".npy", ".pkl")


@dataclass(frozen=True, slots=True)
class BalanceFiles:
    """Where the masks and the report of a balanced ticket are.

    Attributes
    ----------
    masks, report : Path
        The two files.
    """

    masks: Path
    report: Path

    @classmethod
    def of(cls, out: str | os.PathLike[str]) -> BalanceFiles:
        """Name the files in a folder, or beside a mask file (.safetensors, .npz).

        Raises
        ------
        TicketError
            The name of a file in another format.
        """
        out = Path(out)
        suffix = out.suffix.lower()
        if suffix in WRITTEN_FORMATS:
            return cls(out, out.with_suffix(".json"))
        if suffix in _NO_FOLDERS:
            raise TicketError(
                f"masks are written as {' or '.join(WRITTEN_FORMATS)}, or into a "
                f"folder, and not as {suffix}; give another place (--out)",
                about=out,
            )
        return cls(out / "masks.safetensors", out / "report.json")

    def refuse_to_replace(self, inputs: Iterable[Path] = ()) -> None:
        """Refuse to write over an input, by any of its names, or over files of others.

        Masks and reports that an earlier balancing has written may be replaced.

        Parameters
        ----------
        inputs : iterable of Path
            What has been read.

        Raises
        ------
        TicketError
            The file that would be lost.
        """
        for given in inputs:
            for kind, path in (("masks", self.masks), ("report", self.report)):
                if _is_same(path, given):
                    raise TicketError(
                        f"the {kind} would go to {path}, which is the input {given}; "
                        "give another place (--out)"
                    )
        for kind, path, ours in (
            ("masks", self.masks, _holds_our_masks),
            ("report", self.report, _is_our_report),
        ):
            if path.exists() and not ours(path):
                raise TicketError(
                    f"the {kind} would go to {path}, which is there already and no "
                    f"{kind} of an earlier balancing; give another place (--out), or "
                    "move it away"
                )

    def to_dict(self) -> dict[str, str]:
        """Return the two paths, as JSON holds them."""
        return {"masks": str(self.masks), "report": str(self.report)}


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, through links too."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _holds_our_masks(path: Path) -> bool:
    try:
        file = open_arrays(path)
        known = set(file.metadata()) >= _OF_MASKS
        roles = {key.rpartition(".")[2] for key in file.shapes()}
    except (BalancerError, OSError):
        return False
    return known and roles.issubset((*_MASK_ROLES, "__metadata__"))


def _is_our_report(path: Path) -> bool:
    try:
        report = read_text_file("JSON", path, TicketError)
    except TicketError:
        return False
    return isinstance(report, dict) and set(report) >= _OF_A_REPORT
