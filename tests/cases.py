"""Hypothesis strategies for layers, PE maps and retention problems."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from balancer import (
    Cancellation,
    PEMap,
    RetentionProblem,
    Schedule,
    Search,
    SearchLimits,
    map_kinds,
)

# Those of the package; other tests register maps of their own.
KINDS = tuple(kind for kind in map_kinds() if kind.function is None)


def repeated(times: int) -> int:
    """Say how often a loop over drawn cases runs: less where few examples are asked."""
    return min(times, times * settings.default.max_examples // 50)


def shapes(max_weights: int, min_side: int = 1) -> st.SearchStrategy[tuple[int, ...]]:
    """Linear, conv 1d/2d/3d and depthwise shapes with at most `max_weights` weights."""
    side = st.integers(min_side, max(min_side, max_weights))
    kernel = st.sampled_from([(), (), (2,), (3,), (2, 2), (3, 3), (1, 2, 2)])

    def clip(outputs: int, inputs: int, kernel: tuple[int, ...]) -> tuple[int, ...]:
        positions = int(np.prod(kernel, dtype=int))
        if positions > max_weights:
            kernel, positions = (), 1
        inputs = min(inputs, max_weights // positions)
        outputs = min(outputs, max_weights // max(1, inputs * positions))
        return (max(min_side, outputs), max(min_side, inputs), *kernel)

    return st.builds(clip, side, side, kernel)


@st.composite
def pe_maps(draw: Any, max_weights: int, min_side: int = 1) -> PEMap:
    """Any PE map on any shape, arrays larger and smaller than the layer."""
    shape = draw(shapes(max_weights, min_side))
    kind = draw(st.sampled_from((*KINDS, None, None)))
    pes = draw(st.integers(1, 6))
    if kind is None:
        size = int(np.prod(shape))
        labels = [
            draw(st.lists(st.integers(0, most), min_size=size, max_size=size))
            for most in (2, pes - 1)
        ]
        group, pe = (np.array(label, dtype=int).reshape(shape) for label in labels)
        return PEMap.from_labels(group, pe, pes)
    names = re.findall(r"\{(\w+)\}", kind.spec)
    numbers = sorted(draw(st.integers(1, 4)) for _ in names)  # n:m needs n <= m
    spec = kind.spec.format(**dict(zip(names, numbers, strict=True)))
    return PEMap.parse(spec, shape, pes)


def scores(size: int) -> st.SearchStrategy[np.ndarray]:
    """Scores with many ties and zeros, or without any, of both float types."""
    few = st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0])
    many = st.floats(0, 1e3, width=32)
    return st.builds(
        lambda values, dtype: np.array(values, dtype=dtype),
        st.one_of(
            st.lists(few, min_size=size, max_size=size),
            st.lists(many, min_size=size, max_size=size),
            st.just([0.0] * size),
        ),
        st.sampled_from([np.float32, np.float64]),
    )


@dataclass(frozen=True)
class Case:
    """What a `RetentionProblem` is made of; it may have no solution."""

    scores: np.ndarray
    pe_map: PEMap
    options: dict[str, Any]

    def problem(self) -> RetentionProblem:
        return RetentionProblem(self.scores, self.pe_map, **self.options)


@st.composite
def cases(draw: Any, max_weights: int, constrained: bool = True) -> Case:
    """A case with any budget and, if `constrained`, any mixture of constraints."""
    pe_map = draw(pe_maps(max_weights))
    size = pe_map.weights
    options: dict[str, Any] = {}
    if pe_map.fixed_load is None or draw(st.booleans()):
        options["budget"] = draw(st.integers(0, size))
    if constrained and draw(st.booleans()):
        options["min_load"] = draw(st.integers(0, 2))
    if constrained and draw(st.booleans()):
        options["max_load"] = draw(st.integers(0, 4))
    if constrained and draw(st.booleans()):
        count = pe_map.channels
        floors = st.lists(st.integers(0, 2), min_size=count, max_size=count)
        options["channel_floor"] = np.array(draw(floors), dtype=int)
    if constrained:
        for name, share in (("previous_mask", 4), ("forced", 1)):
            if draw(st.booleans()):
                digits = st.lists(st.integers(0, 5), min_size=size, max_size=size)
                marked = np.array(draw(digits), dtype=int) <= share - (share == 1)
                options[name] = marked.reshape(pe_map.shape)
    values = draw(scores(size)).reshape(pe_map.shape)
    return Case(values, pe_map, options)


@st.composite
def masked_layers(draw: Any) -> tuple[Any, Any, PEMap, list[Schedule]]:
    """Any map on any layer, with any weights and mask, and any order."""
    pe_map = draw(pe_maps(60, min_side=draw(st.sampled_from([0, 1, 1, 1]))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = rng.standard_normal(pe_map.shape).astype(np.float32)
    mask = rng.random(pe_map.shape) < draw(st.sampled_from([0, 0.1, 0.5, 1]))
    if draw(st.booleans()):  # kept zeros of both signs
        weights[rng.random(pe_map.shape) < 0.3] = draw(st.sampled_from([0.0, -0.0]))
    axes = draw(st.lists(st.sampled_from([0, 1]), unique=True))
    schedules = [Schedule(axis, rng.permutation(pe_map.shape[axis])) for axis in axes]
    return weights, mask, pe_map, schedules


def search_of(progress: Any = None, cancellation: Any = None, **limits: Any) -> Search:
    """Make a search with some limits."""
    return Search(SearchLimits(**limits), progress, cancellation or Cancellation())


def words(max_words: int) -> st.SearchStrategy[str]:
    """Short and long words, as names of layers and columns are made of."""
    word = st.text("abcdefgh.0123", min_size=1, max_size=24)
    return st.lists(word, min_size=1, max_size=max_words).map(" ".join)
