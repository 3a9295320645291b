r"""What several seeds say about the methods of a comparison.

Runs with the same seed share their data, their dense network and the order of their
images, so methods are compared seed by seed: what is summarized are differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from snn.lottery.comparison_error import ComparisonError
from snn.lottery.interpolation import accuracy_at
from snn.lottery.results import RoundOutcome, least_utilization, smallest_layer
from snn.lottery.spread import CONFIDENCE, Spread, holm

if TYPE_CHECKING:
    from snn.lottery.comparison import MethodComparison

SHOWN_SPARSITIES = (0.9, 0.95, 0.982)  # of the rounds that are looked at
EqualQuantity = Literal["sparsity", "nonzeros", "cycles", "energy"]

# What is summarized of every round, and where it is found.
QUANTITIES: dict[str, Callable[[RoundOutcome], float | None]] = {
    "accuracy": lambda outcome: outcome.accuracy,
    "validation_accuracy": lambda outcome: outcome.validation_accuracy,
    "sparsity": lambda outcome: outcome.sparsity,
    "nonzeros": lambda outcome: outcome.nonzeros,
    "effective": lambda outcome: outcome.effective,
    "dead_weights": lambda outcome: outcome.dead_weights,
    "smallest_layer": lambda outcome: smallest_layer(outcome.layers),
    "utilization": lambda outcome: outcome.utilization,
    "least_utilization": lambda outcome: least_utilization(outcome.layers),
    "kept_fraction": lambda outcome: outcome.kept_fraction,
    "cycles": lambda outcome: outcome.cycles,
    "energy": lambda outcome: outcome.energy,
}


@dataclass(frozen=True, slots=True)
class Summary:
    """One method after one round.

    Attributes
    ----------
    method : str
        The method.
    round : int
        The round, so the sparsity that was planned.
    values : dict of str to Spread or None
        The `QUANTITIES` over the seeds; None if they are not known.
    """

    method: str
    round: int
    values: dict[str, Spread | None]


@dataclass(frozen=True, slots=True)
class Paired:
    """One method beside the reference, over the seeds that both have.

    Attributes
    ----------
    method, reference : str
        What is compared with what.
    round : int
        Round of the reference.
    basis : {"sparsity", "nonzeros", "cycles", "energy"}
        What is equal.
    n : int
        Pairs.
    at : Spread or None
        What the basis is equal to: sparsity (the reference's), non-zeros, cycles, or
        energy.
    accuracy : Spread or None
        Of the method, there.
    difference : Spread or None
        Accuracy of the method - accuracy of the reference.
    interval : tuple of float, or None
        95 % confidence interval of the mean difference; None with one pair.
    p : float or None
        Of the paired t-test; None with one pair.
    cycles_saved, energy_saved : Spread or None
        1 - the method's / the reference's, after the same round; None on other bases.
    p_holm : float or None
        `p`, corrected for all differences that are looked at (`compare_all`); None of
        one by itself.

    Notes
    -----
    `at` and what follows are None where a seed has no measured value; nothing is
    extrapolated.
    """

    method: str
    reference: str
    round: int
    basis: EqualQuantity
    n: int
    at: Spread | None
    accuracy: Spread | None
    difference: Spread | None
    interval: tuple[float, float] | None
    p: float | None
    cycles_saved: Spread | None = None
    energy_saved: Spread | None = None
    p_holm: float | None = None


def summarize(comparison: MethodComparison, method: str, number: int) -> Summary:
    """Summarize a round of a method over its seeds."""
    outcomes = [run.outcomes[number] for run in comparison.of(method).values()]
    values = {
        name: Spread.of(read(outcome) for outcome in outcomes)
        for name, read in QUANTITIES.items()
    }
    return Summary(method, number, values)


def compare_pairs(
    comparison: MethodComparison,
    method: str,
    number: int,
    basis: EqualQuantity = "sparsity",
) -> Paired:
    """Compare a method with the reference, seed by seed.

    Parameters
    ----------
    comparison : MethodComparison
        Runs; its first method is the reference.
    method : str
        Another method, or the reference itself.
    number : int
        Round of the schedule.
    basis : {"sparsity", "nonzeros", "cycles", "energy"}
        Compare after the same round; or at the non-zeros, the cycles or the energy that
        the method or the reference has after it, whichever has more, so that both
        curves have been measured there. Of balanced masks, cycles are the reference's.
        Accuracies are interpolated as `accuracy_at` does.

    Raises
    ------
    ComparisonError
        A method that does not take part.
    """
    own, others = comparison.of(method), comparison.of(comparison.reference)
    pairs = [
        (own[seed].outcomes, others[seed].outcomes)
        for seed in comparison.seeds
        if seed in own and seed in others
    ]
    rows = [_compared(mine, theirs, number, basis) for mine, theirs in pairs]
    difference = Spread.of(_less(mine, theirs) for _, mine, theirs in rows)
    cycles_saved = energy_saved = None
    if basis == "sparsity":
        ends = [(mine[number], theirs[number]) for mine, theirs in pairs]
        cycles_saved = Spread.of(_saved(a.cycles, b.cycles) for a, b in ends)
        energy_saved = Spread.of(_saved(a.energy, b.energy) for a, b in ends)
    return Paired(
        method,
        comparison.reference,
        number,
        basis,
        len(pairs),
        at=Spread.of(x for x, _, _ in rows),
        accuracy=Spread.of(mine for _, mine, _ in rows),
        difference=difference,
        interval=None if difference is None else difference.interval(),
        p=None if difference is None else difference.p(),
        cycles_saved=cycles_saved,
        energy_saved=energy_saved,
    )


def compare_all(
    comparison: MethodComparison, basis: EqualQuantity, rounds: Iterable[int]
) -> list[Paired]:
    """Compare all methods with the reference, and correct for how many that makes.

    Parameters
    ----------
    comparison : MethodComparison
        Runs; its first method is the reference.
    basis : {"sparsity", "nonzeros", "cycles", "energy"}
        See `compare_pairs`.
    rounds : iterable of int
        All rounds that are looked at: they and the methods are what is corrected for.

    Returns
    -------
    list of Paired
        Round by round, each with the other methods in their order, and `p_holm`.
    """
    pairs = [
        compare_pairs(comparison, method, comparison.rounds[number], basis)
        for number in rounds
        for method in comparison.methods[1:]
    ]
    adjusted = holm([pair.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]


def nearest_rounds(
    comparison: MethodComparison, sparsities: Iterable[float]
) -> list[int]:
    """Find the rounds whose planned sparsities are nearest to the given ones.

    Nearest in the weights that are left, by ratio; each round once, in order.

    Raises
    ------
    ComparisonError
        A sparsity that is not from 0 to below 1.
    """
    planned = comparison.config.schedule_of_sparsity
    found = set()
    for sparsity in sparsities:
        if not 0 <= sparsity < 1:
            raise ComparisonError(
                f"sparsity {sparsity} is none; accepted: from 0 to below 1"
            )
        left = math.log(1 - sparsity)
        off = [abs(math.log(1 - each) - left) for each in planned]
        found.add(off.index(min(off)))
    return sorted(found)


def shown_rounds(comparison: MethodComparison) -> list[int]:
    """Choose the rounds that are looked at: of usual sparsities, and the last."""
    last = comparison.config.schedule_of_sparsity[-1]
    return nearest_rounds(comparison, (*SHOWN_SPARSITIES, last))


def report(
    comparison: MethodComparison, rounds: Iterable[int] | None = None
) -> dict[str, Any]:
    """Return all summaries and paired differences as plain types that JSON knows.

    Parameters
    ----------
    comparison : MethodComparison
        Finished runs.
    rounds : iterable of int, optional
        Rounds that are looked at, for `p_holm`; by default all but the dense one, which
        is the same for all methods.
    """
    looked_at = list(comparison.rounds[1:] if rounds is None else rounds)
    paired = []
    for basis in get_args(EqualQuantity):
        shown = {
            (one.method, one.round): one
            for one in compare_all(comparison, basis, looked_at)
        }
        paired += [
            shown.get((method, number))
            or compare_pairs(comparison, method, number, basis)
            for method in comparison.methods[1:]
            for number in comparison.rounds
        ]
    return {
        "reference": comparison.reference,
        "confidence": CONFIDENCE,
        "corrected_for": {
            "rounds": looked_at,
            "differences": len(looked_at) * (len(comparison.methods) - 1),
        },
        "summaries": [
            asdict(summarize(comparison, method, number))
            for method in comparison.methods
            if comparison.of(method)
            for number in comparison.rounds
        ],
        "paired": [asdict(pair) for pair in paired],
    }


def _compared(
    mine: Sequence[RoundOutcome],
    theirs: Sequence[RoundOutcome],
    number: int,
    basis: EqualQuantity,
) -> tuple[float | None, float | None, float | None]:
    """Return where a pair is compared, and both accuracies there."""
    a, b = mine[number], theirs[number]
    if basis == "sparsity":
        return b.sparsity, a.accuracy, b.accuracy
    x, y = getattr(a, basis), getattr(b, basis)
    if x is None or y is None:
        return None, None, None
    at = max(x, y)
    return (
        float(at),
        a.accuracy if x == at else accuracy_at(mine, basis, at, a.timesteps),
        b.accuracy if y == at else accuracy_at(theirs, basis, at, b.timesteps),
    )


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _saved(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else 1 - value / reference
