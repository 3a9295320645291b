"""The ticket of a point: which file, and what it does not say itself."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

from balancer import Ticket, shipped_ticket
from balancer.errors import naming
from hwmodel.sweeps.digests import digest_of_files
from hwmodel.sweeps.settings import PointSettings, SweepError
from hwmodel.told_tickets import open_told, read_sizes


class TicketSource(NamedTuple):
    """A file, by names that processes with other working folders find, too.

    Attributes
    ----------
    path : Path or None
        The file; None is the ticket that comes with the package, wherever that is.
    axes, input_shape : str or None
        As in the command `balance`; several axes with spaces between them.
    geometry : Path or None
        A YAML file.
    """

    path: Path | None
    axes: str | None = None
    input_shape: str | None = None
    geometry: Path | None = None

    @classmethod
    def of(cls, settings: PointSettings) -> Self:
        """Take what the settings of a point say."""
        given = settings.ticket, settings.geometry
        path, geometry = (None if x is None else Path(x).resolve() for x in given)
        return cls(path, settings.axes, settings.input_shape, geometry)

    @property
    def file(self) -> Path:
        """The file on this machine."""
        return self.path or shipped_ticket()

    def open(self) -> Ticket:
        """Open the file, and place its layers.

        Raises
        ------
        BalancerError
            A file that cannot be read, or that the settings do not fit.
        """
        shape = None if self.input_shape is None else read_sizes(self.input_shape)
        with naming(self.file):
            axes = (self.axes or "").split()
            return open_told(self.file, axes, shape, self.geometry)

    def digest(self, ticket: Ticket) -> str:
        """Digest the files; as long as their time and size stay, only once."""
        extra = () if self.geometry is None else (self.geometry,)
        paths = (*ticket.paths, *extra)
        stats = [path.stat() for path in paths]
        stamps = tuple((one.st_mtime_ns, one.st_size) for one in stats)
        return _digest(paths, stamps)

    def open_same(self, digest: str) -> Ticket:
        """Open a file that has not changed, and is no other one on this machine.

        Rows of another one would be taken for those of the file that was planned with.

        Raises
        ------
        SweepError
            It is another one.
        """
        ticket = self.open()
        if self.digest(ticket) != digest:
            raise SweepError(
                f"{self.file}: it is not the file that the sweep was planned with; "
                "begin the sweep again, or copy the file to this machine anew"
            )
        return ticket


def with_inputs(ticket: Ticket, settings: PointSettings) -> Ticket:
    """Let time steps and spike rates that are given go before the ticket's own."""
    if not settings.inputs:
        return ticket
    about = ticket.about | settings.inputs
    return replace(ticket, metadata={**ticket.metadata, "ticket": about})


@lru_cache(maxsize=64)
def _digest(paths: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    return digest_of_files(paths)
