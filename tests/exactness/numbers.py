"""Scores as whole numbers of any length, and what must not be claimed of them."""

from fractions import Fraction
from typing import Any

import numpy as np

from balancer import Status, Termination
from balancer.program.rounding import PROOF_TOLERANCE, ROUNDING

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
