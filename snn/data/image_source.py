"""What a source of images gives: arrays of any usual layout become splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from snn.data.image_data import Augmentation, DataError, Split

# The last axis counts channels, not columns, if it is this short.
_MOST_CHANNELS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ImageSource:
    """A data set before a validation part is taken from it.

    Attributes
    ----------
    train, test : Split
        As published.
    augmentation : {"none", "shift", "shift-and-flip"}
        What may be done to its images without changing their class.

    Raises
    ------
    DataError
        Nothing to train or test on, images of different shapes, test labels that no
        training image has, or classes without training images.
    """

    train: Split
    test: Split
    augmentation: Augmentation

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("test", self.test)):
            if not len(split):
                raise DataError(f"there are no {part} images")
        train, test = (list(s.images.shape[1:]) for s in (self.train, self.test))
        if train != test:
            raise DataError(
                f"training images have shape {train} but test images {test}; "
                "bring them to one size"
            )
        missing = missing_class(self.train.labels, self.classes)
        if missing is not None:
            raise DataError(
                f"class {missing} of {self.classes} has no training images; number the "
                "classes from 0 without gaps"
            )
        highest = int(self.test.labels.max())
        if highest >= self.classes:
            raise DataError(
                f"test labels go up to {highest}, but the training set has classes "
                f"0 to {self.classes - 1}"
            )

    @property
    def classes(self) -> int:
        """Number of classes: one more than the highest label of the training set."""
        return int(self.train.labels.max()) + 1


def missing_class(labels: torch.Tensor, classes: int) -> int | None:
    """Find the first class that no image has.

    Parameters
    ----------
    labels : Tensor of int64 [N]
        From 0 to `classes` - 1.
    classes : int
        How many there should be.
    """
    present = torch.unique(labels)  # a count of each would be as long as the highest
    if len(present) == classes:
        return None
    wrong = (present != torch.arange(len(present))).nonzero()
    return int(wrong[0]) if len(wrong) else len(present)


def split_of(part: str, images: npt.ArrayLike, labels: npt.ArrayLike) -> Split:
    """Bring arrays to the layout of a `Split`.

    Parameters
    ----------
    part : str
        What errors call it.
    images : array of uint8, bool or floats
        [N, H, W]; [N, H, W, C] if the last axis has at most 4 entries and the second
        has more; [N, C, H, W] otherwise; or [N, T, C, H, W] for event data.
    labels : array of integers [N]
        Classes, from 0.

    Raises
    ------
    DataError
        Arrays that do not fit.
    """
    try:
        return Split(_images(np.asarray(images)), _labels(np.asarray(labels)))
    except DataError as error:
        raise DataError(f"{part}: {error}") from error


def _images(array: npt.NDArray[Any]) -> torch.Tensor:
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
    elif array.dtype != np.uint8:
        raise DataError(
            f"images are {array.dtype}; save them as uint8 or float32, e.g. with "
            "x.astype('uint8')"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] <= _MOST_CHANNELS < array.shape[1]:
        array = array.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(array))


def _labels(array: npt.NDArray[Any]) -> torch.Tensor:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(
            f"labels are {array.dtype} {list(array.shape)}; one integer for each image "
            "is needed"
        )
    return torch.from_numpy(array.astype(np.int64))
