"""Sweeps on a Dask cluster: a scheduler and two workers on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweep_cases import DESIGN, RUNS, die_at_three, double, process_id, refuse

from hwmodel import SweepError, SweepPlan, sweep
from hwmodel.sweeps.cluster import DaskCluster

distributed = pytest.importorskip("distributed")


@contextmanager
def dask(*arguments, folder):
    """A process of Dask that ends with the context."""
    path = os.pathsep.join(one for one in sys.path if one)
    with (folder / "dask.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
            cwd=folder,
            env=os.environ
            | {
                "PYTHONPATH": path,
                "OMP_NUM_THREADS": "1",
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            },
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def scheduler(tmp_path):
    """Address of a scheduler."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with dask("scheduler", "--host", "127.0.0.1", "--port", str(port), folder=tmp_path):
        address = f"tcp://127.0.0.1:{port}"
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                break
        yield address


def worker(scheduler, folder, *options):
    """A worker with one thread."""
    return dask("worker", scheduler, "--nthreads", "1", *options, folder=folder)


def wait_for_workers(scheduler, number):
    """Wait until so many are there."""
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(number)


def test_a_worker_that_is_killed_on_the_way_changes_no_row(scheduler, tmp_path):
    """48 runs on two workers, one of them killed, end in the table of one machine."""
    plan = SweepPlan.of(DESIGN)
    here = sweep(plan, out=tmp_path / "here", workers=0)
    with (
        worker(scheduler, tmp_path, "--no-nanny") as first,
        worker(scheduler, tmp_path, "--no-nanny"),
    ):
        wait_for_workers(scheduler, 2)

        def kill_one(known):
            if known.done == 20:
                first.kill()
                first.wait()

        there = sweep(
            plan, out=tmp_path / "there", scheduler=scheduler, progress=kill_one
        )
        assert first.returncode == -signal.SIGKILL
    assert there.to_csv() == here.to_csv()
    rows = (tmp_path / "there" / "rows.jsonl").read_bytes()
    assert rows.count(b"\n") == RUNS


def test_tasks_end_with_results_or_reasons(scheduler, tmp_path):
    """A task that kills its workers has failed, and the others are done."""
    with worker(scheduler, tmp_path):
        wait_for_workers(scheduler, 1)
        with DaskCluster.at(scheduler) as cluster:
            ends = sorted(cluster.run(double, [5, 6]))
            assert [(end.number, end.result) for end in ends] == [(0, 10), (1, 12)]
            [end] = cluster.run(refuse, [5])
            assert (end.result, end.error) == (None, "no 5")
            ends = sorted(cluster.run(die_at_three, [1, 3]))
            assert [end.result for end in ends] == [1, None]
            assert "its worker died 2 times" in ends[1].error


def test_a_scheduler_without_workers_is_said(scheduler):
    """Who waits for workers is told so."""
    with (
        pytest.warns(UserWarning, match="no workers yet"),
        DaskCluster.at(scheduler),
    ):
        pass


def test_layers_go_through_the_same_scheduler(scheduler, tmp_path):
    """Layer by layer on a cluster is the same as all at once here."""
    with worker(scheduler, tmp_path, "--no-nanny"):
        wait_for_workers(scheduler, 1)
        fields = {"sparsity": [0.8, 0.9]}
        here = sweep(SweepPlan.of(fields), out=tmp_path / "here", workers=0)
        there = sweep(
            SweepPlan.of(fields | {"by_layer": True}),
            out=tmp_path / "there",
            scheduler=scheduler,
        )
    assert there.to_csv() == here.to_csv()


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    """An address without a scheduler, or that is none, is refused with what to do."""
    monkeypatch.setattr("hwmodel.sweeps.cluster.CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nowhere:at:all"):
        with pytest.raises(SweepError, match="dask scheduler") as caught:
            sweep(sparsity=0.9, out=tmp_path, scheduler=address)
        assert "\n" not in str(caught.value)


SBATCH = """#!/bin/sh
# Stands in for Slurm's: runs the job here, behind the caller's back. It keeps a copy,
# as Slurm does: the script is gone as soon as it is submitted.
for script; do :; done
cp "$script" job.sh
sh job.sh > job.log 2>&1 &
echo "Submitted batch job $!"
"""


def test_jobs_of_slurm_run_the_tasks(tmp_path, monkeypatch):
    """Jobs are submitted by sbatch with the options given, and end with the sweep."""
    pytest.importorskip("dask_jobqueue")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\nkill "$1"\n')):
        path = bin_folder / name
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    options = "jobs=1,cores=1,memory=1GB,interface=lo,queue=long"
    with DaskCluster.of_slurm(options) as cluster:
        script = cluster.client.cluster.job_script()
        assert "#SBATCH -p long" in script
        [end] = cluster.run(process_id, [0])
        assert end.result != os.getpid()
        assert Path(f"/proc/{end.result}").exists() or not Path("/proc").exists()
