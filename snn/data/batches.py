"""Cut a split into batches: shuffled, augmented, normalized."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from snn.data.augmentation import draw_moves, moved
from snn.data.batch_split import BatchSplit
from snn.data.image_data import DataError, ImageData, Split


def batches(
    data: ImageData,
    split: Split | BatchSplit,
    size: int,
    *,
    generator: torch.Generator | None = None,
    augment: bool = False,
    part: slice = slice(None),
    device: torch.device | str = "cpu",
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Iterate once over a split.

    Everything random is drawn from `generator`, for the whole batch whatever `part` is:
    equal generators give equal batches, and the parts of several processes make up the
    batches of one.

    Parameters
    ----------
    data : ImageData
        Whose statistics normalize the images.
    split : Split
        One of its parts.
    size : int
        Images of a batch. The last one may have fewer; a single image that is left over
        joins the batch before it, because batch normalization needs two. A `BatchSplit`
        has batches of its own.
    generator : Generator on the CPU, optional
        Shuffles the images and draws the augmentation; without it they come in order.
    augment : bool
        Shift every image by up to an eighth of its shorter side (4 pixels of 32) in
        both directions, with zeros moving in, and mirror half of them from left to
        right, as far as `data.augmentation` allows. All frames of a sequence of events
        move alike.
    part : slice
        What to return of every batch. With ``slice(rank, None, processes)`` parts
        differ by at most one image, and are empty where there is none for a process.
    device : device or str
        Where the batches go.

    Yields
    ------
    x : Tensor of float32 [N, C, H, W] or [T, N, C, H, W]
        Images with mean 0 and variance 1 over the training part, or sequences of
        events, which are only scaled.
    y : Tensor of int64 [N]
        Their labels.

    Raises
    ------
    DataError
        A `size` below 1, or augmentation without a generator.
    """
    if size < 1:
        raise DataError(f"`size` is {size}; a batch needs at least one image")
    if augment and generator is None:
        raise DataError("augmentation is random; give it a `generator`")
    if isinstance(split, BatchSplit):
        return _own_batches(split, generator, part, device)
    return _batches(data, split, size, generator, augment, part, device)


def _own_batches(
    split: BatchSplit,
    generator: torch.Generator | None,
    part: slice,
    device: torch.device | str,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Take batches as they come."""
    for batch in split.run(generator):
        images = batch.images[part].to(device)
        if images.ndim == 5:
            images = images.transpose(0, 1).contiguous()
        yield images.float(), batch.labels[part].to(device)


def _batches(
    data: ImageData,
    split: Split,
    size: int,
    generator: torch.Generator | None,
    augment: bool,
    part: slice,
    device: torch.device | str,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    mean = data.mean.to(device)[:, None, None]
    std = data.std.to(device)[:, None, None]
    if generator is None:
        order = torch.arange(len(split))
    else:
        order = torch.randperm(len(split), generator=generator)
    for indices in order.split(_sizes(len(split), size)):
        chosen = indices[part]
        images = split.images[chosen].to(device)
        if augment and generator is not None:
            moves = draw_moves(
                len(indices), data.input_shape[1:], data.augmentation, generator
            )
            images = moved(images, moves[part].to(device))
        if data.events:
            images = images.transpose(0, 1).contiguous()
        # In place: indexing has made a copy.
        x = images.float().sub_(mean).div_(std)
        yield x, split.labels[chosen].to(device)


def _sizes(images: int, size: int) -> list[int]:
    whole, rest = divmod(images, size)
    sizes = [size] * whole
    if rest == 1 and whole:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes
