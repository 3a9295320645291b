"""The report of a balanced ticket: one object for programs, JSON and mask files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import balancer
from balancer.baselines import BaselineRow
from balancer.errors import BalancerError
from balancer.files.atomic import replacing
from balancer.files.mask_files import save_masks
from balancer.metrics import fraction
from balancer.network.budgets import Tradeoff
from balancer.network.network_solution import (
    LayerResult,
    NetworkSolution,
    of_unstructured,
)
from balancer.network.request import BalanceRequest
from balancer.report.balance_files import BalanceFiles
from balancer.report.bottleneck import little_time_saved
from balancer.report.hardware_use import NO_HARDWARE, HardwareUse
from balancer.solvers.limits import SearchLimits
from balancer.valid_json import to_json

PAGE_GROUP = "balancer.pages"


class Reordered(NamedTuple):
    """What the layers would keep with their channels in a better order.

    Attributes
    ----------
    kept : float
        Total score, found by a short search.
    kept_unstructured : float
        Total score that unstructured pruning keeps with as many non-zeros as that.
    nonzeros : int
        How many these are.
    """

    kept: float
    kept_unstructured: float
    nonzeros: int

    @property
    def kept_fraction(self) -> float | None:
        """Kept magnitude relative to unstructured pruning at equal non-zeros."""
        return fraction(self.kept, self.kept_unstructured)

    def gains_on(self, solution: NetworkSolution) -> bool:
        """Whether more is kept than in a solution, as far as is printed of it."""
        ours, theirs = self.kept_fraction, solution.kept_fraction
        if ours is None or theirs is None:
            return ours is not None
        kept = sum(layer.nonzeros for layer in solution.layers)
        return self.nonzeros > kept or round(ours - theirs, 4) > 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BalanceReport:
    """What became of a ticket; `balance_ticket` makes it.

    Attributes
    ----------
    solution : NetworkSolution
        Masks, and what is proven about them, layer by layer.
    request : BalanceRequest
        What was asked.
    limits : SearchLimits
        How far the searches could go.
    settings : dict
        Everything that the result depends on, as JSON holds it.
    source : str or None
        Name of the ticket's file.
    inputs : tuple of Path
        The files it was read from, which are never written over.
    axes : mapping of str to str
        Order of the axes in the ticket, of layers whose outputs do not come first; the
        masks are written in it.
    about : mapping
        What the ticket says of its network.
    ticket_notes : tuple of str
        What the ticket's list of layers might hide.
    hardware : HardwareUse or None
        Cycles and energy before and after.
    hardware_note : str or None
        Why these are not known, or what they assume.
    baselines : mapping of str to tuple of BaselineRow
        By layer, what other methods keep; empty if that was not asked.
    reordered : Reordered or None
        What a better order of the channels would keep; None if the map has no other, if
        a layer is too large for a short search, or if it was not asked.
    frontier : tuple of Tradeoff or None
        What can be kept in fewer cycles, if that was asked.
    accuracy_before, accuracy : float or None
        From 0 to 1, of the network as it was read, and with the balanced masks before
        any training; None if that was not asked.
    effective_before, effective : mapping of str to int or None
        Kept weights of each layer that lie on a path from the network's input to its
        output; None if that was not asked, or is not known.
    ranked_by : str
        What the scores are, in words.
    """

    solution: NetworkSolution
    request: BalanceRequest
    limits: SearchLimits
    settings: Mapping[str, Any]
    source: str | None
    inputs: tuple[Path, ...]
    axes: Mapping[str, str]
    about: Mapping[str, Any]
    ticket_notes: tuple[str, ...]
    hardware: HardwareUse | None
    hardware_note: str | None
    baselines: Mapping[str, tuple[BaselineRow, ...]]
    reordered: Reordered | None
    frontier: tuple[Tradeoff, ...] | None
    accuracy_before: float | None = None
    accuracy: float | None = None
    effective_before: Mapping[str, int] | None = None
    effective: Mapping[str, int] | None = None
    ranked_by: str = "scores"

    @property
    def layers(self) -> tuple[LayerResult, ...]:
        """The balanced layers."""
        return self.solution.layers

    @property
    def cycles_before(self) -> float | None:
        """Cycles of the masks that were read; None without hardware."""
        return self._total("cycles_before")

    @property
    def cycles(self) -> float | None:
        """Cycles of the balanced masks; None without hardware."""
        return self._total("cycles")

    @property
    def energy_before(self) -> float | None:
        """Energy of the masks that were read, in the hardware's unit."""
        return self._total("energy_pj_before")

    @property
    def energy(self) -> float | None:
        """Energy of the balanced masks, in the hardware's unit."""
        return self._total("energy_pj")

    def _total(self, column: str) -> float | None:
        return None if self.hardware is None else self.hardware.totals()[column]

    @property
    def retrainable(self) -> bool:
        """Whether the ticket says how its network is trained (`snn.retrain`)."""
        return {"config", "outcome"} <= set(self.about)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers might hide, a sentence each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        solution, layers = self.solution, self.layers
        if self.request.budgets is not None:
            kept = ", ".join(
                f"{x.name} {x.nonzeros / max(1, x.weights):.2%}" for x in layers
            )
            yield f"Density that {self.request.budgets} gives the layers: {kept}."
        for name, other in solution.alternatives.items() if solution.limits else ():
            yield (
                f"{name}: {_compared(other.kept, solution.kept)} magnitude, "
                f"{other.nonzeros:,} non-zeros, {other.cycles:,.0f} cycles."
            )
        reordered = self.reordered
        if reordered is not None and reordered.gains_on(solution):
            yield (
                "With --order optimized the network would keep "
                f"{reordered.kept_fraction:.4f} ({reordered.nonzeros:,} non-zeros)."
            )
        if empty := [layer.name for layer in layers if layer.is_empty]:
            names = ", ".join(empty)
            yield f"Without any weight: {names}; the network computes nothing."
        if solution.remainder:
            why = "no further slice, one weight for every PE, fits"
            if solution.limits:
                why = "the others bind"
            left = [x for x in layers if x.solution.remainder]
            parts = ", ".join(f"{x.name} {x.solution.remainder:,}" for x in left)
            where = f" ({parts})" if parts and len(layers) > 1 else ""
            yield (
                f"{solution.remainder:,} non-zeros of the budget are left over{where}: "
                f"{why}."
            )
        if self.hardware is not None:
            yield from self._drawn(self.hardware)
            yield from little_time_saved(layers, self.hardware)
        if partial := [layer for layer in layers if layer.after.occupancy < 1]:
            shares = ", ".join(f"{x.name} {x.after.occupancy:.0%}" for x in partial)
            yield f"PEs that hold weights: {shares}; the others are idle by structure."
        if revived := sum(layer.revived for layer in layers):
            yield (
                f"{revived} of the kept weights are zero here (revived): train again "
                "with these masks."
            )
        if self.accuracy is not None:
            yield (
                f"Test accuracy {self.accuracy_before:.2%} → {self.accuracy:.2%} with "
                "these masks, before any training."
            )
        if self.effective is not None and self.effective_before is not None:
            was, now = (
                sum(one.values()) for one in (self.effective_before, self.effective)
            )
            yield (
                f"Effective non-zeros of the network, on a path from its input to its "
                f"output: {was:,} → {now:,}."
            )
        if dead := sum(layer.solution.dead_channels for layer in layers):
            yield f"{dead} output channels keep no weight."
        if dense := [layer.name for layer in layers if layer.is_dense]:
            yield f"Dense, as before: {', '.join(dense)}; use --sparsity to prune."
        for name, reason in solution.fallback_reasons.items():
            yield f"{name}: answered by greedy: {reason}."
        yield from self.ticket_notes

    @staticmethod
    def _drawn(use: HardwareUse) -> Iterator[str]:
        """Tell the cycles of drawn spikes where the others are a bound far below."""
        was, now = (
            sum((cost.drawn or cost).cycles for cost in side.values())
            for side in (use.before, use.after)
        )
        if now > 1.01 * sum(cost.cycles for cost in use.after.values()):
            yield (
                f"With spikes drawn from their rates: cycles {was:,.0f} → {now:,.0f}; "
                "those above are a lower bound, as if PEs saw the mean of all spikes."
            )

    def to_dict(self, files: BalanceFiles | None = None) -> dict[str, Any]:
        """Return the report as JSON holds it, with the paths of its files if given."""
        report = self.solution.to_dict()
        network = report["network"] | self._of_network()
        if self.request.order == "fixed" and self.request.scope == "layer":
            reordered = self.reordered
            network["kept_if_reordered"] = None if reordered is None else reordered.kept
        if self.accuracy is not None:
            network["accuracy_before"] = self.accuracy_before
            network["accuracy"] = self.accuracy
        if self.accuracy is not None or self.effective is not None:
            network["effective_before"] = _counts(self.effective_before)
            network["effective"] = _counts(self.effective)
        document = {
            "layers": [
                row | self._more_of(layer)
                for row, layer in zip(report["layers"], self.layers, strict=True)
            ],
            "network": network,
            "notes": list(self.notes),
        }
        if self.frontier is not None:
            document["frontier"] = [point.to_dict() for point in self.frontier]
        if files is not None:
            document["outputs"] = files.to_dict()
        return document

    def _of_network(self) -> dict[str, Any]:
        """Return what the report adds to the sums over the layers."""
        asked = {"budgets": self.request.budgets, "ranked_by": self.ranked_by}
        if self.hardware is not None:
            return asked | self.hardware.totals()
        return asked | {
            "accelerator": None,
            "basis": None,
            "energy_unit": None,
            "hardware_note": self.hardware_note or NO_HARDWARE,
        }

    def _more_of(self, layer: LayerResult) -> dict[str, Any]:
        """Return what the report adds to a layer's row."""
        more: dict[str, Any] = {}
        if self.effective is not None and self.effective_before is not None:
            more["effective_before"] = self.effective_before[layer.name]
            more["effective"] = self.effective[layer.name]
        if self.hardware is not None:
            more |= self.hardware.of_layer(layer.name)
        if layer.name in self.baselines:
            rows = self.baselines[layer.name]
            more["baselines"] = [row.to_dict() for row in rows]
            more["slots"] = layer.after.slots
        return more

    def save(self, out: str | os.PathLike[str]) -> BalanceFiles:
        """Write masks and report, both whole or neither.

        Parameters
        ----------
        out : str or path
            Folder for ``masks.safetensors`` and ``report.json``, or the mask file
            itself (.safetensors, .npz), beside which the report goes.

        Raises
        ------
        TicketError
            A folder that cannot be made or written, or a file in the place that was
            read for this, or that no balancing has written.
        """
        files = BalanceFiles.of(out)
        files.refuse_to_replace(self.inputs)
        in_order = self.request.order == "fixed"
        with replacing(files.masks, files.report) as (masks, report):
            save_masks(
                masks,
                self.solution.masks,
                mask_metadata(self.source, self.settings, self.about),
                None if in_order else self.solution.schedules,
                self.axes,
            )
            self.write_document(report, files)
        return files

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a page about it: one HTML file with figures and their numbers.

        This package draws nothing. Who does is installed as an entry point of the group
        ``balancer.pages``; `hwmodel` is.

        Parameters
        ----------
        path : str or path
            An .html file.

        Raises
        ------
        BalancerError
            Nobody is installed who draws, or what that needs is not.
        TicketError
            A file that cannot be written.
        """
        for entry in entry_points(group=PAGE_GROUP, name="balance"):
            entry.load()(self, path)
            return
        raise BalancerError(
            "no package that writes reports is installed; install balanced-sparsity "
            "with python -m pip install -e '.[plots]'"
        )

    def write_document(self, path: Path, files: BalanceFiles) -> None:
        """Write the report as JSON, which names the files that there will be."""
        settings = all_settings(self.source, self.settings)
        document = {**self.to_dict(files), "settings": settings}
        path.write_text(to_json(document, indent=1))

    def __repr__(self) -> str:
        lines = [f"BalanceReport({self.source or 'layers in memory'})"]
        lines += repr(self.solution).splitlines()[1:]
        lines.append(
            f"  network: {of_unstructured(self.solution.kept_fraction)}, "
            f"{self.solution.status.value}"
        )
        if self.hardware is not None:
            lines.append(
                f"  on {self.hardware.accelerator} ({self.hardware.basis}): cycles "
                f"{self.cycles_before:,.0f} -> {self.cycles:,.0f}"
            )
        return "\n".join((*lines, *(f"  {note}" for note in self.notes)))


def _compared(kept: float, reference: float) -> str:
    """Say how much more or less is kept than something else."""
    if not reference:
        return "as much" if not kept else "more"
    change = kept / reference - 1
    return f"{abs(change):.2%} {'less' if change < 0 else 'more'}"


def _counts(effective: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if effective is None else dict(effective)


def all_settings(source: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """State what a result depends on, as reports and mask files hold it."""
    return {"source": source, "version": balancer.__version__, **settings}


def mask_metadata(
    source: str | None, settings: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    """State what a mask file says of itself; retraining reads the ticket in it."""
    return {**all_settings(source, settings), "ticket": dict(about)}
