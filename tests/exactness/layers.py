"""Layers of a fixed order: every map, floors, masks and bounds, under one budget."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from balancer import (
    InfeasibleError,
    PEMap,
    RetentionProblem,
    SolverUnavailableError,
    map_kinds,
    solve,
)

from .numbers import draw_scores, exact, false_claim, kept_exactly

SOLVERS = ("cp-sat", "greedy", "binary")
MOST_WEIGHTS = 10  # of a program in which every mask is tried
KINDS = map_kinds()


@dataclass
class Program:
    """A layer and what constrains its masks."""

    scores: np.ndarray
    pe_map: PEMap
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Program":
        """Draw any map, groups and PEs of any weights, or groups of many sizes."""
        kind = rng.random()
        if kind < 0.35:
            return cls.of_groups(rng)
        shape = draw_shape(rng, MOST_WEIGHTS)
        if kind < 0.7:
            pe_map = draw_map(rng, shape)
        else:
            group = rng.integers(0, rng.integers(1, 5), shape)
            pe = rng.integers(0, rng.integers(1, 4), shape)
            pe_map = PEMap.from_labels(group, pe)
        scores = draw_scores(rng, pe_map.weights).reshape(shape)
        options: dict[str, Any] = {}
        if pe_map.fixed_load is None or rng.random() < 0.3:
            options["budget"] = int(rng.integers(0, scores.size + 1))
        if rng.random() < 0.5:
            options["channel_floor"] = rng.integers(0, 2, shape[0])
        if rng.random() < 0.2:
            options["min_load"] = 1
        if rng.random() < 0.2:
            options["max_load"] = int(rng.integers(1, 4))
        if rng.random() < 0.15:
            options["previous_mask"] = rng.random(shape) < 0.8
        if rng.random() < 0.15:
            options["forced"] = rng.random(shape) < 0.1
        return cls(scores, pe_map, options)

    @classmethod
    def of_groups(cls, rng: np.random.Generator) -> "Program":
        """Draw groups of different sizes whose PEs have one or two weights each."""
        sizes = rng.integers(1, 6, rng.integers(1, 6))
        depth = int(rng.integers(1, 3))
        group = np.repeat(np.arange(len(sizes)), sizes * depth)[:, None]
        pe = np.concatenate([np.repeat(np.arange(n), depth) for n in sizes])[:, None]
        if rng.random() < 0.7:  # all alike in a group
            scores = draw_scores(rng, len(sizes))[group]
        else:
            scores = draw_scores(rng, group.size)[:, None]
        budget = int(rng.integers(0, group.size + 1))
        return cls(scores, PEMap.from_labels(group, pe), {"budget": budget})

    def best(self) -> int | None:
        """Find the most that a mask keeps; None if no mask holds the constraints."""
        plain = self.options.keys() == {"budget"} and self.pe_map.fixed_load is None
        of_masks = self.every_load if plain else self._every_mask
        budget = self.options.get("budget", self.scores.size)
        return max((k for k, n, _ in of_masks() if n <= budget), default=None)

    def _cells(self) -> list[list[np.ndarray]]:
        group, pe = (labels.reshape(-1) for labels in self.pe_map.labels())
        return [
            [
                np.flatnonzero((group == g) & (pe == p))
                for p in np.unique(pe[group == g])
            ]
            for g in np.unique(group)
        ]

    def every_load(self) -> Iterator[tuple[int, int, int]]:
        """List kept score, non-zeros and slices of all loads; no other constraints."""
        values = [exact(score) for score in self.scores.reshape(-1)]
        choices = []
        for cells in self._cells():
            ranked = [sorted((values[i] for i in c), reverse=True) for c in cells]
            most = min(map(len, ranked))
            choices.append(
                [
                    (sum(sum(r[:k]) for r in ranked), k * len(cells), k)
                    for k in range(most + 1)
                ]
            )
        for chosen in itertools.product(*choices):
            kept, nonzeros, slices = map(sum, zip(*chosen, strict=True))
            yield kept, nonzeros, slices

    def _every_mask(self) -> Iterator[tuple[int, int, int]]:
        values = [exact(score) for score in self.scores.reshape(-1)]
        kept = [0]
        for value in values:
            kept += [one + value for one in kept]
        masks = (np.arange(len(kept))[:, None] >> np.arange(len(values))) & 1 == 1
        options, fixed = self.options, self.pe_map.fixed_load
        holds = np.ones(len(masks), dtype=bool)
        slices = np.zeros(len(masks), dtype=int)
        for number, cells in enumerate(self._cells()):
            loads = np.stack([masks[:, cell].sum(axis=1) for cell in cells])
            holds &= (loads == loads[0]).all(axis=0)
            if fixed is not None:
                holds &= loads[0] == fixed[number]
            holds &= loads[0] >= options.get("min_load", 0)
            holds &= loads[0] <= options.get("max_load", len(values))
            slices += loads[0]
        floor = options.get("channel_floor", 0)
        by_channel = masks.reshape(len(masks), self.pe_map.channels, -1)
        holds &= (by_channel.sum(axis=2) >= floor).all(axis=1)
        if "previous_mask" in options:
            holds &= ~(masks & ~options["previous_mask"].reshape(-1)).any(axis=1)
        if "forced" in options:
            holds &= ~(~masks & options["forced"].reshape(-1)).any(axis=1)
        for i in np.flatnonzero(holds).tolist():
            yield kept[i], int(masks[i].sum()), int(slices[i])


def draw_shape(rng: np.random.Generator, most: int) -> tuple[int, ...]:
    """Draw a linear layer or a convolution of at most so many weights."""
    kernel = [(), (), (), (2,), (1, 2), (3,)][rng.integers(6)]
    left = most // int(np.prod(kernel, dtype=int))
    outputs = int(rng.integers(1, min(5, left) + 1))
    return (outputs, int(rng.integers(1, left // outputs + 1)), *kernel)


def draw_map(rng: np.random.Generator, shape: tuple[int, ...]) -> PEMap:
    """Draw a map of any kind that the package knows, with PEs to spare or too few."""
    kind = KINDS[rng.integers(len(KINDS))]
    names = re.findall(r"\{(\w+)\}", kind.spec)
    numbers = sorted(rng.integers(1, 5, len(names)).tolist())  # n:m needs n <= m
    spec = kind.spec.format(**dict(zip(names, numbers, strict=True)))
    return PEMap.parse(spec, shape, int(rng.integers(1, 5)))


def check_layer(program: Program, solver: str) -> str | None:
    """Solve one program and name what is wrong with the solution."""
    best = program.best()
    try:
        problem = RetentionProblem(program.scores, program.pe_map, **program.options)
        solution = solve(problem, solver)
    except InfeasibleError:
        return None if best is None else "called infeasible"
    except SolverUnavailableError:
        return None if solver == "greedy" else "no answer"
    if best is None:
        return "there is no mask"
    return false_claim(solution, kept_exactly(program.scores, solution.mask), best)
