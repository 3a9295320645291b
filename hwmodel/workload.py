"""Workloads: one layer of a network, with its mask and the spikes it receives.

A linear layer is a convolution of a 1 x 1 image, one along a line a convolution of an
image with one row, a depthwise layer one with as many groups as input channels, a
residual projection a 1 x 1 convolution with a stride.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.array_types import BoolArray, FloatArray
from hwmodel.errors import WorkloadError

Pair: TypeAlias = tuple[int, int]
PairField: TypeAlias = Literal["stride", "padding", "dilation"]
SIZES = {2: ",", 3: ", length", 4: ", height, width"}  # by the axes of the weights
MOST_STEPS, MOST_INPUTS, MOST_OPERATIONS = 2**20, 2**28, 2**53


def has_model(shape: Sequence[int]) -> bool:
    """Whether weights of a shape can be evaluated: those of three dimensions cannot."""
    return len(shape) in SIZES and 0 not in shape


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerWorkload:
    """One layer, its mask, and what is known about its input.

    Give `spikes` for exact results, or `spike_rate` for estimates, or neither: then
    every input counts as a spike, which is exact for the cycles of arrays that skip
    weights only and an upper bound for everything else.

    Attributes
    ----------
    name : str
        Name of the layer.
    mask : ndarray of bool
        Weights kept: [out, in per group, kernel height, kernel width] for a
        convolution, [out, in per group, kernel length] for a one-dimensional one,
        [out, in] for a linear layer. Weights are accepted too; those that are not 0
        are kept.
    input_shape : tuple of int, optional
        (channels, height, width) of the input, (channels, length) in one dimension,
        (features,) for a linear layer. Default: as large as the kernel, so that a
        convolution has one output pixel.
    stride, padding, dilation : int or pair of int
        Of the convolution, along height and width; in one dimension a number is that
        along the length.
    groups : int
        Of the convolution; output channels of one group read the same inputs.
    timesteps : int, optional
        Default: those of `spikes`, else 1.
    spikes : ndarray, optional
        Zeros and ones, [timesteps, batch, channels, height, width], for a linear layer
        [timesteps, batch, features]. For a direct-coded layer: where its analog input
        is not zero, [1, batch, ...]. A layer with several `calls` has those of one call
        after another along the batch, [timesteps, calls x batch, ...].
    spike_rate : float or array_like of float, optional
        Probability of a spike at each input and time step, one for the layer or one
        for each input channel, all independent.
    rate_mode : str
        ``bound``: calculate with expected loads, so that results are expectations or
        lower bounds of them. ``sample``: draw spikes.
    seed : int
        Of the sample.
    batch : int, optional
        Inferences that the results add up. Default: those of `spikes`, else 1.
    calls : int
        How often it runs in one inference (and time step) on inputs of this size: more
        than once where weights are shared, 0 for a layer that never does.
    direct_coded : bool
        The input is analog and the same in all time steps: the layer runs once, its
        operations are MACs, and only its neurons are updated in every time step.
    output_size : tuple of int
        Height and width of the output, which follow from the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import LayerWorkload
    >>> mask = np.ones((32, 16, 3, 3), dtype=bool)
    >>> layer = LayerWorkload("conv", mask, (16, 8, 8), padding=1, spike_rate=0.15)
    >>> layer.output_size, layer.pixels
    ((8, 8), 64)
    """

    name: str
    mask: BoolArray
    input_shape: tuple[int, ...] | None = None
    stride: int | Pair = 1
    padding: int | Pair = 0
    timesteps: int | None = None
    spikes: npt.NDArray[np.uint8] | None = None
    spike_rate: float | Sequence[float] | FloatArray | None = None
    dilation: int | Pair = 1
    groups: int = 1
    rate_mode: Literal["bound", "sample"] = "bound"
    seed: int = 0
    batch: int | None = None
    direct_coded: bool = False
    calls: int = 1
    output_size: Pair = field(init=False)

    def __post_init__(self) -> None:
        mask = np.asarray(self.mask)
        if not has_model(mask.shape):
            raise self._error(
                f"the mask has shape {mask.shape}; needed: [out, in], [out, in per "
                "group, kernel length] or [out, in per group, kernel height, kernel "
                "width], none of them 0"
            )
        self._set("mask", mask if mask.dtype == np.bool_ else mask != 0)
        self._set("stride", self._pair("stride", 1))
        self._set("padding", self._pair("padding", 0))
        self._set("dilation", self._pair("dilation", 1))
        self._whole("groups", self.groups)
        self._set("input_shape", self._checked_input_shape())
        if self.outputs % self.groups:
            raise self._error(
                f"{self.outputs} output channels do not divide into {self.groups} "
                "`groups`"
            )
        self._set("output_size", self._output_size())
        if min(self.output_size) < 1:
            raise self._error(
                f"input {self.input_shape} with `padding` {self.padding} is smaller "
                f"than the kernel {self.kernel} with `dilation` {self.dilation}"
            )
        if self.spikes is not None and self.spike_rate is not None:
            raise self._error("give `spikes` or `spike_rate`, not both")
        if self.timesteps is None:
            known = self.spikes is not None and not self.direct_coded
            self._set("timesteps", len(self.spikes) if known else 1)  # type: ignore[arg-type]
        self._whole("timesteps", self.timesteps)
        self._refuse_numbers_that_overflow()
        self._whole("calls", self.calls, 0)
        if self.spikes is not None:
            self._set("spikes", self._checked_spikes(np.asarray(self.spikes)))
        given = None if self.spikes is None else self.spikes.shape[1]
        if self.batch is None:
            known = given is not None and self.calls > 0
            self._set("batch", given // self.calls if known else 1)  # type: ignore[operator]
        self._whole("batch", self.batch)
        if given is not None and given != self.samples:
            calls = "" if self.calls == 1 else f" and `calls` {self.calls}"
            raise self._error(
                f"`batch` is {self.batch}{calls}, `spikes` have {given} samples"
            )
        if self.spike_rate is not None:
            self._set("spike_rate", self._checked_rate(self.spike_rate))
        if self.rate_mode not in ("bound", "sample"):
            raise self._error(
                f"`rate_mode` is {self.rate_mode!r}; accepted: 'bound', 'sample'"
            )

    def __repr__(self) -> str:
        known = "spikes" if self.spikes is not None else "a spike rate"
        if self.spikes is None and self.spike_rate is None:
            known = "no spikes"
        weights = "x".join(map(str, self.mask.shape))
        return (
            f"LayerWorkload({self.name}, {int(self.mask.sum())} of {weights} weights, "
            f"input {self.input_shape}, {self.steps} time steps, {known})"
        )

    # ---------------------------------------------------------------------- geometry

    @property
    def kernel(self) -> Pair:
        """Height and width of the kernel."""
        sizes = (1, 1, *self.mask.shape[2:])
        return sizes[-2], sizes[-1]

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights, those of a linear layer as a 1 x 1 convolution."""
        outputs, inputs, *_ = self.mask.shape
        return (outputs, inputs, *self.kernel)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return int(self.mask.shape[0])

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""
        channels, *size = self.input_shape or ()
        sizes = (1, 1, *size)
        return channels, sizes[-2], sizes[-1]

    @property
    def pixels(self) -> int:
        """Output pixels of one channel (E of the equations)."""
        height, width = self.output_size
        return height * width

    @property
    def fan_in(self) -> int:
        """Weights of one output channel, zeros included (K of the equations)."""
        return int(self.mask[0].size)

    def pairs(self, field: PairField) -> Pair:
        """Read `stride`, `padding` or `dilation` along height and width."""
        value = getattr(self, field)
        return value if isinstance(value, tuple) else (value, value)

    # ------------------------------------------------------------------------- input

    @property
    def steps(self) -> int:
        """Number of time steps (T of the equations)."""
        return self.timesteps or 1

    @property
    def runs(self) -> int:
        """Time steps in which the layer computes: 1 if it is direct-coded."""
        return 1 if self.direct_coded else self.steps

    @property
    def inferences(self) -> int:
        """Number of inferences."""
        return self.batch or 1

    @property
    def samples(self) -> int:
        """Inputs that it computes on, one after another: inferences x calls."""
        return self.inferences * self.calls

    @property
    def channel_rates(self) -> FloatArray | None:
        """Probability of a spike for each input channel, [channels], where given."""
        if self.spike_rate is None:
            return None
        return np.broadcast_to(np.asarray(self.spike_rate, float), self.image[:1])

    def real_spikes(self) -> npt.NDArray[np.uint8] | None:
        """Spikes given or drawn, [runs, batch, channels, height, width], if any."""
        rates = self.channel_rates
        if rates is None or self.rate_mode == "bound":
            return self.spikes
        shape = (self.runs, self.samples, *self.image)
        drawn = np.random.default_rng(self.seed).random(shape)
        return (drawn < rates[:, None, None]).astype(np.uint8)

    # -------------------------------------------------------------------- validation

    def _output_size(self) -> Pair:
        height, width = (
            (size + 2 * pad - step * (extent - 1) - 1) // stride + 1
            for size, pad, step, extent, stride in zip(
                self.image[1:],
                self.pairs("padding"),
                self.pairs("dilation"),
                self.kernel,
                self.pairs("stride"),
                strict=True,
            )
        )
        return height, width

    def _checked_input_shape(self) -> tuple[int, ...]:
        channels = self.mask.shape[1] * self.groups
        default = (channels, *self.mask.shape[2:])
        given = default if self.input_shape is None else tuple(self.input_shape)
        for size in given:
            self._whole("input_shape", size)
        if len(given) != len(default) or given[0] != channels:
            raise self._error(
                f"`input_shape` is {given}; the mask {self.mask.shape} with "
                f"{self.groups} groups needs ({channels}{SIZES[self.mask.ndim]})"
            )
        return given

    def _checked_spikes(self, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        shape = self.input_shape or ()
        fits = spikes.ndim == 2 + len(shape) and spikes.shape[2:] == shape
        if not fits or len(spikes) != self.runs or not spikes.shape[1]:
            steps = f"{self.runs} time steps"
            raise self._error(
                f"`spikes` have shape {spikes.shape}; needed: ({steps}, batch, "
                f"{', '.join(map(str, shape))})"
            )
        if spikes.dtype != np.bool_ and not ((spikes == 0) | (spikes == 1)).all():
            raise self._error("`spikes` hold values other than 0 and 1")
        return spikes.astype(np.uint8, copy=False).reshape(
            *spikes.shape[:2], *self.image
        )

    def _checked_rate(
        self, rate: float | Sequence[float] | FloatArray
    ) -> float | FloatArray:
        try:
            rates = np.asarray(rate, dtype=float)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._error(
                f"`spike_rate` holds no numbers ({error}); needed: one from 0 to 1, or "
                "one for each input channel"
            ) from error
        if rates.ndim == 2 and rates.shape[1] == self.image[0]:
            raise self._error(
                f"`spike_rate` has a time axis of {len(rates)} steps and `timesteps` "
                f"is {self.steps}; one rate for each input channel is needed: give "
                f"`timesteps={len(rates)}` and the mean over the steps, rates.mean(0)"
            )
        if rates.shape not in ((), self.image[:1]):
            raise self._error(
                f"`spike_rate` has shape {rates.shape}; needed: one number or one for "
                f"each of the {self.image[0]} input channels"
            )
        if not ((rates >= 0) & (rates <= 1)).all():
            raise self._error("`spike_rate` must lie between 0 and 1 spikes per step")
        return rates if rates.ndim else float(rates)

    def _pair(self, field: PairField, least: int) -> Pair:
        value, line = getattr(self, field), self.mask.ndim == 3
        alone = not isinstance(value, (list, tuple)) and np.ndim(value) == 0
        pair = (least, value) if line and alone else self.pairs(field)
        if len(pair) != 2:
            raise self._error(f"`{field}` is {pair}; needed: one or two whole numbers")
        if line and pair[0] != least:
            raise self._error(
                f"`{field}` is {pair}, of an input with one row; needed: one number, "
                f"or {least} along the rows"
            )
        for size in pair:
            self._whole(field, size, least)
        return pair

    def _refuse_numbers_that_overflow(self) -> None:
        """Keep counts below 2**63, and arrays with an entry a time step small."""
        steps = self.timesteps or 1
        size = math.prod((*self.mask.shape, *self.image[1:], steps))
        if steps > MOST_STEPS or size > MOST_OPERATIONS:
            raise self._error(
                f"`input_shape` {self.input_shape} and {steps} `timesteps` are too "
                f"many; accepted: {MOST_STEPS} time steps, and 2**53 weights x pixels "
                "x time steps"
            )
        inputs = math.prod(a + 2 * b for a, b in self._padded_sizes()) * self.runs
        if inputs > MOST_INPUTS:
            raise self._error(
                f"`input_shape` {self.input_shape} with `padding` {self.padding} in "
                f"{self.runs} time steps has {inputs:,} inputs; at most "
                f"{MOST_INPUTS:,} are accepted"
            )

    def _padded_sizes(self) -> Sequence[Pair]:
        channels, height, width = self.image
        down, right = self.pairs("padding")
        return (channels, 0), (height, down), (width, right)

    def _whole(self, field: str, value: int | None, least: int = 1) -> None:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:  # type: ignore[operator]
            raise self._error(
                f"`{field}` holds {value!r}; a whole number from {least} is needed"
            )

    def _error(self, text: str) -> WorkloadError:
        return WorkloadError(f"layer {self.name!r}: {text}")

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)
