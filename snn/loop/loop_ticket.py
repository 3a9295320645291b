"""One round, while the user's own code trains it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snn.array_types import Masks
from snn.loop.loop_config import LoopError
from snn.loop.loop_run import LoopRun
from snn.loop.random_state import (
    check_states,
    random_state,
    restore_random_state,
    restore_states,
    states_of,
)
from snn.lottery.outcomes import Measured
from snn.lottery.pruning import Pruned, Schedules
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import RoundTicket
from snn.lottery.store import Checkpoint


class LoopTicket:
    """A round of `Tickets`: train the network, then `record` how well it does.

    Attributes
    ----------
    round : int
        0 is the dense network.
    method : str
        Who prunes.
    seed : int
        With which torch, NumPy and Python were seeded.
    sparsity : float
        Fraction of the weights that the round was to prune.
    outcome : RoundOutcome or None
        What `record` found; None before.
    """

    def __init__(
        self,
        run: LoopRun,
        checkpoint: Checkpoint,
        last: RoundTicket | None,
        checkpoint_seconds: float,
    ) -> None:
        self._run, self._last = run, last
        self._checkpoint = checkpoint
        self._checkpoint_seconds = checkpoint_seconds
        self._epochs: int | None = None
        self.round = checkpoint.round
        self.method = run.label
        self.seed = run.seed(self.round)
        self.sparsity = run.config.schedule_of_sparsity[self.round]
        self.outcome: RoundOutcome | None = None

    def __repr__(self) -> str:
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        weights = sum(mask.size for mask in self.masks.values())
        return (
            f"<round {self.round} of {self._run.rounds - 1}, {self.method}: "
            f"{kept:,} of {weights:,} weights>"
        )

    @property
    def masks(self) -> Masks:
        """True where a weight is kept, by layer."""
        return self._pruned.masks

    @property
    def schedules(self) -> Schedules:
        """In which order the PEs take the channels, by layer."""
        return self._pruned.schedules

    @property
    def path(self) -> Path:
        """Where the ticket is once it is recorded."""
        return self._run.folder.ticket_path(self.round)

    @property
    def _pruned(self) -> Pruned:
        return self._checkpoint.pruned

    def rewind_here(self) -> None:
        """Let all rounds begin with the weights of this moment of the dense one.

        Without a call that is where round 0 begins. In other rounds it does nothing, so
        it may stand in code that all rounds run.
        """
        if self.round == 0:
            state = self._run.network.state()
            self._run.told(lambda: self._run.folder.save_rewind(state))

    def epochs(self, count: int, *kept: Any, rewind: int = 0) -> Iterator[int]:
        """Count epochs, and keep what a killed process goes on from after each.

        Parameters
        ----------
        count : int
            Epochs of the whole training.
        *kept : objects with a state dict, or torch.Generator
            Optimizers, schedules, gradient scalers: whatever an epoch depends on,
            beside the network and the random numbers of torch, NumPy and Python.
        rewind : int
            Epoch before which `rewind_here` is called in round 0, and with which all
            other rounds begin.

        Yields
        ------
        int
            Epochs from 0, or from `rewind` in all rounds but the dense one; of a round
            that was stopped inside, those that are left.

        Raises
        ------
        LoopError
            Epochs that are none, a second count in one round, or objects without a
            state.
        """
        if not 0 <= rewind < count:
            raise LoopError(
                f"`rewind` is {rewind} of {count} epochs; accepted: 0 to {count - 1}"
            )
        if self._epochs is not None:
            raise LoopError(f"the epochs of round {self.round} are counted already")
        check_states(kept)
        self._epochs = 0
        first = rewind if self.round else 0
        epoch = self._resume(first, kept)
        written = time.monotonic()
        while epoch < count:
            if epoch == rewind:
                self.rewind_here()
            yield epoch
            epoch += 1
            self._epochs = epoch - first
            if self._is_due(written):
                self._keep(epoch, kept)
                written = time.monotonic()

    def record(
        self,
        accuracy: Any,
        *,
        loss: Any = None,
        validation_accuracy: Any = None,
    ) -> RoundOutcome:
        """Write the ticket of this round.

        Parameters
        ----------
        accuracy : float
            On the test images, 0 to 1.
        loss : float, optional
            On the same.
        validation_accuracy : float, optional
            On images that choices are made on.

        Returns
        -------
        RoundOutcome
            With utilization, cycles and energy, as of a round of `run_lottery`.

        Raises
        ------
        LoopError
            Numbers that are not accepted, a network that was not trained, or a round
            that is recorded already.
        """
        if self.outcome is not None:
            raise LoopError(f"round {self.round} is recorded already, in {self.path}")
        measured = Measured(
            _fraction("accuracy", accuracy),
            None if loss is None else _number("loss", loss),
            None
            if validation_accuracy is None
            else _fraction("validation_accuracy", validation_accuracy),
            self._epochs,
        )
        run = self._run
        run.network.check_trained(self.round)
        self.outcome = run.measured(self.round, self._pruned, self._last, measured)
        return self.outcome

    def _is_due(self, written: float) -> bool:
        """Whether the last checkpoint is old enough, which the main process says."""
        due = time.monotonic() - written >= self._checkpoint_seconds
        return self._run.told(lambda: due)

    def _resume(self, first: int, kept: tuple[Any, ...]) -> int:
        """Go back to the checkpoint of this round; return the epoch to go on with."""
        known = self._checkpoint.trainer
        if not known:
            return first
        self._run.network.load(known["network"])
        restore_states(kept, known["kept"])
        restore_random_state(known["random"])
        self._epochs = known["epoch"] - first
        return int(known["epoch"])

    def _keep(self, epoch: int, kept: tuple[Any, ...]) -> None:
        """Write a checkpoint, from which the round goes on with `epoch`."""
        # Of the main process: its random numbers go for all that resume.
        known = {
            "network": self._run.network.state(),
            "kept": states_of(kept),
            "random": random_state(),
            "epoch": epoch,
        }
        made = Checkpoint(self.round, self._pruned, known)
        self._run.told(lambda: self._run.folder.save_checkpoint(made))


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LoopError(
            f"`{name}` is a {type(value).__name__}; one number is needed"
        ) from error
    if not math.isfinite(number):
        raise LoopError(f"`{name}` is {number}; a finite number is needed")
    return number


def _fraction(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise LoopError(f"`{name}` is {number:g}; accepted: a fraction from 0 to 1")
    return number
