"""Expected work: every mask, its loads and what it keeps, in whole numbers."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from balancer import (
    PEMap,
    RetentionProblem,
    SolverUnavailableError,
    balance_expected_work,
)
from balancer.program.rounding import ROUNDING

from .layers import draw_map, draw_shape
from .numbers import draw_scores, exact, false_claim, kept_exactly
from .two_way import subset_sums

MOST_WEIGHTS = 9
KINDS = ("output_channel", "input_channel", "interleaved", "banked")


def draw_work(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw rates with ties and zeros, or work that spans twenty decades and more."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.choice([0.0, 0.5, 1.0, 1.0, 2.5], size)
    if kind == 1:
        return 10.0 ** rng.uniform(-10, 10, size)
    if kind == 2:
        return 10.0 ** rng.integers(-20, 20, size) * rng.choice([0.0, 1.0, 1.1], size)
    return rng.random(size) * 10.0 ** rng.integers(-310, 200)


@dataclass
class Work:
    """A problem with a budget, work, and a tolerance or None for the default."""

    problem: RetentionProblem
    work: np.ndarray
    tolerance: float | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Work":
        """Draw a layer on a map without prescribed loads."""
        shape = draw_shape(rng, MOST_WEIGHTS)
        pe_map = draw_map(rng, shape)
        if pe_map.fixed_load is not None or rng.random() < 0.3:
            group = rng.integers(0, rng.integers(1, 3), shape)
            pe_map = PEMap.from_labels(group, rng.integers(0, 3, shape))
        scores = draw_scores(rng, pe_map.weights).reshape(shape)
        budget = int(rng.integers(0, scores.size + 1))
        work = draw_work(rng, scores.size).reshape(shape)
        tolerance = None
        if rng.random() < 0.4:
            tolerance = float(rng.random() * rng.choice(work.reshape(-1)))
        return cls(RetentionProblem(scores, pe_map, budget), work, tolerance)

    def best(self, tolerance: float, slack: float) -> int:
        """Find the most that a mask within the tolerance keeps.

        `slack` is what the loads of a group may differ more, in parts of the largest.
        """
        problem = self.problem
        group, pe = (labels.reshape(-1) for labels in problem.pe_map.labels())
        size = problem.pe_map.weights
        values = [exact(score) for score in problem.scores.reshape(-1)]
        work = [exact(one) for one in self.work.reshape(-1)]
        loads = {}
        for g, p in sorted(set(zip(group.tolist(), pe.tolist(), strict=True))):
            mine = (group == g) & (pe == p)
            own = [w if here else 0 for w, here in zip(work, mine, strict=True)]
            loads.setdefault(g, []).append(subset_sums(own))
        kept, most = subset_sums(values), exact(tolerance)
        part = Fraction(slack)
        best = 0
        for number in range(2**size):
            if kept[number] <= best or number.bit_count() > problem.budget:
                continue
            for cells in loads.values():
                here = [sums[number] for sums in cells]
                if max(here) - min(here) > most + part * max(here):
                    break
            else:
                best = kept[number]
        return best

    def check(self) -> str | None:
        """Balance and name what is wrong with the solution."""
        try:
            solution = balance_expected_work(self.problem, self.work, self.tolerance)
        except SolverUnavailableError:
            return "no answer" if self.tolerance is None else None
        solution.verify(self.problem, self.work)
        kept = kept_exactly(self.problem.scores, solution.mask)
        if kept > self.best(solution.tolerance, 2 * ROUNDING):
            return "the loads differ by more than the tolerance"
        best = max(kept, self.best(solution.tolerance, 0.0))
        return false_claim(solution, kept, best)
