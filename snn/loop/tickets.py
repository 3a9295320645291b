"""Rounds of the lottery as a loop: what is trained, and how, is the caller's."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn

from balancer.defaults import DEFAULT_MAP
from snn.data.batch_split import check_batches
from snn.loop.compared_tickets import ComparedTickets, FinishedLoop, compared
from snn.loop.loop_config import (
    LoopError,
    accepted_fields,
    method_configs,
    settings_digest,
)
from snn.loop.loop_network import LoopNetwork, State
from snn.loop.loop_run import LoopRun
from snn.loop.loop_ticket import LoopTicket
from snn.lottery.comparison_error import ComparisonError
from snn.lottery.config import LotteryConfig
from snn.lottery.identity import StandIns
from snn.lottery.methods import Method
from snn.lottery.network_scores import Batches, Loss
from snn.lottery.results import RoundOutcome
from snn.lottery.round_tickets import RoundTicket, load_state
from snn.lottery.round_training import CHECKPOINT_SECONDS
from snn.lottery.run import LotteryResult
from snn.lottery.saliency import Score
from snn.lottery.store import RunFolder, StoreError
from snn.training.distributed import Processes
from snn.training.lasting_masks import LastingMasks

# Loops of this process, by the folders of their runs.
_going: WeakValueDictionary[Path, Generator[LoopTicket]] = WeakValueDictionary()


class Tickets:
    """The rounds of a lottery, for a training loop of one's own.

    Every round is one turn of a ``for`` loop. Before it, the network gets the weights
    to rewind to and the masks of the round, and the generators of torch, NumPy and
    Python the seed of the round; optimizers of former rounds forget their momenta.
    During it, pruned weights are exactly zero in every forward pass and after every
    step, whoever takes it. `LoopTicket.record` writes the ticket.

    A process that was killed goes on with the same call: rounds that are recorded are
    not done again. A run is told by the initial weights, the modules and their
    settings, and by what is given here. Training code is not looked at: name what you
    change in it in `settings`.

    Parameters
    ----------
    network : Module
        With convolutions or linear layers, and its initial weights. It may be compiled
        or distributed (`DistributedDataParallel`), before or after.
    example : Tensor
        Some inputs, as the network takes them. Sizes of layers and paths through the
        network come from one of them, spike rates from all.
    method : str, callable or sequence of these
        Who prunes: a name in `METHODS`, with settings of its own behind colons as in
        ``"lth:budgets=lamp"``, or a function from a `Pruning` to a `Pruned`. Of
        several, one after the other prunes; they share the dense round.
    sparsities : sequence of float, optional
        Sparsity after each round but the dense one. Default: by `rounds` and
        `prune_rate`, as in `LotteryConfig`.
    pe_map, pes : str, int
        The array, as in `LotteryConfig`.
    score : str or callable, optional
        What ranks weights, as in `run_lottery`. Default: as in `LotteryConfig` if there
        are batches to measure gradients with, else ``"magnitude"``.
    batches, loss : iterable of (inputs, labels) and callable, optional
        What scores by gradients are measured with, as in `score_of`.
    settings : mapping, optional
        Whatever else tells this run apart, as ``{"lr": 0.1}``; tickets record it.
    root : Path or str
        Folder of the run folders.
    restart : bool
        Throw away what is there, and begin again.
    checkpoint_seconds : float
        Least time between two checkpoints of `LoopTicket.epochs`.
    **fields
        Other fields of `LotteryConfig` that do not say how to train: ``seed``,
        ``rounds``, ``prune_rate``, ``budgets``, ``live_paths``, ``accelerator``, ….

    Raises
    ------
    LoopError
        A network without layers, one that does not run on the example, unknown fields.
    BalancerError
        What could not be pruned in the last round.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from snn import Tickets
    >>> x, y = torch.rand(64, 16), torch.arange(64) % 4
    >>> network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    >>> tickets = Tickets(network, example=x, method="optimal", sparsities=[0.5, 0.8])
    >>> for ticket in tickets:
    ...     sgd = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    ...     for _ in range(3):
    ...         sgd.zero_grad()
    ...         nn.functional.cross_entropy(network(x), y).backward()
    ...         sgd.step()
    ...     outcome = ticket.record((network(x).argmax(1) == y).float().mean())
    >>> [round(one.sparsity, 1) for one in tickets.result().outcomes]
    [0.0, 0.5, 0.8]
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        example: torch.Tensor,
        method: str | Method | Sequence[str | Method] = "optimal-order",
        sparsities: Sequence[float] | None = None,
        pe_map: str = DEFAULT_MAP,
        pes: int | None = None,
        score: str | Score | None = None,
        batches: Batches | None = None,
        loss: Loss | None = None,
        settings: Mapping[str, Any] | None = None,
        root: Path | str = "runs",
        restart: bool = False,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        **fields: Any,
    ) -> None:
        if batches is not None:
            check_batches("batches", batches)
        self._network = LoopNetwork(network, example, batches, loss)
        self._initial = self._network.state()
        self._rewind: State | None = None
        self._checkpoint_seconds = checkpoint_seconds
        common = {**accepted_fields(fields), "map": pe_map}
        if pes is not None:
            common["pes"] = pes
        if sparsities is not None:
            common["sparsities"] = tuple(sparsities)
        if isinstance(score, str):
            common["score"] = score
        elif score is not None or batches is None:
            common["score"] = "magnitude"
        self._common, self._root = common, Path(root)
        self._score = None if isinstance(score, str) else score
        said = dict(settings or {})
        self._processes = Processes.joined(str(self._network.example.device))
        self._identity = self._processes.broadcast(
            StandIns.of(self._network.module, None).fingerprint + settings_digest(said)
        )
        self._runs = {
            label: LoopRun.of(
                label,
                config,
                self._folder(config, own),
                self._network,
                score=self._score,
                method=own,
                settings=said,
                processes=self._processes,
            )
            for label, (config, own) in method_configs(common, method).items()
        }
        self._again = set(self._runs) if restart else set()

    def __iter__(self) -> Iterator[LoopTicket]:
        """Go through the rounds that are left, of one method after the other.

        At the end the network has the weights of the last round.

        Raises
        ------
        LoopError
            A round that was not recorded.
        """
        # An interrupted loop of this process may still be there, and hold the runs.
        for run in self._runs.values():
            former = _going.get(run.folder.path)
            if former is not None:
                former.close()
        rounds = self._all_rounds()
        for run in self._runs.values():
            _going[run.folder.path] = rounds
        return rounds

    def __len__(self) -> int:
        """Count the rounds of all methods, recorded or not."""
        return sum(run.rounds for run in self._runs.values())

    @property
    def masks(self) -> LastingMasks | None:
        """What holds the masks of the network; None before the first round."""
        return self._network.masks

    def remove(self) -> None:
        """Leave a plain module: pruned weights are zero, and free to change."""
        self._network.remove()

    def result(self, method: str | None = None) -> LotteryResult:
        """Read the finished run of a method, by default of the first.

        Raises
        ------
        LoopError
            A method that does not take part, or that is not finished.
        """
        run = self._run(method)
        outcomes = run.told(run.folder.finished)
        if outcomes is None:
            done = run.rounds_done
            raise LoopError(
                f"{run.label} is not finished: {done} of {run.rounds} rounds are "
                f"recorded in {run.folder.path}; go on with the loop"
            )
        notes = run.told(run.folder.notes)
        return LotteryResult(run.config, run.folder.path, tuple(outcomes), notes)

    def compare(self, *others: str | Tickets, **named: Tickets) -> ComparedTickets:
        """Put finished runs beside each other.

        Parameters
        ----------
        *others : str or Tickets
            Methods to compare the first one with, of these tickets or of a loop that
            has trained the same network for the same rounds; and tickets of other
            loops, with the labels of their methods: other seeds, other training.
            Default: all methods of these tickets.
        **named : Tickets
            The same, each with a label of its own, as ``adam=tickets``.

        Returns
        -------
        ComparedTickets
            With ``plot(path)``, ``to_csv()`` and ``to_json()``; what `compare_methods`
            returns.

        Raises
        ------
        ComparisonError
            Runs that do not go together.
        LoopError
            A run that is not finished.
        """
        first = next(iter(self._runs))
        found: dict[str, list[FinishedLoop]] = {first: [self._finished(first)]}
        for one in others or tuple(self._runs)[1:]:
            if isinstance(one, str):
                found.setdefault(one, []).append(self._finished(one))
                continue
            for label in one._runs:
                found.setdefault(label, []).append(one._finished(label))
        for name, tickets in named.items():
            if name in found:
                raise ComparisonError(f"two runs are called {name}; name one anew")
            found[name] = [tickets._finished(None)]
        return compared(found)

    def _finished(self, method: str | None) -> FinishedLoop:
        if method is None or method in self._runs:
            result = self.result(method)
            return FinishedLoop(result.config, result.outcomes)
        # Perhaps another loop has trained the same network with it.
        [(config, own)] = method_configs(self._common, method).values()
        folder = self._folder(config, own)
        outcomes = self._processes.broadcast(
            folder.finished() if self._processes.is_main else None
        )
        if outcomes is None:
            raise LoopError(
                f"no run of {method} is finished in {folder.path}; give all methods to "
                f"the loop, Tickets(…, method=[…, {method!r}])"
            )
        return FinishedLoop(config, tuple(outcomes))

    def _folder(self, config: LotteryConfig, method: Method | None) -> RunFolder:
        """Name the folder of a method's run."""
        own = StandIns.of(None, None, self._score, method, config.map)
        given = replace(
            own,
            network=self._network.about["architecture"],
            data="own-loop",
            fingerprint="; ".join((self._identity, own.fingerprint)),
        )
        return RunFolder.of(config, self._root, given)

    def _run(self, method: str | None) -> LoopRun:
        label = next(iter(self._runs)) if method is None else method
        if label not in self._runs:
            raise LoopError(
                f"`method` is {label!r}; the loop runs {', '.join(self._runs)}"
            )
        return self._runs[label]

    def _all_rounds(self) -> Generator[LoopTicket]:
        last = None
        for run in self._runs.values():
            with self._owned(run):
                yield from self._rounds(run)
            last = run
        if last is not None:
            self._hand_back(last)

    @contextmanager
    def _owned(self, run: LoopRun) -> Iterator[None]:
        """Keep others from the run, and stop looking at optimizers afterwards."""
        with run.folder.locked() if run.processes.is_main else nullcontext():
            try:
                yield
            finally:
                self._network.end()

    def _rounds(self, run: LoopRun) -> Iterator[LoopTicket]:
        """Go through the rounds of one method that are left."""
        anew = run.label in self._again
        self._again.discard(run.label)
        if not anew and run.told(run.folder.finished) is not None:
            return
        run.told(lambda: run.folder.begin(anew=anew))
        if run.rounds_done == 0:
            self._adopt(run)
        while (number := run.rounds_done) < run.rounds:
            ticket = self._open(run, number)
            yield ticket
            if ticket.outcome is None:
                raise LoopError(
                    f"round {number} of {run.label} is over without a result; call "
                    "ticket.record(accuracy=…) at its end"
                )
        run.told(lambda: self._finish(run))

    def _open(self, run: LoopRun, number: int) -> LoopTicket:
        """Begin a round, or begin again what was stopped inside."""
        last: RoundTicket | None = None
        if number:
            last = run.ticket(number - 1)
        checkpoint = run.begin(number, last)
        if number == 0:
            start = self._initial
            if not checkpoint.trainer:  # else it may be past the moment to rewind to
                run.told(lambda: run.folder.save_rewind(start))
        else:
            start = self._rewound(run)
        masks = checkpoint.pruned.masks
        self._network.begin(start, masks, run.seed(number))
        return LoopTicket(run, checkpoint, last, self._checkpoint_seconds)

    def _rewound(self, run: LoopRun) -> State:
        state = run.rewind()
        if state is None:
            raise StoreError(
                f"{run.folder.path}: rewind.pt, the weights to go back to, is gone; "
                "begin again with restart=True"
            )
        self._rewind = state
        return state

    def _adopt(self, run: LoopRun) -> None:
        """Take the dense round of a method that has it, if there is one."""
        for other in self._runs.values():
            if other is run or other.rounds_done == 0:
                continue
            rewind = self._rewind or other.rewind()
            if rewind is not None:
                run.adopt(other.ticket(0), rewind)
                return

    def _finish(self, run: LoopRun) -> None:
        folder = run.folder
        outcomes: list[RoundOutcome] = [
            folder.load_outcome(number) for number in range(run.rounds)
        ]
        folder.finish(outcomes, run.pruner.notes())

    def _hand_back(self, run: LoopRun) -> None:
        """Give the network the weights and masks of the last round."""
        last = run.ticket(run.rounds - 1)
        load_state(self._network.module, last.state)
        self._network.hold(last.pruned.masks)
