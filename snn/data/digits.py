"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from snn.data.image_data import DataError
from snn.data.image_source import ImageSource, split_of
from snn.data.stratified import stratified_choice


def read_digits() -> ImageSource:
    """Load 1797 digits of 8x8 pixels from 0 to 16, and set a fifth aside as test set.

    There is no published test set of them. Which digits are in it, stratified by class,
    is drawn once and for all: it depends on no seed of a run.

    Raises
    ------
    DataError
        scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "they come with scikit-learn, which is not installed; "
            "python -m pip install -e '.[snn]'"
        ) from error
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    test = stratified_choice(labels, len(labels) // 5, np.random.default_rng(0))
    return ImageSource(
        split_of("training set", images[~test], labels[~test]),
        split_of("test set", images[test], labels[test]),
        "shift",
    )
