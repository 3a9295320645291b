"""Orders of the channels: all partitions into tiles or blocks, with all loads."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from balancer import InfeasibleError, PEMap, RetentionProblem, solve

from .numbers import draw_scores, exact, false_claim, kept_exactly

MOST_CHANNELS = 5
WORK_LIMIT = 0.01  # of a search for an order that is not proven


# Maps of one's own: tiles dealt in turn, channels that share PEs, groups of inputs.
OWN = (
    "pes=9; group=out % 2; pe=out // 2",
    "pes=9; group=out // 4; pe=out % 4 // 2",
    "pes=2; group=0; pe=out % 2",
    "pes=9; group=in // 2; pe=in % 2",
    "pes=9; group=out; pe=in % 2",
)


@dataclass
class Ordered:
    """A layer whose channels may be permuted."""

    scores: np.ndarray
    pe_map: PEMap
    options: dict[str, Any]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Ordered":
        """Draw a layer of few channels and a map that permutes them."""
        channels = int(rng.integers(1, MOST_CHANNELS + 1))
        others = int(rng.integers(1, 4))
        tiles = rng.random() < 0.6
        shape = (channels, others) if tiles else (others, channels)
        pes = int(rng.integers(1, 4))
        spec = "output_channel"
        if tiles and rng.random() < 0.3:
            spec = f"grid:{pes}x{rng.integers(1, 3)}"
        elif not tiles:
            n, m = sorted(rng.integers(1, 4, 2).tolist())
            spec = "input_channel" if rng.random() < 0.5 else f"{n}:{m}"
        pe_map = PEMap.parse(spec, shape, pes)
        if rng.random() < 0.3:
            own = PEMap.parse(str(rng.choice(OWN)), shape)
            pe_map = pe_map if own.order_axis is None else own
        channels = shape[pe_map.order_axis or 0]
        tiles = pe_map.order_kind == "tiles"
        options: dict[str, Any] = {}
        if pe_map.fixed_load is None:
            options["budget"] = int(rng.integers(0, pe_map.weights + 1))
            if rng.random() < 0.2:
                options["min_load"] = 1
            if rng.random() < 0.2:
                options["max_load"] = int(rng.integers(1, 3))
        if tiles and rng.random() < 0.2:
            options["previous_mask"] = rng.random(shape) < 0.8
        scores = draw_scores(rng, pe_map.weights).reshape(shape)
        return cls(scores, pe_map, options)

    def best(self) -> int | None:
        """Find the most that a mask keeps in any order; None if there is no mask."""
        budget = self.options.get("budget", self.scores.size)
        allowed = self.options.get("previous_mask", np.ones(self.scores.shape, bool))
        axis = self.pe_map.order_axis
        best = None
        for order in self._partitions():
            values = np.take(self.scores, order, axis).reshape(-1)
            free = np.take(allowed, order, axis).reshape(-1)
            for kept, nonzeros in self._every_load(values, free):
                if nonzeros <= budget and (best is None or kept > best):
                    best = kept
        return best

    def _partitions(self) -> Iterator[list[int]]:
        """List one order for every way to fill the tiles or blocks."""
        axis = self.pe_map.order_axis
        cell = self.pe_map.cell_labels()
        # Positions of the schedule whose weights lie in the same cells (or, of output
        # channels, in the same group) are interchangeable.
        label = self.pe_map.labels()[0] if self.pe_map.order_kind == "tiles" else cell
        rows = np.moveaxis(label, axis, 0).reshape(label.shape[axis], -1)
        _, place = np.unique(rows, axis=0, return_inverse=True)
        place = place.reshape(-1)
        seen = set()
        for order in itertools.permutations(range(len(place))):
            key = tuple(place[np.argsort(order)].tolist())
            if key not in seen:
                seen.add(key)
                yield list(order)

    def _every_load(self, values: Any, free: Any) -> Iterator[tuple[int, int]]:
        """List kept score and non-zeros of all loads in one order."""
        group, pe = (labels.reshape(-1) for labels in self.pe_map.labels())
        fixed, least = self.pe_map.fixed_load, self.options.get("min_load", 0)
        largest = self.options.get("max_load", len(values))
        choices = []
        for number, g in enumerate(np.unique(group)):
            ranked = [
                sorted(
                    map(exact, values[(group == g) & (pe == p) & free]), reverse=True
                )
                for p in np.unique(pe[group == g])
            ]
            loads = range(least, min(largest, *map(len, ranked)) + 1)
            if fixed is not None:
                loads = [k for k in loads if k == fixed[number]]
            choices.append(
                [(sum(sum(r[:k]) for r in ranked), k * len(ranked)) for k in loads]
            )
        for chosen in itertools.product(*choices):
            yield sum(k for k, _ in chosen), sum(n for _, n in chosen)

    def check(self) -> str | None:
        """Solve with an optimized order and name what is wrong with the solution."""
        best = self.best()
        try:
            problem = RetentionProblem(
                self.scores, self.pe_map, order="optimized", **self.options
            )
            solution = solve(problem, work_limit=WORK_LIMIT)
        except InfeasibleError:
            # The search begins with two orders; a previous mask may allow only others.
            nested = "previous_mask" in self.options
            return None if best is None or nested else "called infeasible"
        if best is None:
            return "there is no mask"
        return false_claim(solution, kept_exactly(self.scores, solution.mask), best)
