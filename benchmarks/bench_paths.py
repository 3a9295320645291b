"""What live paths cost, and what the program of two layers adds.

    OMP_NUM_THREADS=1 python benchmarks/bench_paths.py vgg16 [--repeat 3]
    OMP_NUM_THREADS=1 python benchmarks/bench_paths.py pairs

`vgg16`: masks of VGG-16 at 98 % (Gaussian scores, 14.7 million weights) with live paths
against without, and how many of their weights lie on a path.

`pairs`: two layers of the shipped ticket's network jointly: of few candidates, as in a
round of nested masks, and of more and more. Turns against the program: what both keep
on paths, the bound, and the time. Then whole rounds from the ticket's masks.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import torch

from balancer import (
    PairProblem,
    PEMap,
    RetentionProblem,
    lth_mask,
    open_ticket,
    shipped_ticket,
)
from balancer import solve_pair as solve
from snn import (
    METHODS,
    NetworkPaths,
    Pruning,
    build_network,
    neighbours,
    prunable_layers,
)

FIRST, SECOND = "features.3", "features.7"


def working(pruning: Pruning, masks: dict) -> tuple[int, int, float]:
    """Count kept weights, those on a path, and add up the scores of the latter."""
    live = pruning.live(masks)
    works = {name: mask & live[name] for name, mask in masks.items()}
    return (
        sum(int(mask.sum()) for mask in masks.values()),
        sum(int(mask.sum()) for mask in works.values()),
        sum(float(pruning.scores[n][m].sum(dtype=float)) for n, m in works.items()),
    )


def vgg16(repeat: int) -> None:
    network = build_network("vgg16", (3, 32, 32), 10, timesteps=1)
    rng = np.random.default_rng(0)
    scores = {
        name: np.abs(rng.standard_normal(layer.weight.shape, np.float32))
        for name, layer in prunable_layers(network).items()
    }
    every = {name: np.ones(one.shape, bool) for name, one in scores.items()}
    image = torch.zeros(1, 3, 32, 32)

    pruning = Pruning(
        scores=scores,
        masks=every,
        carried=every,
        sparsity=0.98,
        step=0.98,
        live=NetworkPaths(network, image).live,
        neighbours=neighbours(network),
    )
    print("method         without s   with s  ratio   on paths without, with")
    for name in ("optimal", "optimal-order"):
        ratios, seconds, shares = [], [], []
        for _ in range(repeat):
            took, found = [], []
            for asked in (replace(pruning, live=None), pruning):
                begun = time.perf_counter()
                found.append(METHODS[name](asked))
                took.append(time.perf_counter() - begun)
            seconds.append(took)
            ratios.append(took[1] / took[0])
            kept = [working(pruning, one.masks) for one in found]
            shares = [of[1] / of[0] for of in kept]
        plain, along = (
            statistics.median(column) for column in zip(*seconds, strict=True)
        )
        print(
            f"{name:14} {plain:8.2f} {along:8.2f} {statistics.median(ratios):6.2f}   "
            f"{shares[0]:.1%}, {shares[1]:.2%}"
        )


def pairs() -> None:
    ticket = open_ticket(shipped_ticket())
    layers = {layer.name: layer.read() for layer in ticket.layers}
    print("candidates  budget   turns      s    program      s   bound  gap")
    for candidates, kept in (
        *((1_100, 600), (1_100, 400), (2_200, 400), (5_500, 400), (11_000, 400)),
        *((22_000, 400), (55_296, 400), (11_000, 200), (55_296, 200)),
    ):
        programs = []
        for name in (FIRST, SECOND):
            scores = layers[name].scores
            share = scores.size / 55_296
            programs.append(
                RetentionProblem(
                    scores,
                    PEMap.output_channel(scores.shape, 16),
                    int(kept * share),
                    previous_mask=lth_mask(scores, int(candidates * share)),
                )
            )
        problem = PairProblem(*programs)
        turns = solve(problem, "alternation")
        exact = solve(problem, time_limit=60.0)
        print(
            f"{candidates:10} {kept:7} {turns.kept:7.3f} {turns.seconds:6.2f} "
            f"{exact.kept:10.3f} {exact.seconds:6.2f} {exact.bound:7.3f} "
            f"{exact.gap:.2%}"
        )
    rounds(layers)


def rounds(layers: dict) -> None:
    network = build_network("conv3", (1, 8, 8), 10, timesteps=1)
    image = torch.zeros(1, 1, 8, 8)
    scores = {name: layer.scores for name, layer in layers.items()}
    masks = {name: layer.mask for name, layer in layers.items()}

    live = NetworkPaths(network, image).live
    print("\nsparsity  budgets  layer by layer        live paths            and pairs")
    for budgets in ("global", "lamp"):
        for sparsity in (0.985, 0.987, 0.99, 0.992):
            asked = Pruning(
                scores=scores,
                masks=masks,
                carried=masks,
                sparsity=sparsity,
                step=0.25,
                budgets=budgets,
            )
            cells = []
            for more in (
                {},
                {"live": live},
                {"live": live, "neighbours": neighbours(network)},
            ):
                begun = time.perf_counter()
                found = METHODS["optimal-order"](replace(asked, **more))
                took = time.perf_counter() - begun
                kept, works, score = working(replace(asked, live=live), found.masks)
                cells.append(f"{works:4}/{kept:4} {score:6.2f} {took:4.2f}s")
            print(f"{sparsity:8} {budgets:>8}  {'  '.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("vgg16", "pairs"))
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.part == "vgg16":
        vgg16(args.repeat)
    else:
        pairs()


if __name__ == "__main__":
    main()
