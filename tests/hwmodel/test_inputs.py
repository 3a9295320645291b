"""Layers so large that the model works through them in pieces."""

import numpy as np
import pytest

from hwmodel import Accelerator, LayerWorkload, evaluate
from hwmodel.barriers import CHUNK
from hwmodel.inputs import block_images, patches

RNG = np.random.default_rng(4)
SPIKES = RNG.random((4, 1, 64, 32, 32)) < 0.1
LAYER = LayerWorkload(
    "large", RNG.random((20, 64, 3, 3)) < 0.05, (64, 32, 32), padding=1, spikes=SPIKES
)


def work():
    """Work of every channel, time step and pixel, by shifting the images."""
    padded = np.pad(SPIKES[:, 0], [(0, 0), (0, 0), (1, 1), (1, 1)])
    total = np.zeros((20, 4, 32, 32), dtype=int)
    for output, channel, row, column in np.argwhere(LAYER.mask):
        total[output] += padded[:, channel, row : row + 32, column : column + 32]
    return total.reshape(20, 4, 1024)


@pytest.mark.parametrize("rows", [1, 5])
def test_cycles_of_a_layer_in_several_pieces(rows):
    """With a barrier after every (fold of) pixels, every piece counts once."""
    assert LAYER.fan_in * 4 * 1024 > CHUNK
    base = Accelerator.load("u-ticket").model_dump(exclude_unset=True)
    array = {"skip": "dual", "barrier": "pixel", "source": "test"} | (
        {"mapping": "output_channel", "pes": 8}
        if rows == 1
        else {"mapping": "output_stationary", "rows": rows, "cols": 8}
    )
    report = evaluate([LAYER], Accelerator.from_dict(base | {"array": array}))
    loads = np.pad(work(), [(0, 4), (0, 0), (0, -1024 % rows)])
    expected = loads.reshape(3, 8, 4, -1, rows).max(axis=(1, 4)).sum()
    assert report.cycles == expected
    assert report.busy_cycles == work().sum()


@pytest.mark.parametrize("most", [1, 32, 33, 1000, 1024, 2048, 5000])
@pytest.mark.parametrize("whole", [False, True])
def test_patches_are_the_same_however_they_are_cut(most, whole):
    """Chunks side by side are all columns, in the order of blocks and pixels."""
    (images,) = block_images(LAYER, 1)
    (every,) = patches(images, LAYER, 4096, False, np.float32)
    cut = list(patches(images, LAYER, most, whole, np.float32))
    np.testing.assert_array_equal(np.concatenate(cut, axis=1), every)
    assert max(part.shape[1] for part in cut) <= max(most, 1024 if whole else 32)
