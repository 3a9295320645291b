"""Loaded data is disjoint, stratified, repeatable, and scaled by its training part."""

import struct

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from snn.data.image_data import channel_statistics  # noqa: E402
from snn.data.load import DATASETS, DataError, load_data  # noqa: E402


def numbered(count):
    """Images whose first pixels number them, and three classes in turn."""
    images = np.zeros((count, 5, 6), dtype=np.float32)
    images[:, 0, 0] = np.arange(count)
    return images, np.arange(count) % 3


def numbers(split):
    return set(split.images.flatten(1)[:, 0].int().tolist())


@pytest.fixture
def save(tmp_path):
    """Write arrays to a `.npz` file, by default valid ones, and return its path."""

    def write(**changes):
        x_train, y_train = numbered(60)
        x_test, y_test = numbered(12)
        arrays = {
            "x_train": x_train,
            "y_train": y_train,
            "x_test": x_test,
            "y_test": y_test,
        }
        arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
        path = tmp_path / "images.npz"
        np.savez(path, **arrays)
        return str(path)

    return write


def same(left, right):
    return torch.equal(left.images, right.images) and torch.equal(
        left.labels, right.labels
    )


def error_of(dataset, **options):
    """The one line in which `load_data` refuses."""
    with pytest.raises(DataError) as caught:
        load_data(dataset, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_digits_are_split_by_class():
    """The digits are split 80/20 and again 90/10, every class in proportion."""
    data = load_data("digits")
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [1294, 144, 359]
    assert (data.classes, data.input_shape, data.events) == (10, (1, 8, 8), False)
    for split in (data.train, data.validation, data.test):
        shares = torch.bincount(split.labels, minlength=10) / len(split)
        assert (shares - 0.1).abs().max() < 0.02


def test_the_test_set_depends_on_no_option():
    """Seeds and sizes choose from the training set; the test set stays as it is."""
    first = load_data("digits")
    other = load_data("digits", seed=5, validation=0.3, train_size=100)
    assert same(first.test, other.test)


def test_parts_are_disjoint_and_complete(save):
    """Without `train_size` training and validation part make up the training set."""
    data = load_data(save(), validation=0.25)
    train, validation = numbers(data.train), numbers(data.validation)
    assert not train & validation
    assert train | validation == set(range(60))
    assert len(validation) == 15


def test_a_smaller_training_part_leaves_validation_alone(save):
    """`train_size` takes as many of each class, and never validation images."""
    path = save()
    whole, small = load_data(path), load_data(path, train_size=12)
    assert same(whole.validation, small.validation)
    assert numbers(small.train) < numbers(whole.train)
    assert torch.bincount(small.train.labels).tolist() == [4, 4, 4]


def test_the_seed_decides_everything(save):
    """Equal seeds give equal parts; another seed gives others."""
    path = save()
    first, again, other = (
        load_data(path, train_size=30, seed=seed) for seed in (1, 1, 2)
    )
    assert same(first.train, again.train)
    assert same(first.validation, again.validation)
    assert numbers(first.train) != numbers(other.train)
    assert numbers(first.validation) != numbers(other.validation)
    unvalidated = [
        numbers(load_data(path, train_size=30, validation=0, seed=seed).train)
        for seed in (1, 2)
    ]
    assert unvalidated[0] != unvalidated[1]


def test_validation_may_be_empty(save):
    """Without validation all images are trained on."""
    data = load_data(save(), validation=0)
    assert (len(data.validation), len(data.train)) == (0, 60)


def test_statistics_are_of_the_training_part(save):
    """Mean and deviation are those of the images that are trained on, per channel."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 3, 5, 6), dtype=np.uint8)
    data = load_data(save(x_train=pixels, x_test=pixels[:12] // 2), train_size=30)
    trained = data.train.images.numpy()
    np.testing.assert_allclose(data.mean, trained.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, trained.std((0, 2, 3)), rtol=1e-6)
    assert not np.allclose(data.mean, pixels.mean((0, 2, 3)), rtol=1e-6)


def test_statistics_need_no_luck():
    """Many images with a large offset lose no precision; constant channels get 1."""
    images = torch.full((3000, 2, 4, 4), 0.1)
    images[:, 1] = 1e4 + torch.arange(3000)[:, None, None] % 2
    mean, std = channel_statistics(images)
    torch.testing.assert_close(mean, torch.tensor([0.1, 1e4 + 0.5]))
    torch.testing.assert_close(std, torch.tensor([1.0, 0.5]))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 8), (1, 9, 8)),
        ((9, 8, 3), (3, 9, 8)),
        ((3, 9, 8), (3, 9, 8)),
        ((3, 9, 4), (3, 9, 4)),
        ((16, 9, 8), (16, 9, 8)),
    ],
)
def test_layouts_are_recognized(save, shape, expected):
    """A short last axis after a long second one holds channels; pixels keep order."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, *shape), dtype=np.uint8)
    data = load_data(save(x_train=pixels, x_test=pixels[:12]))
    assert data.input_shape == expected
    assert data.test.images.dtype == torch.uint8
    planes = pixels[:12] if shape != (9, 8, 3) else np.moveaxis(pixels[:12], -1, 1)
    np.testing.assert_array_equal(data.test.images.flatten(1), planes.reshape(12, -1))


def test_events_have_a_time_axis(save):
    """Five axes are sequences of frames; they are scaled, but zero stays zero."""
    frames = np.random.default_rng(0).random((60, 4, 2, 5, 6)).astype(np.float64)
    data = load_data(save(x_train=frames, x_test=frames[:12]), validation=0)
    assert (data.events, data.timesteps, data.input_shape) == (True, 4, (2, 5, 6))
    assert data.train.images.dtype == torch.float32
    np.testing.assert_allclose(data.std, frames.std((0, 1, 3, 4)), rtol=1e-6)
    assert not data.mean.any()


def test_what_leaves_the_class_alone_is_known_or_given(save):
    """Digits are not mirrored, nor unknown images unless it is asked for."""
    assert load_data("digits").augmentation == "shift"
    assert load_data(save()).augmentation == "shift"
    chosen = load_data(save(), augmentation="shift-and-flip")
    assert chosen.augmentation == "shift-and-flip"


def with_value(value):
    images, _ = numbered(60)
    images[7, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"y_train": None}, "y_train missing"),
        ({"y_train": np.arange(59) % 3}, "60 images have 59 labels"),
        ({"y_train": np.arange(60) % 3 - 1}, "labels go down to -1"),
        ({"y_train": np.arange(60) % 3 * 2}, "class 1 of 5"),
        ({"y_train": np.arange(60) % 3 / 1}, "labels are float64"),
        ({"y_train": np.eye(3, dtype=int)[np.arange(60) % 3]}, r"\[60, 3\]"),
        ({"y_test": np.full(12, 3)}, "test labels go up to 3"),
        ({"x_train": with_value(np.nan)}, "training set: images hold NaN"),
        ({"x_train": with_value(np.inf)}, "training set: images hold NaN"),
        ({"x_train": with_value(0).astype(int)}, "images are int64"),
        ({"x_train": np.zeros((60, 8))}, r"images have shape \[60, 8\]"),
        ({"x_test": np.zeros((12, 7, 7))}, r"\[1, 5, 6\] but test images \[1, 7, 7\]"),
        ({"x_test": np.zeros((0, 5, 6)), "y_test": np.zeros(0, int)}, "no test images"),
    ],
)
def test_damaged_arrays_are_refused(save, changes, told):
    """What does not fit is named, in one line that begins with the file."""
    path = save(**changes)
    message = error_of(path)
    assert message.startswith(path)
    with pytest.raises(DataError, match=told):
        load_data(path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"train_size": 55}, "from 1 to the 54"),
        ({"train_size": 0}, "from 1 to the 54"),
        ({"train_size": 2}, "no image of class 2 is left"),
        ({"validation": 1.0}, "a share from 0 to below 1"),
        ({"validation": -0.1}, "a share from 0 to below 1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"timesteps": 0}, "`timesteps` is 0"),
    ],
)
def test_impossible_options_are_refused(save, options, told):
    """The option, its value and what is accepted are named."""
    assert told in error_of(save(), **options)


def test_other_files_are_refused(tmp_path):
    """Missing, foreign and pickled files are refused, and pickles never loaded."""
    path = tmp_path / "images.npz"
    assert "no such file" in error_of(str(path))
    path.write_bytes(b"nothing of the kind")
    assert "no readable .npz file" in error_of(str(path))
    objects = np.array([{}], dtype=object)
    np.savez(path, x_train=objects, y_train=objects, x_test=objects, y_test=objects)
    assert "x_train.npy holds Python objects" in error_of(str(path))


def test_unknown_names_are_answered_with_the_known_ones():
    """Whoever misspells a name reads what is accepted."""
    message = error_of("cifar-10")
    assert all(name in message for name in DATASETS)


@pytest.mark.parametrize("name", DATASETS[1:])
def test_absent_data_is_told_in_one_line(tmp_path, name):
    """Nothing is fetched or written unasked; the error names what is missing."""
    assert "`folder`" in error_of(name)
    assert error_of(name, folder=tmp_path).startswith(f"{name}: ")
    assert not list(tmp_path.iterdir())


def test_archives_that_cannot_be_fetched_are_named(tmp_path):
    """N-MNIST has to be fetched by hand; the error says from where, writing nothing."""
    require("spikingjelly.datasets")
    message = error_of("n-mnist", folder=tmp_path, download=True)
    assert "Train.zip from https://" in message
    assert not list(tmp_path.iterdir())


def require(module):
    """Skip where a library is missing or does not fit the installed torch."""
    try:
        __import__(module)
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"{module}: {error}")


def test_mnist_is_read_by_torchvision(tmp_path):
    """Files as published become images and labels, and damaged ones one line."""
    require("torchvision.datasets")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 10
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4I", 2051, 40, 28, 28) + pixels.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 2049, 40) + labels.tobytes()
        )
    data = load_data("mnist", folder=tmp_path)
    np.testing.assert_array_equal(data.test.images[:, 0], pixels)
    np.testing.assert_array_equal(data.test.labels, labels)
    (raw / "train-images-idx3-ubyte").write_bytes(b"")
    assert "cannot be read" in error_of("mnist", folder=tmp_path)


def test_recordings_are_integrated_to_frames(tmp_path):
    """Every event of a recording is counted in one frame, as many in each of them."""
    require("spikingjelly.datasets")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in range(2):
            folder = tmp_path / "events_np" / part / str(label)
            folder.mkdir(parents=True)
            for number in range(5):
                x, y = rng.integers(0, 34, (2, 60))
                events = {"t": np.arange(60), "x": x, "y": y}
                np.savez(folder / f"{number}.npz", p=rng.integers(0, 2, 60), **events)
    data = load_data("n-mnist", folder=tmp_path, timesteps=3)
    assert data.test.images.shape == (10, 3, 2, 34, 34)
    assert data.test.images.dtype == torch.uint8
    assert (data.test.images.sum((2, 3, 4)) == 20).all()
    assert data.test.labels.tolist() == [0] * 5 + [1] * 5
