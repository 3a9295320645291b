"""Measuring one layer: all methods in turns, each beside a sort of the same rows.

Times are of the processor, so that what else runs does not count, and a ratio is of two
calls that follow each other: on a machine whose speed changes from minute to minute,
both change. The median over the turns is what is told.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from balancer import BalancerError
from balancer.array_types import AnyArray
from balancer.metrics import fraction, top_k_sum
from balancer.program.rounding import total_score
from hwmodel.bench.bench_case import BenchCase, sort_rows
from hwmodel.bench.methods import BenchMask, BenchMethod, Call

SLOW = 0.25  # seconds; a longer call is timed once
ENOUGH = 0.1  # seconds of one method: short calls are repeated for as long
MOST_REPEATS = 15
MOST_COMPARED = 200_000_000  # weights; unstructured pruning of more takes much memory


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One method on one layer.

    Attributes
    ----------
    case : BenchCase
        The layer.
    method : str
        Who pruned it.
    seconds, sort_seconds : float
        Processor time of a call, and of sorting the rows: medians.
    ratio, ratio_low, ratio_high : float
        Time of a call / time of the sort beside it: median and quartiles.
    repeats : int
        Timed pairs.
    peak_bytes : int or None
        Most memory that the call took beside the weights; None where it is not seen.
    nonzeros : int or None
        Weights kept; None where it found no mask in time.
    kept_fraction : float or None
        Kept magnitude relative to unstructured pruning with as many non-zeros; None
        for layers of more than `MOST_COMPARED` weights.
    gap : float or None
        Distance to the bound that it proved, where it proves one.
    answered : bool
        Whether it found more than nothing; if not, its time is that of a search which
        was cut short.
    """

    case: BenchCase
    method: str
    seconds: float
    sort_seconds: float
    ratio: float
    ratio_low: float
    ratio_high: float
    repeats: int
    peak_bytes: int | None = None
    nonzeros: int | None = None
    kept_fraction: float | None = None
    gap: float | None = None

    @property
    def answered(self) -> bool:
        """See the class."""
        return self.nonzeros is not None and (self.gap is None or self.gap < 1)


@dataclass(slots=True)
class _Contender:
    """A method in turns: its call, and what was seen of it."""

    method: BenchMethod
    call: Call
    pruned: BenchMask | None = None
    peak_bytes: int | None = None
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def first(self, sort: Callable[[], None]) -> None:
        """Call it once: to see its memory, or else for the time of a slow one."""
        if not self.method.traced:
            taken = self._timed()
            if taken >= SLOW:
                self.pairs.append((taken, seconds_of(sort)))
            return
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            self.pruned = self.call()
            self.peak_bytes = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    def turn(self, sort: Callable[[], None], repeats: int) -> bool:
        """Time it once more, beside a sort; False where it was timed enough."""
        spent = sum(pair[0] for pair in self.pairs)
        often = len(self.pairs) >= repeats
        slow = bool(self.pairs) and self.pairs[0][0] >= SLOW
        if slow or len(self.pairs) >= MOST_REPEATS or (often and spent >= ENOUGH):
            return False
        self.pairs.append((self._timed(), seconds_of(sort)))
        return True

    def _timed(self) -> float:
        def work() -> None:
            self.pruned = self.call()

        return seconds_of(work)


def seconds_of(work: Callable[[], None]) -> float:
    """Processor seconds of a call; by the clock where those are counted coarsely."""
    fine = time.get_clock_info("process_time").resolution < 1e-4
    clock = time.process_time if fine else time.perf_counter
    begun = clock()
    work()
    return clock() - begun


def measure(
    case: BenchCase,
    scores: AnyArray,
    methods: Mapping[str, BenchMethod],
    repeats: int,
    seconds: float,
) -> tuple[list[BenchRow], dict[str, str]]:
    """Measure one layer by some methods, in turns.

    Parameters
    ----------
    case : BenchCase
        The layer.
    scores : ndarray of float
        In its shape.
    methods : mapping of str to BenchMethod
        By name; all of them fit the case.
    repeats : int
        Least timed pairs of each.
    seconds : float
        Limit for those that take one.

    Returns
    -------
    rows : list of BenchRow
        In the order of `methods`.
    failures : dict of str to str
        Why a method has no row.

    Examples
    --------
    >>> from hwmodel.bench.bench_case import BenchCase, draw_scores
    >>> from hwmodel.bench.measuring import measure
    >>> from hwmodel.bench.methods import chosen_methods
    >>> case = BenchCase(1000, "output_channel", pes=4, sparsity=0.9)
    >>> scores = draw_scores(case, seed=0)
    >>> [row], _ = measure(case, scores, chosen_methods(["cp-sat"]), 3, 10.0)
    >>> row.gap, row.ratio > 0
    (0.0, True)
    """

    def sort() -> None:
        sort_rows(scores)

    contenders: dict[str, _Contender] = {}
    failures = {}
    sort()
    for name, method in methods.items():
        try:
            one = _Contender(method, method.prepare(case, scores, seconds))
            one.first(sort)
        except (BalancerError, MemoryError) as error:
            failures[name] = str(error) or "more memory is needed than there is"
        else:
            contenders[name] = one
    while any([one.turn(sort, repeats) for one in contenders.values()]):
        pass
    return [_row(case, n, one, scores) for n, one in contenders.items()], failures


def _row(
    case: BenchCase, name: str, contender: _Contender, scores: AnyArray
) -> BenchRow:
    taken, sorting = zip(*contender.pairs, strict=True)
    low, middle, high = ratio_quartiles(contender.pairs)
    mask, bound = contender.pruned or BenchMask(None)
    row = BenchRow(
        case,
        name,
        seconds=statistics.median(taken),
        sort_seconds=statistics.median(sorting),
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
        repeats=len(contender.pairs),
        peak_bytes=contender.peak_bytes,
    )
    return row if mask is None else _with_mask(row, mask, bound, scores)


def ratio_quartiles(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Quartiles of the ratios of pairs of times.

    Examples
    --------
    >>> from hwmodel.bench.measuring import ratio_quartiles
    >>> ratio_quartiles([(2.0, 1.0), (6.0, 2.0), (8.0, 2.0)])
    (2.5, 3.0, 3.5)
    """
    ratios = [one / max(other, 1e-9) for one, other in pairs]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high


def _with_mask(
    row: BenchRow, mask: AnyArray, bound: float | None, scores: AnyArray
) -> BenchRow:
    """Say what a mask keeps."""
    kept, nonzeros = total_score(scores, mask), int(np.count_nonzero(mask))
    compared = scores.size <= MOST_COMPARED
    return replace(
        row,
        nonzeros=nonzeros,
        kept_fraction=fraction(kept, top_k_sum(scores, nonzeros)) if compared else None,
        gap=None if not bound else (bound - kept) / bound,
    )
