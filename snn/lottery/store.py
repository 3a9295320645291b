"""The folder of a run: a ticket for every finished round, and a checkpoint between.

A folder is named by the digest of its configuration, and a file appears in it whole or
not at all. So a run that was killed goes on from what is there, and a finished one is
only read.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from balancer import Schedule
from balancer.errors import MALFORMED, BalancerError, TicketError
from balancer.files.atomic import replacing
from balancer.files.locks import take_lock
from balancer.files.write_errors import writing
from balancer.text_files import read_text_file
from balancer.valid_json import to_json
from snn.lottery.checksums import damage_of_archive
from snn.lottery.config import LotteryConfig
from snn.lottery.identity import StandIns
from snn.lottery.pruning import Pruned
from snn.lottery.results import RoundOutcome, reported_notes, reported_outcomes
from snn.lottery.round_tickets import (
    RoundTicket,
    load_outcome,
    load_ticket,
    save_ticket,
)
from snn.torch_files import load_torch, save_torch

# What a run makes, beside its lock and what TensorBoard reads; the report goes first:
# without it, a run of which only a part was removed is an unfinished one.
MADE = (
    *("report.json", "round-*.safetensors", "*.pt", "*.jsonl", "*.npz", "*.json"),
    "damaged-round-*.safetensors",
)


T = TypeVar("T")


class StoreError(BalancerError):
    """A run folder that cannot be used."""


class RunInUseError(StoreError):
    """A run that another process works on."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A round that is not over.

    Attributes
    ----------
    round : int
        Which one.
    pruned : Pruned
        What it trains with; not chosen again, since a search may depend on the clock.
    trainer : dict
        What `Trainer.checkpoint` returned.
    """

    round: int
    pruned: Pruned
    trainer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Files of one run.

    Attributes
    ----------
    path : Path
        The folder.
    config : LotteryConfig
        The run.
    """

    path: Path
    config: LotteryConfig

    @classmethod
    def of(
        cls, config: LotteryConfig, root: Path, given: StandIns | None = None
    ) -> Self:
        """Name the folder of a run; nothing is made yet.

        `given` stands in for parts of the configuration.
        """
        given = given or StandIns()
        data = Path(given.data or config.dataset).stem
        network = given.network or config.network
        parts = (data, network, given.method or config.method)
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(("lottery", *parts)))
        digest = config.digest(given.fingerprint)
        return cls(root / f"{name[:80]}-s{config.seed}-{digest}", config)

    def ticket_path(self, number: int) -> Path:
        """Path of the ticket of a round."""
        return self.path / f"round-{number:02d}.safetensors"

    @property
    def spikes_path(self) -> Path:
        """Path of the recorded spikes."""
        return self.path / "spikes.npz"

    @property
    def rounds_done(self) -> int:
        """Rounds whose tickets are there, counted from the dense round 0."""
        done = 0
        while self.ticket_path(done).exists():
            done += 1
        return done

    @property
    def started(self) -> bool:
        """Whether anything of the run is there."""
        return (self.path / "config.json").exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the same run.

        Raises
        ------
        RunInUseError
            Another process works on it.
        WriteError
            The folder cannot be written.
        """
        lock = self.path / "lock"
        with writing(lock):
            self.path.mkdir(parents=True, exist_ok=True)
            file = lock.open("w")
        with file:
            self._take(file)
            try:
                yield
            finally:
                with suppress(OSError):  # which would hide what went wrong
                    if [lock] == list(self.path.iterdir()):  # nothing came of it
                        lock.unlink()
                        self.path.rmdir()

    @property
    def in_use(self) -> bool:
        """Whether another process works on the run."""
        try:
            with self.locked():
                return False
        except RunInUseError:
            return True

    def _take(self, lock: TextIO) -> None:
        if take_lock(lock) is False:
            raise RunInUseError(
                f"{self.path}: another process works on this run; wait for it, or "
                "change the seed or the output folder"
            )

    def former(self, resume: bool, restart: bool) -> list[RoundOutcome] | None:
        """Outcomes of a run that is finished and not wanted again.

        Parameters
        ----------
        resume, restart : bool
            What to do with one that is not: go on, or throw it away.

        Raises
        ------
        StoreError
            There is an unfinished run, and neither is asked for; a damaged report; a
            finished run whose last ticket is missing or damaged.
        """
        if restart:
            return None
        finished = self.finished()
        if finished is None and self.started and not resume:
            done = f" of {self.rounds_done} rounds" if self.rounds_done else ""
            raise StoreError(
                f"{self.path} holds an unfinished run{done}; go on with --resume, or "
                "begin again with --restart"
            )
        if finished:
            self._check_ticket(finished[-1].round)
            self._remove_states()  # a kill may have come between them and the report
        return finished

    def _check_ticket(self, number: int) -> None:
        """Refuse a finished run without the ticket that is its result."""
        try:
            self.load_round(number)
        except TicketError as error:
            raise StoreError(
                f"the run is finished, but {error}; put a copy of the file in its "
                "place, or begin again with --restart"
            ) from error

    def begin(self, anew: bool = False) -> None:
        """Write the configuration, and remove what a kill left half-written.

        If `anew`, everything that an earlier run made goes first. Else what is damaged
        and can be done again is set aside, with a warning: a checkpoint, and the ticket
        of the last round unless it is the dense one.
        """
        for file in self.path.glob(".part-*"):  # of the dead: the run is ours
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        for pattern in MADE if anew else ():
            for file in self.path.glob(pattern):
                file.unlink()
        self._set_aside_damaged()
        with replacing(self.path / "config.json") as (file,):
            file.write_text(self.config.model_dump_json(indent=1) + "\n")

    def _set_aside_damaged(self) -> None:
        last = self.rounds_done - 1
        try:
            self.load_checkpoint()
        except StoreError:
            self._set_aside(self.path / "checkpoint.pt")
        if last > 0:
            try:
                self.load_round(last)
            except TicketError:
                self._set_aside(self.ticket_path(last))

    def _set_aside(self, file: Path) -> None:
        kept = file.replace(file.with_name(f"damaged-{file.name}"))
        warnings.warn(
            f"{file} is damaged; its round is done again, and the file kept as "
            f"{kept.name}",
            stacklevel=2,
        )

    def save_round(self, ticket: RoundTicket, about: Mapping[str, Any]) -> None:
        """Write the ticket of a round; its checkpoint is no longer needed."""
        path = self.ticket_path(ticket.outcome.round)
        save_ticket(path, ticket, self.config, about)
        (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def load_outcome(self, number: int) -> RoundOutcome:
        """Read what came of a round, without its weights."""
        return load_outcome(self.ticket_path(number))

    def load_round(self, number: int) -> RoundTicket:
        """Read the ticket of a round."""
        return load_ticket(self.ticket_path(number))

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint over the last one."""
        pruned = checkpoint.pruned
        orders = {name: one.order for name, one in pruned.schedules.items()}
        values = {
            "round": checkpoint.round,
            "trainer": checkpoint.trainer,
            "masks": _tensors(pruned.masks),
            "carried": _tensors(pruned.carried),
            "orders": _tensors(orders),
            "axes": {name: one.axis for name, one in pruned.schedules.items()},
        }
        self._save("checkpoint", values)

    def load_checkpoint(self) -> Checkpoint | None:
        """Read the checkpoint; None if there is none.

        Raises
        ------
        StoreError
            A damaged file.
        """
        values = self._load("checkpoint")
        if values is None:
            return None
        path = self.path / "checkpoint.pt"
        try:
            return self._checkpoint(values)
        except (RuntimeError, *MALFORMED) as error:
            said = " ".join(str(error).split())
            raise StoreError(
                f"{path} is damaged ({said}); begin again with --restart"
            ) from error

    @staticmethod
    def _checkpoint(values: Mapping[str, Any]) -> Checkpoint:
        if type(values["round"]) is not int:
            raise TypeError("`round` is no number")
        masks, carried, orders = (
            {name: tensor.numpy() for name, tensor in values[part].items()}
            for part in ("masks", "carried", "orders")
        )
        schedules = {
            name: Schedule(axis, orders[name]) for name, axis in values["axes"].items()
        }
        pruned = Pruned(masks, carried, schedules)
        return Checkpoint(values["round"], pruned, values["trainer"])

    def save_rewind(self, state: Mapping[str, torch.Tensor]) -> None:
        """Write the state of the network that every round goes back to."""
        self._save("rewind", state)

    def load_rewind(self) -> dict[str, torch.Tensor] | None:
        """Read that state; None if there is none.

        Raises
        ------
        StoreError
            A damaged file.
        """
        return self._load("rewind")

    def _save(self, name: str, values: Mapping[str, Any]) -> None:
        with replacing(self.path / f"{name}.pt") as (file,):
            save_torch(dict(values), file)

    def _load(self, name: str) -> dict[str, Any] | None:
        path = self.path / f"{name}.pt"
        if not path.exists():
            return None
        damage = damage_of_archive(path)  # torch looks at no checksum
        if damage is None:
            try:
                loaded: dict[str, Any] = load_torch(path)
            except Exception as error:  # as many ways as there are in pickles
                damage = str(error) or type(error).__name__
            else:
                return loaded
        said = " ".join(damage.split())
        raise StoreError(f"{path} is damaged ({said}); begin again with --restart")

    def finish(self, outcomes: list[RoundOutcome], notes: Sequence[str] = ()) -> None:
        """Write the report, which says that the run is finished."""
        report = {
            "config": self.config.model_dump(mode="json"),
            "rounds": [outcome.to_dict() for outcome in outcomes],
            "tickets": [self.ticket_path(one.round).name for one in outcomes],
            "notes": list(notes),
        }
        with replacing(self.path / "report.json") as (file,):
            file.write_text(to_json(report, indent=1) + "\n")
        self._remove_states()

    def _remove_states(self) -> None:
        for name in ("checkpoint.pt", "rewind.pt"):
            (self.path / name).unlink(missing_ok=True)

    def finished(self) -> list[RoundOutcome] | None:
        """Outcomes of a finished run; None if it is not.

        Raises
        ------
        StoreError
            A damaged report.
        """
        return self._reported(lambda report: list(reported_outcomes(report)))

    def notes(self) -> tuple[str, ...]:
        """Read the notes on a finished run; raises as `finished` does."""
        return self._reported(reported_notes) or ()

    def _reported(self, read: Callable[[Any], T]) -> T | None:
        path = self.path / "report.json"
        if not path.exists():
            return None
        try:
            return read(read_text_file("JSON", path, StoreError))
        except MALFORMED as error:  # those of the text are among them
            said = str(error).removeprefix(f"{path}: ")
            raise StoreError(
                f"{path} is damaged ({said}); remove it, and go on with --resume"
            ) from error


def _tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
    }
