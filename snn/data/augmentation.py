"""Random shifts and mirror images, for a whole batch at once."""

from __future__ import annotations

import torch
from torch.nn import functional

from snn.data.image_data import Augmentation

# A shift is at most this part of the shorter side: the usual 4 pixels of 32.
_SHIFT = 8


def draw_moves(
    count: int,
    size: tuple[int, int],
    augmentation: Augmentation,
    generator: torch.Generator,
) -> torch.Tensor:
    """Draw from where each pixel of each image is to be taken.

    Parameters
    ----------
    count : int
        Images.
    size : tuple of int
        Their height and width.
    augmentation : {"none", "shift", "shift-and-flip"}
        What may be done to them.
    generator : Generator on the CPU
        Where chance comes from.

    Returns
    -------
    Tensor of int64 [N, H * W]
        Pixels of the padded images of `moved`, in the order of their rows.
    """
    height, width = size
    margin = _margin(size)
    rows = torch.arange(height).expand(count, height) + margin
    columns = torch.arange(width).expand(count, width) + margin
    if augmentation != "none":
        shifts = torch.randint(-margin, margin + 1, (2, count, 1), generator=generator)
        rows, columns = rows + shifts[0], columns + shifts[1]
    if augmentation == "shift-and-flip":
        mirrored = torch.randint(2, (count, 1), generator=generator).bool()
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded_width = width + 2 * margin
    return (rows[:, :, None] * padded_width + columns[:, None]).flatten(1)


def moved(images: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Move every image, with zeros where nothing was.

    Parameters
    ----------
    images : Tensor [N, ..., H, W]
        All channels and frames of an image move alike.
    moves : Tensor of int64 [N, H * W]
        From `draw_moves`, for images of this size.

    Returns
    -------
    Tensor [N, ..., H, W]
        A contiguous copy.
    """
    height, width = images.shape[-2:]
    planes = images.flatten(1, -3)
    padded = functional.pad(planes, [_margin((height, width))] * 4).flatten(2)
    pixels = moves[:, None].expand(-1, padded.shape[1], -1)
    return padded.gather(2, pixels).view(images.shape)


def _margin(size: tuple[int, int]) -> int:
    return min(size) // _SHIFT
