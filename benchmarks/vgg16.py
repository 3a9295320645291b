"""The layers that the benchmarks share: VGG-16 for 32 x 32 images."""

import numpy as np

CONVOLUTIONS = (
    (64, 3),
    (64, 64),
    (128, 64),
    (128, 128),
    (256, 128),
    (256, 256),
    (256, 256),
    (512, 256),
    (512, 512),
    (512, 512),
    (512, 512),
    (512, 512),
    (512, 512),
)


def vgg16_weights(seed: int = 0, channel_spread: float = 0.0) -> dict[str, np.ndarray]:
    """Draw Gaussian weights for the 13 convolutions and the classifier, 14.7 million.

    `channel_spread` is the standard deviation of the logarithm of the output channels'
    scales.
    """
    rng = np.random.default_rng(seed)
    shapes = {
        f"features.{i}": (*channels, 3, 3) for i, channels in enumerate(CONVOLUTIONS)
    }
    shapes["classifier"] = (10, 512)
    weights = {}
    for name, shape in shapes.items():
        drawn = rng.standard_normal(shape, dtype=np.float32)
        scale = rng.lognormal(0.0, channel_spread, shape[0]).astype(np.float32)
        weights[name] = drawn * scale.reshape(-1, *[1] * (len(shape) - 1))
    return weights
