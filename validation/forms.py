"""MINT and SATO as Prosperity's artifact counts them, on real spikes.

Prosperity (Wei et al., HPCA 2025, arXiv 2503.03379) compares itself with accelerators
whose cycles its artifact writes as forms of the *unfolded* spikes: a row for each time
step and output pixel, with the inputs that its kernel window sees.

MINT: the spikes of all rows, times ceil(N / 128) for N output channels.
SATO: rows go to the PE of 128 with the fewest spikes so far; the most spikes of a PE,
times N.

Both are forms of dense weights. They test which inputs a window sees and the sums over
them (MINT), and the list scheduling of tasks (SATO); no one has checked either against
hardware, and the cycles that Prosperity adds for the neurons are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwmodel import Accelerator, LayerWorkload, evaluate
from validation.arrays import pe_array
from validation.check import Cell, Check
from validation.recorded import ticket_layers

PES = 128


def unfolded(layer: LayerWorkload) -> npt.NDArray[np.int64]:
    """Count the spikes of every row: [samples, time steps x output pixels]."""
    assert layer.spikes is not None
    above, left = _pair(layer.padding)
    down, right = _pair(layer.stride)
    edges = [(0, 0)] * 3 + [(above, above), (left, left)]
    padded = np.pad(layer.spikes, edges)
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, layer.mask.shape[2:] or (1, 1), axis=(3, 4)
    )[:, :, :, ::down, ::right]
    rows = windows.sum(axis=(2, 5, 6), dtype=np.int64)  # [T, samples, height, width]
    counted: npt.NDArray[np.int64] = np.moveaxis(rows, 1, 0)
    return counted.reshape(len(counted), -1)


def mint_cycles(rows: npt.NDArray[np.int64], outputs: int) -> int:
    """All spikes, once for every tile of output channels."""
    return int(rows.sum()) * -(-outputs // PES)


def sato_cycles(rows: npt.NDArray[np.int64], outputs: int, pes: int = PES) -> int:
    """Count the spikes of the busiest PE of each sample, for all output channels."""
    cycles = 0
    for sample in rows:
        spikes = np.zeros(pes, np.int64)
        for row in sample:
            spikes[spikes.argmin()] += row
        cycles += int(spikes.max()) * outputs
    return cycles


def mint() -> Accelerator:
    """MINT's form as an array: tiles of 128 output channels that skip spikes."""
    return pe_array(mapping="output_channel", pes=PES, skip="spike", barrier="tile")


def check() -> Check:
    """Compare both forms with the model, on the recorded spikes."""
    rows: list[tuple[Cell, ...]] = []
    for layer in ticket_layers():
        spikes, outputs = unfolded(layer), len(layer.mask)
        for name, form, array in (
            ("MINT", mint_cycles, mint()),
            ("SATO", sato_cycles, Accelerator.load("sato")),
        ):
            theirs = form(spikes, outputs)
            ours = evaluate([layer], array).activity.cycles.compute
            said = "equal" if ours == theirs else "differs"
            rows.append((name, layer.name, int(spikes.sum()), theirs, int(ours), said))
    equal = sum(row[-1] == "equal" for row in rows)
    return Check(
        ("form", "layer", "unfolded spikes", "form's cycles", "model", ""),
        rows,
        f"{equal} of {len(rows)} are equal; four images, dense weights",
        equal == len(rows),
    )


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
