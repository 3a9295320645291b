"""Files of weights with what they do not say themselves: axes, sizes, strides."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from balancer import Ticket, open_ticket
from hwmodel.chain import place_layers
from hwmodel.errors import WorkloadError


def open_told(
    path: str | os.PathLike[str],
    axes: Iterable[str] = (),
    input_shape: tuple[int, ...] | None = None,
    geometry: str | Path | None = None,
) -> Ticket:
    """Open a file, and place its layers where their sizes are told.

    Parameters
    ----------
    path : str or path
        See `balancer.open_ticket`.
    axes : iterable of str
        Texts ``GLOB=AXES``, or ``AXES`` alone, see `read_axes_texts`.
    input_shape : tuple of int, optional
        What the first layer sees.
    geometry : str or path, optional
        See `place_layers`.

    Raises
    ------
    BalancerError
        As `balancer.open_ticket` and `place_layers` do.
    """
    ticket = open_ticket(path, read_axes_texts(axes))
    if input_shape is None and geometry is None:
        return ticket
    return place_layers(ticket, input_shape, geometry)


def read_axes_texts(texts: Iterable[str]) -> dict[str, str]:
    """Read ``GLOB=AXES``; alone, axes are those of all layers with so many.

    Examples
    --------
    >>> from hwmodel.told_tickets import read_axes_texts
    >>> read_axes_texts(["up.*=iohw", "hwio", "io"])
    {'up.*': 'iohw', '*': 'hwio,io'}
    """
    axes: dict[str, str] = {}
    for text in texts:
        pattern, _, letters = text.rpartition("=")
        pattern = pattern or "*"
        axes[pattern] = f"{axes[pattern]},{letters}" if pattern in axes else letters
    return axes


def read_sizes(text: str, name: str = "`input_shape`") -> tuple[int, ...]:
    """Read the sizes of an input; errors call it `name`.

    Raises
    ------
    WorkloadError
        No whole numbers from 1.

    Examples
    --------
    >>> from hwmodel.told_tickets import read_sizes
    >>> read_sizes("3,32,32"), read_sizes("784")
    ((3, 32, 32), (784,))
    """
    sizes = text.replace("x", ",").split(",")
    if not all(size.strip().isdecimal() and int(size) for size in sizes):
        raise WorkloadError(
            f"{name} is {text!r}; accepted are whole numbers from 1 with commas "
            "between them: 3,32,32 or 40,100 or 784"
        )
    return tuple(map(int, sizes))
