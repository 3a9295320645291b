"""The global scope: all layers of a network in one program, under shared budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import cast

import numpy as np

from balancer.errors import InfeasibleError, naming
from balancer.hardware import Resource
from balancer.network.budgets import NetworkProgram, in_absolute_terms
from balancer.network.job import Job, Layer
from balancer.network.request import BUDGETS
from balancer.program.layer_slices import LayerSlices, settle
from balancer.program.problem import RetentionProblem
from balancer.program.slice_program import Allocation, SliceAllocator
from balancer.program.validation import budget_of_sparsity
from balancer.solvers import SliceSolver
from balancer.solvers.solution import Termination, proven
from balancer.solving import ask


@dataclass(frozen=True, eq=False)
class RankedNetwork:
    """A network whose weights are ranked, to be asked for any budgets.

    Attributes
    ----------
    job : Job
        What to do.
    program : NetworkProgram
        The program of all layers.
    slices : list of LayerSlices
        Their slices.
    shares : list of int
        Non-zeros of each layer in the layer-wise solution.
    budget : int
        Most non-zeros of all layers together.
    """

    job: Job
    program: NetworkProgram
    slices: list[LayerSlices]
    shares: list[int]
    budget: int

    @classmethod
    def of(cls, job: Job, layers: Sequence[Layer]) -> RankedNetwork:
        """Rank the weights of every layer, and find the budget of all together."""
        request = job.request
        weights = sum(prod(layer.shape) for layer in layers)
        budget = cast("int | None", request.budget)

        def read(layer: Layer) -> RetentionProblem:
            return request.problem(layer.name, layer.read(), prod(layer.shape))

        slices, shares = [], []
        for layer in layers:
            with naming(f"layer {layer.name}"):
                arrays = layer.read()
                size = arrays.scores.size
                problem = request.problem(layer.name, arrays, size)
                if budget is None:
                    own = request.own_budget(layer.name, arrays)
                else:
                    own = min(size, budget * size // max(1, weights))
                shares.append(problem.least if own is None else own)
                mean_load = shares[-1] / max(1, problem.pe_map.n_cells)
                slices.append(LayerSlices(problem, mean_load, partial(read, layer)))
        if request.sparsity is not None:
            budget = budget_of_sparsity(request.sparsity, weights)
        elif budget is None:
            budget = sum(shares)
        least = [own.least for own in slices]
        if not sum(least) <= budget <= weights:
            most = ""
            if any(least):
                worst = int(np.argmax(least))
                most = f", most of it {least[worst]} by layer {layers[worst].name}"
            raise InfeasibleError(
                f"`budget` is {budget} for all layers; their bounds and floors need at "
                f"least {sum(least)}{most}, and they have {weights} weights"
            )
        program = NetworkProgram([layer.name for layer in layers], slices, job.costs)
        return cls(job, program, slices, shares, budget)

    def limits(self, given: Mapping[Resource, float]) -> dict[Resource, float]:
        """State budgets of cycles and energy in absolute terms."""
        spent = self.program.tradeoff(self.layer_wise)
        return {
            resource: in_absolute_terms(
                BUDGETS[resource], limit, getattr(spent, resource)
            )
            for resource, limit in given.items()
        }

    @cached_property
    def layer_wise(self) -> Allocation:
        """The loads of all layers when each has its own budget, floors permitting."""
        answers = [
            self._ask(settle([own], max(share, own.least)))[0]
            for own, share in zip(self.slices, self.shares, strict=True)
        ]
        return Allocation(
            loads=np.concatenate([np.empty(0, np.int64), *(a.loads for a in answers)]),
            kept=float(sum(answer.kept for answer in answers)),
            bound=float(sum(answer.bound for answer in answers)),
            exhausted=np.zeros(sum(own.groups for own in self.slices), dtype=bool),
        )

    def answer(
        self, limits: Mapping[Resource, float]
    ) -> tuple[Allocation, Termination, str, str | None]:
        """Answer the program under the budget of non-zeros and the limits.

        Returns allocation, termination, solver, and the reason for a fallback.
        """
        found = self._ask(self.program.settle(self.budget, limits))
        if not self.program.exceeds(found[0], limits):
            return found
        bound = found[0].bound
        found = self._ask(self.program.settle(self.budget, limits, strict=True))
        allocation, termination, solver, reason = found
        ending = proven(termination, allocation.kept, bound)
        return replace(allocation, bound=bound), ending, solver, reason

    def _ask(
        self, allocator: SliceAllocator
    ) -> tuple[Allocation, Termination, str, str | None]:
        job = self.job
        (allocation, termination), solver, reason = ask(
            job.solver,
            job.search,
            lambda chosen: cast("SliceSolver", chosen).allocate(allocator, job.search),
        )
        return allocation, termination, solver, reason
