"""What sweeps of the tests run: designs, and work that kills its worker."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from balancer import shipped_ticket
from hwmodel.sweeps.trainer import TrainedTicket

# 48 runs in 24 tasks: two accelerators share each of the masks.
DESIGN = {
    "pes": [8, 16, 32],
    "map": ["output_channel", "interleaved"],
    "sparsity": [0.8, 0.9],
    "method": ["optimal", "u-ticket"],
    "accelerator": ["u-ticket", "loas"],
}
RUNS = 48


def double(number: int) -> int:
    """Work that ends well."""
    return 2 * number


def refuse(number: int) -> int:
    """Work that fails, but its worker lives."""
    raise ValueError(f"no {number}")


def die_at_three(number: int) -> int:
    """Work that kills its worker whenever it is three."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(marker: str) -> str:
    """Work that kills its worker the first time."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def last_long(number: int) -> int:
    """Work that tells where it is done, and takes an hour for a number above 0."""
    if number:
        time.sleep(3600)
    return os.getpid()


def process_id(number: int) -> int:
    """Work that tells where it is done."""
    return os.getpid()


@dataclass(frozen=True)
class DeadlyTrainer:
    """Leaves the shipped ticket, but kills its worker for a seed."""

    deadly_seed: int = -1

    def digest(self, point):
        """Tell runs apart by their fields and seeds."""
        return repr((point.settings.seed, sorted(point.training.items())))

    def require(self):
        """Needs nothing."""

    def train(self, point, root):
        """Train not at all."""
        if point.settings.seed == self.deadly_seed:
            os.kill(os.getpid(), signal.SIGKILL)
        accuracy = 0.5 + point.settings.seed / 10
        return TrainedTicket(shipped_ticket(), {"accuracy": accuracy})
