"""Parts of a data set that come in batches of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from snn.data.image_data import DataError, Split
from snn.data.own_random import run_through

Batches: TypeAlias = Iterable[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class BatchSplit:
    """A part of a data set that comes in batches, made anew in every epoch.

    Attributes
    ----------
    batches : iterable of (Tensor, Tensor)
        Images [N, C, H, W] or events [N, T, C, H, W], and labels [N].
    shape : tuple of int
        Of one image or sequence.
    images, steps : int
        How many images and batches there are.
    smallest : int
        Images of the smallest batch.
    classes : int
        One more than the largest label.
    digest : str
        Of everything that a first pass yields.
    """

    batches: Batches
    shape: tuple[int, ...]
    images: int
    steps: int
    smallest: int
    classes: int
    digest: str

    @classmethod
    def of(cls, part: str, batches: Any) -> BatchSplit:
        """Run through batches once, and look at all of them.

        Raises
        ------
        DataError
            It says of which part; see `check_batches`, and for what batches hold
            `Split`.
        """
        check_batches(part, batches)
        if hasattr(getattr(batches, "sampler", None), "num_replicas"):
            raise DataError(
                f"`{part}` has a {type(batches.sampler).__name__}, which divides the "
                "images among processes; a run does so itself: give whole batches"
            )
        shapes: dict[tuple[int, ...], None] = {}
        sizes, classes, content = [], 0, hashlib.sha256()
        for number, batch in enumerate(run_through(batches, 0)):
            try:
                one = _split(batch)
            except DataError as error:
                raise DataError(f"`{part}`, batch {number}: {error}") from error
            shapes[one.shape] = None
            sizes.append(len(one))
            classes = max(classes, int(one.labels.max()) + 1)
            for tensor in (one.images, one.labels):
                content.update(tensor.contiguous().numpy().tobytes())
        if len(shapes) != 1:
            raise DataError(
                f"`{part}` has images of shapes {', '.join(map(str, shapes)) or 'none'}"
                "; batches of one shape are needed"
            )
        (shape,) = shapes
        digest = content.hexdigest()
        return cls(batches, shape, sum(sizes), len(sizes), min(sizes), classes, digest)

    def __len__(self) -> int:
        return self.images

    def share_of_step(self, size: int) -> float:
        """Part of an epoch that a batch is, whatever size is asked for."""
        return 1 / self.steps

    def least_batch(self, size: int) -> int:
        """Images of the smallest batch."""
        return self.smallest

    def first(self, count: int) -> Split:
        """Return a copy of the first images of a pass."""
        found: list[Split] = []
        for batch in run_through(self.batches, 0):
            found.append(_split(batch))
            if sum(map(len, found)) >= count:
                break
        images = torch.cat([one.images for one in found])[:count]
        return Split(images, torch.cat([one.labels for one in found])[:count])

    def run(self, generator: torch.Generator | None) -> Iterator[Split]:
        """Iterate once; a generator says what is shuffled and augmented."""
        seed = 0
        if generator is not None:
            seed = int(torch.randint(2**31, (), generator=generator))
        return map(_split, run_through(self.batches, seed))


def check_batches(name: str, batches: object) -> None:
    """Refuse what cannot be run through again and again.

    Raises
    ------
    DataError
        No iterable, or an iterator, which is used up after one pass.
    """
    if isinstance(batches, Iterator):
        raise DataError(
            f"`{name}` is a {type(batches).__name__}, which is used up after one pass; "
            "give a DataLoader, a list, or another iterable that begins anew"
        )
    if isinstance(batches, torch.Tensor) or not (
        isinstance(batches, Iterable) or hasattr(batches, "__getitem__")
    ):
        raise DataError(
            f"`{name}` is a {type(batches).__name__}; an iterable of batches (inputs, "
            "labels) is needed, such as a DataLoader"
        )


def _split(batch: Any) -> Split:
    """Read a batch.

    Raises
    ------
    DataError
        No pair of images and labels, or one that `Split` refuses.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise DataError(
            f"a {type(batch).__name__} is no pair of images and labels, which is needed"
        )
    images, labels = (torch.as_tensor(one).cpu() for one in batch)
    if images.dtype is not torch.uint8:
        images = images.float()
    if not labels.is_floating_point():
        labels = labels.long()
    if not len(labels):
        raise DataError("it is empty")
    return Split(images, labels)
