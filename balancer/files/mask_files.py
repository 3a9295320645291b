"""Mask files: which weights layers keep, and in which order the PEs take channels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balancer.array_types import AnyArray, BoolArray
from balancer.files.array_files import save_arrays
from balancer.files.axes import Axes
from balancer.files.layer_roles import ORDER_ROLES
from balancer.maps.schedule import Schedule


def save_masks(
    path: str | os.PathLike[str],
    masks: Mapping[str, BoolArray],
    metadata: Mapping[str, Any],
    schedules: Mapping[str, Schedule] | None = None,
    axes: Mapping[str, str] | None = None,
) -> None:
    """Write ``NAME.mask`` and ``NAME.order`` of every layer.

    Orders of input channels are written as ``NAME.input_order``; ``NAME.order`` is then
    that of the output channels, as they are.

    Parameters
    ----------
    path : str or path
        File to write, .safetensors or .npz. Give it a temporary name (see
        `atomic.replacing`) to leave nothing behind if something fails.
    masks : mapping of str to ndarray of bool
        Kept weights of each layer.
    metadata : mapping
        Whatever JSON can hold.
    schedules : mapping of str to Schedule, optional
        In which order the PEs take the channels of layers; default: as they are.
    axes : mapping of str to str, optional
        In which order the axes of layers are written, as `Ticket.axes` has them;
        default: outputs first.

    Examples
    --------
    >>> import numpy as np
    >>> from balancer import Schedule, open_ticket, save_masks
    >>> mask = np.array([[True, False], [False, True]])
    >>> save_masks("m.npz", {"fc": mask}, {"pes": 2}, {"fc": Schedule(0, [1, 0])})
    >>> open_ticket("m.npz").layers[0].read_schedules()[0].order.tolist()
    [1, 0]
    """
    arrays: dict[str, AnyArray] = {}
    for name, mask in masks.items():
        natural = Schedule.natural(mask.shape)
        schedule = (schedules or {}).get(name, natural)
        text = (axes or {}).get(name)
        arrays[f"{name}.mask"] = mask if text is None else Axes.of(text).back(mask)
        arrays[f"{name}.order"] = natural.order
        arrays[f"{name}.{ORDER_ROLES[schedule.axis]}"] = schedule.order
    stated = {"axes": dict(axes)} if axes else {}
    save_arrays(Path(path), arrays, {**metadata, **stated})
