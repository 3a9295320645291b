"""Proofs against exact arithmetic: `python -m tests.exactness --programs 100000`.

Random small programs whose scores span up to 76 decades, with ties and giants, are
solved by every solver of every program, and by trying every mask in whole numbers of
any length. What is called optimal must be so, up to the tolerance of a proof, and no
bound may be below the optimum, but for the rounding of sums.
"""

from collections.abc import Iterator

import numpy as np

from .expected_work import Work
from .layers import SOLVERS, Program, check_layer
from .networks import SLICE_SOLVERS, Network
from .numbers import UNIT, false_claim, kept_exactly
from .orders import Ordered
from .pairs import PAIR_SOLVERS, Pair
from .two_way import BLOCK_SOLVERS, Blocks, TwoMaps

__all__ = ["PROGRAMS", "UNIT", "Work", "check", "false_claim", "kept_exactly"]

# How many of twenty-one programs are of each kind.
PROGRAMS = {"layer": 8, "global": 4, "order": 4, "two-way": 2, "blocks": 1, "work": 1}
PROGRAMS |= {"pair": 1}


def check(seed: int, kinds: tuple[str, ...] = tuple(PROGRAMS)) -> list[str]:
    """Check all solvers on the program of one seed; return what is wrong."""
    rng = np.random.default_rng(seed)
    places = [kind for kind in kinds for _ in range(PROGRAMS[kind])]
    kind = places[rng.integers(len(places))]
    return [
        f"{kind} {solver}: {what}".replace(" :", ":")
        for solver, what in _claims(kind, rng)
        if what is not None
    ]


def _claims(kind: str, rng: np.random.Generator) -> Iterator[tuple[str, str | None]]:
    """Draw a program; name each solver and what is wrong with its solution."""
    if kind == "layer":
        program = Program.draw(rng)
        for solver in SOLVERS:
            yield solver, check_layer(program, solver)
    elif kind == "global":
        network = Network.draw(rng)
        for solver in SLICE_SOLVERS:
            yield solver, network.check(solver)
    elif kind == "order":
        yield "", Ordered.draw(rng).check()
    elif kind == "two-way":
        yield "flow", TwoMaps.draw(rng).check()
    elif kind == "blocks":
        blocks = Blocks.draw(rng)
        for solver in BLOCK_SOLVERS:
            yield solver, blocks.check(solver)
    elif kind == "pair":
        pair = Pair.draw(rng)
        for solver in PAIR_SOLVERS:
            yield solver, pair.check(solver)
    else:
        yield "", Work.draw(rng).check()
