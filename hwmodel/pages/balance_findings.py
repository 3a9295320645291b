"""What the summary of a balanced ticket says: what changed, its cost, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from balancer import BalanceReport
from balancer.hardware import MaskCost, PETime
from balancer.report.hardware_use import HardwareUse
from hwmodel.figures.load_figure import LayerLoads
from hwmodel.pages.page import WHOLE, Fact, PageAnswer

PARTS = {
    "busy": "on weights that meet spikes",
    "gated": "on zeros (weights or inputs) that the array does not skip",
    "idle": "waiting for other PEs at barriers",
    "structural": "on PEs that hold no weights",
    "stalled": "waiting for memory",
}
SMALL = 0.005  # parts of the time below this one are not told


def facts(report: BalanceReport, loads: Sequence[LayerLoads]) -> Iterator[Fact]:
    """Yield the numbers of the summary."""
    network = report.solution.to_dict()["network"]
    if report.hardware is not None:
        use = report.hardware
        after, before = report.cycles, report.cycles_before
        assert after is not None
        yield Fact(
            "Cycles", after, WHOLE, f"one inference on {use.accelerator}", before
        )
        after, before = report.energy, report.energy_before
        assert after is not None
        yield Fact(
            "Energy", after, WHOLE, f"{use.energy_unit} for one inference", before
        )
    yield Fact(
        "Utilization",
        network["utilization"],
        ".3f",
        "of PEs that hold weights; 1 means that none waits (mean over the weights)",
        network["utilization_before"],
    )
    before, after = waiting(report, loads)
    yield Fact("Waiting", after, ".0%", "for other PEs, of the time of all PEs", before)
    if report.solution.kept_fraction is not None:
        yield Fact(
            "Kept magnitude",
            report.solution.kept_fraction,
            ".2%",
            "of what unstructured pruning keeps with as many non-zeros",
        )
    yield Fact(
        "Non-zeros",
        network["nonzeros"],
        WHOLE,
        f"of {network['weights']:,} weights",
        network["nonzeros_before"],
    )
    if report.accuracy is not None:
        yield Fact(
            "Accuracy",
            report.accuracy,
            ".2%",
            "of the test images, before any training with the masks",
            report.accuracy_before,
        )


def waiting(report: BalanceReport, loads: Sequence[LayerLoads]) -> tuple[float, float]:
    """Share of the time of all PEs in which they wait for others, before and after.

    In cycles of the hardware, barriers included that balance does not mend; without
    hardware in steps of the loads.
    """
    if report.hardware is not None:
        both = [total_time(costs) for costs in _sides(report.hardware)]
        if all(time is not None and time.total for time in both):
            before, after = (t.idle / t.total for t in both if t is not None)
            return before, after
    before, after = (
        sum(one.metrics[side].idle_unbalanced for one in loads)
        / max(1, sum(one.metrics[side].slots for one in loads))
        for side in (0, 1)
    )
    return before, after


def answers(report: BalanceReport, loads: Sequence[LayerLoads]) -> list[PageAnswer]:
    """Answer the four questions of the summary."""
    return [
        PageAnswer("What balancing changed", tuple(_changed(report, loads))),
        PageAnswer("What it cost", tuple(_cost(report))),
        PageAnswer("What bounds the time now", tuple(_bounds(report))),
        PageAnswer("What to do next", tuple(_next(report))),
    ]


def _changed(report: BalanceReport, loads: Sequence[LayerLoads]) -> Iterator[str]:
    before, after = waiting(report, loads)
    yield (
        f"Before, {before:.0%} of the time of all PEs went by waiting for slower ones; "
        f"now {after:.0%}."
    )
    use, cycles, was = report.hardware, report.cycles, report.cycles_before
    if use is None or cycles is None or was is None:
        yield f"Cycles and energy are not known: {report.hardware_note}."
        return
    spent, former = report.energy, report.energy_before
    assert spent is not None
    assert former is not None
    yield (
        f"One inference on {use.accelerator} takes {_change(was, cycles, 'fewer')} "
        f"cycles ({was:,.0f} → {cycles:,.0f}) and {_change(former, spent, 'less')} "
        f"energy ({former:,.0f} → {spent:,.0f} {use.energy_unit}); these numbers are: "
        f"{use.basis}."
    )


def _change(before: float, after: float, smaller: str) -> str:
    if not before:
        return "more" if after else f"no {smaller}"
    change = after / before - 1
    if abs(change) < SMALL:
        return f"no {smaller}"
    return f"{abs(change):.0%} {smaller if change < 0 else 'more'}"


def _cost(report: BalanceReport) -> Iterator[str]:
    solution = report.solution
    share = solution.kept_fraction
    if share is None:
        yield "Nothing is kept, and unstructured pruning would keep nothing either."
    else:
        proof = (
            "no balanced masks of this budget keep more (proven)"
            if not solution.gap
            else f"other balanced masks keep at most {solution.gap:.2%} more (proven)"
        )
        yield (
            f"The masks keep {share:.2%} of the magnitude that unstructured pruning "
            f"keeps with as many non-zeros: balance costs {1 - share:.2%}; {proof}."
        )
    kept = sum(layer.nonzeros for layer in solution.layers)
    revived = sum(layer.revived for layer in solution.layers)
    if revived:
        yield (
            f"{revived:,} of the {kept:,} kept weights ({revived / max(1, kept):.0%}) "
            "were pruned before: they are zero until they are trained."
        )
    if report.accuracy is None:
        yield "Accuracy was not measured with these masks; magnitude does not tell it."
    else:
        assert report.accuracy_before is not None
        points = 100 * (report.accuracy - report.accuracy_before)
        yield (
            f"Test accuracy {report.accuracy_before:.2%} → {report.accuracy:.2%} "
            f"({points:+.1f} points) before any training with the masks."
        )


def _sides(use: HardwareUse) -> tuple[dict[str, MaskCost], dict[str, MaskCost]]:
    """Say what each layer takes, with drawn spikes where these tell more."""
    before, after = (
        {name: cost.drawn or cost for name, cost in side.items()}
        for side in (use.before, use.after)
    )
    return before, after


def total_time(costs: Mapping[str, MaskCost]) -> PETime | None:
    """Add up the time of the PEs over layers; None if the model does not tell."""
    times = [cost.time for cost in costs.values() if cost.time is not None]
    if not times:
        return None
    names = [field.name for field in fields(PETime)]
    values = [[float(getattr(one, name)) for one in times] for name in names]
    sums = dict(zip(names, map(sum, values), strict=True))
    return PETime(**sums)


def _bounds(report: BalanceReport) -> Iterator[str]:
    use = report.hardware
    time = None if use is None else total_time(_sides(use)[1])
    if use is None or time is None or not time.total:
        slots = sorted(report.layers, key=lambda layer: -layer.after.slots)
        all_slots = sum(layer.after.slots for layer in slots)
        if all_slots:
            yield (
                f"{slots[0].name} takes most of the steps, "
                f"{slots[0].after.slots / all_slots:.0%} of all."
            )
        return
    parts = {name: getattr(time, name) / time.total for name in PARTS}
    said = [
        f"{share:.0%} {PARTS[name]}"
        for name, share in sorted(parts.items(), key=lambda part: -part[1])
        if share >= SMALL
    ]
    yield f"The PEs spend their time after balancing: {', '.join(said)}."
    costs = _sides(use)[1]
    total = sum(cost.cycles for cost in costs.values())
    slowest = max(costs, key=lambda name: costs[name].cycles)
    if total:
        yield f"{slowest} takes {costs[slowest].cycles / total:.0%} of the cycles."


def memory_bound(report: BalanceReport) -> list[str]:
    """Name the layers whose PEs wait for memory more than for anything else."""
    if report.hardware is None:
        return []
    costs = _sides(report.hardware)[1]
    return [
        name
        for name, cost in costs.items()
        if cost.time is not None and cost.time.largest == "stalled"
    ]


def _next(report: BalanceReport) -> Iterator[str]:
    if any(layer.is_empty for layer in report.layers):
        yield (
            "Give the empty layers a budget: prune less, or set a floor for each "
            "channel (--channel-floor)."
        )
    trained = "with the command retrain" if report.retrainable else "with your own loop"
    if needs_training(report):
        yield f"Train the network with these masks ({trained}), then test it."
    else:
        yield "The masks are those that were read: nothing has to be trained again."
    reordered = report.reordered
    if reordered is not None and reordered.gains_on(report.solution):
        yield (
            "Let the order of the channels be chosen (--order optimized): the network "
            f"would keep {reordered.kept_fraction:.2%} instead of "
            f"{report.solution.kept_fraction or 0:.2%}."
        )
    if report.solution.gap:
        yield "Give the search more time (--time-limit) for better masks or a proof."
    if memory_bound(report):
        yield "Widen the memory or shrink the weights: balance saves no such time."
    yield "Export what each PE reads, once the network is good enough (command export)."


def needs_training(report: BalanceReport) -> bool:
    """Whether any layer keeps other weights than before."""
    return any(
        layer.revived or layer.after.nonzeros != layer.before.nonzeros
        for layer in report.layers
    )


def warnings(report: BalanceReport) -> Iterator[str]:
    """Yield what must not be overlooked."""
    if empty := [layer.name for layer in report.layers if layer.is_empty]:
        yield f"Without any weight: {', '.join(empty)}; the network computes nothing."
    if needs_training(report):
        yield "Nobody has trained these masks: the ticket's accuracy is not theirs."
    if dead := sum(layer.solution.dead_channels for layer in report.layers):
        yield f"{dead:,} output channels keep no weight (dead)."
    if report.effective is not None:
        kept = sum(layer.nonzeros for layer in report.layers)
        lost = kept - sum(report.effective.values())
        if lost:
            yield (
                f"{lost:,} of {kept:,} kept weights lie on no path from the network's "
                "input to its output."
            )
    if names := memory_bound(report):
        yield f"Bound by memory: {', '.join(names)}."
    for name, reason in report.solution.fallback_reasons.items():
        yield f"{name}: answered by greedy: {reason}."
    if report.hardware_note:
        yield f"Cycles and energy: {report.hardware_note}."
