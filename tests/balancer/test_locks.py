"""A lock keeps others out while its holder lives, and is never in the way otherwise."""

import errno
import subprocess
import sys

import pytest

from balancer.errors import BalancerError
from balancer.files.line_journal import LineJournal
from balancer.files.locks import take_lock
from balancer.files.parts import part_folder, sweep_parts

fcntl = pytest.importorskip("fcntl")

HOLDER = """
import sys, time
from balancer.files.locks import take_lock

file = open(sys.argv[1], "w")
print(take_lock(file), flush=True)
time.sleep(600)
"""


def test_a_lock_ends_with_its_process(tmp_path):
    """What a process holds nobody else gets, until it is killed."""
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline().strip() == b"True"
        with path.open("w") as file:
            assert take_lock(file) is False
            holder.kill()
            holder.wait()
            assert take_lock(file) is True
    finally:
        holder.kill()
        holder.communicate()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks, as some of networks."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_work_goes_on(tmp_path):
    """It is not said that another process works there, which nobody knows."""
    journal = LineJournal(tmp_path / "rows.jsonl")
    with journal.writing(BalancerError("another process")):
        journal.append([{"layer": "a"}])
    assert journal.lines() == [b'{"layer": "a"}']


@pytest.mark.usefixtures("no_locks")
def test_without_locks_nothing_is_swept(tmp_path):
    """A writer that may be alive keeps what it has written."""
    with part_folder(tmp_path) as made:
        (made / "masks.npz").write_text("half")
        sweep_parts(tmp_path)
        assert (made / "masks.npz").read_text() == "half"
