"""Images from a `.npz` file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from snn.data.image_data import DataError
from snn.data.image_source import ImageSource, split_of

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> ImageSource:
    """Read `x_train`, `y_train`, `x_test` and `y_test` from a `.npz` file.

    Parameters
    ----------
    path : Path
        The file. Pickled objects in it are refused, not loaded.

    Raises
    ------
    DataError
        No such file, other contents, or arrays that `split_of` does not take.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in _KEYS if key in arrays}
            names = ", ".join(arrays.files)
    except FileNotFoundError as error:
        raise DataError("no such file") from error
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"no readable .npz file ({first})") from error
    missing = [key for key in _KEYS if key not in found]
    if missing:
        raise DataError(f"holds {names or 'nothing'}; {', '.join(missing)} missing")
    return ImageSource(
        split_of("training set", found["x_train"], found["y_train"]),
        split_of("test set", found["x_test"], found["y_test"]),
        "shift",
    )
