"""A layer in the numbers of the array: integers, and what one of them means.

Weights are the codes of the exported streams, ``code * scale`` with one scale for the
layer (`balancer.layer_streams`). An input is a spike, or a code of an analog input with
a scale of its own. Sums are whole numbers in units of ``scale * input_scale``;
potentials, biases and the threshold have `FRACTION` bits more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer import PEMap, Schedule, layer_streams
from balancer.array_types import AnyArray, IntArray
from balancer.export.layer_streams import LayerStreams
from hwmodel.workload import LayerWorkload
from rtl.errors import RtlError

FRACTION = 6
"""Bits of a potential below one unit of the sums."""

VALUE_BITS, SUM_BITS, POTENTIAL_BITS = 8, 24, 32
THRESHOLD = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedLayer:
    """One layer as the array runs it; `quantize_layer` makes it.

    Attributes
    ----------
    name : str
        Of the layer.
    streams : LayerStreams
        Integer weights, for an ``output_channel`` map of the PEs of the array.
    shape : LayerWorkload
        Mask, sizes, strides, paddings and dilations; ``direct_coded`` if the input is
        analog. Its input is not known.
    bias : ndarray of int64 [output channels]
        Natural order, in units of a potential.
    threshold : int
        In units of a potential.
    unit : float
        What a potential of 1 means, in the unit of the network's potentials.
    """

    name: str
    streams: LayerStreams
    shape: LayerWorkload
    bias: IntArray
    threshold: int
    unit: float

    @property
    def codes(self) -> IntArray:
        """Integer weights in their natural order, [out, in, kernel rows, columns]."""
        scale = self.streams.values.scale or 1.0
        weights = np.rint(self.streams.weights().astype(np.float64) / scale)
        return weights.astype(np.int64).reshape(self.shape.weight_shape)

    @property
    def order(self) -> IntArray:
        """Output channel at each place of the schedule, [output channels]."""
        order: IntArray = np.arange(self.shape.outputs, dtype=np.int64)
        for schedule in self.streams.schedules:
            order = schedule.order.astype(np.int64)
        return order


def quantize_layer(
    shape: LayerWorkload,
    weights: npt.ArrayLike,
    pes: int,
    *,
    bias: npt.ArrayLike | None = None,
    input_scale: float = 1.0,
    schedules: tuple[Schedule, ...] = (),
) -> QuantizedLayer:
    """Bring a layer into the numbers of the array.

    Parameters
    ----------
    shape : LayerWorkload
        Mask, sizes, strides, paddings and dilations.
    weights : array_like of float
        In the shape of the mask, with normalization folded in.
    pes : int
        PEs of the array.
    bias : array_like of float [output channels], optional
        Default: none.
    input_scale : float
        Analog input that the code 1 means; 1 for spikes.
    schedules : tuple of Schedule
        In which order the PEs take the output channels.

    Raises
    ------
    RtlError
        A layer that the array does not run.

    Examples
    --------
    >>> import numpy as np
    >>> from hwmodel import LayerWorkload
    >>> from rtl.layer import quantize_layer
    >>> weights = np.array([[0.5, 0, 1], [0, -1, 0]])
    >>> layer = quantize_layer(LayerWorkload("fc", weights != 0), weights, pes=2)
    >>> layer.codes[:, :, 0, 0].tolist(), layer.threshold
    ([[64, 0, 127], [0, -127, 0]], 8128)
    """
    _refuse(shape, schedules)
    given = np.asarray(weights, np.float64)
    streams = layer_streams(
        given,
        shape.mask,
        PEMap.output_channel(shape.mask.shape, pes),
        bits=VALUE_BITS,
        schedules=schedules,
    )
    unit = (streams.values.scale or 1.0) * input_scale * 2.0**-FRACTION
    added = np.zeros(shape.outputs) if bias is None else np.asarray(bias, np.float64)
    layer = QuantizedLayer(
        name=shape.name,
        streams=streams,
        shape=shape,
        bias=np.rint(added / unit).astype(np.int64),
        threshold=int(np.rint(THRESHOLD / unit)),
        unit=unit,
    )
    # A charged potential is (v + 3 x) / 4 with v below the threshold: 3 x is the most.
    most = 1 << (POTENTIAL_BITS - 3)
    if max(layer.threshold, int(np.abs(layer.bias).max(initial=0))) >= most:
        raise RtlError(
            f"layer {shape.name}: threshold {layer.threshold} and bias of up to "
            f"{np.abs(layer.bias).max(initial=0)} units; potentials of "
            f"{POTENTIAL_BITS} bits hold less than {most}: its weights are too small"
        )
    return layer


def quantize_inputs(images: AnyArray, bits: int) -> tuple[IntArray, float]:
    """Round analog inputs to signed integers.

    Parameters
    ----------
    images : ndarray of float
        As the network sees them.
    bits : int
        Of a code.

    Returns
    -------
    codes : ndarray of int64
        The largest magnitude has the code ``2**(bits - 1) - 1``.
    scale : float
        What the code 1 means.
    """
    most = 2 ** (bits - 1) - 1
    scale = float(np.abs(images).max(initial=0.0)) / most or 1.0
    return np.rint(np.asarray(images, np.float64) / scale).astype(np.int64), scale


def _refuse(shape: LayerWorkload, schedules: tuple[Schedule, ...]) -> None:
    if shape.groups != 1:
        raise RtlError(
            f"layer {shape.name} has {shape.groups} groups of channels; the array runs "
            "convolutions whose outputs hear all inputs, and linear layers"
        )
    if any(schedule.axis != 0 for schedule in schedules):
        raise RtlError(
            f"layer {shape.name} has its input channels in another order; the array "
            "takes output channels in any order, and inputs as they are"
        )
