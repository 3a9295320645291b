"""Utilization of masks balanced by count and by expected work, on real spikes.

    python benchmarks/bench_expected_work.py

A 64 -> 64 3x3 convolution on 8 x 8 images, 98 % sparse, 16 PEs that skip zero weights
and zero spikes, T = 4, Gaussian weights; the input channels spike at rates with mean
0.15, equal or log-normal.
"""

import numpy as np

from balancer import PEMap, RetentionProblem, balance_expected_work, solve
from hwmodel import Accelerator, LayerWorkload, evaluate

BARRIERS = ("pixel", "timestep", "tile")


def accelerator(barrier: str) -> Accelerator:
    """The u-ticket preset, skipping spikes as well."""
    preset = Accelerator.load("u-ticket").model_dump(exclude_unset=True)
    array = {"mapping": "output_channel", "pes": 16, "skip": "dual"}
    array |= {"barrier": barrier, "source": "benchmark"}
    return Accelerator.from_dict(preset | {"array": array})


def row(name: str, mask: np.ndarray, spikes: np.ndarray, kept: str, gap: str) -> str:
    workload = LayerWorkload("conv", mask, (64, 8, 8), padding=1, spikes=spikes)
    reports = [evaluate([workload], accelerator(barrier)) for barrier in BARRIERS]
    etas = "".join(f"{report.eta:14.3f}" for report in reports)
    return (
        f"{name:24}{np.count_nonzero(mask):10}{kept:>9}{gap:>9}{etas}"
        f"{reports[-1].cycles:14}"
    )


def main() -> None:
    rng = np.random.default_rng(0)
    scores = np.abs(rng.standard_normal((64, 64, 3, 3)))
    problem = RetentionProblem(
        scores, PEMap.output_channel(scores.shape), sparsity=0.98
    )
    by_count = solve(problem)
    for name, spread in (("equal rates", 0.0), ("log-normal rates", 1.0)):
        drawn = rng.lognormal(-(spread**2) / 2, spread, 64)
        rates = np.clip(0.15 * drawn, 0, 1)
        spikes = rng.random((4, 1, 64, 8, 8)) < rates[:, None, None]
        columns = "".join(f"{'eta ' + barrier:>14}" for barrier in BARRIERS)
        print(f"{name:24}{'non-zeros':>10}{'kept':>9}{'gap':>9}{columns}  cycles, tile")
        print(row("by count", by_count.mask, spikes, "1.0000", "0"))
        for tolerance in (None, 0.3, 0.1, 0.02):
            found = balance_expected_work(problem, rates[:, None, None], tolerance)
            kept = f"{found.kept / by_count.kept:.4f}"
            label = f"by work, within {found.tolerance:.2f}"
            print(row(label, found.mask, spikes, kept, f"{found.gap:.2%}"))
        print()


if __name__ == "__main__":
    main()
