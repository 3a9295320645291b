"""The PE maps that have a name: those of the package, and those of its users."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import numpy.typing as npt

from balancer.errors import BalancerError
from balancer.maps import layouts  # noqa: F401 (its maps are registered there)
from balancer.maps.kinds import KINDS, MapKind
from balancer.maps.labels import Place, labelled, placed
from balancer.maps.layout import LayerShape, Layout
from balancer.maps.own_maps import own_map

Labels: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike]
"""Group and PE of every weight, as `PEMap.from_labels` takes them."""


def register_map(
    name: str,
    labels: Callable[[tuple[int, ...], int], Labels] | None = None,
    help: str = "a map of your own",
    *,
    place: Place | None = None,
) -> None:
    """Give a name to a PE map of your own.

    `PEMap.parse`, `balance_network`, accelerators and lottery runs of this process then
    know it as they know those that come with the package.

    Parameters
    ----------
    name : str
        What it is called: letters, digits and underscores.
    labels : callable
        Takes the shape of the weights and the number of PEs; returns group and PE of
        every weight, as `PEMap.from_labels` takes them.
    help : str
        What it means, in a few words.
    place : callable
        Instead of `labels`: ``place(o, i, r, c) -> (group, pe)`` of one weight, as
        `PEMap.from_place` takes it.

    Raises
    ------
    BalancerError
        A name that is taken or no name, or not one of `labels` and `place`.

    Examples
    --------
    Every PE takes every P-th input channel, one output channel after another:

    >>> import numpy as np
    >>> from balancer import PEMap, register_map
    >>> def dealt(shape, pes):
    ...     channel, row = np.indices(shape)[:2]
    ...     return channel, row % pes
    >>> register_map("dealt_inputs", dealt)
    >>> PEMap.parse("dealt_inputs", (32, 64, 3, 3), pes=16).groups
    32
    """
    if not re.fullmatch(r"[a-z]\w*", name):
        raise BalancerError(
            f"map name {name!r}: a lower-case letter, then letters, digits and "
            "underscores are needed"
        )
    if any(kind.numbers(name) is not None for kind in KINDS):
        raise BalancerError(f"a PE map named {name!r} exists already")

    if (labels is None) == (place is None):
        raise BalancerError(f"the map {name!r} needs one of `labels` and `place`")

    def cut(layer: LayerShape, pes: int) -> Layout:
        if place is not None:
            return labelled(*placed(layer, place), pes, layer.shape)[1]
        assert labels is not None  # one of them is given
        return labelled(*labels(layer.shape, pes), pes, layer.shape)[1]

    KINDS.append(MapKind(name, help, cut, finds_order=True, function=labels or place))


def map_kinds() -> tuple[MapKind, ...]:
    """All PE maps that have a name, in the order in which they were registered.

    Examples
    --------
    >>> from balancer import map_kinds
    >>> [kind.shown for kind in map_kinds()][:3]
    ['output_channel', 'input_channel', 'interleaved']
    """
    return tuple(KINDS)


def find_kind(spec: str) -> tuple[MapKind, dict[str, int]]:
    """Find the map that a text names, and the numbers in the text.

    Raises
    ------
    BalancerError
        A text that names no map, or a map in formulas that is none.
    """
    own = own_map(spec)
    if own is not None:
        return own.kind(), {}
    text = spec.strip().lower().replace("-", "_")
    for kind in KINDS:
        numbers = kind.numbers(text)
        if numbers is not None:
            return kind, numbers
    accepted = ", ".join(kind.shown for kind in KINDS)
    raise BalancerError(
        f"unknown PE map {spec!r}; accepted: {accepted}, a YAML file with formulas for "
        "`group` and `pe`, or these as a text (group=out // 8; pe=out % 8)"
    )


def settle_map(spec: str, pes: int | None = None) -> tuple[str, int | None]:
    """Say all of a map in its text: formulas instead of their file, and their PEs.

    Parameters
    ----------
    spec : str
        As `PEMap.parse` reads it.
    pes : int, optional
        PEs that were asked for.

    Returns
    -------
    spec : str
        The same, unless the map is one in formulas.
    pes : int or None
        What the formulas say, else what was asked for.

    Raises
    ------
    BalancerError
        Formulas that cannot be read, or that say another number of PEs.

    Examples
    --------
    >>> from balancer.maps.registry import settle_map
    >>> settle_map("pes=8; group=out//8; pe=(out%8)")
    ('pes=8; group=out // 8; pe=out % 8', 8)
    """
    own = own_map(spec)
    if own is None:
        return spec, pes
    if None not in (own.pes, pes) and own.pes != pes:
        raise BalancerError(
            f"`pes` is {pes}, but the PE map {own.text!r} has {own.pes}; leave one of "
            "them out"
        )
    return own.text, own.pes if pes is None else pes
