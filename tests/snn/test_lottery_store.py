"""What a run folder holds appears whole, belongs to one, and can be thrown away."""

import json
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from balancer import (  # noqa: E402
    BalancerError,
    Schedule,
    TicketError,
    open_ticket,
    save_masks,
)
from snn.lottery.config import LotteryConfig  # noqa: E402
from snn.lottery.finished_run import RunOnDisk  # noqa: E402
from snn.lottery.pruning import Pruned  # noqa: E402
from snn.lottery.results import (  # noqa: E402
    LayerOutcome,
    RoundOutcome,
    least_utilization,
)
from snn.lottery.round_tickets import (  # noqa: E402
    RoundTicket,
    load_state,
    load_ticket,
)
from snn.lottery.store import Checkpoint, RunFolder, StoreError  # noqa: E402

LAYER = LayerOutcome("a", 6, 4, 0.75, 1.0, 0.9, None, None, None)
OUTCOME = RoundOutcome(
    round=0,
    timesteps=2,
    sparsity=1 / 3,
    nonzeros=4,
    accuracy=0.1 + 0.2,
    loss=1.5,
    validation_accuracy=None,
    kept_fraction=1.0,
    utilization=0.75,
    eta=0.5,
    spike_rate=None,
    cycles=10.0,
    idle_cycles=2.0,
    energy=3.5,
    energy_unit="pJ",
    epochs=3,
    layers=(LAYER,),
)


def ticket(outcome=OUTCOME):
    mask = np.array([[True, False, True], [True, True, False]])
    weight = np.where(mask, np.float32(0.5), np.float32(0))
    pruned = Pruned({"a": mask}, {"a": mask}, {"a": Schedule(0, [1, 0])})
    scores = {"a": np.full((2, 3), 0.5, np.float32)}
    return RoundTicket(outcome, {"a.weight": weight}, pruned, scores, {}, scores)


@pytest.fixture
def folder(tmp_path):
    made = RunFolder.of(LotteryConfig.of({}), tmp_path)
    made.path.mkdir()
    made.begin()
    return made


def test_folders_are_named_by_what_they_hold(tmp_path):
    """Readable, safe for any file system, and different for other results."""
    names = set()
    for fields in (
        {},
        {"seed": 1},
        {"dataset": "/data/some images/pets.npz"},
        {"dataset": "../pets"},
        {"network": "64c3-" * 40 + "fc10"},
    ):
        path = RunFolder.of(LotteryConfig.of(fields), tmp_path).path
        assert path.parent == tmp_path
        assert path.name.startswith("lottery-")
        assert len(path.name) < 120
        assert set(path.name) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
        )
        assert not path.exists()
        names.add(path.name)
    assert len(names) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_a_run_has_one_owner(folder):
    """While one works on it nobody else can; afterwards they can, whatever happened."""
    with folder.locked(), pytest.raises(StoreError, match="another"), folder.locked():
        pass
    with pytest.raises(KeyboardInterrupt), folder.locked():
        raise KeyboardInterrupt
    with folder.locked():
        pass


def test_rounds_count_without_a_gap(folder):
    """A round after a missing one is not done."""
    folder.save_round(ticket(), {})
    folder.save_round(ticket(replace(OUTCOME, round=2)), {})
    assert folder.rounds_done == 1


def test_a_finished_run_is_read_from_its_report(folder):
    """Outcomes come back as they were, and what only a running one needs is gone."""
    assert folder.finished() is None
    folder.save_rewind({"w": torch.ones(2)})
    folder.save_checkpoint(Checkpoint(1, ticket().pruned, {}))
    folder.finish([OUTCOME])
    assert folder.finished() == [OUTCOME]
    assert folder.load_rewind() is None
    assert folder.load_checkpoint() is None
    for damage in ("", "{", "{}", "[]", '{"rounds": [{"round": 0}]}'):
        (folder.path / "report.json").write_text(damage)
        with pytest.raises(StoreError, match=r"report\.json is damaged .*--resume"):
            folder.finished()


def test_checkpoints_are_read_to_the_bit(folder):
    """Masks, orders, tensors and numbers come back as they were, for this round."""
    trainer = {"network": {"w": torch.randn(3, 4)}, "best": (0.1, 2)}
    pruned = ticket().pruned
    folder.save_checkpoint(Checkpoint(3, pruned, trainer))
    read = folder.load_checkpoint()
    assert read.round == 3
    assert read.trainer["best"] == (0.1, 2)
    assert torch.equal(read.trainer["network"]["w"], trainer["network"]["w"])
    assert read.pruned.schedules == pruned.schedules
    for part in ("masks", "carried"):
        then, now = getattr(pruned, part)["a"], getattr(read.pruned, part)["a"]
        assert (then.dtype, then.tobytes()) == (now.dtype, now.tobytes())
    folder.save_round(ticket(), {})
    assert folder.load_checkpoint() is None


def flipped(path, place, bit):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)


def read_or_refused(read, said):
    """What a file holds, or None if it is refused by an error that says so."""
    try:
        return read()
    except BalancerError as error:
        message = str(error)
    assert said in message
    return None


BITS = st.tuples(st.integers(0, 10**6), st.integers(0, 7))


@given(BITS)
def test_a_changed_bit_is_no_other_state(tmp_path_factory, bit):
    """What a run goes on from is refused, or is what was written."""
    path = tmp_path_factory.mktemp("run")
    folder = RunFolder(path, LotteryConfig.of({}))
    state = {"w": torch.arange(300.0)}
    folder.save_rewind(state)
    flipped(path / "rewind.pt", *bit)
    read = read_or_refused(folder.load_rewind, "rewind.pt is damaged")
    assert read is None or torch.equal(read["w"], state["w"])


@given(BITS)
def test_a_changed_bit_is_no_other_ticket(tmp_path_factory, bit):
    """Of a ticket, arrays, outcome and all other metadata are checked."""
    path = tmp_path_factory.mktemp("run")
    folder = RunFolder(path, LotteryConfig.of({}))
    written = ticket()
    folder.save_round(written, {"layers": ["a"]})
    flipped(folder.ticket_path(0), *bit)
    read = read_or_refused(lambda: folder.load_round(0), "round-00.safetensors")
    if read is not None:
        assert read.outcome == written.outcome
        assert read.state["a.weight"].tobytes() == written.state["a.weight"].tobytes()
        assert (read.pruned.masks["a"] == written.pruned.masks["a"]).all()
        assert read.pruned.schedules == written.pruned.schedules


@pytest.mark.parametrize(
    "change",
    [
        {"round": torch.ones(2)},
        {"axes": {"a": 1.5}},
        {"masks": {"a": torch.eye(2).to_sparse()}},
        {"orders": {}},
        {"carried": 3},
    ],
)
def test_a_checkpoint_that_holds_something_else_is_damaged(folder, change):
    """What the archive's checksums cannot tell is one line with the file's name."""
    folder.save_checkpoint(Checkpoint(1, ticket().pruned, {}))
    path = folder.path / "checkpoint.pt"
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(StoreError, match=r"checkpoint\.pt is damaged .*--restart"):
        folder.load_checkpoint()


REPORT = {"config": {}, "rounds": [OUTCOME.to_dict()], "notes": ["n"]}


@pytest.mark.parametrize(
    "change",
    [
        *({"rounds": []}, {"notes": "none"}, {"notes": [1]}),
        *(
            {"rounds": [OUTCOME.to_dict() | one]}
            for one in (
                *({"accuracy": "high"}, {"round": 0.5}, {"nonzeros": None}),
                *({"energy_unit": 3}, {"cycles": 10**400}, {"loss": [1.5]}),
                {"layers": [asdict(LAYER) | {"name": None}]},
            )
        ),
    ],
)
def test_a_report_of_other_kinds_is_damaged(folder, change):
    """Numbers that are texts, and rounds that are none, are never shown."""
    path = folder.path / "report.json"
    path.write_text(json.dumps(REPORT))
    read = RunOnDisk.read(folder.path)
    assert read.outcomes == tuple(folder.finished())
    assert read.notes == folder.notes() == ("n",)
    path.write_text(json.dumps(REPORT | change))
    with pytest.raises(BalancerError, match=r"report\.json: is no report of a run"):
        RunOnDisk.read(folder.path)
    reads = folder.notes if "notes" in change else folder.finished
    with pytest.raises(StoreError, match=r"report\.json is damaged"):
        reads()


def test_a_report_of_another_configuration_is_named(folder):
    """A field that no configuration has is told with the report that has it."""
    said = json.dumps(REPORT | {"config": {"speed": 1}})
    (folder.path / "report.json").write_text(said)
    with pytest.raises(BalancerError, match=r"report\.json: no field is named 'speed'"):
        RunOnDisk.read(folder.path)


def test_nothing_is_half_written(folder):
    """If writing fails, the former file stays, and no other."""
    folder.save_round(ticket(), {})
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(TypeError):
        folder.save_round(ticket(), {"layers": object()})
    with pytest.raises(AttributeError):
        folder.save_rewind({"no tensor": lambda: 0})
    assert {p.name: p.read_bytes() for p in folder.path.iterdir()} == before


def test_what_a_kill_left_is_removed(folder):
    """Temporary files of a writer that was killed go when the run goes on."""
    (folder.path / ".part-abc.safetensors").write_bytes(b"half")
    folder.begin()
    assert [path.name for path in folder.path.iterdir()] == ["config.json"]


def test_beginning_anew_leaves_other_files(folder):
    """Everything that a run made is removed, what others put there is not."""
    folder.save_round(ticket(), {})
    folder.finish([OUTCOME])
    (folder.path / "log.jsonl").write_text("{}\n")
    (folder.path / "notes.txt").write_text("mine")
    folder.begin(anew=True)
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == ["config.json", "notes.txt"]


def test_a_run_that_is_half_cleared_is_unfinished(folder):
    """It must not pass for a finished one, nor for one that has not begun."""
    folder.save_round(ticket(), {})
    folder.finish([OUTCOME])
    (folder.path / "round-99.safetensors").mkdir()  # which cannot be unlinked
    with pytest.raises(OSError, match="round-99"):
        folder.begin(anew=True)
    assert folder.finished() is None
    assert folder.started


def test_tickets_say_where_they_come_from(folder):
    """The metadata have the configuration and the outcome, beside what is given."""
    folder.save_round(ticket(), {"input_shape": [1, 8, 8]})
    known = open_ticket(folder.ticket_path(0)).metadata
    assert known["outcome"] == json.loads(json.dumps(OUTCOME.to_dict()))
    assert known["input_shape"] == [1, 8, 8]
    assert LotteryConfig.of(known["config"]).digest() == folder.config.digest()


def test_other_files_are_no_tickets_of_a_run(tmp_path):
    """Masks without an outcome, and files that are not there, are refused by name."""
    path = tmp_path / "masks.safetensors"
    save_masks(path, {"a": np.ones((2, 3), np.bool_)}, {})
    with pytest.raises(
        TicketError, match=r"masks\.safetensors: no ticket of a lottery"
    ):
        load_ticket(path)
    with pytest.raises(TicketError, match=r"none\.safetensors: no such file"):
        load_ticket(tmp_path / "none.safetensors")


def test_weights_of_another_network_are_refused():
    """Names and shapes must be those of the network; the message takes one line."""
    network = torch.nn.Linear(3, 2, bias=False)
    for state in (
        {"weight": np.zeros((3, 2), np.float32)},
        {"other": np.zeros((2, 3), np.float32)},
    ):
        with pytest.raises(TicketError, match="another network") as error:
            load_state(network, state)
        assert "\n" not in str(error.value)


def test_the_worst_layer_counts():
    """The least utilization is that of the worst layer, 1 without any."""
    assert least_utilization([LAYER, replace(LAYER, utilization=1.0)]) == 0.75
    assert least_utilization([]) == 1.0
