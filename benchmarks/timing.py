"""What the benchmarks share: the time of a call, and how times are told."""

import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def quartiles(values: list[float], digits: int) -> str:
    low, middle, high = (f"{q:.{digits}f}" for q in statistics.quantiles(values, n=4))
    return f"{middle} [{low}, {high}]"
