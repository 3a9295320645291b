"""The layer scope: every layer is a program by itself, under a budget of its own.

Only a layer whose budget has no room for a slice concerns the others: they make room
for it, and those that do are solved again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod

from balancer.errors import InfeasibleError, naming
from balancer.network.guard import (
    least_nonzeros,
    refuse_hopeless,
    refuse_own_budgets,
    share_out,
)
from balancer.network.job import Job, Layer
from balancer.network.layer_store import InMemory, LayerStore
from balancer.network.network_solution import LayerResult, Visitor
from balancer.network.present import or_as_it_was
from balancer.network.tasks import Room, run_tasks
from balancer.solving import solve

# Below this many weights a second thread costs more than it saves.
WEIGHTS_WORTH_A_THREAD = 2_000_000
# So many are in memory together, or those of the largest layer.
WEIGHTS_AT_ONCE = 2**24


@dataclass(slots=True)
class LayerWise:
    """Balances layers one by one.

    Attributes
    ----------
    job : Job
        How to do it.
    see : callable
        Sees each result with its arrays and problem; if a layer is solved again, again.
    report : callable
        Called with each result, from the calling thread.
    store : LayerStore
        Takes each result, and may know it already.
    """

    job: Job
    see: Visitor
    report: Callable[[LayerResult], None]
    store: LayerStore = field(default_factory=InMemory)
    _wanted: dict[str, int] = field(default_factory=dict)  # budgets of their own
    _least: dict[str, int] = field(default_factory=dict)  # what layers need
    _hopeless: set[str] = field(default_factory=set)  # layers that nothing can save

    def balance(self, layers: Sequence[Layer]) -> list[LayerResult]:
        """Balance all layers.

        Raises
        ------
        InfeasibleError
            Budgets without room for a slice of every layer that must not be emptied.
        """
        results = self._run(layers, {})
        refuse_hopeless([x.name for x in layers if x.name in self._hopeless])
        missing = [x.name for x in layers if x.name not in results]
        if missing:
            if self.job.request.budget is not None:
                own = {name: self._wanted[name] for name in missing}
                refuse_own_budgets(own, self._least)
            names = [layer.name for layer in layers]
            wanted = {name: self._wanted[name] for name in names}
            least = {name: self._least[name] for name in names}
            most = {name: max(wanted[name], least[name]) for name in names}
            budgets = share_out(wanted, least, most)
            changed = [x for x in layers if budgets[x.name] != wanted[x.name]]
            results |= self._run(changed, budgets)
        return [results[layer.name] for layer in layers]

    def _run(
        self, layers: Sequence[Layer], budgets: dict[str, int]
    ) -> dict[str, LayerResult]:
        """Balance layers; those whose budget has no room for a slice are missing."""
        room = self._room(layers)
        tasks = [
            partial(self._in, room, layer, budgets.get(layer.name)) for layer in layers
        ]

        def done(result: LayerResult | None) -> None:
            if result is not None:
                self.report(result)

        cancellation = self.job.search.cancellation
        found = run_tasks(tasks, self._workers(layers), cancellation, done)
        return {result.name: result for result in found if result is not None}

    def _workers(self, layers: Sequence[Layer]) -> int:
        if self.job.search.limits.workers is not None:
            return self.job.search.limits.workers
        many = sum(prod(layer.shape) for layer in layers) >= WEIGHTS_WORTH_A_THREAD
        return min(os.cpu_count() or 1, len(layers)) if many else 1

    def _room(self, layers: Sequence[Layer]) -> Room:
        """Bound what is in memory: by the largest layer, if nobody has said more."""
        sizes = [prod(layer.shape) for layer in layers]
        if self.job.search.limits.workers is not None:
            return Room(sum(sizes))
        return Room(max([WEIGHTS_AT_ONCE, *sizes]))

    def _in(self, room: Room, layer: Layer, budget: int | None) -> LayerResult | None:
        with room.taken(prod(layer.shape)):
            return self._balance(layer, budget)

    def _balance(self, layer: Layer, budget: int | None) -> LayerResult | None:
        """Balance one layer under its own budget, or under a settled one."""
        job, name = self.job, layer.name
        with naming(f"layer {name}"):
            arrays = layer.read()
            if budget is None:
                budget = job.request.own_budget(name, arrays)
            problem = job.request.problem(name, arrays, budget)
            least: int | None = problem.least
            if not job.request.may_empty(name):
                least = least_nonzeros(arrays, problem)
            if least is None:
                self._hopeless.add(name)
                return None
            if problem.budget < least:
                self._wanted[name], self._least[name] = problem.budget, least
                return None
            self._wanted.setdefault(name, problem.budget)
            self._least[name] = least
            solution = self.store.recall(name, problem)
            if solution is None:
                solution = solve(
                    problem,
                    job.solver,
                    limits=job.search.limits,
                    cancellation=job.search.cancellation,
                )
                solution = or_as_it_was(solution, arrays, problem)
            if least and not solution.nonzeros:
                raise InfeasibleError(
                    f"in the order {problem.order!r} no balanced mask was found that "
                    "keeps any of its weights; take another `order`, or let layers be "
                    "emptied (`allow_empty`, --allow-empty)"
                )
            result = LayerResult.of(name, arrays, problem, solution)
            self.see(result, arrays, problem)
            return self.store.keep(result, problem)
