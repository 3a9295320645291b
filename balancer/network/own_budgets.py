"""Budgets of the layers' own, where a rule shares that of the network among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import BalancerError, InfeasibleError, naming
from balancer.maps.pe_map import PEMap
from balancer.network.guard import least_nonzeros, refuse_hopeless
from balancer.network.job import Job, Layer
from balancer.network.layer_counts import guarded_counts, whole_slices
from balancer.network.request import BalanceRequest
from balancer.program.validation import budget_of_sparsity, whole_budget


def with_own_budgets(job: Job, layers: Sequence[Layer]) -> Job:
    """Settle how many weights each layer keeps, if the request leaves it to a rule.

    Every layer is read once for it. The budgets are those of lottery rounds: what the
    rule gives, but no less than the smallest slice, in whole slices.

    Parameters
    ----------
    job : Job
        Whose request may name a rule, `BalanceRequest.budgets`.
    layers : sequence of Layer
        All layers that share the budget.

    Returns
    -------
    Job
        The same, with a budget for each layer in the place of a rule.

    Raises
    ------
    BalancerError
        A PE map that leaves nothing to a rule, or a rule without the costs it needs.
    InfeasibleError
        No room for a slice of every layer.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import ArrayLayer
    >>> from balancer.network.job import Job
    >>> from balancer.network.own_budgets import with_own_budgets
    >>> layers = [ArrayLayer("a", np.ones((4, 8))), ArrayLayer("b", np.ones((4, 24)))]
    >>> asked = {"sparsity": 0.75, "budgets": "layer", "pes": 4}
    >>> job = Job.of(None, None, asked, solver="auto", costs=None, cancellation=None)
    >>> with_own_budgets(job, layers).request.budget
    {'a': 8, 'b': 24}
    """
    rule = job.request.budgets
    if rule is None:
        return job
    job.check([layer.name for layer in layers])
    asked = replace(job.request, budgets=None, nested=bool(job.request.nested))
    scores: dict[str, AnyArray] = {}
    candidates: dict[str, BoolArray] = {}
    maps: dict[str, PEMap] = {}
    least: dict[str, int] = {}
    present, hopeless = 0, []
    for layer in layers:
        name = layer.name
        with naming(f"layer {name}"):
            arrays = layer.read()
            maps[name] = asked.make_map(arrays.scores.shape)
            if maps[name].fixed_load is not None:
                raise BalancerError(
                    f"the PE map {maps[name].name} says what each layer keeps, so "
                    f"`budgets` {rule!r} has nothing to share; leave it out"
                )
            problem = asked.problem(name, arrays, arrays.scores.size)
            needed: int | None = problem.least
            if not asked.may_empty(name):
                needed = least_nonzeros(arrays, problem)
            hopeless += [name] * (needed is None)
            least[name] = needed or 0
            scores[name], mask = problem.scores, problem.previous_mask
            candidates[name] = np.ones(layer.shape, np.bool_) if mask is None else mask
            present += int(np.count_nonzero(arrays.mask))
    refuse_hopeless(hopeless)
    total = _total(asked, sum(mask.size for mask in candidates.values()), present)
    counts = guarded_counts(
        rule,
        scores,
        candidates,
        total,
        maps,
        costs=job.costs,
        allow_empty=asked.allow_empty,
    )
    budget = whole_slices(counts, least, candidates, maps)
    return replace(job, request=replace(asked, budget=budget, sparsity=None))


def _total(request: BalanceRequest, weights: int, present: int) -> int:
    """Non-zeros of all layers that are asked for; else those that there are."""
    if request.sparsity is not None:
        return budget_of_sparsity(request.sparsity, weights)
    if request.budget is None:
        return present
    total = whole_budget(request.budget)
    if not 0 <= total <= weights:
        raise InfeasibleError(
            f"`budget` is {total} for all layers; they take 0..{weights}"
        )
    return total
