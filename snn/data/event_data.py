"""Recordings of event cameras that spikingjelly integrates to frames."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from snn.data.image_data import Augmentation, DataError, Split
from snn.data.image_source import ImageSource, split_of


class _KnownEvents(NamedTuple):
    """The module and class in `spikingjelly.datasets`."""

    module: str
    kind: str
    augmentation: Augmentation


# CIFAR10-DVS has no published test set; the first 100 of 1000 recordings of each class
# are the usual one. Some gestures differ in the arm alone, so none are mirrored.
EVENT_SETS = {
    "cifar10-dvs": _KnownEvents("cifar10_dvs", "CIFAR10DVSTEBNSplit", "shift-and-flip"),
    "n-mnist": _KnownEvents("n_mnist", "NMNIST", "shift"),
    "dvs128-gesture": _KnownEvents("dvs128_gesture", "DVS128Gesture", "shift"),
}


def read_events(name: str, folder: Path, download: bool, timesteps: int) -> ImageSource:
    """Read one of `EVENT_SETS`, each recording cut into frames of as many events.

    spikingjelly keeps what it unpacks and integrates beside the archives in `folder`.

    Parameters
    ----------
    name : str
        Which.
    folder : Path
        Where the data set is, and no other.
    download : bool
        Unpack the archives in ``folder/download``, and fetch those that are not there
        from where this is possible.
    timesteps : int
        Frames for each recording.

    Returns
    -------
    ImageSource
        Images [N, T, 2, H, W], counts of events of either polarity.

    Raises
    ------
    DataError
        `spikingjelly.datasets` cannot be imported, or the data is not there.
    """
    known = EVENT_SETS[name]
    try:
        module = importlib.import_module(f"spikingjelly.datasets.{known.module}")
    except (ImportError, OSError, RuntimeError) as error:
        # The latter two: a torchvision or torchaudio that was built for another torch.
        first = str(error).partition("\n")[0]
        raise DataError(
            f"spikingjelly.datasets, which reads it, cannot be imported ({first}); "
            "install spikingjelly, and the torchvision and torchaudio that belong to "
            "your torch, or give the frames as a .npz file"
        ) from error
    kind = getattr(module, known.kind)
    # Absolute, because it links to files there.
    root = folder.resolve()
    _prepare(kind, root, download)

    def read(part: str, train: bool) -> Split:
        recordings = kind(
            str(root),
            train=train,
            data_type="frame",
            frames_number=timesteps,
            split_by="number",
        )
        frames, labels = [], []
        for counts, label in recordings:
            frames.append(_compact(counts))
            labels.append(label)
        return split_of(part, np.stack(frames), np.array(labels))

    try:
        return ImageSource(
            read("training set", True), read("test set", False), known.augmentation
        )
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"cannot be read from {folder} ({first})") from error


def _prepare(kind: Any, root: Path, download: bool) -> None:
    """Refuse before spikingjelly fetches files unasked, or leaves half a folder."""
    if (root / "events_np").is_dir():
        return
    if not download:
        raise DataError(
            f"{root} has no folder events_np with its recordings; allow to `download` "
            f"it, which also unpacks archives that are in {root / 'download'}"
        )
    if not kind.downloadable() and not (root / "download").is_dir():
        files = ", ".join(
            f"{file} from {url}" for file, url, _ in kind.resource_url_md5()
        )
        raise DataError(f"fetch it by hand: put {files} into {root / 'download'}")
    root.mkdir(parents=True, exist_ok=True)


def _compact(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return uint8 where that suffices; NumPy stacks both kinds to float32."""
    return counts.astype(np.uint8 if counts.max() <= 255 else np.float32)
