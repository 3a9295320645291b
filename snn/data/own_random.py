"""Random numbers for code that is not ours, drawn apart from everybody else's."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed the generators that belong to nobody: torch's, NumPy's and Python's."""
    torch.manual_seed(seed)
    _seed_on_cpu(seed)


def run_through(batches: Iterable[Any], seed: int) -> Iterator[Any]:
    """Iterate once over batches; what they draw depends on the seed alone.

    Shuffling and augmentation draw from the generators of torch, NumPy and Python,
    which are those of the seed while a batch is made, and between batches what they
    were. A `DataLoader` or sampler with a generator of its own has it seeded.

    Parameters
    ----------
    batches : iterable
        It begins anew whenever it is iterated.
    seed : int
        Non-negative.
    """
    sampler = getattr(batches, "batch_sampler", None)
    for holder in (
        batches,
        *(getattr(one, "sampler", None) for one in (batches, sampler)),
    ):
        generator = getattr(holder, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
    outside = _states()
    _seed_on_cpu(seed)
    iterator, end = iter(batches), object()
    while True:
        try:
            batch = next(iterator, end)
        finally:
            inside = _states()
            _restore(outside)
        if batch is end:
            return
        yield batch
        outside = _states()
        _restore(inside)


def _seed_on_cpu(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the one that code of users draws from
    random.seed(seed)


def _states() -> tuple[Any, ...]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _restore(states: tuple[Any, ...]) -> None:
    of_torch, of_numpy, of_python = states
    torch.set_rng_state(of_torch)
    np.random.set_state(of_numpy)  # noqa: NPY002
    random.setstate(of_python)
