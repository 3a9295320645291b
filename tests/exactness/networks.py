"""Two layers under one budget of non-zeros, and maybe of cycles and energy."""

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from balancer import InfeasibleError, LayerCost, balance_network
from balancer.program.rounding import ROUNDING

from .layers import Program
from .numbers import UNIT, exact, false_claim, kept_exactly

SLICE_SOLVERS = ("cp-sat", "greedy")


NUMBERS = (0.0, 1.0, 0.1, 0.3, 0.7)  # most of them no binary fraction states


@dataclass
class Network:
    """Layers, what they cost, and the budgets of cycles and energy, if any.

    Unless it is allowed, or the budget is nothing, no layer with scores is emptied.
    """

    layers: dict[str, Program]
    costs: dict[str, LayerCost]
    budget: int
    limits: dict[str, float]
    allow_empty: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Network":
        """Draw layers and budgets; those up to 1 are fractions."""
        layers: dict[str, Program] = {}
        while len(layers) < 2:  # a map is asked for by the shape of its layer
            program = Program.of_groups(rng)
            if all(one.scores.shape != program.scores.shape for one in layers.values()):
                layers["ab"[len(layers)]] = program
        costs = {
            name: LayerCost(
                float(rng.choice(NUMBERS[1:])),
                *map(float, rng.choice(NUMBERS, 2)),
                *map(float, rng.choice(NUMBERS, 2) * rng.integers(2)),
            )
            for name in layers
        }
        weights = sum(one.scores.size for one in layers.values())
        limits = {}
        for name, share in (("cycles", 0.6), ("energy", 0.3)):
            if rng.random() < share:
                limits[name] = float(rng.choice([1.0, rng.integers(1, 60) / 10]))
        budget = int(rng.integers(0, weights + 1))
        return cls(layers, costs, budget, limits, bool(rng.integers(2)))

    def takes(
        self, resource: str, nonzeros: tuple[int, ...], slices: tuple[int, ...]
    ) -> int:
        """Add up cycles or energy exactly."""
        total = 0
        for cost, n, k in zip(self.costs.values(), nonzeros, slices, strict=True):
            if resource == "cycles":
                total += exact(cost.base_cycles) + exact(cost.cycles_per_slice) * k
            else:
                total += exact(cost.base_energy) + exact(cost.energy_per_slice) * k
                total += exact(cost.energy_per_nonzero) * n
        return total

    def best(self, limits: dict[str, float]) -> int | None:
        """Find the most that masks within the budgets keep; None if none are."""
        guarded = [
            bool(one.scores.any() and self.budget and not self.allow_empty)
            for one in self.layers.values()
        ]
        tables = []
        for program in self.layers.values():
            table: dict[tuple[int, int], int] = {}
            for kept, nonzeros, slices in program.every_load():
                key = nonzeros, slices
                table[key] = max(kept, table.get(key, 0))
            tables.append([(kept, *key) for key, kept in table.items()])
        possible = [
            sum(kept)
            for kept, nonzeros, slices in (
                zip(*chosen, strict=True) for chosen in itertools.product(*tables)
            )
            if sum(nonzeros) <= self.budget
            and all(n or not guard for n, guard in zip(nonzeros, guarded, strict=True))
            and all(
                self.takes(name, nonzeros, slices) <= exact(limit)
                for name, limit in limits.items()
            )
        ]
        return max(possible, default=None)

    def check(self, solver: str) -> str | None:
        """Balance all layers together and name what is wrong with the solution."""
        maps = {one.scores.shape: one.pe_map for one in self.layers.values()}
        try:
            solution = balance_network(
                {name: one.scores for name, one in self.layers.items()},
                scope="global",
                budget=self.budget,
                pe_map=maps.__getitem__,
                allow_empty=self.allow_empty,
                costs=self.costs,
                latency_budget=self.limits.get("cycles"),
                energy_budget=self.limits.get("energy"),
                solver=solver,
            )
        except InfeasibleError:
            fractions = [limit for limit in self.limits.values() if limit <= 1]
            possible = not fractions and self.best(self.limits) is not None
            return "called infeasible" if possible else None
        limits = {
            name: solution.limits[name] if limit <= 1 else limit
            for name, limit in self.limits.items()
        }
        kept = sum(
            kept_exactly(self.layers[layer.name].scores, layer.solution.mask)
            for layer in solution.layers
        )
        # Cycles may exceed their limit by rounding, and the masks then keep more.
        best = max(kept, self.best(limits) or 0)
        if self.limits and set(self.limits.values()) == {1.0}:
            # The layer-wise solution is within what it takes itself.
            layer_wise = Fraction(solution.alternatives["layer-wise"].kept) * UNIT
            best = max(best, int(layer_wise * (1 - Fraction(ROUNDING))))
        return false_claim(solution, kept, best)
