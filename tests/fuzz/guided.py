"""Inputs guided by coverage: `python -m tests.fuzz.guided npz -runs=100000`.

atheris (`python -m pip install -e '.[fuzz]'`, Linux) watches which branches of the
packages an input reaches, and changes the bytes that decided what was drawn.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import atheris

from .worker import emptied, time_limit

OURS = ["balancer", "hwmodel", "snn"]
with atheris.instrument_imports(include=OURS):
    from .targets import TARGETS

SECONDS = 20


class BytesRandom(random.Random):
    """Draws from given bytes, and zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._left = int.from_bytes(data, "little")

    def getrandbits(self, k: int) -> int:
        """Take the next bits."""
        taken = self._left & ((1 << k) - 1)
        self._left >>= k
        return taken

    def random(self) -> float:
        """Take a number from 0 to below 1."""
        return self.getrandbits(16) / 2**16


def main() -> int:
    """Guide inputs of one reader; what fails ends the run, with its input in a file."""
    target = TARGETS[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    with atheris.instrument_imports(include=OURS):  # packages load late
        for seed in range(20):
            with contextlib.suppress(Exception):
                target.check(random.Random(seed), folder)
            emptied(folder)

    def read(data: bytes) -> None:
        with time_limit(SECONDS):
            target.check(BytesRandom(data), folder)
        emptied(folder)

    longest = ["-max_len=4096", "-len_control=0"]  # for as many draws
    atheris.Setup([*sys.argv, *longest], read)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
