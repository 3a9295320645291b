"""In which order the axes of weights stand in a file: outputs first, or last.

Everything else here has weights as [output, input, kernel ...], as torch stores its
linear layers and convolutions. Keras, Flax and TensorFlow put kernels first and outputs
last, transposed convolutions of torch put their inputs first. An order of axes is
written with a letter for each: ``o`` outputs, ``i`` inputs, and ``d``, ``h``, ``w`` of
the kernel: ``hwio`` is Keras' convolution, ``iohw`` torch's transposed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

import numpy as np

from balancer.array_types import AnyArray
from balancer.errors import TicketError

LETTERS = "oidhw"
OURS = {2: "oi", 3: "oiw", 4: "oihw", 5: "oidhw"}  # by the number of axes


@dataclass(frozen=True, slots=True)
class Axes:
    """An order of axes.

    Attributes
    ----------
    text : str
        A letter for each axis.
    """

    text: str

    @classmethod
    def of(cls, text: object) -> Axes:
        """Read an order of axes.

        Raises
        ------
        TicketError
            Letters that are none, or that are missing.
        """
        if not isinstance(text, str) or sorted(text) not in map(sorted, OURS.values()):
            raise TicketError(
                f"`axes` are {text!r}; accepted is a letter for each axis, o (outputs) "
                "and i (inputs), and w, hw or dhw (the kernel), in the file's order: "
                "io, iohw, hwio, …"
            )
        return cls(text)

    @property
    def is_ours(self) -> bool:
        """Whether outputs stand first, then inputs, then the kernel."""
        return self.text in OURS.values()

    def ours(self, array: AnyArray) -> AnyArray:
        """Put the outputs of an array of the file first, its inputs second."""
        return np.ascontiguousarray(self.seen(array))

    def seen(self, array: AnyArray) -> AnyArray:
        """Look at an array of the file in that order, without a copy."""
        return array.transpose(self._places)

    def back(self, array: AnyArray) -> AnyArray:
        """Put the axes back as they stand in the file."""
        return np.ascontiguousarray(array.transpose(np.argsort(self._places)))

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape that an array of the file has with its outputs first."""
        return tuple(shape[place] for place in self._places)

    def stored(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape that an array with its outputs first has in the file."""
        return tuple(shape[place] for place in np.argsort(self._places))

    @property
    def _places(self) -> list[int]:
        return sorted(range(len(self.text)), key=lambda k: LETTERS.index(self.text[k]))


SaidAxes: TypeAlias = Sequence[tuple[str, Axes]]


@dataclass(frozen=True, slots=True)
class KnownAxes:
    """The axes of a layer, and what tells them.

    Attributes
    ----------
    axes : Axes
        The order.
    guessed : str or None
        What they were taken from; None if they were said.
    """

    axes: Axes
    guessed: str | None = None


def axes_of(
    name: str,
    key: str,
    shapes: Mapping[str, tuple[int, ...]],
    said: SaidAxes,
) -> KnownAxes | None:
    """Tell the axes of a layer.

    Parameters
    ----------
    name : str
        The layer.
    key : str
        Its array of weights, or its mask if there are none.
    shapes : mapping of str to tuple of int
        Of all arrays of the file: as many numbers as its bias has, so many outputs has
        the layer.
    said : sequence of (str, Axes)
        With patterns of names; the last that fits a layer and its number of axes
        counts.

    Returns
    -------
    KnownAxes or None
        None where axes have no names: more than five.
    """
    shape = shapes[key]
    for pattern, axes in reversed(said):
        if fnmatchcase(name, pattern) and len(axes.text) == len(shape):
            return KnownAxes(axes)
    if len(shape) not in OURS:
        return None
    ours = OURS[len(shape)]
    by_name = _by_name(name, shape)
    outputs = next(_biases(key, shapes), None)
    for text, why in (
        *(() if by_name is None else ((by_name, "its name"),)),
        (ours, None),
        ("io" + ours[2:], "the size of its bias"),
        (ours[2:] + "io", "the size of its bias"),
    ):
        if outputs in (None, shape[text.index("o")]):
            return KnownAxes(Axes(text), why)
    return KnownAxes(Axes(by_name or ours), by_name and "its name")


def read_axes(axes: Mapping[str, str]) -> SaidAxes:
    """Read orders of axes by patterns of names, those of a pattern with commas.

    Raises
    ------
    TicketError
        Letters that are none, or that are missing.
    """
    return [
        (pattern, Axes.of(text))
        for pattern, texts in axes.items()
        for text in str(texts).split(",")
    ]


def check_patterns(said: SaidAxes, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse patterns of names and axes that fit no layer.

    Raises
    ------
    TicketError
        The first of them, with what there is.
    """
    for pattern, axes in said:
        if not any(
            fnmatchcase(name, pattern) and len(shape) == len(axes.text)
            for name, shape in shapes.items()
        ):
            there = ", ".join(
                f"{name} ({'x'.join(map(str, shape))})"
                for name, shape in shapes.items()
            )
            raise TicketError(
                f"`axes` of {pattern!r} are {axes.text!r}, but no layer of that name "
                f"has {len(axes.text)} axes; there are {there}"
            )


def remarks(found: Mapping[str, KnownAxes]) -> Iterator[str]:
    """Say which axes were guessed, a sentence for each kind of guess."""
    guesses: dict[tuple[str, str], list[str]] = {}
    for name, known in found.items():
        if known.guessed is not None:
            guesses.setdefault((known.axes.text, known.guessed), []).append(name)
    for (text, why), names in guesses.items():
        yield (
            f"Axes taken as {text} from {why}: {', '.join(names)}; if that is wrong, "
            "say it with `axes` (--axes)."
        )


def _by_name(name: str, shape: tuple[int, ...]) -> str | None:
    """Read the names that Keras, Flax and TensorFlow give to kernels.

    A name alone says nothing: the layer's stands before it.
    """
    parts = name.replace("/", ".").split(".")
    last = parts[-1].partition(":")[0]
    if len(parts) < 2 or not last.endswith("kernel"):
        return None
    kernel = OURS[len(shape)][2:]
    # Depthwise kernels are [h, w, channels, multiplier]: each channel has its own.
    outputs_first = last == "depthwise_kernel" or "_transpose" in name.lower()
    return kernel + ("oi" if outputs_first and kernel else "io")


def _biases(key: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[int]:
    """Look for the bias that stands beside weights, as torch and Keras name it."""
    head, last = _split(key)
    if "depthwise" in last:  # the bias is that of the pointwise kernel after it
        return
    for word, named in (("kernel", "bias"), ("weights", "biases"), ("weight", "bias")):
        if word in last:
            bias = head + last.replace(word, named)
            for other in (bias, bias.removesuffix("_orig")):
                if len(shapes.get(other, ())) == 1:
                    yield shapes[other][0]


def _split(key: str) -> tuple[str, str]:
    """Split the name of an array before its last part."""
    place = max(key.rfind("."), key.rfind("/")) + 1
    return key[:place], key[place:]
