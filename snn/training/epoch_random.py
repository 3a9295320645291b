"""Everything random in an epoch, from a seed and the number of the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from snn.training.distributed import Processes


@contextmanager
def epoch_random(
    seed: int, epoch: int, processes: Processes
) -> Iterator[torch.Generator]:
    """Seed torch's own generators in the block, and leave them as they were.

    Parameters
    ----------
    seed, epoch : int
        Neither may be negative.
    processes : Processes
        Each draws other numbers from torch's own generators, as for dropout.

    Yields
    ------
    Generator
        On the CPU, alike in all processes: for what is drawn for whole batches.
    """
    device = torch.device(processes.device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_mixed(seed, epoch, 1 + processes.rank))
        yield torch.Generator().manual_seed(_mixed(seed, epoch, 0))


def _mixed(*numbers: int) -> int:
    """One 64-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
