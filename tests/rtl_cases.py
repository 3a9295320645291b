"""Random layers for the array: sizes, masks, orders, inputs, barriers of all kinds."""

import numpy as np

from balancer import Schedule
from hwmodel import LayerWorkload
from rtl.array_job import BARRIERS, ArrayJob
from rtl.layer import quantize_layer

ARRAYS = ((1, "weight"), (3, "weight"), (4, "dual"), (5, "dual"), (8, "weight"))


def random_job(rng, pes, name="drawn"):
    """Draw a layer with its input, for an array of `pes` PEs.

    Strided, padded and dilated convolutions and linear layers, ragged and empty tiles,
    empty channels, silent inputs, orders, biases, every barrier, one in eight analog.
    """
    steps, analog = int(rng.integers(1, 5)), rng.random() < 1 / 8
    outputs = int(rng.integers(1, 3 * pes + 2))
    if rng.random() < 1 / 3:
        mask_shape = (outputs, int(rng.integers(1, 50)))
        image, geometry = mask_shape[1:], {}
    else:
        kernel = rng.integers(1, 4, 2)
        padding, dilation = rng.integers(0, 3, 2), rng.integers(1, 3, 2)
        reach = dilation * (kernel - 1) + 1
        size = np.maximum(1, reach - 2 * padding) + rng.integers(0, 5, 2)
        channels = int(rng.integers(1, 5))
        mask_shape = (outputs, channels, *map(int, kernel))
        image = (channels, *map(int, size))
        geometry = {
            "stride": tuple(map(int, rng.integers(1, 4, 2))),
            "padding": tuple(map(int, padding)),
            "dilation": tuple(map(int, dilation)),
        }
    density = rng.choice([0.05, 0.3, 1.0])
    mask = rng.random(mask_shape) < density
    mask[rng.random(outputs) < 0.2] = False
    if rng.random() < 0.2:
        mask[:pes] = False
    weights = rng.normal(size=mask_shape) * mask
    shape = LayerWorkload(
        name, mask, image, **geometry, timesteps=steps, direct_coded=analog
    )
    order = (Schedule(0, rng.permutation(outputs)),) if rng.random() < 0.5 else ()
    layer = quantize_layer(
        shape,
        weights,
        pes,
        bias=rng.normal(size=outputs) * 0.5,
        input_scale=0.02 if analog else 1.0,
        schedules=order,
    )
    if analog:
        inputs = rng.integers(-127, 128, (1, *shape.image))
        inputs[rng.random(inputs.shape) < 0.3] = 0
    else:
        rate = rng.choice([0.0, 0.15, 0.6])
        inputs = (rng.random((steps, *shape.image)) < rate).astype(np.uint8)
    return ArrayJob(layer, inputs, rng.choice(list(BARRIERS)).item(), steps)


def random_jobs(count, pes, seed=0):
    """Draw some layers, always the same of a seed."""
    rng = np.random.default_rng([seed, pes])
    return [random_job(rng, pes, f"drawn-{number}") for number in range(count)]
