"""Masks that go to their file as they are found: the same bytes, in little memory."""

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from balancer import (
    ArrayLayer,
    BalancerError,
    balance_network,
    balance_ticket,
    register_solver,
    shipped_ticket,
)
from balancer.errors import TicketError
from balancer.files.array_files import save_npz
from balancer.files.array_stream import ArrayStream
from balancer.files.line_journal import LineJournal
from balancer.files.locks import HAS_LOCKS
from balancer.files.safetensors_files import INDEX
from balancer.network.tasks import Room
from balancer.report import balance_ticket as module
from balancer.report.streamed_layers import UNFINISHED
from balancer.solvers import _REGISTRY, get_solver

ALWAYS_OTHER = ("seconds", "outputs")


def write(path, arrays, kind):
    """Write a .safetensors file of float32, float16 or bf16."""
    if kind != "BF16":
        dtype = np.float32 if kind == "F32" else np.float16
        save_file({key: array.astype(dtype) for key, array in arrays.items()}, path)
        return
    entries, stored = {}, b""
    for key, array in arrays.items():
        upper = (array.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
        ends = [len(stored), len(stored) + upper.nbytes]
        entries[key] = {"dtype": kind, "shape": array.shape, "data_offsets": ends}
        stored += upper.tobytes()
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + stored)


def write_network(folder, arrays, kind="F32", shards=1):
    """Write a checkpoint, in shards if there are several; return what opens it."""
    if shards == 1:
        write(folder / "net.safetensors", arrays, kind)
        return folder / "net.safetensors"
    where = {key: f"net-{n % shards}.safetensors" for n, key in enumerate(arrays)}
    for name in set(where.values()):
        part = {key: array for key, array in arrays.items() if where[key] == name}
        write(folder / name, part, kind)
    index = folder / f"net{INDEX}.json"
    index.write_text(json.dumps({"metadata": {"format": "pt"}, "weight_map": where}))
    return index


def without_times(known):
    """Leave out what is never the same."""
    if isinstance(known, list):
        return [without_times(item) for item in known]
    if not isinstance(known, dict):
        return known
    return {k: without_times(v) for k, v in known.items() if k not in ALWAYS_OTHER}


def drawn(layers=5, seed=0):
    """Weights of some layers that differ."""
    rng = np.random.default_rng(seed)
    return {f"l{n}.weight": rng.normal(size=(12, 10 + n)) for n in range(layers)}


@st.composite
def networks(draw):
    """Weights of up to four layers, with ties and zeros."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in draw(st.lists(st.sampled_from("abcé"), min_size=1, unique=True)):
        shape = draw(st.sampled_from([(4, 6), (9, 3), (5, 2, 3, 3), (8, 8, 1)]))
        arrays[f"{name}.weight"] = rng.integers(-9, 10, shape) / 4
        arrays[f"{name}.weight"].flat[0] = 1  # a layer of zeros has nothing to keep
    return arrays


@given(
    networks(),
    st.sampled_from(["F32", "F16", "BF16"]),
    st.integers(1, 3),
    st.sampled_from([".safetensors", ".npz"]),
    st.sampled_from(
        [
            {"sparsity": 0.5},
            {"sparsity": 0.5, "order": "sorted"},
            {"sparsity": 0.6, "pe_map": "input_channel", "order": "sorted"},
            {"sparsity": 0.5, "scope": "global"},
            {"budgets": "lamp", "sparsity": 0.5},
        ]
    ),
    st.booleans(),
)
def test_streamed_files_are_those_of_a_report_that_is_saved(
    arrays, kind, shards, suffix, asked, resume
):
    """Masks byte for byte and the report but for times, whatever the format."""
    asked = {"pes": 2, "reorder": False, "allow_empty": True, **asked}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        path = write_network(folder, arrays, kind, shards)
        report = balance_ticket(path, **asked)
        saved = report.save(folder / f"saved{suffix}")
        out = folder / f"streamed{suffix}"
        streamed = balance_ticket(path, out=out, resume=resume, **asked)
        assert out.read_bytes() == saved.masks.read_bytes()
        found, expected = (
            json.loads(file.read_text())
            for file in (out.with_suffix(".json"), saved.report)
        )
        assert without_times(found) == without_times(expected)
        for name, mask in report.solution.masks.items():
            np.testing.assert_array_equal(streamed.solution.masks[name], mask)
        left = {one.name for one in folder.iterdir() if one.name.startswith(".")}
        assert left == set()


@given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda text: text.isprintable()),
        st.tuples(st.booleans(), st.lists(st.integers(0, 3), min_size=1, max_size=3)),
        max_size=5,
    ),
    st.text(max_size=5),
)
def test_a_stream_has_the_bytes_of_the_library(shapes, said):
    """Whatever the names, shapes and metadata, `safetensors` writes the same file."""
    arrays = {
        name: np.ones(shape, np.bool_ if is_mask else np.int32)
        for name, (is_mask, shape) in shapes.items()
    }
    texts = {"ticket": json.dumps(said)}
    with tempfile.TemporaryDirectory() as root:
        expected, path = Path(root) / "expected", Path(root) / "stream"
        save_file(arrays, expected, texts)
        kinds = {name: (array.dtype, array.shape) for name, array in arrays.items()}
        stream = ArrayStream.of(path, kinds, texts)
        assert not stream.is_there()
        stream.create()
        for name, array in reversed(arrays.items()):
            stream.write(name, array)
        assert path.read_bytes() == expected.read_bytes()
        assert stream.is_there()
        for name, array in arrays.items():
            np.testing.assert_array_equal(stream.array(name), array)


def test_an_npz_file_has_the_bytes_that_numpy_writes(tmp_path):
    """Arrays written one by one make the file that NumPy makes of all of them."""
    arrays = {"a": np.eye(3, dtype=bool), "b": np.arange(4, dtype=np.int32)}
    save_npz(tmp_path / "one.npz", iter(arrays.items()), {"pes": 2})
    texts = np.array(json.dumps({"ticket": json.dumps({"pes": 2})}))
    with (tmp_path / "all.npz").open("wb") as file:
        np.savez_compressed(file, **arrays, __metadata__=texts)
    one, whole = ((tmp_path / name).read_bytes() for name in ("one.npz", "all.npz"))
    assert one == whole


class Counting:
    """Slice-greedy that counts how often it is asked."""

    def __init__(self):
        self.asked = Counter()

    def solve(self, problem, search):
        self.asked[problem.scores.shape] += 1
        return get_solver("greedy").solve(problem, search)


class StopError(BaseException):
    """What ends a run here, as a signal would."""


def stopping_after(layers):
    """Return what follows the progress of a run, and ends it."""
    done = []

    def progress(result):
        done.append(result.name)
        if len(done) == layers:
            raise StopError

    return progress


@pytest.fixture
def counting():
    solver = Counting()
    register_solver("counting", solver)
    yield solver
    _REGISTRY.pop("counting")


def run(path, out, **more):
    """Balance with one thread, so that layers come in their order."""
    asked = {"pes": 4, "sparsity": 0.6, "reorder": False, "workers": 1}
    return balance_ticket(
        path, out=out, resume=True, solver="counting", **asked, **more
    )


def test_a_run_that_was_stopped_goes_on_at_the_next_layer(tmp_path, counting):
    """Each layer is solved once, and the files are those of a run left alone."""
    path = write_network(tmp_path, drawn())
    run(path, tmp_path / "whole")
    assert set(counting.asked.values()) == {1}
    counting.asked.clear()
    with pytest.raises(StopError):
        run(path, tmp_path / "out", progress=stopping_after(3))
    assert [one.name for one in (tmp_path / "out").iterdir()] == [
        f"{UNFINISHED}masks.safetensors"
    ]
    report = run(path, tmp_path / "out")
    # The thread may have begun the next layer before the run was stopped.
    assert sum(counting.asked.values()) <= 6
    assert max(counting.asked.values()) <= 2
    masks = "masks.safetensors"
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert (out / masks).read_bytes() == (whole / masks).read_bytes()
    assert sorted(one.name for one in out.iterdir()) == [masks, "report.json"]
    found, expected = (
        without_times(json.loads((one / "report.json").read_text()))
        for one in (out, whole)
    )
    assert found == expected
    report.solution.layers[0].solution.mask.sum()  # still there


@pytest.mark.parametrize("what", ["weights", "mask", "journal", "settings"])
def test_what_has_changed_meanwhile_is_solved_again(tmp_path, counting, what):
    """Other weights, masks or rows than those of the stopped run are not believed."""
    arrays = drawn()
    path = write_network(tmp_path, arrays)
    with pytest.raises(StopError):
        run(path, tmp_path / "out", progress=stopping_after(2))
    folder = tmp_path / "out" / f"{UNFINISHED}masks.safetensors"
    more = {}
    if what == "weights":
        arrays["l0.weight"] *= 2
        write_network(tmp_path, arrays)
    elif what == "mask":
        data = bytearray((folder / "stream").read_bytes())
        place = data.rindex(1, 0, -sum(12 * (10 + n) for n in (1, 2, 3, 4)))
        data[place] = 0  # of the first layer
        (folder / "stream").write_bytes(data)
    elif what == "journal":
        rows = (
            (folder / "layers.jsonl")
            .read_text()
            .replace('"bound": "0x', '"bound": "0x1')
        )
        (folder / "layers.jsonl").write_text('{"layer": 3}\n[]\n{}\n' + rows)
    else:
        more["seed"] = 1
    counting.asked.clear()
    run(path, tmp_path / "out", **more)
    assert counting.asked[12, 10] == 1
    run(path, tmp_path / "whole", **more)
    masks = "masks.safetensors"
    found, expected = (
        (tmp_path / folder / masks).read_bytes() for folder in ("out", "whole")
    )
    assert found == expected


def test_a_run_that_fails_before_its_first_layer_leaves_nothing(tmp_path):
    """Not even the folder in which it would have gone on."""
    path = write_network(tmp_path, {"a.weight": np.full((4, 4), np.nan)})
    with pytest.raises(BalancerError, match="finite"):
        balance_ticket(path, sparsity=0.5, out=tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not HAS_LOCKS, reason="a system without locks")
def test_two_processes_do_not_work_in_one_place(tmp_path):
    """The second is refused in one line that names the folder."""
    folder = tmp_path / "out" / f"{UNFINISHED}masks.safetensors"
    journal = LineJournal(folder / "layers.jsonl")
    with (
        journal.writing(BalancerError("busy")),
        pytest.raises(BalancerError, match="another process balances into this place"),
    ):
        balance_ticket(shipped_ticket(), out=tmp_path / "out", resume=True)
    assert folder.exists()


def test_masks_that_are_changed_leave_the_file_as_it_is(tmp_path):
    """A report's masks are the caller's own, as arrays in memory are."""
    np.savez(tmp_path / "net.npz", a=np.random.default_rng(0).normal(size=(16, 8)))
    out = tmp_path / "masks.safetensors"
    report = balance_ticket(tmp_path / "net.npz", sparsity=0.5, pes=4, out=out)
    before = out.read_bytes()
    report.solution.masks["a"][:] = True
    assert out.read_bytes() == before


def test_an_input_is_not_written_over(tmp_path):
    """The place of the masks may not be that of the weights."""
    path = write_network(tmp_path, drawn(1))
    with pytest.raises(TicketError, match="which is the input"):
        balance_ticket(path, sparsity=0.5, out=path)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_layers_side_by_side_make_the_same_files(tmp_path, scope):
    """The number of layers at a time changes no byte of the masks."""
    path = write_network(tmp_path, drawn(8))
    found = set()
    for workers in (None, 1, 3):
        out = tmp_path / f"{workers}"
        balance_ticket(path, sparsity=0.6, scope=scope, out=out, workers=workers)
        found.add((out / "masks.safetensors").read_bytes())
    assert len(found) == 1


def test_no_other_order_is_searched_in_large_layers(monkeypatch):
    """A layer above the limit leaves out the hint, and its reason is the size alone."""
    assert balance_ticket(shipped_ticket()).reordered is not None
    monkeypatch.setattr(module, "MOST_REORDERED", 36_863)  # features.7 has one more
    assert balance_ticket(shipped_ticket()).reordered is None


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12))
def test_room_is_never_overdrawn(sizes, weights):
    """Tasks that run together need no more than there is, or one runs alone."""
    room, running, turn, worst = Room(weights), [], threading.Lock(), []

    def task(size):
        with room.taken(size):
            with turn:
                running.append(size)
                if len(running) > 1:
                    worst.append(sum(running))
            with turn:
                running.remove(size)

    threads = [threading.Thread(target=task, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst, default=0) <= weights


MEMORY = """
import sys
from balancer import balance_ticket, shipped_ticket

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])

asked = {"workers": 1, "reorder": False, "sparsity": float(sys.argv[2])}
balance_ticket(shipped_ticket(), out=sys.argv[1] + "/small", **asked)
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = peak()
network = sys.argv[1] + "/net.safetensors"
balance_ticket(network, out=sys.argv[1] + "/out", scope=sys.argv[3], **asked)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("scope", "sparsity", "copies"),
    [("layer", 0.9, 4), ("layer", 0.5, 5), ("global", 0.98, 8)],
)
def test_memory_is_that_of_the_largest_layer(tmp_path, scope, sparsity, copies):
    """40 layers take some copies of the largest, fewer than their masks (10) alone."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1024, 1024)).astype(np.float32)
    arrays = {f"l{n}.weight": np.roll(one, n, axis=0) for n in range(40)}
    write(tmp_path / "net.safetensors", arrays, "BF16")
    code = [sys.executable, "-c", MEMORY, str(tmp_path), str(sparsity), scope]
    ended = subprocess.run(code, capture_output=True, text=True, check=True)
    assert int(ended.stdout) <= copies * one.nbytes + 4 * 2**20


def test_a_network_of_arrays_keeps_its_masks_in_memory():
    """Without a place to write them masks are plain arrays."""
    layers = [ArrayLayer("a", np.arange(16.0).reshape(4, 4))]
    [layer] = balance_network(layers, sparsity=0.5, pes=2).layers
    assert type(layer.solution.mask) is np.ndarray
