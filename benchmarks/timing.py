"""What the benchmarks share: the time of a call, and how times are told."""

import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def processor_seconds(work: Callable[[], object]) -> float:
    """Time of one thread's call, whatever else the machine does meanwhile."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def quartiles(values: list[float], digits: int) -> str:
    low, middle, high = (f"{q:.{digits}f}" for q in statistics.quantiles(values, n=4))
    return f"{middle} [{low}, {high}]"
