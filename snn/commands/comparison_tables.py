"""What a person reads of a comparison: tables of text, and notes below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwmodel.commands.console import to_markdown, whole
from hwmodel.commands.text_tables import TextTable
from snn.lottery.comparison import MethodComparison
from snn.lottery.spread import CONFIDENCE, Spread
from snn.lottery.statistics import (
    EqualQuantity,
    Paired,
    Summary,
    compare_all,
    summarize,
)
from snn.lottery.variants import own_settings

LEFT = ("method",)
WORDS: dict[EqualQuantity, str] = {
    "sparsity": "sparsity",
    "nonzeros": "non-zeros",
    "cycles": "cycles",
    "energy": "energy",
}
AT = {name: f"at {word}" for name, word in WORDS.items()} | {"sparsity": "sparsity %"}


def sections(
    comparison: MethodComparison, rounds: Sequence[int]
) -> Iterator[tuple[str, TextTable]]:
    """Yield all tables of a comparison with their titles."""
    yield "Methods", methods_table(comparison, rounds)
    if len(comparison.methods) < 2:
        return
    costly = comparison.runs[0].outcomes[0].cycles is not None
    for basis, word in WORDS.items():
        if costly or basis not in ("cycles", "energy"):
            title = f"Differences to {comparison.reference} at equal {word}"
            yield title, differences_table(comparison, basis, rounds)


def comparison_markdown(
    comparison: MethodComparison, rounds: Sequence[int], plot: str
) -> str:
    """Write a comparison as a document, with a link to its figure."""
    config = comparison.config
    title = f"# {Path(config.dataset).stem}, {config.network}"
    seeds = f"Seeds {', '.join(map(str, comparison.seeds))}."
    parts = [title, " ".join((seeds, *comparison_notes(comparison, rounds)))]
    for heading, table in sections(comparison, rounds):
        parts += [f"## {heading}", to_markdown(table).rstrip()]
    return "\n\n".join((*parts, f"![curves]({plot})")) + "\n"


def methods_table(
    comparison: MethodComparison, rounds: Sequence[int] = (-1,)
) -> TextTable:
    """One line for each round and method: mean ± standard deviation over the seeds.

    Parameters
    ----------
    comparison : MethodComparison
        Finished runs.
    rounds : sequence of int
        Which rounds, by default the last; `nearest_rounds` finds those of sparsities.
    """
    summaries = [
        summarize(comparison, method, comparison.rounds[number])
        for number in rounds
        for method in comparison.methods
        if comparison.of(method)
    ]
    columns: dict[str, Callable[[Summary], str]] = {
        "method": lambda one: one.method,
        "sparsity %": lambda one: _text(one.values["sparsity"], _percent, spread=False),
        "non-zeros": lambda one: _text(one.values["nonzeros"], whole),
        "effective": lambda one: _text(one.values["effective"], whole, spread=False),
        "accuracy %": lambda one: _text(one.values["accuracy"], _percent),
        "utilization": lambda one: _text(one.values["utilization"], _fraction),
        "least": lambda one: _text(one.values["least_utilization"], _fraction),
        "kept": lambda one: _text(one.values["kept_fraction"], _fraction),
        "cycles": lambda one: _text(one.values["cycles"], whole),
        "energy": lambda one: _text(one.values["energy"], whole),
    }
    return _table(columns, summaries)


def differences_table(
    comparison: MethodComparison,
    basis: EqualQuantity = "sparsity",
    rounds: Sequence[int] = (-1,),
) -> TextTable:
    """One line for each round and method but the reference: differences to it.

    Parameters
    ----------
    comparison : MethodComparison
        Finished runs.
    basis : {"sparsity", "nonzeros", "cycles", "energy"}
        What is equal; savings are those after the same round, so of sparsity only.
    rounds : sequence of int
        Which rounds, by default the last; `nearest_rounds` finds those of sparsities.
        Each p is corrected for all lines of the table.
    """
    pairs = compare_all(comparison, basis, rounds)
    columns: dict[str, Callable[[Paired], str]] = {
        "method": lambda pair: pair.method,
        AT[basis]: lambda pair: _text(
            pair.at, _percent if basis == "sparsity" else whole, spread=False
        ),
        "pairs": lambda pair: str(pair.n),
        "accuracy %": lambda pair: _text(pair.accuracy, _percent, spread=False),
        "difference": lambda pair: _text(pair.difference, _points, spread=False),
        f"{CONFIDENCE:.0%} interval": _interval,
        "p": lambda pair: _probability(pair.p_holm),
    }
    if basis == "sparsity":
        columns |= {
            "cycles saved %": lambda pair: _text(pair.cycles_saved, _percent),
            "energy saved %": lambda pair: _text(pair.energy_saved, _percent),
        }
    return _table(columns, pairs)


def comparison_notes(
    comparison: MethodComparison, rounds: Sequence[int] = (-1,)
) -> Iterator[str]:
    """Yield what the numbers of the tables of these rounds might hide."""
    for failure in comparison.failures:
        yield f"Failed: {failure}."
    settings = own_settings(comparison.config, comparison.methods)
    if any(settings.values()):
        yield (
            "Settings: "
            + "; ".join(f"{label} has {_said(own)}" for label, own in settings.items())
            + "."
        )
    yield f"Differences: points of accuracy against {comparison.reference}, same seeds."
    if len(comparison.seeds) == 1:
        yield "One seed: no standard deviation and no interval; give more seeds."
    else:
        yield (
            "± is the standard deviation over seeds; intervals hold the mean "
            f"difference, each with {CONFIDENCE:.0%} confidence (Student's t)."
        )
        differences = len(rounds) * (len(comparison.methods) - 1)
        if differences > 1:
            yield (
                "p (paired t-test) is corrected, as Holm does, for all differences of "
                f"its table, {differences} where all are known."
            )
    outcome = comparison.runs[0].outcomes[0]
    if outcome.energy is None:
        yield (
            f"No cycles or energy: {comparison.config.accelerator} cannot have the PE "
            f"map {comparison.config.map}."
        )
    elif outcome.energy_unit is not None:
        yield f"Energy in {outcome.energy_unit}, of one inference."


def _said(settings: Mapping[str, Any]) -> str:
    """Write settings as `--compare` takes them."""
    return ", ".join(
        f"{'' if value else 'no-'}{name.replace('_', '-')}"
        if isinstance(value, bool)
        else f"{name.replace('_', '-')}={value}"
        for name, value in settings.items()
    )


def _table(columns: dict[str, Callable[..., str]], rows: Sequence[object]) -> TextTable:
    cells = [tuple(write(row) for write in columns.values()) for row in rows]
    return TextTable(tuple(columns), cells, LEFT)


def _text(
    spread_of: Spread | None, write: Callable[[float], str], spread: bool = True
) -> str:
    """Write a mean, and the standard deviation where there is one."""
    if spread_of is None:
        return ""
    mean = write(spread_of.mean)
    if not spread or not spread_of.sd:
        return mean
    return f"{mean} ± {write(spread_of.sd)}"


def _interval(pair: Paired) -> str:
    if pair.interval is None:
        return ""
    low, high = pair.interval
    return f"{_points(low)} to {_points(high)}"


def _probability(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _fraction(value: float) -> str:
    return f"{value:.3f}"
