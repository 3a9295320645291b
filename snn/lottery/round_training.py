"""Train one round with its masks, and keep what a killed run goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from balancer.errors import naming
from snn.lottery.pruning import Pruned
from snn.lottery.store import Checkpoint, RunFolder
from snn.training.journal import Journal
from snn.training.trainer import EpochReport, Trainer

# A checkpoint is written after an epoch if the last one is older.
CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RoundTraining:
    """How rounds are trained.

    Attributes
    ----------
    trainer : Trainer
        Of the network, which has the weights that the round starts from.
    folder : RunFolder
        Where checkpoints go.
    journal : Journal or None
        Told about every epoch; None in all processes but the main one, which then
        write nothing.
    checkpoint_seconds : float
        Least time between two checkpoints.
    """

    trainer: Trainer
    folder: RunFolder
    journal: Journal | None
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def train(
        self,
        number: int,
        pruned: Pruned,
        *,
        first: int,
        seed: int,
        timesteps: int,
        checkpoint: Checkpoint | None = None,
        after_epoch: Callable[[EpochReport], None] | None = None,
    ) -> int:
        """Train to the end of the schedule.

        Parameters
        ----------
        number : int
            The round.
        pruned : Pruned
            Its masks.
        first : int
            Epochs of the schedule that lie before the round.
        seed, timesteps : int
            As in `Trainer.fit`.
        checkpoint : Checkpoint, optional
            Of this round, to go on from.
        after_epoch : callable, optional
            Called with every report, before a checkpoint is written.

        Returns
        -------
        int
            Epochs of the round, those before the checkpoint included.
        """
        start = first
        if checkpoint is not None:
            with naming(self.folder.path / "checkpoint.pt"):
                self.trainer.restore(checkpoint.trainer)
            start = checkpoint.trainer["epoch"]
        written = time.monotonic()
        if self.journal is not None:
            self.journal.rewind_to(number, start)

        def write(report: EpochReport) -> None:
            nonlocal written
            if self.journal is not None:
                self.journal.epoch(number, report)
            if after_epoch is not None:
                after_epoch(report)
            if self.journal is None:
                return
            late = time.monotonic() - written >= self.checkpoint_seconds
            if late and report.epoch < report.epochs:
                self.folder.save_checkpoint(
                    Checkpoint(number, pruned, self.trainer.checkpoint())
                )
                written = time.monotonic()

        reports = self.trainer.fit(
            pruned.masks, start=start, seed=seed, timesteps=timesteps, after_epoch=write
        )
        return (reports[-1].epoch if reports else start) - first
