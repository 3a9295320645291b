"""Masks that go to their file as they are found, so that none stays in memory.

What a network takes then is what its largest layer takes. A run that may be resumed
works in a folder beside its files, ``.unfinished-`` and the name of the masks: there
grows the mask file, and a journal says what is proven of each layer. A layer that was
done is read again, and its mask is checked against its weights as that of any solver
is; only the search for it is spared.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from balancer.array_types import AnyArray
from balancer.errors import BalancerError
from balancer.files.atomic import replacing, settle
from balancer.files.line_journal import LineJournal
from balancer.files.mask_files import MaskPlace, MaskStream
from balancer.files.write_errors import writing
from balancer.network.network_solution import LayerResult
from balancer.program.problem import RetentionProblem
from balancer.report.balance_files import BalanceFiles
from balancer.solvers.solution import Answer, Solution, Termination, conclude
from balancer.text_files import parse_text

UNFINISHED = ".unfinished-"
# What a row says of a layer, beside its name and the sum.
CLAIMS = ("bound", "termination", "solver", "fallback_reason")


@dataclass(frozen=True, slots=True)
class StreamedLayers:
    """Writes the masks of layers as they come (a `LayerStore`).

    Attributes
    ----------
    path : Path
        The mask file that there will be.
    stream : MaskStream
        The file that grows.
    journal : LineJournal or None
        What is proven of the layers in it; None if nobody will resume.
    done : dict of str to dict
        Rows of an earlier run, by layer.
    """

    path: Path
    stream: MaskStream
    journal: LineJournal | None = None
    done: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    _recalled: set[str] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def recall(self, name: str, problem: RetentionProblem) -> Solution | None:
        """Return what an earlier run has found for the same scores and budget."""
        begun, row = time.perf_counter(), self.done.get(name)
        if row is None:
            return None
        try:
            mask, schedule = self.stream.mask(name), self.stream.schedule(name)
            if row["digest"] != _digest(problem, mask, row):
                return None
            answer = Answer(
                np.ascontiguousarray(mask),
                float.fromhex(row["bound"]),
                Termination(row["termination"]),
                schedule,
            )
            found = conclude(
                problem,
                answer,
                solver=row["solver"],
                fallback_reason=row["fallback_reason"],
                begun=begun,
            )
        except (BalancerError, OSError, KeyError, TypeError, ValueError):
            return None  # half a row, or a file that something else has changed
        self._recalled.add(name)
        return found

    def keep(self, result: LayerResult, problem: RetentionProblem) -> LayerResult:
        """Write a mask, and return the result with the mask in the file."""
        name, solution = result.name, result.solution
        if name not in self._recalled:
            with writing(self.path):
                self.stream.write(name, solution.mask, solution.schedule)
            self._note(name, solution, problem)
        mask = self.stream.mask(name)
        return replace(result, solution=replace(solution, mask=mask))

    def _note(self, name: str, solution: Solution, problem: RetentionProblem) -> None:
        if self.journal is None or solution.termination is Termination.CANCELLED:
            return
        row = {
            "layer": name,
            "bound": solution.bound.hex(),
            "termination": solution.termination.value,
            "solver": solution.solver,
            "fallback_reason": solution.fallback_reason,
        }
        row["digest"] = _digest(problem, solution.mask, row)
        with self._turn:
            self.journal.append([row])


@contextmanager
def streamed(
    files: BalanceFiles,
    places: Mapping[str, MaskPlace],
    metadata: Mapping[str, Any],
    resume: bool,
) -> Iterator[tuple[StreamedLayers, Path]]:
    """Write masks and a report, both whole or neither.

    Parameters
    ----------
    files : BalanceFiles
        Where they will be.
    places : mapping of str to MaskPlace
        All layers.
    metadata : mapping
        What the mask file says of itself.
    resume : bool
        Go on where a process with the same layers and metadata has ended, and let
        another one go on in the same way.

    Yields
    ------
    StreamedLayers
        Takes the layers.
    Path
        Where to write the report meanwhile.

    Raises
    ------
    WriteError
        Files that cannot be written.
    BalancerError
        Another process works on the same.
    """
    with replacing(files.masks, files.report) as (masks, report):
        if not resume:
            stream = MaskStream.of(masks.with_name("stream"), places, metadata)
            with writing(files.masks):
                stream.arrays.create()
            yield StreamedLayers(files.masks, stream), report
            stream.save(masks)
            return
        folder = files.masks.with_name(UNFINISHED + files.masks.name)
        stream = MaskStream.of(folder / "stream", places, metadata)
        journal = LineJournal(folder / "layers.jsonl")
        busy = BalancerError(
            f"{folder}: another process balances into this place; wait for it, or take "
            "another one (--out)"
        )
        with journal.writing(busy):
            try:
                with writing(files.masks):
                    done = _begin(stream, journal)
                yield StreamedLayers(files.masks, stream, journal, done), report
            except BaseException:
                if not journal.lines():
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            settle(stream.arrays.path, 0o666)  # so that little is left to be killed in
            stream.save(masks)
    shutil.rmtree(folder, ignore_errors=True)


def _begin(stream: MaskStream, journal: LineJournal) -> dict[str, dict[str, Any]]:
    """Read what is done; begin anew if it is of something else."""
    if not stream.arrays.is_there():
        journal.clear()
        stream.arrays.create()
        return {}
    rows: dict[str, dict[str, Any]] = {}
    for line in journal.lines():
        with suppress(BalancerError, KeyError, TypeError):
            row = parse_text("JSON", line, BalancerError)
            rows[row["layer"]] = row
    return rows


def _digest(
    problem: RetentionProblem, mask: AnyArray, row: Mapping[str, str | None]
) -> str:
    """Tell by a sum (SHA-256) what was asked, on which PE map, and the answer."""
    pe_map = problem.pe_map
    claims = [row[name] for name in CLAIMS]
    said = repr((pe_map, problem.budget, problem.order, claims))
    found = hashlib.sha256(said.encode())
    for array in (
        *(pe_map.cell_group, pe_map.pe_of_copies, pe_map.cell_sizes()),
        *(problem.min_load, problem.max_load, problem.channel_floor),
        *(problem.scores, problem.previous_mask, mask),
    ):
        if array is not None:
            found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
