"""Train a ticket's network again with masks that were chosen for it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import nn

from balancer.errors import BalancerError
from balancer.files.array_files import open_arrays
from snn.data.image_data import ImageData
from snn.lottery.configured import configured_network
from snn.lottery.examiner import Examiner
from snn.lottery.pruner import round_seed
from snn.lottery.pruning import Pruned
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import (
    RoundTicket,
    load_state,
    load_ticket,
    state_of,
)
from snn.lottery.round_training import CHECKPOINT_SECONDS, RoundTraining
from snn.lottery.store import RunFolder
from snn.lottery.watcher import Watcher
from snn.networks.spikes import mean_rates
from snn.retraining.mask_plan import MaskPlan
from snn.retraining.recorded_run import RecordedRun
from snn.training.journal import Journal
from snn.training.masking import apply_masks, update_scores
from snn.training.trainer import Trainer

Start = Literal["rewound", "present"]
# What the metadata of a ticket say that no training changes.
OF_THE_NETWORK = ("architecture", "input_shape", "layers", "timesteps", "preprocessing")


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """A network before and after it was trained again.

    Attributes
    ----------
    folder : Path
        Where the new ticket is.
    ticket : Path
        The new ticket.
    start : {"rewound", "present"}
        Which weights training started from.
    before : RoundOutcome
        The ticket as it was, on the array of the masks.
    balanced : float
        Test accuracy with the masks, before any training: revived weights are zero.
    after : RoundOutcome
        The network when it is trained.
    """

    folder: Path
    ticket: Path
    start: Start
    before: RoundOutcome
    balanced: float
    after: RoundOutcome

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "folder": str(self.folder),
            "ticket": str(self.ticket),
            "start": self.start,
            "accuracy_before": self.before.accuracy,
            "accuracy_balanced": self.balanced,
            "accuracy": self.after.accuracy,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


def retrain(
    given: str | os.PathLike[str],
    ticket: str | os.PathLike[str] | None = None,
    *,
    start: Start = "rewound",
    seed: int = 0,
    root: Path | str = "runs",
    resume: bool = False,
    restart: bool = False,
    network: nn.Module | None = None,
    data: ImageData | None = None,
    watcher: Watcher | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    **changes: Any,
) -> RetrainResult:
    """Train the network of a ticket with masks that were chosen for it.

    Balanced masks keep weights that the ticket has pruned, which are zero there: the
    masks say what to train, and what the network can do is known when it is trained.
    Training goes as in a round of the run that the ticket comes from: the schedule from
    the rewind epoch to its end, on the same images. Test images choose nothing.

    Parameters
    ----------
    given : str or path
        A mask file that `balance_ticket` or the command ``balance`` wrote, or a ticket
        of a lottery run, which is then trained with its own masks.
    ticket : str or path, optional
        The ticket that the masks were chosen for. By default the one that the mask file
        names, which is looked for beside it, in the current folder, and among those of
        this package.
    start : {"rewound", "present"}
        Train from the weights of the rewind epoch, which are found by training the
        dense network for so long, from its initial weights; or from the ticket's own.
    seed : int
        Of the order of the images; the split of the data stays that of the run.
    root : Path or str
        Folder of the run folders.
    resume, restart : bool
        Go on with a training that was stopped, or throw away what is there.
    network : Module, optional
        For a run that was given one, with the weights that it had then; it is trained
        in place.
    data : ImageData, optional
        For a run that was given them.
    watcher : Watcher, optional
        Told about every epoch.
    checkpoint_seconds : float
        Least time between two checkpoints, which are written after epochs.
    **changes
        Fields of `LotteryConfig` that shall not be as in the run: ``epochs``,
        ``learning_rate``, ``data_folder``, ….

    Returns
    -------
    RetrainResult
        At once if the training is finished already.

    Raises
    ------
    TicketError
        No ticket of a lottery run, or masks of another network.
    StoreError
        The training was begun, and neither `resume` nor `restart` is given; another
        process works on it.
    ConfigError, DataError
        Changes that are not accepted, or data that are not there.
    BalancerError
        Another `start`; several processes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from balancer import balance_ticket, shipped_ticket
    >>> from snn import retrain
    >>> with TemporaryDirectory() as folder:
    ...     masks = balance_ticket(shipped_ticket()).save(folder).masks
    ...     result = retrain(masks, root=folder, epochs=3, train_size=100)
    >>> result.after.utilization, result.after.nonzeros
    (1.0, 1150)
    """
    if start not in get_args(Start):
        accepted = " or ".join(map(repr, get_args(Start)))
        raise BalancerError(f"`start` is {start!r}; accepted: {accepted}")
    if seed < 0:
        raise BalancerError(f"`seed` is {seed}; accepted: integers from 0")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BalancerError("retraining takes one process; start it without torchrun")
    plan = MaskPlan.of(given, ticket)
    # Before the ticket's weights go into it.
    initial = None if network is None else state_of(network)
    run = RecordedRun.open(plan.ticket, network=network, data=data, **changes)
    pruned = plan.pruned(run.ticket.pruned)
    training = _Retraining(run, plan, pruned, start, seed, initial)
    folder = RunFolder(Path(root) / training.folder_name(), run.config)
    with folder.locked():
        done = folder.former(resume, restart)
        if done is None:
            training.train(folder, restart, watcher or Watcher(), checkpoint_seconds)
        result = _result(folder)
    load_state(run.network, load_ticket(result.ticket).state)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Retraining:
    """One training, from the masks to the new ticket."""

    run: RecordedRun
    plan: MaskPlan
    pruned: Pruned
    start: Start
    seed: int
    initial: Mapping[str, npt.NDArray[Any]] | None

    def folder_name(self) -> str:
        """Name the folder by what the result depends on."""
        array = self.plan.array(self.run.about["config"])
        on = None if array.hardware is None else array.hardware.name
        text = f"{self.run.config.digest()} {self.start} {self.seed} "
        text += f"{array.pe_map} {array.pes} {on}"
        content = hashlib.sha256(text.encode())
        orders = {name: one.order for name, one in self.pruned.schedules.items()}
        ticket = self.run.ticket
        initial = self.initial or {}
        for part in (ticket.state, ticket.scores, self.pruned.masks, orders, initial):
            for name, values in sorted(part.items()):
                content.update(name.encode())
                content.update(np.ascontiguousarray(values).data)
        return f"retrain-{self.plan.ticket.stem}-{content.hexdigest()[:8]}"

    def train(
        self, folder: RunFolder, anew: bool, watcher: Watcher, seconds: float
    ) -> None:
        """Evaluate, train, evaluate, and write the ticket."""
        run, timesteps = self.run, self.run.timesteps
        pruned = self.pruned
        array = self.plan.array(run.about["config"])
        trainer = Trainer(run.network, run.data, run.config)
        examiner = Examiner(trainer, array)
        number = run.ticket.outcome.round
        before = examiner.outcome(
            number, run.ticket.pruned, run.ticket.scores, run.about, epochs=0
        )
        apply_masks(run.network, pruned.masks)
        balanced = trainer.evaluate(run.data.test, timesteps).accuracy
        folder.begin(anew=anew)  # not before: masks and data fit now
        watcher.begin(folder.path, run.config)
        checkpoint = folder.load_checkpoint()
        if checkpoint is None:
            self._put_start(trainer, folder)
        with Journal(folder.path, run.config.tensorboard) as journal:
            epochs = RoundTraining(trainer, folder, journal, seconds).train(
                number,
                pruned,
                first=run.config.rewind_epoch,
                seed=round_seed(run.config.seed, number, self.seed),
                timesteps=timesteps,
                checkpoint=checkpoint,
                after_epoch=lambda report: watcher.epoch(number, report),
            )
            scores = update_scores(run.network, pruned.masks, run.ticket.scores)
            rates = examiner.rates(timesteps)
            about = {
                **{key: run.about[key] for key in OF_THE_NETWORK if key in run.about},
                "method": "balance" if self.plan.masks else run.about["method"],
                "spike_rates": mean_rates(rates),
                "retrained": {
                    "ticket": self.plan.ticket.name,
                    "start": self.start,
                    "seed": self.seed,
                    "before": before.to_dict(),
                    "accuracy_balanced": balanced,
                },
            }
            outcome = examiner.outcome(number, pruned, run.ticket.scores, about, epochs)
            journal.round(number, outcome.to_dict())
        state = state_of(run.network)
        ticket = RoundTicket(outcome, state, pruned, scores, rates, scores)
        folder.save_round(ticket, {**about, "score": "magnitude"})
        folder.finish([outcome])
        watcher.round(outcome)

    def _put_start(self, trainer: Trainer, folder: RunFolder) -> None:
        """Give the network the weights that training starts from."""
        run = self.run
        if self.start == "present":
            load_state(run.network, run.ticket.state)
            return
        stored = folder.load_rewind()
        if stored is not None:
            run.network.load_state_dict(stored)
            return
        initial = self.initial
        if initial is None:
            initial = state_of(configured_network(run.config, run.data))
        load_state(run.network, initial)
        dense = {
            name: np.ones_like(mask) for name, mask in run.ticket.pruned.masks.items()
        }
        trainer.fit(
            dense,
            stop=run.config.rewind_epoch,
            seed=round_seed(run.config.seed, 0),
            timesteps=run.dense_timesteps,
        )
        folder.save_rewind(run.network.state_dict())


def _result(folder: RunFolder) -> RetrainResult:
    """Read what came of a training that is finished."""
    outcome = (folder.finished() or [])[-1]
    ticket = folder.ticket_path(outcome.round)
    known = open_arrays(ticket).metadata()["retrained"]
    return RetrainResult(
        folder=folder.path,
        ticket=ticket,
        start=known["start"],
        before=RoundOutcome.of(known["before"]),
        balanced=known["accuracy_balanced"],
        after=outcome,
    )
