"""Batches hold every image once, normalized, and are functions of the generator."""

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from snn.data.load import DataError, ImageData, Split, batches  # noqa: E402


def data_of(
    count, shape=(2, 16, 24), augmentation="shift-and-flip", dtype=torch.float32
):
    """Random images that are all labelled by their number; mean 3, deviation 2."""
    pixels = torch.randint(1, 256, (count, *shape), dtype=torch.uint8)
    split = Split(pixels.to(dtype), torch.arange(count))
    channels = shape[-3]
    return ImageData(
        name="random",
        train=split,
        validation=split,
        test=split,
        classes=count,
        mean=torch.full((channels,), 3.0),
        std=torch.full((channels,), 2.0),
        augmentation=augmentation,
    )


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def epoch(data, size, **options):
    return list(batches(data, data.train, size, **options))


@given(st.integers(0, 40), st.integers(1, 15), st.booleans())
def test_every_image_is_in_one_batch(count, size, shuffled):
    """All images come once, in full batches but the last, which is never one alone."""
    data = data_of(count, (1, 2, 2))
    found = epoch(data, size, generator=seeded() if shuffled else None)
    labels = torch.cat([y for _, y in found]) if found else torch.arange(0)
    assert sorted(labels.tolist()) == list(range(count))
    assert shuffled or labels.tolist() == list(range(count))
    sizes = [len(y) for _, y in found]
    assert all(s == size for s in sizes[:-1])
    assert all(s <= size + 1 for s in sizes)
    assert size == 1 or count == 1 or 1 not in sizes


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_are_normalized(dtype):
    """x is (image - mean) / std in float32, and the stored images stay as they were."""
    data = data_of(7, dtype=dtype)
    stored = data.train.images.clone()
    for _ in range(2):
        (x, y), *rest = epoch(data, 8, generator=seeded())
        assert not rest
        assert x.dtype == torch.float32
        torch.testing.assert_close(x, (stored[y].float() - 3) / 2)
    assert torch.equal(data.train.images, stored)


def test_events_come_with_time_first():
    """Sequences are [T, N, C, H, W], each frame with its own pixels."""
    data = data_of(5, (3, 2, 8, 9))
    ((x, y),) = epoch(data, 8, generator=seeded())
    assert x.shape == (3, 5, 2, 8, 9)
    torch.testing.assert_close(x[1], (data.train.images[y][:, 1] - 3) / 2)


@given(
    st.integers(0, 30),
    st.integers(1, 9),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([(1, 8, 8), (2, 1, 8, 9)]),
)
def test_parts_make_up_the_batches(count, size, processes, augment, shape):
    """What the processes get is, interleaved, bit by bit what a single one gets."""
    data = data_of(count, shape)
    whole = epoch(data, size, generator=seeded(), augment=augment)
    shares = [slice(rank, None, processes) for rank in range(processes)]
    parts = [
        epoch(data, size, generator=seeded(), augment=augment, part=share)
        for share in shares
    ]
    axis = 1 if data.events else 0
    assert {len(part) for part in parts} == {len(whole)}
    for step, (x, y) in enumerate(whole):
        for share, part in zip(shares, parts, strict=True):
            mine = torch.arange(len(y))[share]
            assert torch.equal(part[step][0], x.index_select(axis, mine))
            assert torch.equal(part[step][1], y[mine])


def test_the_generator_decides_everything():
    """Equal generators give equal epochs; a generator that goes on gives others."""
    data = data_of(40)
    generator = seeded()
    first, second = (
        epoch(data, 40, generator=generator, augment=True)[0] for _ in "12"
    )
    again = epoch(data, 40, generator=seeded(), augment=True)[0]
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[1], second[1])


def candidates(image, flips):
    """Every image that augmentation may make of one, by definition."""
    height, width = image.shape[-2:]
    margin = min(height, width) // 8
    padded = torch.zeros(*image.shape[:-2], height + 2 * margin, width + 2 * margin)
    padded[..., margin : margin + height, margin : margin + width] = image
    for top in range(2 * margin + 1):
        for left in range(2 * margin + 1):
            crop = padded[..., top : top + height, left : left + width]
            yield crop
            if flips:
                yield crop.flip(-1)


@pytest.mark.parametrize("shape", [(2, 16, 24), (3, 1, 16, 24)])
@pytest.mark.parametrize("augmentation", ["none", "shift", "shift-and-flip"])
def test_augmentation_shifts_and_mirrors(augmentation, shape):
    """Images are cut from their padded selves, every way occurs, and no other."""
    data = data_of(1, shape, augmentation)
    image = data.train.images[0]
    repeated = Split(image.expand(600, *shape), torch.zeros(600, dtype=torch.int64))
    ((x, _),) = batches(data, repeated, 600, generator=seeded(), augment=True)
    x = x.transpose(0, 1) if data.events else x
    allowed = [image]
    if augmentation != "none":
        allowed = list(candidates(image, augmentation == "shift-and-flip"))
    assert len(allowed) == {"none": 1, "shift": 25, "shift-and-flip": 50}[augmentation]
    matches = [((x - (one - 3) / 2).flatten(1) == 0).all(1) for one in allowed]
    assert (torch.stack(matches).sum(0) == 1).all()
    assert all(match.any() for match in matches)


def test_impossible_requests_are_refused_at_once():
    """Batches of nothing, and chance without a generator, fail before the first one."""
    data = data_of(4)
    with pytest.raises(DataError, match="`size` is 0"):
        batches(data, data.train, 0)
    with pytest.raises(DataError, match="`generator`"):
        batches(data, data.train, 2, augment=True)
