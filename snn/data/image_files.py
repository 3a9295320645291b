"""Images from a folder with a subfolder for every class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn.data.image_data import DataError, Split
from snn.data.image_source import ImageSource, split_of

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_GREYSCALE = ("1", "L")
_COLOUR = ("CMYK", "P", "RGB", "RGBA", "YCbCr")


def read_folder(folder: Path) -> ImageSource:
    """Read ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or other image formats.

    The subfolders of ``train``, sorted by name, are the classes from 0. Greyscale files
    become one channel, all others red, green and blue; transparency is dropped.

    Parameters
    ----------
    folder : Path
        The folder that holds ``train`` and ``test``.

    Raises
    ------
    DataError
        Pillow is not installed, subfolders or files are missing or unreadable, or
        images differ in size or channels.
    """
    for part in ("train", "test"):
        if not (folder / part).is_dir():
            raise DataError(
                f"has no folder {part}; put images into train/CLASS/ and test/CLASS/"
            )
    classes = _subfolders(folder / "train")
    unknown = [name for name in _subfolders(folder / "test") if name not in classes]
    if unknown:
        raise DataError(f"test/{unknown[0]} is a class that train lacks")
    return ImageSource(
        _read_part(folder / "train", classes),
        _read_part(folder / "test", classes),
        "shift",
    )


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _read_part(folder: Path, classes: list[str]) -> Split:
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).glob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not files:
        raise DataError(f"{folder}/CLASS/ holds no images ({', '.join(_SUFFIXES)})")
    images = [_read_image(path) for path, _ in files]
    for (path, _), image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{path} is {_described(image)} but {files[0][0]} is "
                f"{_described(images[0])}; convert all images to one size and mode"
            )
    labels = np.array([label for _, label in files])
    return split_of(folder.name, np.stack(images).transpose(0, 3, 1, 2), labels)


def _read_image(path: Path) -> npt.NDArray[Any]:
    """Return the pixels of one file, uint8 [H, W, C]."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "reading image files needs Pillow; python -m pip install pillow"
        ) from error
    try:
        with Image.open(path) as image:
            if image.mode not in _GREYSCALE + _COLOUR:
                raise DataError(
                    f"{path} is {image.mode}; convert it to 8 bit greyscale or RGB"
                )
            mode = "L" if image.mode in _GREYSCALE else "RGB"
            return np.atleast_3d(np.asarray(image.convert(mode)))
    except OSError as error:
        raise DataError(f"{path} is no readable image") from error


def _described(image: npt.NDArray[Any]) -> str:
    height, width, channels = image.shape
    return f"{width}x{height} {'greyscale' if channels == 1 else 'RGB'}"
