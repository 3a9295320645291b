"""Folders of images are read by class, and what does not fit is named."""

import numpy as np
import pytest

pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from snn.data.load import DataError, load_data  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """Three classes of four greyscale images each to train on, and two to test."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name in ("bird", "cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (6, 5), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def test_subfolders_are_classes(folder):
    """Classes are numbered by name, and pixels are those of the files."""
    (folder / "test" / "dog" / "notes.txt").write_text("no image")
    data = load_data(str(folder), validation=0)
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (len(data.train), data.input_shape) == (12, (1, 6, 5))
    expected = np.asarray(Image.open(folder / "test" / "cat" / "1.png"))
    np.testing.assert_array_equal(data.test.images[3, 0], expected)


def test_colours_are_channels(folder):
    """Colour images of any mode give red, green and blue planes."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    for number, path in enumerate(folder.glob("*/*/*.png")):
        Image.fromarray(pixels if number % 2 else pixels[:, :, :3]).save(path)
    data = load_data(str(folder))
    for image in data.test.images:
        np.testing.assert_array_equal(image, pixels[:, :, :3].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((7, 5), dtype=np.uint8), "5x7 greyscale but .* is 5x6 greyscale"),
        (np.zeros((6, 5, 3), dtype=np.uint8), "5x6 RGB but .* convert all images"),
        (np.zeros((6, 5), dtype=np.uint16), ".*; convert it to 8 bit"),
    ],
)
def test_other_images_are_refused(folder, image, told):
    """Images of another size or mode are named, with what to do about it."""
    Image.fromarray(image).save(folder / "train" / "dog" / "3.png")
    with pytest.raises(DataError, match=rf"dog/3.png is {told}"):
        load_data(str(folder))


def test_incomplete_folders_are_refused(folder):
    """Missing parts, unknown classes, and files that are no images are named."""
    (folder / "test" / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cat/0.png is no readable image"):
        load_data(str(folder))
    (folder / "test" / "eel").mkdir()
    with pytest.raises(DataError, match="test/eel is a class that train lacks"):
        load_data(str(folder))
    (folder / "test").rename(folder / "tests")
    with pytest.raises(DataError, match="has no folder test"):
        load_data(str(folder))
