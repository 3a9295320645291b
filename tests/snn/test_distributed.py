"""Several processes train as one: under torchrun, with Gloo, on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from snn.training.distributed import Processes  # noqa: E402

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "distributed_training.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process returns, and each of two."""
    folder = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", "2", str(WORKER), str(folder)]
    done = subprocess.run(
        launch, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    from distributed_training import train

    ranks = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    return train(Processes()), ranks


def test_ranks_agree_to_the_bit(results):
    """Both processes end with the main one's masks, the same weights and numbers."""
    _, (first, second) = results
    assert (first["rank"], second["rank"]) == (0, 1)
    assert first["size"] == second["size"] == 2
    for kind in ("weights", "masks"):
        for name, tensor in first[kind].items():
            assert torch.equal(tensor, second[kind][name]), name
    assert first["losses"] == second["losses"]


def test_two_processes_train_as_one(results):
    """Weights, batch statistics and losses are those of one process to rounding."""
    alone, ranks = results
    for rank in ranks:
        for name, tensor in alone["weights"].items():
            torch.testing.assert_close(
                rank["weights"][name], tensor, atol=1e-5, rtol=0, msg=name
            )
        assert rank["losses"] == pytest.approx(alone["losses"], abs=1e-5)
        assert rank["accuracy"] == alone["accuracy"]
        assert rank["one"] == 1  # the second process has no image


def test_pruned_weights_are_zero_in_all_processes(results):
    """The masks hold in each process, and were not those that others had drawn."""
    alone, ranks = results
    for rank in ranks:
        for name, mask in alone["masks"].items():
            assert torch.equal(mask, rank["masks"][name])
            assert not rank["weights"][f"{name}.weight"][~mask].any()


def test_alone_nothing_is_exchanged():
    """Without torchrun there is one process, which gets back what it gives."""
    with Processes.start("cpu") as alone:
        assert alone == Processes()
        assert alone.is_main
        value = torch.arange(3.0)
        assert alone.sum(value) is value
        assert alone.broadcast(value) is value
        assert list(range(5))[alone.part] == list(range(5))
        alone.barrier()
        assert not torch.distributed.is_initialized()


def test_parts_share_a_batch():
    """Every image of a batch of any length is one process's, evenly."""
    for length in range(9):
        parts = [list(range(length))[Processes(rank, 3).part] for rank in range(3)]
        assert sorted(image for part in parts for image in part) == list(range(length))
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
