"""The page of a comparison: methods beside each other, with intervals."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.figures.canvas import drawing
from hwmodel.pages.number_table import NumberColumn, NumberTable
from hwmodel.pages.page import Fact, Page, PageAnswer, PageSection, check_page
from hwmodel.pages.page_figure import page_svg
from snn.lottery.difference_figure import draw_differences
from snn.lottery.plots import draw_comparison
from snn.lottery.statistics import Paired, compare_all, shown_rounds, summarize

if TYPE_CHECKING:
    from snn.lottery.comparison import MethodComparison

SUMMARIES = (
    NumberColumn("method", "method"),
    NumberColumn("round", "round", "d"),
    NumberColumn("seeds", "seeds", "d"),
    *(
        column
        for name, title, form in (
            ("accuracy", "accuracy", ".2%"),
            ("sparsity", "sparsity", ".2%"),
            ("nonzeros", "non-zeros", ",.1f"),
            ("utilization", "utilization", ".3f"),
            ("kept_fraction", "kept of unstructured", ".2%"),
            ("cycles", "cycles", ",.1f"),
            ("energy", "energy", ",.1f"),
        )
        for column in (
            NumberColumn(f"{name}_mean", title, form),
            NumberColumn(f"{name}_sd", "± sd", form),
        )
    ),
)
DIFFERENCES = (
    NumberColumn("method", "method"),
    NumberColumn("round", "round", "d"),
    NumberColumn("sparsity", "sparsity", ".2%"),
    NumberColumn("pairs", "pairs", "d"),
    NumberColumn("difference", "difference of accuracy", "+.2%"),
    NumberColumn("low", "95 % from", "+.2%"),
    NumberColumn("high", "to", "+.2%"),
    NumberColumn("p", "p", ".3f"),
    NumberColumn("p_holm", "p, corrected", ".3f"),
    NumberColumn("cycles_saved", "cycles saved", ".1%"),
    NumberColumn("energy_saved", "energy saved", ".1%"),
)


def write_comparison_page(
    comparison: MethodComparison, path: str | os.PathLike[str]
) -> None:
    """Write the page of a comparison; see `MethodComparison.report`."""
    check_page(Path(path))
    comparison_page(comparison).write(Path(path))


def comparison_page(comparison: MethodComparison) -> Page:
    """Put together what the page says."""
    rounds = shown_rounds(comparison)
    pairs = compare_all(comparison, "sparsity", rounds)
    return Page(
        title=f"Methods: {', '.join(comparison.methods)}",
        subtitle=f"Seeds {', '.join(map(str, comparison.seeds))} of each, on "
        f"{Path(comparison.config.dataset).name}; the others are compared with "
        f"{comparison.reference}, seed by seed.",
        facts=list(_facts(comparison, rounds[-1])),
        answers=list(_answers(comparison, pairs, rounds[-1])),
        warnings=list(_warnings(comparison)),
        notes=[
            "Intervals are of the mean difference over the seeds (Student's t, 95 %); "
            "p, corrected is Holm's for all differences that are shown.",
            "Accuracy is of the test images, which choose nothing.",
        ],
        sections=list(_sections(comparison, pairs)),
    )


def _facts(comparison: MethodComparison, number: int) -> Iterator[Fact]:
    planned = comparison.config.schedule_of_sparsity[number]
    for method in comparison.methods:
        if not comparison.of(method):
            continue
        accuracy = summarize(comparison, method, number).values["accuracy"]
        if accuracy is not None:
            note = f"accuracy at {planned:.1%} pruned, " + (
                "one seed"
                if accuracy.sd is None
                else f"mean of {accuracy.n}, standard deviation {accuracy.sd:.2%}"
            )
            yield Fact(method, accuracy.mean, ".2%", note)


def _answers(
    comparison: MethodComparison, pairs: Sequence[Paired], number: int
) -> Iterator[PageAnswer]:
    planned = comparison.config.schedule_of_sparsity[number]
    last = [pair for pair in pairs if pair.round == number]
    yield PageAnswer(
        f"Accuracy at {planned:.1%} pruned, against {comparison.reference}",
        tuple(_said(pair) for pair in last) or ("Nothing is compared.",),
    )
    saved = tuple(
        f"{pair.method}: {pair.cycles_saved.mean:.1%} of the cycles"
        + (
            ""
            if pair.energy_saved is None
            else f", {pair.energy_saved.mean:.1%} of the energy"
        )
        for pair in last
        if pair.cycles_saved is not None
    )
    if saved:
        yield PageAnswer(f"What is saved of {comparison.reference}'s", saved)
    unclear = [
        pair.method
        for pair in last
        if pair.interval is None or pair.interval[0] <= 0 <= pair.interval[1]
    ]
    if unclear:
        yield PageAnswer(
            "What to do next",
            (
                f"The seeds do not tell {', '.join(unclear)} from "
                f"{comparison.reference}: run more of them before saying that either "
                "is better.",
            ),
        )


def _said(pair: Paired) -> str:
    if pair.difference is None:
        return f"{pair.method}: not known"
    text = f"{pair.method}: {100 * pair.difference.mean:+.2f} points"
    if pair.interval is None:
        return f"{text} (one seed: no interval)"
    low, high = (100 * end for end in pair.interval)
    return f"{text} (95 %: {low:+.2f} to {high:+.2f}, n = {pair.n})"


def _warnings(comparison: MethodComparison) -> Iterator[str]:
    for failure in comparison.failures:
        yield f"Failed: {failure}"
    if len(comparison.seeds) == 1:
        yield "One seed says nothing about how others would differ."


def _sections(
    comparison: MethodComparison, pairs: Sequence[Paired]
) -> Iterator[PageSection]:
    with drawing():
        yield PageSection(
            "Rounds",
            "A point is the mean of a round over the seeds, a bar its standard "
            "deviation.",
            page_svg(
                draw_comparison(comparison),
                "methods",
                "Accuracy and utilization of every method by cycles and weights left; "
                "the numbers are in the table below",
            ),
            (NumberTable.of("rounds", "Means", SUMMARIES, _summaries(comparison)),),
        )
        if any(pair.difference is not None for pair in pairs):
            planned = comparison.config.schedule_of_sparsity
            yield PageSection(
                "Differences",
                "An interval that leaves 0 out tells a method from the reference.",
                page_svg(
                    draw_differences(pairs, planned),
                    "differences",
                    "Differences of accuracy with their intervals; the numbers are in "
                    "the table below",
                ),
                (
                    NumberTable.of(
                        "differences", "Differences", DIFFERENCES, _rows(pairs, planned)
                    ),
                ),
            )


def _summaries(comparison: MethodComparison) -> Iterator[dict[str, object]]:
    for method in comparison.methods:
        if not comparison.of(method):
            continue
        for number in comparison.rounds:
            one = summarize(comparison, method, number)
            row: dict[str, object] = {"method": method, "round": number}
            row["seeds"] = len(comparison.of(method))
            for name, spread in one.values.items():
                if spread is not None:
                    row |= {f"{name}_mean": spread.mean, f"{name}_sd": spread.sd}
            yield row


def _rows(
    pairs: Sequence[Paired], planned: Sequence[float]
) -> Iterator[dict[str, object]]:
    for pair in pairs:
        low, high = pair.interval or (None, None)
        saved = (pair.cycles_saved, pair.energy_saved)
        cycles, energy = (None if one is None else one.mean for one in saved)
        yield {
            "method": pair.method,
            "round": pair.round,
            "sparsity": planned[pair.round],
            "pairs": pair.n,
            "difference": None if pair.difference is None else pair.difference.mean,
            "low": low,
            "high": high,
            "p": pair.p,
            "p_holm": pair.p_holm,
            "cycles_saved": cycles,
            "energy_saved": energy,
        }
