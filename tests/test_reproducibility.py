"""The same seed makes the same masks, whatever else differs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def digests(number):
    """Return what `tests.digests` prints with so many threads and workers."""
    environment = os.environ | {"OMP_NUM_THREADS": number, "PYTHONHASHSEED": number}
    done = subprocess.run(
        [sys.executable, "-m", "tests.digests", "--workers", number],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_masks_do_not_depend_on_threads_workers_or_hashing():
    """All programs choose the same masks and orders under any of them."""
    one, three = digests("1"), digests("3")
    assert len(one) > 25
    assert one == three
