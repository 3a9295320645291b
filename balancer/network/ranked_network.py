"""The global scope: all layers of a network in one program, under shared budgets.

A layer that must not be emptied keeps a slice. If its groups have equally many PEs,
that may be the best first slice of all groups without any loss, so it is a floor of the
program. Otherwise it is the best of one of the sizes, which is only decided where the
program without that floor empties the layer: by branching over the sizes. The bound of
the program so constrained is the largest of the branches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from math import prod
from typing import NamedTuple, cast

import numpy as np

from balancer.errors import InfeasibleError, naming
from balancer.files.ticket_layer import LayerArrays
from balancer.hardware import Resource
from balancer.network.budgets import NetworkProgram, in_absolute_terms
from balancer.network.guard import (
    least_nonzeros,
    refuse_hopeless,
    refuse_too_little,
    share_out,
)
from balancer.network.job import Job, Layer
from balancer.network.largest_scores import LargestScores
from balancer.network.present import as_it_was
from balancer.network.request import BUDGET_OF
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.problem import RetentionProblem
from balancer.program.rounding import is_reached
from balancer.program.slice_program import Allocation, SliceAllocator
from balancer.program.validation import budget_of_sparsity
from balancer.solvers import SliceSolver
from balancer.solvers.solution import Termination, proven
from balancer.solving import ask

# So many programs are solved to decide which slices layers keep; after that the first
# that is possible is taken, under the bound without it.
MOST_BRANCHES = 64


class NetworkAnswer(NamedTuple):
    """An allocation of a network, and how it came about.

    Attributes
    ----------
    allocation : Allocation
        Loads of all groups of all layers.
    termination : Termination
        Why the search ended.
    solver : str
        Who answered.
    reason : str or None
        Why it was not the solver that was asked.
    unchanged : bool
        The masks that were read are the answer.
    """

    allocation: Allocation
    termination: Termination
    solver: str
    reason: str | None
    unchanged: bool = False


@dataclass(frozen=True, eq=False)
class RankedNetwork:
    """A network whose weights are ranked, to be asked for any budgets.

    Attributes
    ----------
    job : Job
        What to do.
    program : NetworkProgram
        The program of all layers, those guarded whose slice is known.
    slices : list of LayerSlices
        Their slices, unguarded.
    choices : dict of int to list of int
        Other layers that must not be emptied, by position: the groups of which one
        keeps a slice, the one of the fewest PEs first.
    shares : list of int
        Non-zeros of each layer in the layer-wise solution.
    budget : int
        Most non-zeros of all layers together.
    present : Allocation or None
        The masks that were read, if they satisfy all but perhaps the budgets.
    largest : LargestScores
        What unstructured pruning would keep.
    """

    job: Job
    program: NetworkProgram
    slices: list[LayerSlices]
    choices: dict[int, list[int]]
    shares: list[int]
    budget: int
    present: Allocation | None
    largest: LargestScores

    @classmethod
    def of(
        cls,
        job: Job,
        layers: Sequence[Layer],
        report: Callable[[str], None] | None = None,
    ) -> RankedNetwork:
        """Rank the weights of every layer, and find the budget of all together.

        `report` is called with the name of each layer that is ranked.
        """
        request = job.request
        sizes = {layer.name: prod(layer.shape) for layer in layers}
        weights = sum(sizes.values())
        budget = cast("int | None", request.budget)
        most = budget
        if request.sparsity is not None:
            most = budget_of_sparsity(request.sparsity, weights)

        def read(layer: Layer) -> RetentionProblem:
            return request.problem(layer.name, layer.read(), prod(layer.shape))

        slices: list[LayerSlices] = []
        wanted, least = {}, {}
        sure: dict[int, int] = {}
        choices: dict[int, list[int]] = {}
        masks: list[Allocation | None] = []
        hopeless: list[str] = []
        present, largest = 0, LargestScores(weights)
        for position, layer in enumerate(layers):
            name = layer.name
            with naming(f"layer {name}"):
                arrays = layer.read()
                size = arrays.scores.size
                problem = request.problem(name, arrays, size)
                if budget is None:
                    own = request.own_budget(name, arrays)
                else:
                    own = min(size, budget * size // max(1, weights))
                wanted[name] = problem.least if own is None else own
                mean_load = wanted[name] / max(1, problem.pe_map.n_cells)
                again = partial(read, layer)
                slices.append(LayerSlices(problem, mean_load, again, forget=True))
                largest.add(problem)
                if report is not None:
                    report(name)
                needed: int | None = problem.least
                if not request.may_empty(name):
                    needed = least_nonzeros(arrays, problem)
                if needed is None:
                    hopeless.append(name)
                    continue
                least[name] = needed
                if needed > problem.least:
                    groups = slices[-1].first_of_each_size()
                    if len(groups) == 1:
                        sure[position] = groups[0]
                    else:
                        choices[position] = groups
                present += int(np.count_nonzero(arrays.mask))
                fits = most is None or present <= most
                masks.append(_present(arrays, problem) if fits else None)
        refuse_hopeless(hopeless)
        budget = most
        if budget is None:
            budget = sum(wanted.values())
        if budget > weights:
            raise InfeasibleError(
                f"`budget` is {budget} for all layers; they have {weights} weights"
            )
        refuse_too_little(budget, least)
        total = max(sum(wanted.values()), sum(least.values()))
        shares = share_out(wanted, least, sizes, total=min(budget, total))
        program = NetworkProgram([*sizes], slices, job.costs).keeping(sure)
        return cls(
            job,
            program,
            slices,
            choices,
            [*shares.values()],
            budget,
            _joined(masks),
            largest,
        )

    @cached_property
    def least_program(self) -> NetworkProgram:
        """The program in which every guarded layer keeps its smallest slice."""
        return self.program.keeping({n: c[0] for n, c in self.choices.items()})

    def limits(self, given: Mapping[Resource, float]) -> dict[Resource, float]:
        """State budgets of cycles and energy in absolute terms."""
        if not given:
            return {}
        spent = self.program.tradeoff(self.layer_wise)
        return {
            resource: in_absolute_terms(
                BUDGET_OF[resource], limit, getattr(spent, resource)
            )
            for resource, limit in given.items()
        }

    @cached_property
    def layer_wise(self) -> Allocation:
        """The loads of all layers when each has its own budget, floors permitting."""
        answers = [
            self._ask(settle([own], share)).allocation
            for own, share in zip(self.slices, self.shares, strict=True)
        ]
        return Allocation(
            loads=np.concatenate([np.empty(0, np.int64), *(a.loads for a in answers)]),
            kept=float(sum(answer.kept for answer in answers)),
            bound=float(sum(answer.bound for answer in answers)),
            exhausted=np.zeros(sum(own.groups for own in self.slices), dtype=bool),
        )

    def answer(self, limits: Mapping[Resource, float]) -> NetworkAnswer:
        """Answer the program under the budget of non-zeros and the limits.

        Raises
        ------
        InfeasibleError
            The floors, or a slice of every layer that must not be emptied, need more.
        """
        for resource, limit in limits.items():
            self.least_program.require(resource, limit)
        found = self._branched(self.program, limits, count())
        if self._is_as_good(found.allocation, limits):
            assert self.present is not None
            bound = max(found.allocation.bound, self.present.kept)
            present = replace(self.present, bound=bound)
            return found._replace(allocation=present, unchanged=True)
        return found

    def _branched(
        self,
        program: NetworkProgram,
        limits: Mapping[Resource, float],
        branches: count[int],
    ) -> NetworkAnswer:
        """Answer a program so that no layer is emptied; see the module."""
        found = self._answer(program, limits)
        loads = program.of_layers(found.allocation.loads)
        empty = [layer for layer in self.choices if not loads[layer].any()]
        if not empty:
            return found
        answers: list[NetworkAnswer] = []
        many = next(branches) >= MOST_BRANCHES
        refused: InfeasibleError | None = None
        for group in self.choices[empty[0]]:
            try:
                guarded = program.keeping({empty[0]: group})
                refuse_too_little(self.budget, guarded.least_nonzeros)
                for resource, limit in limits.items():
                    guarded.require(resource, limit)
                answers.append(self._branched(guarded, limits, branches))
            except InfeasibleError as error:
                refused = error
            if many and answers:
                break
        if not answers:
            assert refused is not None  # there is at least one group
            raise refused
        best = max(answers, key=lambda one: one.allocation.kept)
        bound = found.allocation.bound
        if not many:
            bound = min(bound, max(one.allocation.bound for one in answers))
        order = list(Termination)  # from a proof to a cancellation
        ending = max((one.termination for one in answers), key=order.index)
        if is_reached(best.allocation.kept, bound):
            ending = Termination.PROVED
        return best._replace(
            allocation=replace(best.allocation, bound=bound),
            termination=proven(ending, best.allocation.kept, bound),
        )

    def _answer(
        self, program: NetworkProgram, limits: Mapping[Resource, float]
    ) -> NetworkAnswer:
        found = self._ask(program.settle(self.budget, limits))
        if not program.exceeds(found.allocation, limits):
            return found
        bound = found.allocation.bound
        found = self._ask(program.settle(self.budget, limits, strict=True))
        allocation = replace(found.allocation, bound=bound)
        ending = proven(found.termination, allocation.kept, bound)
        return found._replace(allocation=allocation, termination=ending)

    def _is_as_good(self, found: Allocation, limits: Mapping[Resource, float]) -> bool:
        """Whether the masks that were read keep as much, and no fewer weights."""
        present, program = self.present, self.program
        if present is None or program.exceeds(present, limits):
            return False
        nonzeros = program.tradeoff(present).nonzeros
        as_many = program.tradeoff(found).nonzeros <= nonzeros <= self.budget
        return as_many and is_reached(present.kept, found.kept)

    def _ask(self, allocator: SliceAllocator) -> NetworkAnswer:
        job = self.job
        (allocation, termination), solver, reason = ask(
            job.solver,
            job.search,
            lambda chosen: cast("SliceSolver", chosen).allocate(allocator, job.search),
        )
        return NetworkAnswer(allocation, termination, solver, reason)


def _present(arrays: LayerArrays, problem: RetentionProblem) -> Allocation | None:
    """Return the loads of the mask that was read, if it is balanced."""
    solution = as_it_was(arrays, problem)
    if solution is None:
        return None
    loads = solution.loads.max(axis=1, initial=0)
    nothing = np.zeros(len(loads), dtype=bool)
    return Allocation(loads, solution.kept, solution.bound, nothing)


def _joined(masks: Sequence[Allocation | None]) -> Allocation | None:
    """Join the allocations of all layers; None if one has none."""
    known = [mask for mask in masks if mask is not None]
    if len(known) < len(masks):
        return None
    return Allocation(
        loads=np.concatenate([np.empty(0, np.int64), *(one.loads for one in known)]),
        kept=float(sum(one.kept for one in known)),
        bound=float(sum(one.bound for one in known)),
        exhausted=np.concatenate(
            [np.empty(0, bool), *(one.exhausted for one in known)]
        ),
    )
