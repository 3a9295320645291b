"""Time of evaluating VGG-16, relative to work of the same size; run it by itself.

Two ratios, each between the fastest of some repetitions in one process and thread, in
time of the processor:

1. masks only, against counting the non-zeros of the same masks: in all with NumPy's
   `count_nonzero` and `sum`, and by PE with `PEMap.cell_loads`;
2. real spikes (T = 4, one image, zeros of weights and spikes skipped, a barrier after
   every pixel), against one dense float32 forward pass of the same convolutions: by
   torch if it can be imported, else as a matrix product over the same patches.

    OMP_NUM_THREADS=1 python benchmarks/bench_hwmodel.py [--imagenet] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from hwmodel import Accelerator, LayerWorkload, evaluate

STAGES = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]  # channels, convolutions
TIMESTEPS, DENSITY, RATE = 4, 0.018, 0.15


def vgg16(size: int, linear: tuple[int, ...]) -> tuple[list[LayerWorkload], list]:
    """Layers with random masks; first without spikes, then convolutions with them."""
    rng = np.random.default_rng(0)
    plain, spiking, channels = [], [], 3
    for outputs, layers in STAGES:
        for _ in range(layers):
            mask = rng.random((outputs, channels, 3, 3)) < DENSITY
            image = (channels, size, size)
            name = f"conv{len(plain)}"
            fields = {"name": name, "mask": mask, "input_shape": image, "padding": 1}
            plain.append(LayerWorkload(**fields, timesteps=TIMESTEPS))
            spikes = rng.random((TIMESTEPS, 1, *image)) < RATE
            spiking.append(LayerWorkload(**fields, spikes=spikes))
            channels = outputs
        size //= 2
    features = channels * size * size
    for number, outputs in enumerate(linear):
        mask = rng.random((outputs, features), dtype=np.float32) < DENSITY
        plain.append(LayerWorkload(f"fc{number}", mask, timesteps=TIMESTEPS))
        features = outputs
    return plain, spiking


def fastest(work: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of some repetitions."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def dense_forward(layers: list[LayerWorkload]) -> tuple[str, Callable[[], object]]:
    """A dense float32 pass over the convolutions of some layers."""
    try:
        import torch
    except ImportError:
        return "NumPy im2col", numpy_forward(layers)
    torch.set_num_threads(1)
    inputs = [torch.tensor(x.spikes[:, 0], dtype=torch.float32) for x in layers]
    weights = [torch.randn(x.mask.shape) for x in layers]

    def run() -> None:
        with torch.no_grad():
            for image, weight in zip(inputs, weights, strict=True):
                torch.nn.functional.conv2d(image, weight, padding=1)

    return f"torch {torch.__version__}", run


def numpy_forward(layers: list[LayerWorkload]) -> Callable[[], object]:
    """The same pass as matrix products over copied patches."""
    rng = np.random.default_rng(1)
    pairs = []
    for layer in layers:
        pads = [(0, 0), (0, 0), (1, 1), (1, 1)]
        weights = rng.random((layer.outputs, layer.fan_in), dtype=np.float32)
        pairs.append((np.pad(layer.spikes[:, 0], pads).astype(np.float32), weights))

    def run() -> None:
        for image, weights in pairs:
            view = np.lib.stride_tricks.sliding_window_view(image, (3, 3), (2, 3))
            patches = view.transpose(1, 4, 5, 0, 2, 3).reshape(weights.shape[1], -1)
            weights @ patches

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--imagenet", action="store_true", help="224 x 224, 138 M")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    size, linear = (224, (4096, 4096, 1000)) if args.imagenet else (32, (512, 10))
    plain, spiking = vgg16(size, linear)
    weight_skip = Accelerator.load("u-ticket")
    dual = Accelerator.load("generic-45nm")

    count = fastest(lambda: [np.count_nonzero(x.mask) for x in plain], args.repeat)
    total = fastest(lambda: [x.mask.sum() for x in plain], args.repeat)
    maps = [weight_skip.array.pe_map((*x.mask.shape, 1, 1)[:4]) for x in plain]
    by_pe = fastest(
        lambda: [
            p.cell_loads(x.mask.reshape(p.shape))
            for p, x in zip(maps, plain, strict=True)
        ],
        args.repeat,
    )
    masks_only = fastest(lambda: evaluate(plain, weight_skip), args.repeat)
    name, forward = dense_forward(spiking)
    dense = fastest(forward, args.repeat)
    with_spikes = fastest(lambda: evaluate(spiking, dual), args.repeat)
    result = {
        "weights": sum(x.mask.size for x in plain),
        "count_nonzero_s": count,
        "mask_sum_s": total,
        "count_by_pe_s": by_pe,
        "masks_only_s": masks_only,
        "masks_only_over_count_nonzero": masks_only / count,
        "masks_only_over_mask_sum": masks_only / total,
        "masks_only_over_count_by_pe": masks_only / by_pe,
        "dense_forward": name,
        "dense_forward_s": dense,
        "with_spikes_s": with_spikes,
        "with_spikes_over_dense_forward": with_spikes / dense,
    }
    if args.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(
            f"{key:38} {value:.6g}" if isinstance(value, float) else f"{key:38} {value}"
        )


if __name__ == "__main__":
    main()
