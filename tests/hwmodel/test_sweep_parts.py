"""The parts of a sweep by themselves: fronts, the journal, and where tasks run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_cases import die_at_three, die_once, double, last_long, refuse

from hwmodel import SweepError
from hwmodel.sweeps.attempt import InThisProcess
from hwmodel.sweeps.journal import RowJournal
from hwmodel.sweeps.local_workers import LocalWorkers
from hwmodel.sweeps.pareto import pareto_front

NUMBERS = st.one_of(st.none(), st.integers(0, 6))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_the_front_is_what_no_other_point_beats(points):
    """A point is on the front exactly if no other is as cheap and as good."""

    def beats(one, other):
        return one != other and one[0] <= other[0] and one[1] >= other[1]

    known = [point for point in points if None not in point]
    on = {
        place
        for place, point in enumerate(points)
        if point in known and not any(beats(other, point) for other in known)
    }
    front = pareto_front(points)
    assert set(front) == on
    assert len(front) == len(on)
    assert front == sorted(front, key=lambda place: points[place][0])


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=8), st.data()
)
def test_a_journal_that_is_cut_off_keeps_its_whole_lines(tmp_path_factory, rows, data):
    """Wherever a kill ends the file, whole rows are there, and writing goes on."""
    journal = RowJournal(tmp_path_factory.mktemp("journal") / "rows.jsonl")
    with journal.writing():
        for key, value in rows:
            journal.append([{"key": key, "value": value}])
    text = journal.path.read_bytes()
    cut = data.draw(st.integers(0, len(text)))
    journal.path.write_bytes(text[:cut])
    kept = dict(rows[: text[:cut].count(b"\n")])
    assert {key: row["value"] for key, row in journal.read().items()} == kept
    with journal.writing():
        journal.append([{"key": "new", "value": 1}])
    assert {k: row["value"] for k, row in journal.read().items()} == {**kept, "new": 1}


def test_a_journal_has_one_writer(tmp_path):
    """A second sweep in the same folder is refused, also from another process."""
    journal = RowJournal(tmp_path / "rows.jsonl")
    with journal.writing():
        with pytest.raises(SweepError, match="another process"), journal.writing():
            pass
        journal.append([{"key": "a"}])
    with journal.writing():
        assert journal.read() == {"a": {"key": "a"}}


def test_a_file_of_others_is_no_journal(tmp_path):
    """Lines that no sweep wrote are refused and named."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"key": "a"}) + "\n[1]\n")
    with pytest.raises(SweepError, match="line 2 is no row"):
        RowJournal(path).read()


@pytest.mark.parametrize("executor", [InThisProcess(), LocalWorkers(2)])
def test_tasks_end_with_results_or_reasons(executor):
    """Every task ends once, with what it returned or why it failed."""
    ends = sorted(executor.run(double, [5, 6, 7]))
    assert [(end.number, end.result) for end in ends] == [(0, 10), (1, 12), (2, 14)]
    [end] = executor.run(refuse, [5])
    assert (end.result, end.error, end.tries) == (None, "no 5", 1)
    assert list(executor.run(double, [])) == []


def test_a_task_whose_worker_dies_is_tried_again():
    """Death of a worker costs its task a second try, and if that dies too, the task."""
    ends = sorted(LocalWorkers(2).run(die_at_three, [1, 2, 3, 4, 5]))
    assert [end.result for end in ends] == [1, 2, None, 4, 5]
    assert [end.tries for end in ends] == [1, 1, 2, 1, 1]
    assert "its worker died 2 times: SIGKILL" in ends[2].error


def test_the_second_try_may_end_well(tmp_path):
    """A worker that died by chance costs nothing but time."""
    [end] = LocalWorkers(1).run(die_once, [str(tmp_path / "marker")])
    assert (end.result, end.error, end.tries) == ("done", None, 2)


def is_alive(process):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_workers_do_not_outlive_who_started_them():
    """A parent that is killed leaves no process behind."""
    code = """
import os, signal, time
from hwmodel.sweeps.local_workers import LocalWorkers
from sweep_cases import last_long
ends = LocalWorkers(1).run(last_long, [0, 1])
print(next(ends).result, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    worker = int(done.stdout)
    latest = time.monotonic() + 60  # how soon it goes is the system's affair
    while is_alive(worker) and time.monotonic() < latest:
        time.sleep(0.01)
    assert not is_alive(worker)


def test_workers_stop_when_nobody_waits():
    """Closing the iterator ends the processes in the middle of their work."""
    ends = LocalWorkers(1).run(last_long, [0, 1])
    worker = next(ends).result
    ends.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
