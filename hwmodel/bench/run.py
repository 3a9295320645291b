"""Running a benchmark: size by size, each with all its maps and methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hwmodel.bench.bench_case import BenchCase, cases_of, draw_scores
from hwmodel.bench.bench_result import BenchResult, LeftOut, Series
from hwmodel.bench.measuring import BenchRow, measure
from hwmodel.bench.methods import BenchMethod, chosen_methods, missing_methods
from hwmodel.bench.settings import BenchError, BenchSettings

# Of the largest layer: its weights, the mask, and what ranking them takes.
BYTES_PER_WEIGHT = 6
FIXED_WEIGHTS = 3_000_000  # a layer costs as much as so many, however small it is
SMALLEST = 576  # weights on which every method is tried once, to load what it needs


class BenchProgress(NamedTuple):
    """How far a benchmark has come.

    Attributes
    ----------
    done, total : float
        Weights to go through, fixed costs among them.
    label : str
        What is measured next.
    """

    done: float
    total: float
    label: str


def run_bench(
    settings: BenchSettings | None = None,
    progress: Callable[[BenchProgress], None] | None = None,
) -> BenchResult:
    """Measure what balancing costs, beside sorting the same weights.

    Parameters
    ----------
    settings : BenchSettings, optional
        What to measure; default: all maps and methods, 1e3 to 1e7 weights.
    progress : callable, optional
        Called before every layer.

    Returns
    -------
    BenchResult
        After Ctrl-C what was measured until then, marked as cancelled.

    Raises
    ------
    BenchError
        Unknown methods, or layers that do not fit the memory.
    BalancerError
        A text that names no PE map.

    Examples
    --------
    >>> from hwmodel import BenchSettings, run_bench
    >>> asked = BenchSettings([1000], ["banked"], methods=["greedy", "cp-sat"])
    >>> [row.method for row in run_bench(asked).rows]
    ['greedy', 'cp-sat']
    """
    asked = settings or BenchSettings()
    check_plan(asked)
    plan = {size: list(cases_of(asked, size)) for size in sorted(asked.sizes)}
    methods = chosen_methods(asked.methods)
    running = _Running(asked, methods, progress or (lambda _: None))
    if asked.methods is None:
        running.left_out += [
            LeftOut(name, f"needs {packages}")
            for name, packages in missing_methods().items()
        ]
    try:
        running.warm_up(list(cases_of(asked, SMALLEST)))
        running.through(plan)
    except KeyboardInterrupt:
        return BenchResult(asked, running.rows, running.left_out, cancelled=True)
    return BenchResult(asked, running.rows, running.left_out)


def check_plan(settings: BenchSettings) -> None:
    """Refuse what cannot be measured, before anything is; errors as of `run_bench`."""
    chosen_methods(settings.methods)
    _check_memory(max(settings.sizes))
    for case in cases_of(settings, min(settings.sizes)):
        if case.map is not None:
            case.pe_map()


class _Running:
    """A benchmark that runs: rows so far, and which series have ended."""

    def __init__(
        self,
        settings: BenchSettings,
        methods: Mapping[str, BenchMethod],
        progress: Callable[[BenchProgress], None],
    ) -> None:
        self.settings, self.methods, self.progress = settings, methods, progress
        self.rows: list[BenchRow] = []
        self.left_out: list[LeftOut] = []
        self._latest: dict[Series, BenchRow] = {}
        self._ended: set[Series] = set()

    def warm_up(self, cases: list[BenchCase]) -> None:
        """Load what the first call of a method would load."""
        cold = set(self.methods)
        for case in cases:
            able = {n: one for n, one in self._fitting(case).items() if n in cold}
            measure(case, draw_scores(case, 0), able, 1, 1.0)
            cold -= able.keys()

    def through(self, plan: Mapping[int, list[BenchCase]]) -> None:
        """Measure all cases, size by size."""
        costs = {size: size + FIXED_WEIGHTS for size in plan}
        total = float(sum(costs[size] * len(cases) for size, cases in plan.items()))
        done = 0.0
        for size, cases in plan.items():
            scores = draw_scores(cases[0], self.settings.seed)
            for case in cases:
                self.progress(BenchProgress(done, total, label_of(case)))
                able = {
                    name: method
                    for name, method in self._fitting(case).items()
                    if self._is_short((*case.series, name), case)
                }
                if able:
                    rows, failures = measure(
                        *(case, scores, able),
                        self.settings.repeats,
                        max(1.0, self.settings.call_limit),
                    )
                    self._note(case, rows, failures)
                done += costs[size]
        self.progress(BenchProgress(total, total, "done"))

    def _fitting(self, case: BenchCase) -> dict[str, BenchMethod]:
        return {
            name: method
            for name, method in self.methods.items()
            if method.needs_map == (case.map is not None) and method.fits(case)
        }

    def _is_short(self, key: Series, case: BenchCase) -> bool:
        """Whether a call will be short enough, as the one before says."""
        if key in self._ended:
            return False
        known = self._latest.get(key)
        if known is None:
            return True
        expected = known.seconds * case.weights / known.case.weights
        if expected <= self.settings.call_limit:
            return True
        self._end(key, case, f"would take about {expected:.1f} s", expected)
        return False

    def _note(
        self, case: BenchCase, rows: list[BenchRow], failures: Mapping[str, str]
    ) -> None:
        self.rows += rows
        self._latest.update(((*case.series, row.method), row) for row in rows)
        for name, reason in failures.items():
            self._end((*case.series, name), case, reason)

    def _end(
        self, key: Series, case: BenchCase, reason: str, seconds: float | None = None
    ) -> None:
        self._ended.add(key)
        self.left_out.append(LeftOut(key[-1], reason, case, seconds))


def label_of(case: BenchCase) -> str:
    """Name a case in a few words.

    Examples
    --------
    >>> from hwmodel.bench.bench_case import BenchCase
    >>> from hwmodel.bench.run import label_of
    >>> label_of(BenchCase(10**6, "banked", 16, 0.98))
    'banked, 16 PEs, 98% sparse, 1e6'
    """
    parts = [case.map or "no PEs"]
    if case.pes is not None:
        parts.append(f"{case.pes} PEs")
    if case.sparsity is not None:
        parts.append(f"{100 * case.sparsity:g}% sparse")
    return ", ".join((*parts, size_text(case.size)))


def size_text(size: int) -> str:
    """Write a size as ``1e6`` or ``3e5``, or in full where it is none of these.

    Examples
    --------
    >>> from hwmodel.bench.run import size_text
    >>> size_text(300_000), size_text(12_345)
    ('3e5', '12345')
    """
    digits = str(size)
    zeros = len(digits) - len(digits.rstrip("0"))
    return f"{digits[0]}e{zeros}" if zeros == len(digits) - 1 else digits


def _check_memory(weights: int) -> None:
    """Refuse layers that do not fit the memory of the machine, where that is known."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if weights * BYTES_PER_WEIGHT > memory:
        raise BenchError(
            f"sizes: {weights} weights take about "
            f"{weights * BYTES_PER_WEIGHT / 1e9:.1f} GB, this machine has "
            f"{memory / 1e9:.1f}; give smaller ones"
        )
