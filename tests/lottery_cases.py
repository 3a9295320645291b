"""Hypothesis strategies for what the methods of the lottery prune."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from balancer import LayerCost, PEMap
from snn.lottery.pruning import Pruning, least_kept, unstructured

ORDERED_MAPS = ("output_channel", "input_channel")
FREE_MAPS = (*ORDERED_MAPS, "banked", "kernel:2")
MAPS = (*FREE_MAPS, "2:4")


@st.composite
def layer_shapes(draw: Any, min_outputs: int = 1) -> tuple[int, ...]:
    """A linear layer or a convolution; channels need not fill the PEs."""
    outputs = draw(st.integers(min_outputs, 7))
    inputs = draw(st.integers(1, 6))
    return (outputs, inputs, *draw(st.sampled_from([(), (), (2, 2), (1, 3)])))


@st.composite
def prunings(
    draw: Any,
    maps: tuple[str, ...] = MAPS,
    *,
    dense: bool = False,
    distinct: bool = False,
    costs: bool = False,
    **given: Any,
) -> Pruning:
    """One to four layers, their scores, and masks that are nested in each other.

    `dense` layers are not pruned yet. `distinct` scores are positive and differ;
    others have ties, zeros, or are all zero. Every layer that is not empty can keep a
    slice, and the sparsity leaves room for one of each.
    """
    pe_map, pes = draw(st.sampled_from(maps)), draw(st.integers(1, 5))
    shapes = draw(st.lists(layer_shapes(min_outputs=0), max_size=3))
    shapes.insert(0, draw(layer_shapes()))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = "distinct" if distinct else draw(st.sampled_from(["distinct", "few", "0"]))
    share = 1.0 if dense else draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    scores, carried, masks = {}, {}, {}
    for number, shape in enumerate(shapes):
        name = f"layer{number}"
        size = int(np.prod(shape))
        values = {
            "distinct": (number * 1000 + 1 + rng.permutation(size)) / 4096,
            "few": rng.choice([0.0, 0.0, 0.5, 1.0, 3.0], size),
            "0": np.zeros(size),
        }[kind]
        scores[name] = values.reshape(shape).astype(np.float32)
        carried[name] = rng.random(shape) <= share
        if carried[name].any():
            carried[name] |= first_slice(PEMap.parse(pe_map, shape, pes))
        masks[name] = carried[name]
    sparsity = draw(st.integers(0, 23)) / 24
    step = draw(st.sampled_from([0.0, 0.25, 1.0]))
    pruning = Pruning(
        scores=scores,
        masks=masks,
        carried=carried,
        sparsity=sparsity,
        step=step,
        scope=draw(st.sampled_from(["global", "layer"])),
        pe_map=pe_map,
        pes=pes,
        seed=draw(st.integers(0, 5)),
        costs={
            name: LayerCost(
                cycles_per_slice=draw(st.integers(0, 9)),
                base_cycles=draw(st.integers(0, 9)),
            )
            for name in scores
        }
        if costs
        else None,
        **given,
    )
    while not all(map(has_room, (pruning, replace(pruning, revive=True)))):
        pruning = replace(pruning, sparsity=max(0.0, pruning.sparsity - 1 / 24))
    return pruning


def has_room(pruning: Pruning, in_order: bool = True) -> bool:
    """Whether the sparsity leaves a slice to every layer."""
    needed = sum(least_kept(pruning, name, in_order) for name in pruning.scores)
    return count(unstructured(pruning)) >= needed


def first_slice(pe_map: PEMap) -> Any:
    """Mark a weight of every PE of the first group."""
    mask = np.zeros(pe_map.weights, dtype=bool)
    cells = pe_map.cell_labels().reshape(-1)
    for cell in np.flatnonzero(pe_map.cell_group == 0):
        mask[np.flatnonzero(cells == cell)[0]] = True
    return mask.reshape(pe_map.shape)


def count(masks: Any) -> int:
    """Non-zeros of all layers."""
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())
