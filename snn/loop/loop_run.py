"""One method's run in a loop of the user's own: its folder, and who prunes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from snn.array_types import Scores
from snn.loop.loop_network import LoopNetwork, State
from snn.lottery.config import LotteryConfig
from snn.lottery.function_names import function_name
from snn.lottery.hardware import RunArray
from snn.lottery.methods import Method
from snn.lottery.outcomes import Measured, round_outcome
from snn.lottery.pruner import Pruner, round_seed
from snn.lottery.pruning import Pruned
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import RoundTicket, state_of
from snn.lottery.saliency import Score, get_score, validated
from snn.lottery.store import Checkpoint, RunFolder
from snn.networks.spikes import mean_rates
from snn.training.distributed import Processes
from snn.training.masking import update_scores

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class LoopRun:
    """A run of one method.

    Attributes
    ----------
    label : str
        What comparisons call it.
    config : LotteryConfig
        What is pruned, and how.
    folder : RunFolder
        Where its tickets go.
    network : LoopNetwork
        What is trained.
    pruner : Pruner
        Who chooses the masks.
    score : callable
        What is ranked.
    own_score : bool
        It is the user's, which may look at everything.
    about : dict
        What the metadata of its tickets say.
    processes : Processes
        Of which the main one prunes and writes.
    """

    label: str
    config: LotteryConfig
    folder: RunFolder
    network: LoopNetwork
    pruner: Pruner
    score: Score
    own_score: bool
    about: dict[str, Any]
    processes: Processes

    @classmethod
    def of(
        cls,
        label: str,
        config: LotteryConfig,
        folder: RunFolder,
        network: LoopNetwork,
        *,
        score: Score | None,
        method: Method | None,
        settings: dict[str, Any],
        processes: Processes,
    ) -> LoopRun:
        """Prepare a run; what would fail in its last round fails now."""
        by_gradients = score is None and config.score in ("gradient", "taylor")
        if by_gradients or config.growth == "gradient":
            network.check_gradients()
        about = dict(network.about)
        if settings:
            about["settings"] = settings
        if score is not None:
            about["score"] = function_name(score)
        if method is not None:
            about["method"] = function_name(method)
        array = RunArray.of(config)
        return cls(
            label,
            config,
            folder,
            network,
            Pruner(config, network.module, network.example, array, about, method),
            get_score(config.score) if score is None else validated(score),
            score is not None,
            about,
            processes,
        )

    @property
    def rounds(self) -> int:
        """How many there are, the dense one included."""
        return len(self.config.schedule_of_sparsity)

    def told(self, ask: Callable[[], T]) -> T:
        """Ask the main process, whose answer goes for all."""
        value = ask() if self.processes.is_main else None
        return self.processes.broadcast(value)  # type: ignore[return-value]

    @property
    def rounds_done(self) -> int:
        """Rounds that are recorded."""
        return self.told(lambda: self.folder.rounds_done)

    def ticket(self, number: int) -> RoundTicket:
        """Read the ticket of a round."""
        return self.told(lambda: self.folder.load_round(number))

    def rewind(self) -> State | None:
        """Read the weights that all rounds go back to; None where they are gone."""
        return self.told(self.folder.load_rewind)

    def seed(self, number: int) -> int:
        """Seed of a round, the same for all methods."""
        return round_seed(self.config.seed, number)

    def begin(self, number: int, last: RoundTicket | None) -> Checkpoint:
        """Choose the masks of a round, or read those that it was begun with."""

        def choose() -> Checkpoint:
            found = self.folder.load_checkpoint()
            if found is not None and found.round == number:
                return found
            made = Checkpoint(number, self.pruner.choose(number, last), {})
            self.folder.save_checkpoint(made)
            return made

        return self.told(choose)

    def measured(
        self,
        number: int,
        pruned: Pruned,
        last: RoundTicket | None,
        measured: Measured,
    ) -> RoundOutcome:
        """Look at the trained network, and write the ticket of its round."""
        return self.told(lambda: self._save(number, pruned, last, measured))

    def _save(
        self,
        number: int,
        pruned: Pruned,
        last: RoundTicket | None,
        measured: Measured,
    ) -> RoundOutcome:
        network = self.network
        former = None if last is None else last.scores
        scores = update_scores(network.module, pruned.masks, former)
        rates = network.rates()
        ranking = self._ranking(number, scores, pruned)
        about = {**self.about, "spike_rates": mean_rates(rates)}
        outcome = round_outcome(
            number,
            pruned,
            ranking if last is None else last.ranking,
            self.pruner.array,
            about,
            self.pruner.effective(pruned.masks),
            measured,
        )
        state = state_of(network.module)
        ticket = RoundTicket(outcome, state, pruned, scores, rates, ranking)
        self.folder.save_round(ticket, about)
        return outcome

    def _ranking(self, number: int, scores: Scores, pruned: Pruned) -> Scores:
        return self.network.ranking(
            self.score,
            scores,
            pruned.masks,
            needs_rates=self.own_score or self.config.score == "rate",
            growth=self.config.growth == "gradient",
            seed=self.seed(number),
        )

    def adopt(self, dense: RoundTicket, rewind: State) -> None:
        """Take the dense network of another method, which all of them share."""
        tensors = {name: torch.from_numpy(one) for name, one in dense.state.items()}
        self.network.module.load_state_dict(tensors)

        def save() -> None:
            self.folder.save_rewind(rewind)
            about = {**self.about, "spike_rates": mean_rates(dense.rates)}
            ranking = self._ranking(0, dense.scores, dense.pruned)
            self.folder.save_round(replace(dense, ranking=ranking), about)

        self.told(save)
