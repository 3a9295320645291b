"""Spike tensors on disk: one bit per spike, one file for a network.

A ``.npz`` file holds for each layer NAME the arrays ``NAME.bits`` (uint8, packed) and
``NAME.shape`` (int64), or NAME itself, zeros and ones. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balancer.errors import MALFORMED
from balancer.files.array_files import NpzFile
from hwmodel.errors import WorkloadError

BITS, SHAPE = ".bits", ".shape"  # endings of the arrays of a layer


def save_spikes(path: str | Path, spikes: Mapping[str, npt.ArrayLike]) -> None:
    """Write the spikes of some layers.

    Parameters
    ----------
    path : str or Path
        File to write, whole or not at all: a temporary one is renamed.
    spikes : mapping of str to array_like
        For each layer zeros and ones, [timesteps, batch, channels, height, width] (or
        whatever its `LayerWorkload` needs).

    Raises
    ------
    WorkloadError
        Values other than 0 and 1.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from hwmodel import load_spikes, save_spikes
    >>> spikes = {"conv": np.random.default_rng(0).random((4, 1, 16, 8, 8)) < 0.15}
    >>> with TemporaryDirectory() as folder:
    ...     save_spikes(Path(folder) / "spikes.npz", spikes)
    ...     back = load_spikes(Path(folder) / "spikes.npz")
    >>> bool((back["conv"] == spikes["conv"]).all())
    True
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, given in spikes.items():
        array = np.asarray(given)
        if array.dtype != np.bool_ and not ((array == 0) | (array == 1)).all():
            raise WorkloadError(f"layer {name!r}: `spikes` hold values besides 0 and 1")
        arrays[f"{name}{BITS}"] = np.packbits(array.astype(bool).reshape(-1))
        arrays[f"{name}{SHAPE}"] = np.array(array.shape, dtype=np.int64)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_spikes(path: str | Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Read what `save_spikes` wrote, or plain arrays of spikes.

    Parameters
    ----------
    path : str or Path
        A .npz file; arrays that are not packed are those of the layers of their names,
        zeros and ones [timesteps, batch, ...].

    Returns
    -------
    dict of str to ndarray of uint8
        Zeros and ones of each layer, in the shape in which they were saved.

    Raises
    ------
    WorkloadError
        A file that cannot be read, that holds no spikes, or numbers besides 0 and 1.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from hwmodel import load_spikes, save_spikes
    >>> with TemporaryDirectory() as folder:
    ...     save_spikes(Path(folder) / "spikes.npz", {"linear": [[[1, 0, 1]]]})
    ...     load_spikes(Path(folder) / "spikes.npz")
    {'linear': array([[[1, 0, 1]]], dtype=uint8)}
    """
    try:
        file = NpzFile(Path(path))
        arrays = {name: file.read(name) for name in file.shapes()}
        found = {
            key.removesuffix(BITS): _unpacked(arrays, key.removesuffix(BITS))
            for key in arrays
            if key.endswith(BITS)
        }
        sizes = {f"{name}{SHAPE}" for name in found}
        for name, array in arrays.items():
            if not name.endswith(BITS) and name not in sizes:
                found[name] = _plain(name, array)
        if not found:
            raise ValueError("it holds no array")
    except MALFORMED as error:  # those of the file are among them
        raise WorkloadError(
            "no file of spikes, as hwmodel.save_spikes writes them or with an array of "
            f"zeros and ones for each layer: {str(error).removeprefix(f'{path}: ')}",
            about=path,
        ) from None
    return found


def _unpacked(
    arrays: Mapping[str, npt.NDArray[np.generic]], name: str
) -> npt.NDArray[np.uint8]:
    shape = tuple(int(size) for size in arrays[f"{name}{SHAPE}"])
    bits = arrays[f"{name}{BITS}"]
    count = math.prod(shape)
    if (
        min(shape, default=0) < 0
        or bits.dtype != np.uint8
        or len(bits) != -(-count // 8)
    ):
        raise ValueError(f"{name}{BITS} has {len(bits)} bytes for shape {shape}")
    return np.unpackbits(bits.astype(np.uint8), count=count).reshape(shape)


def _plain(name: str, array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Take an array as it is: spikes of the layer of its name."""
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} is {array.dtype} and holds values besides 0 and 1")
    return array.astype(np.uint8)
