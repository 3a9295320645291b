"""Labelled images: training, validation and test part, and their scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from balancer.errors import BalancerError

if TYPE_CHECKING:
    from snn.data.batch_split import BatchSplit

Augmentation = Literal["none", "shift", "shift-and-flip"]

# Images that are widened to float64 at a time, so that statistics need little memory.
_CHUNK = 1024


class DataError(BalancerError):
    """Images or labels that cannot be used, or are not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Labelled images.

    Attributes
    ----------
    images : Tensor of uint8 or float32 [N, C, H, W] or [N, T, C, H, W]
        As they are stored, not normalized; with a time axis for event data.
    labels : Tensor of int64 [N]
        Classes, from 0.

    Raises
    ------
    DataError
        Other shapes or types, lengths that differ, pixels that are not finite, or
        negative labels.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        if self.images.ndim not in (4, 5) or 0 in self.images.shape[1:]:
            raise DataError(
                f"images have shape {list(self.images.shape)}; [N, C, H, W] is needed, "
                "or [N, T, C, H, W] for event data, and no axis of size 0"
            )
        if self.images.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"images are {self.images.dtype}; uint8 or float32 is needed"
            )
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError(
                f"labels are {self.labels.dtype} {list(self.labels.shape)}; "
                "one int64 for each image is needed"
            )
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images have {len(self.labels)} labels")
        floats = self.images.is_floating_point()
        if floats and not torch.isfinite(self.images).all():
            raise DataError(
                "images hold NaN or infinite values; remove or replace them"
            )
        if len(self.labels) and int(self.labels.min()) < 0:
            raise DataError(
                f"labels go down to {int(self.labels.min())}; classes count from 0"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image or sequence."""
        return tuple(self.images.shape[1:])

    def share_of_step(self, size: int) -> float:
        """Part of an epoch that a batch of `size` images is."""
        return size / len(self)

    def least_batch(self, size: int) -> int:
        """Images of the smallest batch of an epoch; one image alone joins another."""
        rest = len(self) % size
        return rest if rest > 1 else size

    def first(self, count: int) -> Split:
        """Return a copy of the first images, at most so many."""
        return self.take(torch.arange(min(count, len(self))))

    def take(self, indices: torch.Tensor) -> Split:
        """Return a copy of some of the images, in the order of `indices`."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, slots=True, eq=False)
class ImageData:
    """A data set, ready to train on.

    Attributes
    ----------
    name : str
        What was loaded.
    train, validation, test : Split or BatchSplit
        Disjoint parts, in memory or in batches. Choices are made on `validation`, which
        may be empty; `test` is for the last number alone.
    classes : int
        Number of classes; every one has training images.
    mean, std : Tensor of float32 [C]
        Of the pixels of `train`, in their stored unit; `std` is 1 where a channel is
        constant. For events `mean` is 0: where none is, there must be no spike.
    augmentation : {"none", "shift", "shift-and-flip"}
        What may be done to its images without changing their class.
    """

    name: str
    train: Split | BatchSplit
    validation: Split | BatchSplit
    test: Split | BatchSplit
    classes: int
    mean: torch.Tensor
    std: torch.Tensor
    augmentation: Augmentation

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image, or of one frame of events."""
        channels, height, width = self.train.shape[-3:]
        return channels, height, width

    @property
    def events(self) -> bool:
        """Every image is a sequence of frames."""
        return len(self.train.shape) == 4

    @property
    def timesteps(self) -> int | None:
        """Frames of each sequence of events; None for still images."""
        return self.train.shape[0] if self.events else None


def channel_statistics(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every channel.

    Parameters
    ----------
    images : Tensor [N, C, H, W] or [N, T, C, H, W]
        At least one image.

    Returns
    -------
    mean, std : Tensor of float32 [C]
        Over all images, time steps and pixels, with N in the denominator; a constant
        channel has standard deviation 1, so that dividing by it is harmless.
    """
    flat = images.flatten(0, -4)
    count = flat[:, 0].numel()
    chunks = flat.split(_CHUNK)
    mean = torch.stack([chunk.double().sum((0, 2, 3)) for chunk in chunks]).sum(0)
    mean /= count
    centre = mean[:, None, None]
    squares = [(chunk.double() - centre).square_().sum((0, 2, 3)) for chunk in chunks]
    std = (torch.stack(squares).sum(0) / count).sqrt_()
    # Up to 2**29 equal float32 add up exactly in float64: constants give exactly 0.
    return mean.float(), std.masked_fill(std == 0, 1.0).float()
