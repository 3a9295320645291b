"""The quantized layer in NumPy: what the array has to compute, bit by bit.

It shares nothing with the RTL but the definition of its numbers (`rtl.layer`). Sums are
a convolution of whole numbers. With the input x of a time step and the threshold h,

    v <- floor((v + 3 x) / 4);   a spike if v >= h, and then v <- 0,

which is v + (x - v) / tau with tau = 4/3, the neuron of `snn` (Kim et al. 2022,
arXiv:2207.01382), rounded down.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from balancer.array_types import AnyArray, IntArray
from rtl.errors import RtlError
from rtl.layer import FRACTION, POTENTIAL_BITS, SUM_BITS, QuantizedLayer

Spikes = npt.NDArray[np.uint8]


def reference_sums(layer: QuantizedLayer, inputs: AnyArray) -> IntArray:
    """Add up the weights that inputs meet, or their products with analog inputs.

    Parameters
    ----------
    layer : QuantizedLayer
        The layer.
    inputs : ndarray of int [runs, channels, height, width]
        Spikes, or codes of an analog input; a linear layer's have [runs, features].

    Returns
    -------
    ndarray of int64 [runs, output channels, pixels]
        In units of the sums.

    Raises
    ------
    RtlError
        A sum that the array cannot hold.
    """
    shape = layer.shape
    images = np.asarray(inputs, np.int64).reshape(-1, *shape.image)
    (above, left), (down, right) = shape.pairs("padding"), shape.pairs("stride")
    (below, beside), (height, width) = shape.pairs("dilation"), shape.output_size
    padded = np.pad(images, ((0, 0), (0, 0), (above, above), (left, left)))
    codes = layer.codes
    sums = np.zeros((len(images), shape.outputs, height, width), np.int64)
    for row, column in np.ndindex(codes.shape[2:]):
        seen = padded[:, :, row * below :, column * beside :]
        seen = seen[:, :, : (height - 1) * down + 1 : down]
        seen = seen[:, :, :, : (width - 1) * right + 1 : right]
        sums += np.einsum("oc,tcyx->toyx", codes[:, :, row, column], seen)
    most = 1 << (SUM_BITS - 1)
    if np.abs(sums).max(initial=0) >= most:
        raise RtlError(
            f"layer {layer.name}: a sum of {np.abs(sums).max()}; {SUM_BITS} bits hold "
            f"less than {most}"
        )
    return sums.reshape(len(images), shape.outputs, -1)


def reference_spikes(layer: QuantizedLayer, sums: IntArray, steps: int) -> Spikes:
    """Run the neurons of a layer.

    Parameters
    ----------
    layer : QuantizedLayer
        The layer.
    sums : ndarray of int64 [runs, output channels, pixels]
        Of every time step, or of one run that serves all of them.
    steps : int
        Time steps.

    Returns
    -------
    ndarray of uint8 [steps, output channels, pixels]
        Zeros and ones.

    Raises
    ------
    RtlError
        A potential that the array cannot hold.
    """
    currents = (sums << FRACTION) + layer.bias[:, None]
    currents = np.broadcast_to(currents, (steps, *currents.shape[1:]))
    spikes = np.zeros(currents.shape, np.uint8)
    potential = np.zeros(currents.shape[1:], np.int64)
    most = 1 << (POTENTIAL_BITS - 1)
    for step, current in enumerate(currents):
        charge = potential + 3 * current
        if np.abs(charge).max(initial=0) >= most:
            raise RtlError(
                f"layer {layer.name}: a charge of {np.abs(charge).max()}; "
                f"{POTENTIAL_BITS} bits hold less than {most}"
            )
        charged = charge >> 2
        spikes[step] = charged >= layer.threshold
        potential = np.where(spikes[step], 0, charged)
    return spikes
