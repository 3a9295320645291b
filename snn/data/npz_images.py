"""Images from a `.npz` file."""

from __future__ import annotations

from pathlib import Path

from balancer.errors import TicketError
from balancer.files.array_files import NpzFile
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
    if not path.is_file():
        raise DataError("no such file")
    try:
        file = NpzFile(path)
        names = ", ".join(file.shapes())
        found = {key: file.read(key) for key in _KEYS if key in file.shapes()}
    except TicketError as error:
        raise DataError(str(error).removeprefix(f"{path}: ")) from error
    missing = [key for key in _KEYS if key not in found]
    if missing:
        raise DataError(f"holds {names or 'nothing'}; {', '.join(missing)} missing")
    return ImageSource(
        split_of("training set", found["x_train"], found["y_train"]),
        split_of("test set", found["x_test"], found["y_test"]),
        "shift",
    )
