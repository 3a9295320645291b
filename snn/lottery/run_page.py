"""The page of a lottery run: its rounds, and the layers of the last one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.figures.canvas import drawing
from hwmodel.pages.number_table import NumberColumn, NumberTable
from hwmodel.pages.page import WHOLE, Fact, Page, PageAnswer, PageSection, check_page
from hwmodel.pages.page_figure import page_svg
from snn.lottery.results import RoundOutcome, least_utilization, smallest_layer
from snn.lottery.round_figure import draw_rounds

if TYPE_CHECKING:
    from snn.lottery.finished_run import FinishedRounds

ROUNDS = (
    NumberColumn("round", "round", "d"),
    NumberColumn("timesteps", "time steps", "d"),
    NumberColumn("sparsity", "sparsity", ".2%"),
    NumberColumn("nonzeros", "non-zeros", WHOLE),
    NumberColumn("effective", "effective", WHOLE),
    NumberColumn("accuracy", "accuracy", ".2%"),
    NumberColumn("validation_accuracy", "validation", ".2%"),
    NumberColumn("loss", "loss", ".4f"),
    NumberColumn("kept_fraction", "kept of unstructured", ".2%"),
    NumberColumn("utilization", "utilization", ".3f"),
    NumberColumn("least_utilization", "least of a layer", ".3f"),
    NumberColumn("smallest_layer", "fewest in a layer", WHOLE),
    NumberColumn("spike_rate", "spike rate", ".3f"),
    NumberColumn("cycles", "cycles", WHOLE),
    NumberColumn("idle_cycles", "waiting, PE cycles", WHOLE),
    NumberColumn("energy", "energy", WHOLE),
)
LAYERS = (
    NumberColumn("name", "layer"),
    NumberColumn("weights", "weights", WHOLE),
    NumberColumn("nonzeros", "non-zeros", WHOLE),
    NumberColumn("effective", "effective", WHOLE),
    NumberColumn("utilization", "utilization", ".3f"),
    NumberColumn("occupancy", "PEs with weights", ".0%"),
    NumberColumn("kept_fraction", "kept of unstructured", ".2%"),
    NumberColumn("spike_rate", "spike rate", ".3f"),
    NumberColumn("calls", "calls", "d"),
    NumberColumn("cycles", "cycles of a call", WHOLE),
    NumberColumn("energy", "energy of a call", WHOLE),
)


def write_run_page(run: FinishedRounds, path: str | os.PathLike[str]) -> None:
    """Write the page of a run; see `LotteryResult.report`."""
    check_page(Path(path))
    run_page(run).write(Path(path))


def run_page(run: FinishedRounds) -> Page:
    """Put together what the page says."""
    dense, last = run.outcomes[0], run.outcomes[-1]
    return Page(
        title=f"Lottery run: {run.folder.name}",
        subtitle=f"Method {run.config.method}, map {run.config.map}, {run.config.pes} "
        f"PEs, seed {run.config.seed}; {len(run.outcomes) - 1} rounds after the dense "
        "network.",
        facts=list(_facts(dense, last)),
        answers=list(_answers(run)),
        warnings=list(_warnings(last)),
        notes=run.notes,
        sections=list(_sections(run)),
    )


def _facts(dense: RoundOutcome, last: RoundOutcome) -> Iterator[Fact]:
    yield Fact("Accuracy", last.accuracy, ".2%", "of the test images", dense.accuracy)
    yield Fact("Sparsity", last.sparsity, ".2%", "of the weights are pruned")
    if last.cycles is not None:
        yield Fact("Cycles", last.cycles, WHOLE, "one inference", dense.cycles)
    if last.energy is not None:
        note = f"{last.energy_unit} for one inference"
        yield Fact("Energy", last.energy, WHOLE, note, dense.energy)
    note = "of PEs that hold weights; 1 means that none waits"
    yield Fact("Utilization", last.utilization, ".3f", note, dense.utilization)
    if last.kept_fraction is not None:
        note = "of what unstructured pruning keeps with as many non-zeros"
        yield Fact("Kept magnitude", last.kept_fraction, ".2%", note)


def _answers(run: FinishedRounds) -> Iterator[PageAnswer]:
    dense, last = run.outcomes[0], run.outcomes[-1]
    points = 100 * (last.accuracy - dense.accuracy)
    changed = (
        f"{last.sparsity:.2%} of the weights are pruned: {last.nonzeros:,} are left."
    )
    if last.cycles and dense.cycles:
        changed += (
            f" One inference takes {dense.cycles / last.cycles:.1f} times fewer cycles."
        )
    yield PageAnswer("What pruning changed", (changed,))
    yield PageAnswer(
        "What it cost",
        (
            f"Test accuracy {dense.accuracy:.2%} → {last.accuracy:.2%} ({points:+.1f} "
            "points), of one seed.",
        ),
    )
    costly = [one for one in last.layers if one.cycles is not None]
    total = sum((one.cycles or 0) * one.calls for one in costly)
    if total:
        slowest = max(costly, key=lambda one: (one.cycles or 0) * one.calls)
        share = (slowest.cycles or 0) * slowest.calls / total
        yield PageAnswer(
            "What bounds the time now",
            (f"{slowest.name} takes {share:.0%} of the cycles of the last round.",),
        )
    ticket = f"{run.folder.name}/round-{last.round:02d}.safetensors"
    next_steps = [f"See the loads of its PEs: report {ticket}."]
    if last.utilization < 1 - 1e-9:
        next_steps.insert(
            0,
            "PEs still wait for others: balance the ticket (command balance), and "
            "retrain.",
        )
    next_steps.append(
        "Repeat it with other seeds before comparing (--compare, --seeds)."
    )
    yield PageAnswer("What to do next", tuple(next_steps))


def _warnings(last: RoundOutcome) -> Iterator[str]:
    if empty := [one.name for one in last.layers if not one.nonzeros]:
        yield f"Without any weight: {', '.join(empty)}; the network computes nothing."
    if last.dead_weights:
        yield (
            f"{last.dead_weights:,} of {last.nonzeros:,} kept weights lie on no path "
            "from the network's input to its output."
        )


def _sections(run: FinishedRounds) -> Iterator[PageSection]:
    rows = (
        asdict(one)
        | {
            "least_utilization": least_utilization(one.layers),
            "smallest_layer": smallest_layer(one.layers),
        }
        for one in run.outcomes
    )
    with drawing():
        yield PageSection(
            "Rounds",
            "Every point is a round, sparser to the right.",
            page_svg(
                draw_rounds(run.outcomes),
                "rounds",
                "Accuracy, utilization and cycles of every round by the weights left; "
                "the numbers are in the table below",
            ),
            (NumberTable.of("rounds", "Numbers of the rounds", ROUNDS, rows),),
        )
    layers = (asdict(one) for one in run.outcomes[-1].layers)
    yield PageSection(
        "Layers of the last round",
        "",
        tables=(NumberTable.of("layers", "Numbers of the layers", LAYERS, layers),),
    )
