"""What the kernels of a layer meet: spikes by kernel position, pixel and time block.

A time block is the time steps that the array handles at once; an input of a block
counts once if any of its time steps brings a spike. Real spikes give whole numbers,
spike rates probabilities: the same sums over them are expectations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray
from hwmodel.workload import LayerWorkload

CHUNK = 2**21  # elements of the largest temporary matrix, 8 MiB of 32-bit floats


def block_images(workload: LayerWorkload, parallel: int) -> AnyArray | None:
    """Cut the input into time blocks, with zero padding around each image.

    Parameters
    ----------
    workload : LayerWorkload
        The layer.
    parallel : int
        Time steps of a block; the last block may have fewer.

    Returns
    -------
    ndarray [batch, blocks, channels, height, width] or None
        uint8 zeros and ones of real spikes; float64 probabilities of spike rates,
        ``1 - (1 - rate) ** steps of the block``; None if nothing is known.
    """
    first = np.arange(0, workload.runs, parallel)
    spikes, rates = workload.real_spikes(), workload.channel_rates
    if spikes is not None:
        blocks = np.maximum.reduceat(spikes, first, axis=0).swapaxes(0, 1)
    elif rates is not None:
        steps = np.minimum(parallel, workload.runs - first)
        channels = 1 - (1 - rates) ** steps[:, None]
        shape = (workload.samples, len(first), *workload.image)
        blocks = np.broadcast_to(channels[:, :, None, None], shape)
    else:
        return None
    down, right = workload.pairs("padding")
    if not down and not right:
        return blocks
    return np.pad(blocks, ((0, 0), (0, 0), (0, 0), (down, down), (right, right)))


def windows(images: AnyArray, workload: LayerWorkload) -> AnyArray:
    """View the inputs that each kernel position meets at each output pixel.

    Parameters
    ----------
    images : ndarray [blocks, channels, height, width]
        One sample of `block_images`.
    workload : LayerWorkload
        Kernel, stride and dilation.

    Returns
    -------
    ndarray [blocks, channels, kernel height, kernel width, height, width]
        A view; the last two axes are the output's.
    """
    kernel, output = workload.kernel, workload.output_size
    (down, right), (below, beside) = (
        workload.pairs("stride"),
        workload.pairs("dilation"),
    )
    block, channel, row, column = images.strides
    return np.lib.stride_tricks.as_strided(
        images,
        (*images.shape[:2], *kernel, *output),
        (block, channel, row * below, column * beside, row * down, column * right),
        writeable=False,
    )


def met_inputs(
    images: AnyArray, workload: LayerWorkload, pixel_rows: int = 1
) -> npt.NDArray[np.float64]:
    """Count the spikes that each kernel position meets over the output pixels.

    Parameters
    ----------
    images : ndarray [blocks, channels, height, width]
        One sample of `block_images`.
    workload : LayerWorkload
        Kernel, stride and dilation.
    pixel_rows : int
        Pixel e counts for row ``e % pixel_rows``.

    Returns
    -------
    ndarray [channels * kernel height * kernel width, blocks, pixel_rows]
        Exact: whole numbers far below 2**53 if the images hold spikes.
    """
    if pixel_rows == 1:
        # Over all pixels the sum separates: which rows, then which columns, are met.
        down, right = (_met_lines(workload, images.shape[2 + a], a) for a in (0, 1))
        met = (down @ (images.astype(np.float64) @ right.T))[..., None]
    else:
        view = windows(images, workload)
        view = view.reshape(*view.shape[:4], -1)
        met = np.zeros((*view.shape[:4], pixel_rows))
        for row in range(min(pixel_rows, workload.pixels)):
            met[..., row] = view[..., row::pixel_rows].sum(axis=-1, dtype=np.float64)
    by_input = met.reshape(len(images), -1, pixel_rows).transpose(1, 0, 2)
    return np.ascontiguousarray(by_input)


def _met_lines(
    workload: LayerWorkload, lines: int, axis: int
) -> npt.NDArray[np.float64]:
    """How often a kernel position meets a line of the image, [kernel, lines]."""
    kernel, output = workload.kernel[axis], workload.output_size[axis]
    stride, dilation = (
        workload.pairs("stride")[axis],
        workload.pairs("dilation")[axis],
    )
    met = np.zeros((kernel, lines))
    for position in range(kernel):
        first = position * dilation
        met[position, first : first + stride * output : stride] = 1
    return met


def patches(
    images: AnyArray,
    workload: LayerWorkload,
    most_columns: int,
    whole_images: bool,
    dtype: npt.DTypeLike,
) -> Iterator[AnyArray]:
    """Yield what the kernels meet, pixel by pixel, a bounded chunk at a time.

    Parameters
    ----------
    images : ndarray [blocks, channels, height, width]
        One sample of `block_images`.
    workload : LayerWorkload
        Kernel, stride and dilation.
    most_columns : int
        Columns of a chunk, unless one output row (or image) has more.
    whole_images : bool
        Cut between images only, not inside one.
    dtype : dtype
        Of the chunks.

    Yields
    ------
    ndarray [channels * kernel height * kernel width, columns]
        Columns run over blocks, then pixels in row-major order.
    """
    view = windows(images.astype(dtype), workload)
    blocks, channels, tall, wide, height, width = view.shape
    rows = max(1, min(height, most_columns // width))
    if whole_images:
        rows = height
    together = max(1, most_columns // (height * width)) if rows == height else 1
    for block in range(0, blocks, together):
        for row in range(0, height, rows):
            part = view[block : block + together, :, :, :, row : row + rows]
            part = part.transpose(1, 2, 3, 0, 4, 5)
            yield part.reshape(channels * tall * wide, -1)
