"""Spike tensors on disk: one bit per spike, one file for a network.

A ``.npz`` file holds for each layer NAME the arrays ``NAME.bits`` (uint8, packed) and
``NAME.shape`` (int64). Nothing in it is ever unpickled.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwmodel.errors import WorkloadError


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
        arrays[f"{name}.bits"] = np.packbits(array.astype(bool).reshape(-1))
        arrays[f"{name}.shape"] = np.array(array.shape, dtype=np.int64)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_spikes(path: str | Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Read what `save_spikes` wrote.

    Returns
    -------
    dict of str to ndarray of uint8
        Zeros and ones of each layer, in the shape in which they were saved.

    Raises
    ------
    WorkloadError
        A file that cannot be read, or that `save_spikes` did not write.

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
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        names = [key.removesuffix(".bits") for key in arrays if key.endswith(".bits")]
        return {name: _unpacked(arrays, name) for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise WorkloadError(
            f"{path}: no file of spikes as hwmodel.save_spikes writes them: {error}"
        ) from None


def _unpacked(
    arrays: Mapping[str, npt.NDArray[np.uint8]], name: str
) -> npt.NDArray[np.uint8]:
    shape = tuple(int(size) for size in arrays[f"{name}.shape"])
    bits = arrays[f"{name}.bits"]
    count = int(np.prod(shape, dtype=np.int64))
    if len(bits) != -(-count // 8):
        raise ValueError(f"{name}.bits has {len(bits)} bytes for shape {shape}")
    return np.unpackbits(bits, count=count).reshape(shape)
