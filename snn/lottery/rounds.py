"""The rounds of a run: prune, rewind, train, examine, and write the ticket."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from torch import nn

from balancer.errors import naming
from hwmodel import save_spikes
from snn.array_types import Masks, Scores
from snn.data.image_data import ImageData
from snn.lottery.config import LotteryConfig
from snn.lottery.configured import configured_data, configured_network
from snn.lottery.examiner import Examiner
from snn.lottery.function_names import function_name
from snn.lottery.hardware import RunArray
from snn.lottery.methods import Method
from snn.lottery.pruner import Pruner, round_seed
from snn.lottery.pruning import Pruned
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import RoundTicket, load_state, put_state, state_of
from snn.lottery.round_training import RoundTraining
from snn.lottery.saliency import (
    Rates,
    Score,
    Trained,
    get_score,
    grown,
    validated,
)
from snn.lottery.store import Checkpoint, RunFolder, StoreError
from snn.lottery.ticket_network import Standardization
from snn.lottery.timesteps import check_frames, run_timesteps
from snn.lottery.watcher import Watcher
from snn.networks.calls import observe_calls
from snn.networks.geometry import list_layers
from snn.networks.spikes import mean_rates
from snn.training.distributed import Processes
from snn.training.gradients import GradientMoments, gradient_moments
from snn.training.journal import Journal
from snn.training.masking import update_scores
from snn.training.trainer import EpochReport, Trainer


class Rounds:
    """The state of a run between its rounds."""

    def __init__(
        self,
        config: LotteryConfig,
        folder: RunFolder,
        processes: Processes,
        network: nn.Module | None,
        data: ImageData | None,
        watcher: Watcher | None,
        score: Score | None = None,
        method: Method | None = None,
    ) -> None:
        self.config = config
        self.folder = folder
        self.processes = processes
        self.watcher = watcher or Watcher()
        self.score = get_score(config.score) if score is None else validated(score)
        self.needs_rates = config.score == "rate" or score is not None
        self.array = RunArray.of(config)
        self.data = data or configured_data(config)
        check_frames(config, self.data)
        named = network is None
        if network is None:
            network = configured_network(config, self.data)
        self.network = network
        self.trainer = Trainer(network, self.data, config, processes)
        self.examiner = Examiner(self.trainer, self.array)
        asked = config.timesteps if hasattr(network, "timesteps") else None
        with self.trainer.evaluator.running(asked):
            example = self.examiner.images(1, config.timesteps)
            calls = observe_calls(network, example)
        self.timesteps = run_timesteps(config, network, self.data, calls)
        used = Standardization(self.data.mean, self.data.std)
        self.about = {
            "architecture": config.network if named else type(network).__name__,
            "dataset": self.data.name,
            "input_shape": list(self.data.input_shape),
            "preprocessing": used.to_json(),
            "timesteps": self.timesteps,
            "layers": list_layers(network, calls),
        }
        if score is not None:
            self.about["score"] = function_name(score)
        if method is not None:
            self.about["method"] = function_name(method)
        self.pruner = Pruner(
            config,
            network,
            self.examiner.images(1, self.timesteps),
            self.array,
            self.about,
            method,
        )
        self.notes = self._notes()
        # What would fail at the end should fail now.
        if config.record_images:
            self.examiner.spikes(1, self.timesteps)
        self.journal: Journal | None = None  # of the main process
        self.rewind: dict[str, Any] | None = None

    def _notes(self) -> tuple[str, ...]:
        """Say what the numbers of this network might hide, a sentence each."""
        notes = self.pruner.notes()
        asked = self.config.timesteps
        if self.timesteps != asked:
            steps = "step" if self.timesteps == 1 else "steps"
            notes.append(
                f"The network runs {self.timesteps} time {steps} of its own; timesteps "
                f"{asked} is not used."
            )
        return tuple(notes)

    def run(self, checkpoint_seconds: float) -> list[RoundOutcome]:
        """Do the rounds that are left."""
        if not self.processes.is_main:
            return self._rounds(checkpoint_seconds)
        self.watcher.begin(self.folder.path, self.config)
        with Journal(self.folder.path, self.config.tensorboard) as self.journal:
            return self._rounds(checkpoint_seconds)

    def _rounds(self, checkpoint_seconds: float) -> list[RoundOutcome]:
        last, outcomes = self._former_rounds()
        for number in range(len(outcomes), len(self.config.schedule_of_sparsity)):
            last = self._round(number, last, checkpoint_seconds)
            outcomes.append(last.outcome)
        assert last is not None
        if self.processes.is_main:
            if self.config.record_images:
                load_state(self.network, last.state)
                count = self.config.record_images
                spikes = self.examiner.spikes(count, self.timesteps)
                save_spikes(self.folder.spikes_path, spikes)
            self.folder.finish(outcomes, self.notes)
        self.processes.barrier()
        return outcomes

    def _former_rounds(self) -> tuple[RoundTicket | None, list[RoundOutcome]]:
        """Read what earlier sessions have done."""
        last: RoundTicket | None = None
        outcomes: list[RoundOutcome] = []
        if self.processes.is_main:
            done = self.folder.rounds_done
            outcomes = [self.folder.load_outcome(number) for number in range(done)]
            for outcome in outcomes:
                self.watcher.round(outcome)
            if done:  # of the weights, only the last round's are needed
                last = self.folder.load_round(done - 1)
                with naming(self.folder.ticket_path(done - 1)):
                    self.pruner.check(last.pruned)
        return self.processes.broadcast((last, outcomes))

    def _round(
        self, number: int, last: RoundTicket | None, checkpoint_seconds: float
    ) -> RoundTicket:
        """Prune, rewind, train, evaluate, and write the ticket."""
        begun = time.perf_counter()
        checkpoint = self._checkpoint_of(number)
        timesteps = self._timesteps(number, last)
        if checkpoint is not None:
            pruned = checkpoint.pruned
        else:
            pruned = self._pruned(number, last)
        pruning_seconds = time.perf_counter() - begun
        epochs = self._train(number, pruned, timesteps, checkpoint, checkpoint_seconds)
        former = None if last is None else last.scores
        scores = update_scores(self.network, pruned.masks, former)
        rates = self.examiner.rates(timesteps)
        ranking = self._ranking(number, scores, pruned.masks, timesteps)
        about = {
            **self.about,
            "timesteps": timesteps,
            "spike_rates": mean_rates(rates),
        }
        outcome = self.examiner.outcome(
            number, pruned, ranking if last is None else last.ranking, about, epochs
        )
        state = state_of(self.network)
        ticket = RoundTicket(outcome, state, pruned, scores, rates, ranking)
        if self.journal is not None:
            took = {
                "seconds": time.perf_counter() - begun,
                "pruning_seconds": pruning_seconds,
            }
            # Before the ticket: what is not in a ticket yet is dropped when resuming.
            self.journal.round(number, outcome.to_dict() | took)
            self.folder.save_round(ticket, about)
            self.watcher.round(outcome)
        self.processes.barrier()
        return ticket

    def _ranking(
        self, number: int, magnitudes: Scores, masks: Masks, timesteps: int
    ) -> Scores:
        """Score all weights as the next round ranks them; test images take no part."""
        seed = round_seed(self.config.seed, number)
        rates: Rates = {}
        if self.needs_rates:
            rates = self.examiner.rates(timesteps, self.trainer.data.train)

        @cache  # one pass is enough for all that need it
        def gradients() -> dict[str, GradientMoments]:
            return gradient_moments(self.trainer, seed=seed, timesteps=timesteps)

        scores = self.score(Trained(magnitudes, rates, gradients))
        if self.config.growth == "gradient":
            scores = grown(scores, masks, gradients())
        return scores

    def _pruned(self, number: int, last: RoundTicket | None) -> Pruned:
        """Choose the masks of a round: the main process decides for all."""
        if not self.processes.is_main:
            return self.processes.broadcast(None)  # type: ignore[return-value]
        return self.processes.broadcast(self.pruner.choose(number, last))

    def _timesteps(self, number: int, last: RoundTicket | None) -> int:
        """Time steps of a round."""
        fewer = self.config.search_timesteps
        full = self.timesteps
        is_last = number == len(self.config.schedule_of_sparsity) - 1
        if fewer is None or full == 1 or is_last:
            return full
        if isinstance(fewer, int):
            return fewer
        if last is None:
            return full
        if number > 1:
            return last.outcome.timesteps
        load_state(self.network, last.state)
        return self.examiner.early_timesteps(full, self.config.early_time_threshold)

    def _train(
        self,
        number: int,
        pruned: Pruned,
        timesteps: int,
        checkpoint: Checkpoint | None,
        checkpoint_seconds: float,
    ) -> int:
        """Train a round, from its beginning or its checkpoint; count its epochs."""
        rewind_epoch = self.config.rewind_epoch
        if checkpoint is None:
            if number > 0:
                with naming(self.folder.path / "rewind.pt"):
                    put_state(self.network, self._rewound())
            elif rewind_epoch == 0:
                self._keep_for_rewinding()

        def after_epoch(report: EpochReport) -> None:
            if number == 0 and report.epoch == rewind_epoch:
                self._keep_for_rewinding()
            if self.journal is not None:
                self.watcher.epoch(number, report)

        training = RoundTraining(
            self.trainer, self.folder, self.journal, checkpoint_seconds
        )
        return training.train(
            number,
            pruned,
            first=0 if number == 0 else rewind_epoch,
            seed=round_seed(self.config.seed, number),
            timesteps=timesteps,
            checkpoint=checkpoint,
            after_epoch=after_epoch,
        )

    def _checkpoint_of(self, number: int) -> Checkpoint | None:
        """Read the checkpoint of a round, if it was stopped in one."""
        checkpoint = None
        if self.processes.is_main:
            checkpoint = self.folder.load_checkpoint()
            if checkpoint is not None and checkpoint.round != number:
                checkpoint = None
            if checkpoint is not None:
                with naming(self.folder.path / "checkpoint.pt"):
                    self.pruner.check(checkpoint.pruned)
        return self.processes.broadcast(checkpoint)

    def _keep_for_rewinding(self) -> None:
        """Remember the weights that all rounds go back to."""
        state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.rewind = state
        if self.processes.is_main:
            self.folder.save_rewind(state)

    def _rewound(self) -> dict[str, Any]:
        if self.rewind is None:
            stored = None
            if self.processes.is_main:
                stored = self.folder.load_rewind()
            self.rewind = self.processes.broadcast(stored)
        if self.rewind is None:
            raise StoreError(
                f"{self.folder.path}: rewind.pt, the weights to go back to, is gone; "
                "begin again with --restart"
            )
        return self.rewind
