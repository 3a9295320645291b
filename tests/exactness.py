"""Proofs against exact arithmetic: `python -m tests.exactness --programs 100000`.

Random small programs whose scores span up to 76 decades, with ties and giants, are
solved by every solver, layer by layer or under one budget, and by trying every mask in
whole numbers of any length. What is called optimal must be so, up to the tolerance of a
proof, and no bound may be below the optimum, but for the rounding of sums.
"""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from balancer import (
    InfeasibleError,
    LayerCost,
    PEMap,
    RetentionProblem,
    SolverUnavailableError,
    Status,
    Termination,
    balance_network,
    solve,
)
from balancer.program.rounding import PROOF_TOLERANCE, ROUNDING

SOLVERS = ("cp-sat", "greedy", "binary")
SLICE_SOLVERS = ("cp-sat", "greedy")
MOST_WEIGHTS = 10  # of a program in which every mask is tried
UNIT = 2**1074  # every double is a whole number of its inverse


def exact(score: float) -> int:
    """State a score as a whole number."""
    numerator, denominator = float(score).as_integer_ratio()
    return numerator * (UNIT // denominator)


def draw_scores(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw ties, giants among them, anything within 76 decades, or denormal numbers."""
    kind = rng.integers(6)
    few = rng.choice([0.0, 1.0, 1.05, 1.1, 1.1, 3.0], size)
    if kind == 0:
        scores = few
    elif kind == 1:
        scores = few * 10.0 ** rng.integers(-38, 36)
    elif kind == 2:  # equal ones, some of them giants
        scores = np.where(rng.random(size) < 0.3, 10.0 ** rng.integers(9, 30), few)
    elif kind == 3:
        scores = 10.0 ** rng.uniform(-38, 38, size)
    elif kind == 4:
        scores = 10.0 ** rng.integers(-38, 38, size) * rng.choice([1.0, 1.1], size)
    else:
        scores = rng.random(size) * 10.0 ** rng.choice([-320, -38, 0, 0, 17], size)
    return scores.astype(rng.choice([np.float32, np.float64]))


@dataclass
class Program:
    """A layer and what constrains its masks."""

    scores: np.ndarray
    pe_map: PEMap
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def draw(cls, rng: np.random.Generator, constrained: bool = True) -> "Program":
        """Draw a program; one without constraints but a budget may be larger."""
        if constrained and rng.random() < 0.5:
            outputs = int(rng.integers(1, 5))
            inputs = int(rng.integers(1, MOST_WEIGHTS // outputs + 1))
            shape, size = (outputs, inputs), outputs * inputs
            group = rng.integers(0, rng.integers(1, 5), size)
            pe = rng.integers(0, rng.integers(1, 4), size)
        else:  # groups of different sizes whose PEs have one or two weights each
            constrained = False
            sizes = rng.integers(1, 6, rng.integers(1, 6))
            depth = int(rng.integers(1, 3))
            group = np.repeat(np.arange(len(sizes)), sizes * depth)
            pe = np.concatenate([np.repeat(np.arange(n), depth) for n in sizes])
            size = len(group)
            shape = (size, 1)
        scores = draw_scores(rng, size)
        if not constrained and rng.random() < 0.7:  # all alike in a group
            scores = draw_scores(rng, int(group.max()) + 1)[group]
        options: dict[str, Any] = {"budget": int(rng.integers(0, size + 1))}
        if constrained and rng.random() < 0.7:
            options["channel_floor"] = rng.integers(0, 2, shape[0])
        if constrained and rng.random() < 0.2:
            options["min_load"] = 1
        if constrained and rng.random() < 0.2:
            options["max_load"] = int(rng.integers(1, 4))
        if constrained and rng.random() < 0.1:
            options["previous_mask"] = rng.random(shape) < 0.8
        if constrained and rng.random() < 0.1:
            options["forced"] = rng.random(shape) < 0.1
        pe_map = PEMap.from_labels(group.reshape(shape), pe.reshape(shape))
        return cls(scores.reshape(shape), pe_map, options)

    def best(self) -> int | None:
        """Find the most that a mask keeps; None if no mask holds the constraints."""
        of_masks = self._every_mask if len(self.options) > 1 else self._every_load
        budget = self.options["budget"]
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

    def _every_load(self) -> Iterator[tuple[int, int, int]]:
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
        options, shape = self.options, self.scores.shape
        holds = np.ones(len(masks), dtype=bool)
        slices = np.zeros(len(masks), dtype=int)
        for cells in self._cells():
            loads = np.stack([masks[:, cell].sum(axis=1) for cell in cells])
            holds &= (loads == loads[0]).all(axis=0)
            holds &= loads[0] >= options.get("min_load", 0)
            holds &= loads[0] <= options.get("max_load", len(values))
            slices += loads[0]
        floor = options.get("channel_floor", 0)
        holds &= (masks.reshape(-1, *shape).sum(axis=2) >= floor).all(axis=1)
        if "previous_mask" in options:
            holds &= ~(masks & ~options["previous_mask"].reshape(-1)).any(axis=1)
        if "forced" in options:
            holds &= ~(~masks & options["forced"].reshape(-1)).any(axis=1)
        for i in np.flatnonzero(holds).tolist():
            yield kept[i], int(masks[i].sum()), int(slices[i])


def false_claim(solution: Any, kept: int, best: int) -> str | None:
    """Name what a solution claims although exact numbers say otherwise."""
    bound = Fraction(solution.bound) * UNIT
    if bound < best * (1 - Fraction(ROUNDING)):
        return f"the bound {solution.bound!r} is below the optimum"
    if kept > best:
        return "keeps more than the optimum: the enumeration is wrong"
    optimal = kept >= best * (1 - Fraction(PROOF_TOLERANCE))
    if solution.status is Status.OPTIMAL and not optimal:
        return "not optimal"
    proved = solution.termination is Termination.PROVED
    if proved and solution.status is not Status.OPTIMAL:
        return "proved without a proof"
    return None


def kept_exactly(scores: np.ndarray, mask: np.ndarray) -> int:
    """Add up the scores of a mask as whole numbers."""
    return sum(exact(score) for score in scores[mask])


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


@dataclass
class Network:
    """Two layers under one budget of non-zeros, and maybe one of cycles."""

    layers: dict[str, Program]
    costs: dict[str, LayerCost]
    budget: int
    latency: float | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Network":
        """Draw layers, costs that no binary fraction states, and budgets."""
        layers = {name: Program.draw(rng, constrained=False) for name in "ab"}
        costs = {
            name: LayerCost(cycles_per_slice=float(rng.choice([1.0, 0.1, 0.3, 0.7])))
            for name in layers
        }
        weights = sum(one.scores.size for one in layers.values())
        latency = rng.choice([None, 1.0, float(rng.integers(1, 60)) / 10])
        budget = int(rng.integers(0, weights + 1))
        return cls(layers, costs, budget, latency)

    def cycles(self, slices: tuple[int, ...]) -> Fraction:
        """Add up cycles exactly."""
        costs = self.costs.values()
        return sum(
            (
                Fraction(c.cycles_per_slice) * n
                for c, n in zip(costs, slices, strict=True)
            ),
            Fraction(0),
        )

    def best(self, latency: float | None) -> int:
        """Find the most that masks within the budgets keep."""
        tables = []
        for program in self.layers.values():
            table: dict[tuple[int, int], int] = {}
            for kept, nonzeros, slices in program._every_load():
                key = nonzeros, slices
                table[key] = max(kept, table.get(key, 0))
            tables.append([(kept, *key) for key, kept in table.items()])
        best = 0
        for chosen in itertools.product(*tables):
            kept, nonzeros, slices = zip(*chosen, strict=True)
            within = latency is None or self.cycles(slices) <= Fraction(latency)
            if within and sum(nonzeros) <= self.budget:
                best = max(best, sum(kept))
        return best

    def check(self, solver: str) -> str | None:
        """Balance all layers together and name what is wrong with the solution."""
        maps = {name: one.pe_map for name, one in self.layers.items()}
        by_shape = {m.shape: m for m in maps.values()}
        if len(by_shape) < len(maps):  # a map is asked for by the shape of its layer
            return None
        fraction = self.latency is not None and self.latency <= 1
        solution = balance_network(
            {name: one.scores for name, one in self.layers.items()},
            scope="global",
            budget=self.budget,
            pe_map=by_shape.__getitem__,
            costs=self.costs,
            latency_budget=self.latency,
            solver=solver,
        )
        latency = solution.limits["cycles"] if fraction else self.latency
        kept = sum(
            kept_exactly(self.layers[layer.name].scores, layer.solution.mask)
            for layer in solution.layers
        )
        # Cycles may exceed their limit by rounding, and the masks then keep more.
        best = max(kept, self.best(latency))
        if self.latency == 1.0:  # the layer-wise solution is within its own cycles
            layer_wise = Fraction(solution.alternatives["layer-wise"].kept) * UNIT
            best = max(best, int(layer_wise * (1 - Fraction(ROUNDING))))
        optimal = kept >= best * (1 - Fraction(PROOF_TOLERANCE))
        if solution.status is Status.OPTIMAL and not optimal:
            return "not optimal"
        if Fraction(solution.bound) * UNIT < best * (1 - Fraction(ROUNDING)):
            return f"the bound {solution.bound!r} is below the optimum"
        return None


def check(seed: int) -> list[str]:
    """Check all solvers on the program of one seed; return what is wrong."""
    rng = np.random.default_rng(seed)
    wrong = []
    if rng.random() < 0.25:
        network = Network.draw(rng)
        for solver in SLICE_SOLVERS:
            wrong.append((f"global {solver}", network.check(solver)))
    else:
        program = Program.draw(rng)
        for solver in SOLVERS:
            wrong.append((f"layer {solver}", check_layer(program, solver)))
    return [f"{where}: {what}" for where, what in wrong if what is not None]


def main() -> int:
    """Check the programs of consecutive seeds and count what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.exactness", description=__doc__
    )
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    asked = parser.parse_args()
    found: Counter[str] = Counter()
    for seed in range(asked.seed, asked.seed + asked.programs):
        for wrong in check(seed):
            print(f"program {seed}: {wrong}", flush=True)
            found[wrong.split(":")[0]] += 1
    print(f"{asked.programs} programs, false claims: {dict(found) or 'none'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
