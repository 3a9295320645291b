"""Architectures written as text: the layers of a network in order, joined by hyphens.

``32c3`` is a convolution to 32 channels with a 3 x 3 kernel, stride 1 and an output as
large as its input (``32c3s2``: stride 2); ``mp2`` and ``ap2`` are the maximum and the
average over windows of 2 x 2; ``fc10`` is a linear layer with 10 outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from hwmodel.errors import ArchitectureError

Shape: TypeAlias = tuple[int, ...]

# VGG-16 and VGG-11 are configurations D and A of Simonyan and Zisserman
# (arXiv:1409.1556) with one linear layer, as is usual for images of 32 x 32.
CHAINS: Mapping[str, str] = MappingProxyType(
    {
        "conv3": "32c3-64c3-mp2-64c3",
        "vgg5": "64c3-mp2-128c3-mp2-256c3-256c3-mp2",
        "vgg9": "64c3-64c3-mp2-128c3-128c3-mp2-256c3-256c3-256c3-mp2-fc1024",
        "vgg11": "64c3-mp2-128c3-mp2-256c3-256c3-mp2-512c3-512c3-mp2-512c3-512c3-mp2",
        "vgg16": (
            "64c3-64c3-mp2-128c3-128c3-mp2-256c3-256c3-256c3-mp2-"
            "512c3-512c3-512c3-mp2-512c3-512c3-512c3-mp2"
        ),
    }
)
"""Architectures with a name; behind each comes a linear classifier."""

MOST, DIGITS = 2**20, 7  # what a number may be, and the digits of that

_TOKEN = re.compile(
    r"(?P<channels>[1-9]\d*)c(?P<kernel>[1-9]\d*)(s(?P<stride>[1-9]\d*))?"
    r"|(?P<kind>[ma])p(?P<window>[1-9]\d*)"
    r"|fc(?P<outputs>[1-9]\d*)"
)


class Convolution(NamedTuple):
    """A convolution with a square kernel, padded by half of it."""

    channels: int
    kernel: int
    stride: int

    @property
    def padding(self) -> int:
        """Zeros on each side, which keep the size where kernels are odd."""
        return self.kernel // 2


class Pooling(NamedTuple):
    """Square windows side by side; what is left over at the end is dropped."""

    kind: Literal["max", "average"]
    window: int


class FullyConnected(NamedTuple):
    """A linear layer of all that comes before."""

    outputs: int


Step: TypeAlias = Convolution | Pooling | FullyConnected


def parse_architecture(text: str) -> list[Step]:
    """Read the text of an architecture.

    Raises
    ------
    ArchitectureError
        A word that is none of the three kinds of layers.
    """
    return [_parsed(word, text) for word in text.split("-")]


def output_shape(step: Step, shape: Shape) -> Shape:
    """Shape of what a step makes of one input.

    Parameters
    ----------
    step : Convolution, Pooling or FullyConnected
        What is done.
    shape : tuple of int
        (channels, height, width), or (features,) behind a linear layer.

    Raises
    ------
    ArchitectureError
        An image smaller than the window, or features where an image is needed.
    """
    if isinstance(step, FullyConnected):
        return (step.outputs,)
    if len(shape) != 3:
        raise ArchitectureError(
            f"{_text(step)} needs an image (channels, height, width), but its input "
            f"has shape {shape}; put it in front of all linear layers"
        )
    channels, *sizes = shape
    if isinstance(step, Convolution):
        grown = 2 * step.padding - step.kernel
        return (
            step.channels,
            *((size + grown) // step.stride + 1 for size in sizes),
        )
    if min(sizes) < step.window:
        raise ArchitectureError(
            f"{_text(step)} needs an image of {step.window} x {step.window} at least, "
            f"but it is {sizes[0]} x {sizes[1]} there; use larger images or pool less"
        )
    return (channels, *(size // step.window for size in sizes))


def _parsed(word: str, text: str) -> Step:
    token = _TOKEN.fullmatch(word)
    if token is None:
        raise ArchitectureError(
            f"{word!r} in {text!r} is no layer; accepted: 32c3 or 32c3s2 (convolution "
            "to 32 channels with a 3 x 3 kernel, stride 1 or 2), mp2, ap2 (maximum, "
            "average over 2 x 2), fc10 (linear, 10 outputs), joined by hyphens"
        )
    _refuse_huge(word, text)
    if token["window"]:
        return Pooling(
            "max" if token["kind"] == "m" else "average", int(token["window"])
        )
    if token["outputs"]:
        return FullyConnected(int(token["outputs"]))
    sizes = token["channels"], token["kernel"], token["stride"] or 1
    return Convolution(*map(int, sizes))


def _refuse_huge(word: str, text: str) -> None:
    for number in re.findall(r"\d+", word):
        if len(number) > DIGITS or int(number) > MOST:
            raise ArchitectureError(
                f"{word!r} in {text!r} holds {number[:DIGITS]}…, which is more than "
                f"{MOST:,} channels, outputs or pixels"
            )


def _text(step: Convolution | Pooling) -> str:
    if isinstance(step, Pooling):
        return f"{step.kind[0]}p{step.window}"
    return f"{step.channels}c{step.kernel}"
