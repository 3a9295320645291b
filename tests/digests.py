"""What must be the same everywhere: SHA-256 of the masks and orders of every program.

`python -m tests.digests` prints them. Other versions of Python and NumPy, numbers of
threads and of workers, and seeds of hashing print the same lines; searches are ended by
`work_limit`, which counts OR-Tools' deterministic time instead of seconds.
"""

import argparse
import hashlib
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np

from balancer import (
    BalanceRequest,
    PairProblem,
    PEMap,
    RetentionProblem,
    SearchLimits,
    TransposableProblem,
    balance_expected_work,
    balance_ticket,
    shipped_ticket,
    solve,
    solve_pair,
    solve_two_way,
)

MAPS = {
    "output_channel": lambda shape: PEMap.output_channel(shape, 16),
    "input_channel": lambda shape: PEMap.input_channel(shape, 8),
    "interleaved": lambda shape: PEMap.interleaved(shape, 16),
    "banked": lambda shape: PEMap.banked(shape, 4),
    "grid:4x4": lambda shape: PEMap.grid(shape, 4, 4),
    "2:4": lambda shape: PEMap.n_m(shape, 2, 4),
}
SHAPE = (32, 24, 3, 3)
WHOLE = {
    "layer-wise": BalanceRequest(),
    "global": BalanceRequest(scope="global"),
    "lamp": BalanceRequest(budgets="lamp", sparsity=0.95),
    "optimized": BalanceRequest(order="optimized"),
    "2:4": BalanceRequest(pe_map="2:4", sparsity=0.5),
}


def scores(*shape: int, seed: int = 0) -> np.ndarray:
    """Return scores without ties, which sums in any order tell apart."""
    return np.random.default_rng(seed).random(shape)


def of_arrays(*arrays: np.ndarray | None) -> str:
    """Return the digest of masks (bool) and orders (integers)."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def _layer(name: str, order: str, solver: str, work: float) -> str:
    problem = RetentionProblem(
        scores(*SHAPE),
        MAPS[name](SHAPE),
        sparsity=0.5 if name == "2:4" else 0.9,
        order=order,
    )
    found = solve(problem, solver, work_limit=work)
    return of_arrays(found.mask, found.order)


def _network(request: BalanceRequest, workers: int | None) -> str:
    report = balance_ticket(
        shipped_ticket(),
        request,
        limits=SearchLimits(work_limit=0.2, workers=workers),
        reorder=False,
        skip="features.0" if request.pe_map == "2:4" else None,  # it has one input
    )
    layers = report.layers
    return of_arrays(*(a for x in layers for a in (x.solution.mask, x.solution.order)))


def _pair() -> str:
    first, second = (
        RetentionProblem(
            scores(*shape, seed=seed), PEMap.output_channel(shape, 8), sparsity=0.95
        )
        for seed, shape in enumerate([(16, 8, 3, 3), (16, 16, 3, 3)])
    )
    found = solve_pair(PairProblem(first, second), work_limit=0.5)
    return of_arrays(found.first, found.second)


def _work() -> str:
    problem = RetentionProblem(
        scores(*SHAPE), PEMap.output_channel(SHAPE, 16), sparsity=0.9
    )
    rates = np.linspace(0.1, 0.4, SHAPE[1]).reshape(1, -1, 1, 1)
    return of_arrays(balance_expected_work(problem, rates).mask)


def programs(workers: int | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield a name and what makes the digest, for every program."""
    for name in MAPS:
        yield name, lambda name=name: _layer(name, "fixed", "auto", 0.2)
        yield f"{name}, greedy", lambda name=name: _layer(name, "fixed", "greedy", 0.2)
    for name in ("output_channel", "input_channel", "2:4"):
        for order in ("sorted", "optimized"):
            yield (
                f"{name}, {order}",
                lambda name=name, order=order: _layer(name, order, "auto", 0.1),
            )
    for name, request in WHOLE.items():
        yield (
            f"network, {name}",
            lambda request=request: _network(request, workers),
        )
    transposable = TransposableProblem(scores(64, 64), 2, 4)
    yield "two-way", lambda: of_arrays(solve_two_way(transposable).mask)
    yield "pair", _pair
    yield "expected work", _work


def main() -> None:
    """Print the digests, and with what they were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int)
    workers = parser.parse_args().workers
    for name, digest in programs(workers):
        print(digest(), name, flush=True)
    made = {name: version(name) for name in ("numpy", "ortools")}
    print(f"# Python {platform.python_version()}", made, platform.machine())


if __name__ == "__main__":
    main()
