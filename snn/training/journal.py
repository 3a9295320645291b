"""The log of a run: one JSON object a line, and scalars for TensorBoard if wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from balancer.errors import BalancerError
from balancer.files.atomic import replacing
from balancer.files.write_errors import writing
from balancer.text_files import parse_text
from snn.training.trainer import EpochReport


class JournalError(BalancerError):
    """A log that cannot be read, or scalars that cannot be written."""


class Journal(AbstractContextManager["Journal"]):
    """Appends what happens to ``log.jsonl``, epoch by epoch and round by round.

    Every line is complete as soon as its call returns. One that a kill cut off is
    dropped when the log is opened again. Only the main process may have a journal.

    Parameters
    ----------
    folder : Path
        Made if needed; the scalars go to ``tensorboard`` inside it.
    tensorboard : bool
        Write scalars as well.

    Raises
    ------
    JournalError
        TensorBoard is wanted but not installed; a line that is damaged otherwise.
    WriteError
        The log cannot be written.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.path = folder / "log.jsonl"
        self._scalars = _Scalars(folder / "tensorboard") if tensorboard else None
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            self._rewrite(self.events())

    def epoch(self, round_: int, report: EpochReport) -> None:
        """Write down an epoch of a round; rounds count from 0."""
        values = asdict(report)
        self._append({"event": "epoch", "round": round_} | values)
        if self._scalars is not None:
            step = round_ * report.epochs + report.epoch
            self._scalars.add("epochs", step, values)

    def round(self, round_: int, values: Mapping[str, Any]) -> None:
        """Write down what a round ended with; anything that JSON can hold."""
        self._append({"event": "round", "round": round_, **values})
        if self._scalars is not None:
            self._scalars.add("rounds", round_, values)

    def rewind_to(self, round_: int, epoch: int) -> None:
        """Drop what will be done again by a run that resumes.

        Parameters
        ----------
        round_, epoch : int
            The run goes on in this round, of which so many epochs are done, as in
            `EpochReport.epoch` and the checkpoint.
        """
        self._rewrite(
            [
                event
                for event in self.events()
                if event["round"] < round_
                or (event["round"] == round_ and event.get("epoch", epoch + 1) <= epoch)
            ]
        )

    def events(self) -> list[dict[str, Any]]:
        """Read the log; each line has ``event`` ("epoch" or "round") and ``round``."""
        if not self.path.exists():
            return []
        # The last is empty or cut off.
        lines = self.path.read_bytes().split(b"\n")[:-1]
        events = []
        for number, line in enumerate(lines, start=1):
            where = f"{self.path}, line {number}"
            event = parse_text("JSON", line, JournalError, about=where)
            numbers = (
                (event.get("round"), event.get("epoch", 0))
                if isinstance(event, dict)
                else (None,)
            )
            if not all(type(one) is int for one in numbers):
                raise JournalError(
                    "is no event of a run, with the number of its `round`; remove it",
                    about=where,
                )
            events.append(event)
        return events

    def close(self) -> None:
        """Finish the files for TensorBoard."""
        if self._scalars is not None:
            self._scalars.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, event: Mapping[str, Any]) -> None:
        with writing(self.path), self.path.open("a") as log:
            log.write(json.dumps(event, allow_nan=False) + "\n")

    def _rewrite(self, events: list[dict[str, Any]]) -> None:
        with replacing(self.path) as (temporary,):
            temporary.write_text("".join(json.dumps(event) + "\n" for event in events))


class _Scalars:
    """Numbers for TensorBoard, one folder for each kind of step."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise JournalError(
                "scalars for TensorBoard need it installed; "
                "python -m pip install tensorboard, or leave `tensorboard` out"
            ) from error
        self._folder = folder
        self._writer = SummaryWriter
        self._writers: dict[str, Any] = {}

    def add(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        if kind not in self._writers:
            # From here on, steps that an earlier process wrote are not shown.
            self._writers[kind] = self._writer(
                str(self._folder / kind), purge_step=step
            )
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._writers[kind].add_scalar(name, value, step)
        self._writers[kind].flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
