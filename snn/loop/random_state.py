"""Everything that a training round of unknown code may draw from or keep.

Random numbers of torch, NumPy and Python; whatever has a state dict, as optimizers,
schedules and gradient scalers have.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from snn.loop.loop_config import LoopError


def random_state() -> dict[str, Any]:
    """Copy their states, as ``torch.load(…, weights_only=True)`` can read them."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    version, numbers, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, torch.tensor(numbers, dtype=torch.int64), gauss],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Go back to what `random_state` copied."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))


def states_of(kept: Sequence[Any]) -> list[Any]:
    """Copy the states of optimizers, schedules, generators, …."""
    return [
        one.get_state() if isinstance(one, torch.Generator) else one.state_dict()
        for one in kept
    ]


def restore_states(kept: Sequence[Any], states: Sequence[Any]) -> None:
    """Go back to what `states_of` copied.

    Raises
    ------
    LoopError
        Other objects than those whose states were copied.
    """
    if len(kept) != len(states):
        raise LoopError(
            f"the round was begun with {len(states)} objects that have a state, and "
            f"goes on with {len(kept)}; give `epochs` the same, or begin again with "
            "restart=True"
        )
    for one, state in zip(kept, states, strict=True):
        if isinstance(one, torch.Generator):
            one.set_state(state)
        else:
            one.load_state_dict(state)


def check_states(kept: Iterable[Any]) -> None:
    """Refuse what has no state that could be kept.

    Raises
    ------
    LoopError
        An object that is neither a generator nor has a state dict.
    """
    for one in kept:
        known = hasattr(one, "state_dict") and hasattr(one, "load_state_dict")
        if not known and not isinstance(one, torch.Generator):
            raise LoopError(
                f"{type(one).__name__} has no state to keep; accepted: what has "
                "`state_dict` and `load_state_dict`, as optimizers and schedules have, "
                "and `torch.Generator`s"
            )
