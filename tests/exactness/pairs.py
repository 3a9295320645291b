"""Two neighbouring layers jointly, by all solvers."""

import itertools
from dataclasses import dataclass

import numpy as np

from balancer import (
    InfeasibleError,
    PairProblem,
    PEMap,
    RetentionProblem,
    solve_pair,
)

from .numbers import draw_scores, false_claim, kept_exactly

MOST_WEIGHTS = 7  # of a layer; every pair of masks is tried
PAIR_SOLVERS = ("cp-sat", "alternation")


@dataclass
class Pair:
    """Two layers of any maps and budgets that meet in any way."""

    problem: PairProblem

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Pair":
        """Draw layers until both have masks, of scores of one scale or of two."""
        while True:
            try:
                first, second = (_layer(rng) for _ in range(2))
            except InfeasibleError:
                continue
            channels = first.pe_map.channels
            return cls(
                PairProblem(
                    first,
                    second,
                    source=rng.integers(0, channels, second.pe_map.shape),
                    reached=rng.random(first.pe_map.shape) < 0.8,
                    read=rng.random(second.pe_map.shape) < 0.8,
                    reached_anyway=rng.random(channels) < 0.2,
                    read_anyway=rng.random(channels) < 0.2,
                )
            )

    def check(self, solver: str) -> str | None:
        """Solve and name what is wrong with the solution."""
        problem = self.problem
        pairs = itertools.product(
            list(_masks(problem.first)), list(_masks(problem.second))
        )
        best = max(self._value(pair) for pair in pairs)
        solution = solve_pair(problem, solver)
        kept = self._value((solution.first, solution.second))
        return false_claim(solution, kept, best)

    def _value(self, masks: tuple[np.ndarray, np.ndarray]) -> int:
        first, second = self.problem.working(masks)
        return kept_exactly(self.problem.first.scores, first) + kept_exactly(
            self.problem.second.scores, second
        )


def _layer(rng: np.random.Generator) -> RetentionProblem:
    rows = int(rng.integers(1, 4))
    shape = (rows, int(rng.integers(1, MOST_WEIGHTS // rows + 1)))
    group, pe = (rng.integers(0, rng.integers(1, 4), shape) for _ in range(2))
    return RetentionProblem(
        draw_scores(rng, rows * shape[1]).reshape(shape),
        PEMap.from_labels(group, pe),
        int(rng.integers(0, rows * shape[1] + 1)),
        min_load=int(rng.random() < 0.1),
        previous_mask=rng.random(shape) < 0.8 if rng.random() < 0.5 else None,
    )


def _masks(layer: RetentionProblem):
    """Yield every mask within a layer's constraints."""
    pe_map, allowed = layer.pe_map, layer.previous_mask
    for bits in itertools.product([False, True], repeat=pe_map.weights):
        mask = np.array(bits).reshape(pe_map.shape)
        loads = pe_map.cell_loads(mask)
        largest = pe_map.largest_of_group(loads)
        if (
            np.array_equal(loads, largest[pe_map.cell_group])
            and mask.sum() <= layer.budget
            and (largest >= layer.min_load).all()
            and (allowed is None or not (mask & ~allowed).any())
        ):
            yield mask
