"""What a benchmark measures: sizes, PE maps, PEs, sparsities, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balancer.errors import BalancerError

SIZES = (1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
MAPS = (
    "output_channel",
    "input_channel",
    "interleaved",
    "banked",
    "grid:4x4",
    "kernel:16",
    "2:4",
)
MOST_SIZES = 12
LEAST_SIZE, MOST_SIZE = 100, 4_000_000_000
MOST_PES = 4096


class BenchError(BalancerError):
    """A benchmark that cannot be run, or a reference that cannot be read."""


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What a benchmark measures; every combination of the lists.

    Parameters
    ----------
    sizes : sequence of int
        About how many weights the layers have.
    maps : sequence of str
        PE maps, as `balancer.PEMap.parse` reads them.
    pes : sequence of int
        PEs, for maps that do not say how many there are.
    sparsity : sequence of float
        Least share of weights to prune, for maps that do not prescribe the loads.
    methods : sequence of str, optional
        Names of `hwmodel.bench.methods.METHODS`; default: all that can run here.
    repeats : int
        Least number of timed pairs: a method, and the sort beside it. Calls of 0.25 s
        and more are timed once.
    call_limit : float
        Seconds; a size is left out if a call would take longer, as the one before says.
    seed : int
        Of the weights.

    Raises
    ------
    BenchError
        Values out of range; the message says what is accepted.

    Examples
    --------
    >>> from hwmodel.bench.settings import BenchSettings
    >>> BenchSettings(pes=[0])
    Traceback (most recent call last):
    hwmodel.bench.settings.BenchError: pes: 0 is out of range; 1 to 4096 PEs
    """

    sizes: Sequence[int] = SIZES
    maps: Sequence[str] = MAPS
    pes: Sequence[int] = (16,)
    sparsity: Sequence[float] = (0.98,)
    methods: Sequence[str] | None = None
    repeats: int = 5
    call_limit: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_range("sizes", self.sizes, LEAST_SIZE, MOST_SIZE, "weights")
        _check_range("pes", self.pes, 1, MOST_PES, "PEs")
        _check_range("repeats", [self.repeats], 1, 1000, "repeats")
        _check_range("seed", [self.seed], 0, 2**63 - 1, "")
        if len(self.sizes) > MOST_SIZES:
            raise BenchError(f"{len(self.sizes)} sizes; at most {MOST_SIZES}")
        if not self.maps:
            raise BenchError("no PE map; give at least one")
        if not self.sparsity:
            raise BenchError("no sparsity; give at least one")
        for share in self.sparsity:
            if not 0 < share < 1:
                raise BenchError(
                    f"sparsity: {share} is out of range; a share above 0 and below 1"
                )
        if not self.call_limit > 0:
            raise BenchError(f"call limit: {self.call_limit} s; more than 0 is needed")


def _check_range(
    name: str, values: Sequence[int], least: int, most: int, unit: str
) -> None:
    if not values:
        raise BenchError(f"{name}: none; give at least one")
    for value in values:
        if not least <= value <= most:
            raise BenchError(
                f"{name}: {value} is out of range; {least} to {most} {unit}".rstrip()
            )
    if len(set(values)) < len(values):
        raise BenchError(f"{name}: {', '.join(map(str, values))} holds one twice")
