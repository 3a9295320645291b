"""The largest scores of a whole network, found layer by layer.

A first look at the layers takes a sample of their scores, which tells about where the
largest begin. The second look counts and adds up what is surely among them and puts
aside the few scores near that place, among which the exact one is found in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.metrics import reaching, top_k_sum
from balancer.program.problem import RetentionProblem

SAMPLE = 2**18  # scores of the network
# What is put aside reaches so many standard deviations to both sides, and so many
# scores of the sample.
DEVIATIONS, AT_LEAST = 6, 32


class LargestScores:
    """Adds up the largest scores that may be kept, over all layers.

    Parameters
    ----------
    weights : int
        Of all layers together.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import PEMap, RetentionProblem
    >>> from balancer.network.largest_scores import LargestScores
    >>> scores = np.arange(8.0).reshape(2, 4)
    >>> pe_map = PEMap.output_channel(scores.shape, pes=2)
    >>> layers = [RetentionProblem(scores + more, pe_map, 2) for more in (0, 1)]
    >>> largest = LargestScores(weights=16)
    >>> for problem in layers:
    ...     largest.add(problem)
    >>> tally = largest.tally(3)
    >>> for problem in layers:
    ...     tally.add(problem)
    >>> tally.total()
    22.0
    """

    def __init__(self, weights: int) -> None:
        self._step = weights // SAMPLE | 1  # odd, because channels are even
        self._samples: list[AnyArray] = []

    def add(self, problem: RetentionProblem) -> None:
        """Look at a layer for the first time."""
        scores, mask = _flat(problem)
        sample = scores[:: self._step]
        if mask is not None:
            sample = sample[mask[:: self._step]]
        self._samples.append(sample.copy())  # no view, which would hold the layer

    def tally(self, k: int) -> Tally:
        """Begin the second look, of which the `k` largest are asked."""
        samples = [np.empty(0, np.float32), *self._samples]
        sample = np.sort(np.concatenate(samples))[::-1]
        rank = k / self._step
        margin = DEVIATIONS * math.sqrt(rank) + AT_LEAST
        first, last = math.floor(rank - margin), math.ceil(rank + margin)
        return Tally(
            k,
            float(sample[first]) if 0 <= first < sample.size else math.inf,
            float(sample[last]) if last < sample.size else -math.inf,
        )


class Tally:
    """What is known of the `k` largest scores after some of the layers.

    Parameters
    ----------
    k : int
        How many are asked.
    high, low : float
        What is above `high` is surely among them, what is below `low` is not.
    """

    def __init__(self, k: int, high: float, low: float) -> None:
        self._k, self._high, self._low = k, high, low
        self._count, self._sum = 0, 0.0
        self._between: list[AnyArray] = []

    def add(self, problem: RetentionProblem) -> None:
        """Look at a layer."""
        scores, mask = _flat(problem)
        found = reaching(scores, self._low, mask)
        sure = found > self._high
        self._count += int(np.count_nonzero(sure))
        self._sum += float(found[sure].sum(dtype=np.float64))
        self._between.append(found[~sure])

    def total(self) -> float | None:
        """Sum of the `k` largest; None if the sample was misleading."""
        left = self._k - self._count
        between = np.concatenate([np.empty(0, np.float32), *self._between])
        enough = left <= between.size or self._low == -math.inf
        if left < 0 or not enough:
            return None
        return self._sum + top_k_sum(between, left)


def largest_sum(k: int, problems: Iterable[RetentionProblem]) -> float:
    """Add up the `k` largest scores of layers without any sample."""
    tally = Tally(k, math.inf, -math.inf)
    for problem in problems:
        tally.add(problem)
    found = tally.total()
    assert found is not None
    return found


def _flat(problem: RetentionProblem) -> tuple[AnyArray, BoolArray | None]:
    mask = problem.previous_mask
    return problem.scores.reshape(-1), None if mask is None else mask.reshape(-1)
