"""One layer that is benchmarked: its size, and the PEs that share it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from balancer import PEMap, RetentionProblem
from balancer.array_types import AnyArray
from balancer.maps.kinds import MapKind
from balancer.maps.registry import find_kind
from hwmodel.bench.settings import BenchSettings

POSITIONS = (3, 3)  # of the kernel: some maps deal them out
SORTED_AT_ONCE = 2**22  # weights: 16 MiB of copies, whatever the layer


@dataclass(frozen=True, slots=True)
class BenchCase:
    """A layer, the PEs that share it, and how much of it is pruned.

    Attributes
    ----------
    size : int
        Weights that were asked for.
    map : str or None
        Text of the PE map; None for methods that know of none.
    pes : int or None
        PEs, where the map does not say them.
    sparsity : float or None
        Least share of weights to prune; None where the map prescribes the loads.
    """

    size: int
    map: str | None = None
    pes: int | None = None
    sparsity: float | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a convolution of about that many weights, as square as it can be.

        Output channels are a multiple of 16 and input channels of 4.
        """
        positions = prod(POSITIONS)
        outputs = max(16, round(sqrt(self.size / positions) / 16) * 16)
        inputs = max(4, round(self.size / positions / outputs / 4) * 4)
        return (outputs, inputs, *POSITIONS)

    @property
    def weights(self) -> int:
        """Weights that the layer has."""
        return prod(self.shape)

    @property
    def series(self) -> tuple[str | None, int | None, float | None]:
        """What it has in common with the same layer of other sizes."""
        return self.map, self.pes, self.sparsity

    @property
    def kind(self) -> MapKind | None:
        """What is known of the map."""
        return None if self.map is None else find_kind(self.map)[0]

    def pe_map(self) -> PEMap:
        """Make the PE map of the layer."""
        assert self.map is not None
        return PEMap.parse(self.map, self.shape, self.pes or 1)

    def problem(self, scores: AnyArray, **more: str) -> RetentionProblem:
        """State the retention program of the layer."""
        return RetentionProblem(
            scores,
            self.pe_map(),
            sparsity=self.sparsity,
            **more,  # type: ignore[arg-type]
        )


def cases_of(settings: BenchSettings, size: int) -> Iterator[BenchCase]:
    """Yield the cases of one size: those without a PE map first.

    Raises
    ------
    BalancerError
        A text that names no PE map.
    """
    yield from (BenchCase(size, sparsity=share) for share in settings.sparsity)
    for text in settings.maps:
        kind, _ = find_kind(text)
        numbers = settings.pes if kind.takes_pes else (None,)
        shares = (None,) if kind.prescribes_loads else settings.sparsity
        for pes, share in product(numbers, shares):
            yield BenchCase(size, text, pes, share)


def draw_scores(case: BenchCase, seed: int) -> npt.NDArray[np.float32]:
    """Draw the magnitudes of Gaussian weights, the same for all cases of one size."""
    rng = np.random.default_rng([seed, case.size])
    drawn = rng.standard_normal(case.shape, dtype=np.float32)
    return np.abs(drawn, out=drawn)


def sort_rows(scores: AnyArray) -> None:
    """Sort the weights of every output channel: what times are compared with."""
    rows = scores.reshape(len(scores), -1)
    step = max(1, SORTED_AT_ONCE // rows.shape[1])
    for first in range(0, len(rows), step):
        np.sort(rows[first : first + step], axis=1)
