"""Data sets of images that torchvision reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snn.data.image_data import Augmentation, DataError, Split
from snn.data.image_source import ImageSource, split_of


class _KnownImages(NamedTuple):
    """The class in torchvision, how it is asked for its parts, and its labels."""

    kind: str
    augmentation: Augmentation
    train: Mapping[str, Any] = {"train": True}
    test: Mapping[str, Any] = {"train": False}
    labels: str = "targets"


# Digits and house numbers mean something else, or nothing, in a mirror.
TORCHVISION_SETS = {
    "mnist": _KnownImages("MNIST", "shift"),
    "fashion-mnist": _KnownImages("FashionMNIST", "shift-and-flip"),
    "cifar10": _KnownImages("CIFAR10", "shift-and-flip"),
    "cifar100": _KnownImages("CIFAR100", "shift-and-flip"),
    "svhn": _KnownImages(
        "SVHN", "shift", {"split": "train"}, {"split": "test"}, "labels"
    ),
}


def read_torchvision(name: str, folder: Path, download: bool) -> ImageSource:
    """Read one of `TORCHVISION_SETS`.

    Parameters
    ----------
    name : str
        Which.
    folder : Path
        Where torchvision keeps its files.
    download : bool
        Fetch what is not there.

    Raises
    ------
    DataError
        torchvision cannot be imported, or the data is not there or damaged.
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # the latter: built for another torch
        first = str(error).partition("\n")[0]
        raise DataError(
            f"torchvision, which reads it, cannot be imported ({first}); install the "
            "one that belongs to your torch, or give the images as a .npz file"
        ) from error
    known = TORCHVISION_SETS[name]
    kind = getattr(datasets, known.kind)

    def read(part: str, options: Mapping[str, Any]) -> Split:
        loaded = kind(folder, download=download, **options)
        labels = np.asarray(getattr(loaded, known.labels))
        return split_of(part, np.asarray(loaded.data), labels)

    try:
        return ImageSource(
            read("training set", known.train),
            read("test set", known.test),
            known.augmentation,
        )
    except DataError:
        raise
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(
            f"cannot be read from {folder} ({first}); put torchvision's files "
            "there, or allow to `download` them"
        ) from error
