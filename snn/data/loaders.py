"""Batches of the user's own: what any iterable of them has to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snn.data.image_data import DataError


def check_batches(name: str, batches: object) -> None:
    """Refuse what cannot be run through again and again.

    Raises
    ------
    DataError
        No iterable, or an iterator, which is used up after one pass.
    """
    if isinstance(batches, Iterator):
        raise DataError(
            f"`{name}` is a {type(batches).__name__}, which is used up after one pass; "
            "give a DataLoader, a list, or another iterable that begins anew"
        )
    if not isinstance(batches, Iterable) and not hasattr(batches, "__getitem__"):
        raise DataError(
            f"`{name}` is a {type(batches).__name__}; an iterable of batches (inputs, "
            "labels) is needed, such as a DataLoader"
        )
