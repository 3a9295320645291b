"""Loads in two maps at once, by flow, and transposable blocks by all their solvers."""

from dataclasses import dataclass

import numpy as np

from balancer import (
    InfeasibleError,
    PEMap,
    TransposableProblem,
    TwoWayProblem,
    solve_two_way,
)

from .numbers import draw_scores, exact, false_claim, kept_exactly

MOST_WEIGHTS = 10
BLOCK_SOLVERS = ("flow", "cycles", "greedy")


def subset_sums(values: list[int]) -> list[int]:
    """Add up every subset; bit i of an index says whether value i is in it."""
    sums = [0]
    for value in values:
        sums += [one + value for one in sums]
    return sums


def best_of(values: list[int], cells: list[np.ndarray], loads: list[int]) -> int | None:
    """Find the most that a mask with the given load in every cell keeps."""
    masks = (np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1 == 1
    holds = np.ones(len(masks), dtype=bool)
    for cell, load in zip(cells, loads, strict=True):
        holds &= masks[:, cell].sum(axis=1) == load
    sums = subset_sums(values)
    return max((sums[i] for i in np.flatnonzero(holds).tolist()), default=None)


@dataclass
class TwoMaps:
    """Weights with given loads in two labelled maps."""

    scores: np.ndarray
    maps: tuple[PEMap, PEMap]
    loads: tuple[np.ndarray, np.ndarray]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "TwoMaps":
        """Draw two maps, and the loads of a mask that most often exists."""
        size = int(rng.integers(2, MOST_WEIGHTS + 1))
        scores = draw_scores(rng, size).reshape(1, size)
        maps, loads = [], []
        mask = rng.random(size) < rng.random()
        for _ in range(2):
            cell = rng.integers(0, rng.integers(1, 5), size)
            _, cell = np.unique(cell, return_inverse=True)  # each a group of one PE
            pe_map = PEMap.from_labels(cell.reshape(1, size), np.zeros((1, size), int))
            maps.append(pe_map)
            loads.append(np.bincount(cell[mask], minlength=cell.max() + 1))
        return cls(scores, (maps[0], maps[1]), (loads[0], loads[1]))

    def check(self) -> str | None:
        """Solve by flow and name what is wrong with the solution."""
        values = [exact(score) for score in self.scores.reshape(-1)]
        cells, wanted = [], []
        for pe_map, loads in zip(self.maps, self.loads, strict=True):
            group = pe_map.labels()[0].reshape(-1)
            cells += [np.flatnonzero(group == g) for g in range(len(loads))]
            wanted += loads.tolist()
        best = best_of(values, cells, wanted)
        try:
            problem = TwoWayProblem(self.scores, *self.maps, *self.loads)
            solution = solve_two_way(problem)
        except InfeasibleError:
            return None if best is None else "called infeasible"
        if best is None:
            return "there is no mask"
        return false_claim(solution, kept_exactly(self.scores, solution.mask), best)


@dataclass
class Blocks:
    """Two transposable n:m blocks side by side."""

    scores: np.ndarray
    n: int
    m: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Blocks":
        """Draw blocks of up to three rows; the scores of both may have one scale."""
        n, m = sorted(rng.integers(1, 4, 2).tolist())
        blocks = [draw_scores(rng, m * m).astype(float) for _ in range(2)]
        return cls(np.hstack([block.reshape(m, m) for block in blocks]), n, m)

    def check(self, solver: str) -> str | None:
        """Solve and name what is wrong with the solution."""
        place = np.arange(self.m**2).reshape(self.m, self.m)
        cells = [*place, *place.T]
        best = 0
        for block in np.hsplit(self.scores, 2):
            values = [exact(score) for score in block.reshape(-1)]
            best += best_of(values, cells, [self.n] * len(cells)) or 0
        solution = solve_two_way(
            TransposableProblem(self.scores, self.n, self.m), solver
        )
        return false_claim(solution, kept_exactly(self.scores, solution.mask), best)
