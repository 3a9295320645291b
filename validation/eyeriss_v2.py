"""Cycles of a PE of Eyeriss v2, published with real masks of eight MobileNet layers.

The artifact of Sparseloop (Wu et al., MICRO 2022, 10.1109/MICRO56248.2022.00096) has
them in ``fig12_eyerissv2_pe_setup``: cycles that it calls ground truth, and masks of
weights and activations of a pruned MobileNet 0.5. Nothing of it comes with this
package; name the folder. One PE takes a cycle for every kept
weight that meets an activation that is not zero: a test of the counting alone.

A file of weights has the output channels of one input channel side by side, a file of
activations the channels of one pixel, as TensorFlow stores both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from balancer import TicketError
from hwmodel import LayerWorkload, evaluate, read_mask_text
from validation.arrays import pe_array
from validation.check import Cell, Check

CYCLES = Path("scripts", "ground_truth_cycles.yaml")
PROBLEMS = Path("workload", "mobilenet0.5-sparse", "actual_data")
MASKS = PROBLEMS / "actual_data_masks"


def published_cycles(folder: Path) -> dict[str, int]:
    """Read the cycles of all layers of the network.

    Raises
    ------
    TicketError
        Another folder.
    """
    path = folder / CYCLES
    if not path.is_file():
        raise TicketError(
            f"has no {CYCLES.as_posix()}; the folder fig12_eyerissv2_pe_setup of "
            "Sparseloop's MICRO 2022 artifact is needed",
            about=folder,
        )
    cycles: dict[str, int] = _yaml(path)
    return cycles


def published_layers(folder: Path) -> list[LayerWorkload]:
    """Read the layers whose masks of weights and activations are both there.

    Raises
    ------
    TicketError
        Masks of other sizes than their problem's.
    """
    layers = []
    for path in sorted((folder / PROBLEMS).glob("*.yaml")):
        name, size = path.stem, _yaml(path)["problem"]["instance"]
        outputs, inputs, height, width = (size[rank] for rank in "MCFE")
        weights = read_mask_text(
            folder / MASKS / f"{name}_weights.txt", (inputs, outputs)
        )
        activations = read_mask_text(
            folder / MASKS / f"{name}_iacts.txt", (height, width, inputs)
        )
        layers.append(
            LayerWorkload(
                name,
                weights.T[:, :, None, None],
                (inputs, height, width),
                spikes=activations.transpose(2, 0, 1)[None, None].astype(np.uint8),
            )
        )
    return layers


def check(folder: Path) -> Check:
    """Compare the cycles of one PE that skips zeros of both.

    Raises
    ------
    TicketError
        Another folder, or files that do not fit.
    """
    published = published_cycles(folder)
    alone = pe_array(mapping="output_channel", pes=1, skip="dual", barrier="tile")
    rows: list[tuple[Cell, ...]] = []
    for layer in published_layers(folder):
        assert layer.spikes is not None
        ours = int(evaluate([layer], alone).cycles)
        products = layer.mask.size * layer.pixels
        uniform = round(products * layer.mask.mean() * layer.spikes.mean())
        theirs = published[layer.name]
        said = "equal" if ours == theirs else "differs"
        rows.append((layer.name, products, theirs, ours, said, uniform / theirs))
    if not rows:
        raise TicketError(f"has no layers in {PROBLEMS.as_posix()}", about=folder)
    equal = sum(row[4] == "equal" for row in rows)
    return Check(
        ("layer", "products", "published", "model", "", "uniform / published"),
        rows,
        f"{equal} of {len(rows)} layers take the published cycles; uniform: the "
        "products times both densities",
        equal == len(rows),
    )


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
