"""A `DataLoader` or any other iterable of batches as a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch

from snn.data.batch_split import Batches, BatchSplit
from snn.data.image_data import DataError, ImageData, Split

# What stands for a data set: the set itself, or the batches of its parts.
Data: TypeAlias = ImageData | Mapping[str, Batches] | tuple[Batches, Batches]

_PARTS = ("train", "validation", "test")
_ACCEPTED = (
    "accepted: an ImageData, a tuple (train, test), or a dict with train, test and, if "
    "there is one, validation; each a DataLoader or another iterable of batches "
    "(images, labels) that can be run through again and again"
)


def as_image_data(data: Data | None) -> ImageData | None:
    """Make a data set of the batches of its parts; an `ImageData` is one already.

    The images are taken as they come: no mean is subtracted, nothing is augmented.
    Each part is run through once, to see what it holds.

    Parameters
    ----------
    data : ImageData, mapping, or tuple
        Batches by ``train``, ``test`` and ``validation``, or those of training and
        test.

    Raises
    ------
    DataError
        Something else, or batches that do not fit each other.

    Examples
    --------
    >>> import torch
    >>> from snn.data.loaders import as_image_data
    >>> batch = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    >>> data = as_image_data({"train": [batch, batch], "test": [batch]})
    >>> len(data.train), data.classes, data.input_shape
    (12, 3, (1, 8, 8))
    """
    if data is None or isinstance(data, ImageData):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        data = dict(zip(("train", "test"), data, strict=True))
    if not isinstance(data, Mapping):
        raise DataError(f"`data` is a {type(data).__name__}; {_ACCEPTED}")
    if not {"train", "test"} <= data.keys() <= set(_PARTS):
        said = ", ".join(map(str, data)) or "nothing"
        raise DataError(f"`data` has {said}; {_ACCEPTED}")
    parts = {name: BatchSplit.of(name, batches) for name, batches in data.items()}
    train = parts["train"]
    for name, part in parts.items():
        if part.shape != train.shape:
            raise DataError(
                f"`{name}` has images of shape {part.shape}, `train` of {train.shape}; "
                "bring them to one size"
            )
        if part.classes > train.classes:
            raise DataError(
                f"labels of `{name}` go up to {part.classes - 1}, those of `train` to "
                f"{train.classes - 1}"
            )
    channels = train.shape[-3]
    none = Split(torch.empty(0, *train.shape), torch.empty(0, dtype=torch.int64))
    return ImageData(
        name="own-batches",
        train=train,
        validation=parts.get("validation", none),
        test=parts["test"],
        classes=train.classes,
        mean=torch.zeros(channels),
        std=torch.ones(channels),
        augmentation="none",
    )
