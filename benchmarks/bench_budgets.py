"""Budgets of cycles and energy across the layers of VGG-16: magnitude, bound and time.

    OMP_NUM_THREADS=1 python benchmarks/bench_budgets.py

Gaussian weights with log-normal channel scales, 98 % sparse, 16 PEs, 32 x 32 images, 4
time steps. Costs are those of two presets, both skipping zero weights only; fractions
are of the layer-wise solution. Cycles are those of the array, without memory stalls.
"""

import argparse
import time

import numpy as np
from vgg16 import vgg16_weights

from balancer import balance_network, latency_frontier
from hwmodel import Accelerator, LayerWorkload, evaluate, slice_costs

SIZES = (32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2)
TIMESTEPS, SPARSITY = 4, 0.98


def workloads(masks: dict[str, np.ndarray]) -> list[LayerWorkload]:
    layers = []
    for (name, mask), size in zip(masks.items(), (*SIZES, None), strict=True):
        image = None if size is None else (mask.shape[1], size, size)
        padding = 0 if size is None else 1
        layer = LayerWorkload(name, mask, image, padding=padding, timesteps=TIMESTEPS)
        layers.append(layer)
    return layers


def weight_skipping(preset: str) -> Accelerator:
    """A preset whose array skips zero weights only, with a barrier after every tile."""
    data = Accelerator.load(preset).model_dump(exclude_unset=True)
    data["array"] |= {"skip": "weight", "barrier": "tile"}
    return Accelerator.from_dict(data)


def measure(scores: dict[str, np.ndarray], preset: str, cases: list[dict]) -> None:
    """Print what masks keep and take under some budgets, by both solvers."""
    accelerator = weight_skipping(preset)
    costs = slice_costs(workloads(scores), accelerator)
    print(f"{preset:36}{'kept':>12}{'cycles':>11}{'energy':>13}{'gap':>9}{'s':>7}")
    for limits in cases:
        for solver in ("greedy", "cp-sat"):
            begun = time.perf_counter()
            found = balance_network(
                scores,
                sparsity=SPARSITY,
                costs=costs,
                solver=solver,
                workers=1,
                **({"scope": "global"} | limits),
            )
            seconds = time.perf_counter() - begun
            masks = {layer.name: layer.solution.mask for layer in found.layers}
            report = evaluate(workloads(masks), accelerator)
            assert report.activity.cycles.compute == found.cycles, "wrong prediction"
            assert np.isclose(report.energy_pj, found.energy, rtol=1e-9)
            given = " ".join(f"{k.split('_')[0]} {v}" for k, v in limits.items())
            print(
                f"{given or 'non-zeros only':28}{solver:8}{found.kept:12.2f}"
                f"{found.cycles:11,}{found.energy:13,.0f}{found.gap:9.1e}"
                f"{seconds:7.2f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spread", type=float, default=1.0)
    parser.add_argument("--points", type=int, default=10)
    args = parser.parse_args()
    weights = vgg16_weights(channel_spread=args.spread)
    scores = {name: np.abs(layer) for name, layer in weights.items()}
    latency = [{"latency_budget": fraction} for fraction in (0.7, 0.3)]
    measure(scores, "u-ticket", [{"scope": "layer"}, {}, *latency])
    both = {"latency_budget": 0.45, "energy_budget": 0.89}
    energy = [{"energy_budget": 0.9}, {"energy_budget": 0.8}, both]
    measure(scores, "generic-45nm", [{"scope": "layer"}, {}, *energy])

    costs = slice_costs(workloads(scores), weight_skipping("u-ticket"))
    begun = time.perf_counter()
    points = latency_frontier(scores, costs, points=args.points, sparsity=SPARSITY)
    print(f"frontier, {len(points)} points, {time.perf_counter() - begun:.2f} s")
    for point in points:
        print(f"{point.cycles:11,} cycles {point.kept:12.2f} gap {point.gap:.1e}")


if __name__ == "__main__":
    main()
