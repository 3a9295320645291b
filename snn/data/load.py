"""Load a data set by its name or path, and take a validation part from it.

`ImageData` with its `Split`s, and their `batches`, can be imported from here, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from snn.data.batches import batches
from snn.data.digits import read_digits
from snn.data.event_data import EVENT_SETS, read_events
from snn.data.image_data import (
    Augmentation,
    DataError,
    ImageData,
    Split,
    channel_statistics,
)
from snn.data.image_files import read_folder
from snn.data.image_source import ImageSource, missing_class
from snn.data.npz_images import read_npz
from snn.data.stratified import stratified_choice
from snn.data.torchvision_images import TORCHVISION_SETS, read_torchvision

__all__ = ["DATASETS", "DataError", "ImageData", "Split", "batches", "load_data"]

DATASETS = ("digits", *TORCHVISION_SETS, *EVENT_SETS)


def load_data(
    dataset: str,
    *,
    folder: str | Path | None = None,
    download: bool = False,
    train_size: int | None = None,
    validation: float = 0.1,
    seed: int = 0,
    timesteps: int = 4,
    augmentation: Augmentation | None = None,
) -> ImageData:
    """Load a data set into memory.

    The test set is the published one, or, for the digits, one that is fixed once and
    for all. The validation part is a share of every class of the training set, chosen
    by `seed` and the same for every `train_size`.

    Parameters
    ----------
    dataset : str
        One of `DATASETS`, or a path: of a `.npz` file with `x_train`, `y_train`,
        `x_test` and `y_test`, or of a folder with ``train/CLASS/*.png`` and
        ``test/CLASS/*.png``.
    folder : path, optional
        Where the files of named data sets are; the digits need none.
    download : bool
        Fetch named data sets that are not in `folder`.
    train_size : int, optional
        How many images to train on, classes in proportion, chosen by `seed`; by default
        all that are not for validation.
    validation : float
        Share of the published training set that is kept for choosing, from 0 to
        below 1.
    seed : int
        For the validation part and the choice of `train_size` images; at least 0.
    timesteps : int
        Frames that recordings of events are integrated to; `.npz` files have their own.
    augmentation : {"none", "shift", "shift-and-flip"}, optional
        What leaves the class of an image alone; by default what is known of a named
        data set, and "shift" for files and folders.

    Raises
    ------
    DataError
        Unknown or missing data, images or labels that do not fit, or sizes that leave
        some class without training images.

    Examples
    --------
    >>> from snn import load_data
    >>> data = load_data("digits", train_size=100)
    >>> data.input_shape, data.classes, len(data.train)
    ((1, 8, 8), 10, 100)
    """
    if not 0 <= validation < 1:
        raise DataError(f"`validation` is {validation}; a share from 0 to below 1")
    if seed < 0:
        raise DataError(f"`seed` is {seed}; an integer from 0")
    if timesteps < 1:
        raise DataError(f"`timesteps` is {timesteps}; an integer from 1")
    try:
        if dataset in DATASETS:
            source = _read_named(dataset, folder, download, timesteps)
        else:
            source = _read_path(Path(dataset))
    except DataError as error:
        raise DataError(f"{dataset}: {error}") from error
    held_out, chosen = _choose(
        source.train.labels.numpy(), train_size, validation, seed
    )
    train = source.train.take(chosen)
    missing = missing_class(train.labels, source.classes)
    if missing is not None:
        raise DataError(
            f"no image of class {missing} is left to train on, with `validation` "
            f"{validation} and {len(train)} training images; raise `train_size` or "
            "lower `validation`"
        )
    mean, std = channel_statistics(train.images)
    if train.images.ndim == 5:
        mean.zero_()  # where no event is, there must be no spike
    return ImageData(
        name=dataset,
        train=train,
        validation=source.train.take(held_out),
        test=source.test,
        classes=source.classes,
        mean=mean,
        std=std,
        augmentation=augmentation or source.augmentation,
    )


def _read_named(
    dataset: str, folder: str | Path | None, download: bool, timesteps: int
) -> ImageSource:
    if dataset == "digits":
        return read_digits()
    if folder is None:
        raise DataError("name the `folder` where its files are, or shall be put")
    if dataset in EVENT_SETS:
        return read_events(dataset, Path(folder), download, timesteps)
    return read_torchvision(dataset, Path(folder), download)


def _read_path(path: Path) -> ImageSource:
    if path.suffix == ".npz":
        return read_npz(path)
    if path.is_dir():
        return read_folder(path)
    raise DataError(
        f"no such data set; give {', '.join(DATASETS)}, the path of a .npz file, or of "
        "a folder with train/CLASS/*.png and test/CLASS/*.png"
    )


def _choose(
    labels: npt.NDArray[np.int64], train_size: int | None, validation: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the validation and of the training images, disjoint."""
    count = round(validation * len(labels))
    held_out = stratified_choice(labels, count, np.random.default_rng([seed, 0]))
    rest = np.flatnonzero(~held_out)
    if train_size is None:
        train_size = len(rest)
    if not 1 <= train_size <= len(rest):
        raise DataError(
            f"`train_size` is {train_size}; from 1 to the {len(rest)} training images "
            f"that {count} for validation leave"
        )
    of_rest = stratified_choice(
        labels[rest], train_size, np.random.default_rng([seed, 1])
    )
    return torch.from_numpy(np.flatnonzero(held_out)), torch.from_numpy(rest[of_rest])
