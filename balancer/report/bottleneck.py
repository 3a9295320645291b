"""Where balance saves no time, and what bounds the time there instead.

Fewer slots promise fewer cycles. An array that computes zeros too, that waits for
spikes or for memory, does not keep that promise, however even the loads are; its model
says where the time of its PEs goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from balancer.hardware import MaskCost, PETime
from balancer.network.network_solution import LayerResult
from balancer.report.hardware_use import HardwareUse

# Below this part of the slots that it saves, a mask is said to save little time.
LEAST_PART = 0.25
# Fewer slots by less than this part promise nothing.
LEAST_PROMISE = 0.01

CAUSES = {
    "busy": (
        "{share} of the PE cycles are spent on weights that meet a spike; fewer of "
        "either would help"
    ),
    "gated": (
        "this array does not skip zero weights, so its cycles do not depend on the "
        "mask; balance pays on one that skips them"
    ),
    "idle": (
        "{share} of the PE cycles are spent waiting for other spikes at a barrier, "
        "which equal loads do not mend; a later barrier (timestep, tile), another "
        "order or equal expected work (`balance_expected_work`) would help"
    ),
    "structural": (
        "{share} of the PE cycles are those of PEs that hold no weights; fewer PEs "
        "would do"
    ),
    "stalled": (
        "{share} of the PE cycles are spent waiting for memory, which balance does not "
        "mend; more bandwidth or smaller weights would help"
    ),
}


def little_time_saved(layers: Sequence[LayerResult], use: HardwareUse) -> Iterator[str]:
    """Yield a sentence for each cause that keeps layers from being faster.

    Parameters
    ----------
    layers : sequence of LayerResult
        Balanced layers.
    use : HardwareUse
        What their masks take.
    """
    found: dict[str, list[tuple[str, MaskCost, MaskCost]]] = {}
    for layer in layers:
        if layer.name not in use.after:  # it cannot run there
            continue
        before, after = (
            side[layer.name].drawn or side[layer.name]
            for side in (use.before, use.after)
        )
        if not before.cycles or not layer.before.slots or after.time is None:
            continue
        promised = 1 - layer.after.slots / layer.before.slots
        saved = 1 - after.cycles / before.cycles
        if promised < LEAST_PROMISE or saved >= LEAST_PART * promised:
            continue
        cause = _cause(after.time)
        if cause is not None:
            found.setdefault(cause, []).append((layer.name, before, after))
    for cause, costs in found.items():
        names = [name for name, *_ in costs]
        where = "all layers" if len(names) == len(layers) else ", ".join(names)
        was = sum(before.cycles for _, before, _ in costs)
        now = sum(after.cycles for *_, after in costs)
        times = [after.time for *_, after in costs if after.time is not None]
        part = sum(getattr(time, cause) for time in times)
        share = f"{part / sum(time.total for time in times):.0%}"
        yield (
            f"Little time saved in {where} (cycles {was:,.0f} → {now:,.0f}): "
            f"{CAUSES[cause].format(share=share)}."
        )


def _cause(time: PETime) -> str | None:
    """Say what bounds the time of a layer.

    Only an array that computes zeros has PE cycles of them. Its other cycles do not
    depend on the mask either, however many they are.
    """
    if time.largest == "stalled" or not time.gated:
        return time.largest
    return "gated"
