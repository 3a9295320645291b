"""Lottery runs on a few digits: what rounds end with, and what survives a kill."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from tiny_spiking import tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402

import cli  # noqa: E402
from balancer import BalancerError, balance_network  # noqa: E402
from balancer.files.ticket import open_ticket  # noqa: E402
from hwmodel import Accelerator, evaluate, load_spikes, network_workloads  # noqa: E402
from snn import LotteryConfig, LotteryResult, Watcher, run_lottery  # noqa: E402
from snn.data.image_data import ImageData, Split  # noqa: E402
from snn.lottery.methods import METHODS  # noqa: E402
from snn.lottery.round_tickets import load_ticket  # noqa: E402
from snn.lottery.store import RunFolder, StoreError  # noqa: E402

ROOT = Path(__file__).parents[2]
BALANCED = ("u-ticket", "topk-per-pe", "optimal", "optimal-order", "latency")
SMALL = {
    "network": "8c3-mp2-12c3-mp2-fc10",
    "timesteps": 2,
    "epochs": 3,
    "train_size": 150,
    "sparsities": (0.5, 0.8, 0.9),
    "pes": 4,
    "rewind": 1,
}


def config(**fields):
    return LotteryConfig.of(SMALL | fields)


def tickets(result):
    """Bytes of every ticket of a run."""
    return [
        result.ticket(number).read_bytes() for number in range(len(result.outcomes))
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(root):
    """A finished run of every method, made when it is asked for."""
    results: dict[str, LotteryResult] = {}

    def run(method):
        if method not in results:
            results[method] = run_lottery(config(method=method), root=root)
        return results[method]

    return run


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs(finished, method):
    """Every round ends as sparse as scheduled, balanced if the method balances."""
    result = finished(method)
    assert [outcome.round for outcome in result.outcomes] == [0, 1, 2, 3]
    assert [outcome.epochs for outcome in result.outcomes] == [3, 2, 2, 2]
    for outcome, sparsity in zip(result.outcomes, (0, 0.5, 0.8, 0.9), strict=True):
        assert outcome.sparsity == pytest.approx(sparsity, abs=0.02)
        assert outcome.nonzeros == sum(layer.nonzeros for layer in outcome.layers)
        assert outcome.cycles > 0
        assert outcome.energy > 0
        if method in BALANCED:
            assert {layer.utilization for layer in outcome.layers} == {1.0}
    if method in ("lth", "lth-sorted"):
        weights = sum(layer.weights for layer in result.last.layers)
        assert result.last.nonzeros == int(weights * 0.1 + 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_pruned_weights_are_zero_in_tickets(finished, method):
    """A ticket's weights are zero where its mask prunes, and some others are not."""
    result = finished(method)
    former = None
    for number in range(4):
        ticket = load_ticket(result.ticket(number))
        for name, mask in ticket.pruned.masks.items():
            weight = ticket.state[f"{name}.weight"]
            assert not weight[~mask].any()
            assert weight[mask].any() == mask.any()
            alive = mask & (weight != 0)
            score = ticket.scores[name]
            assert score[alive].tobytes() == np.abs(weight[alive]).tobytes()
            if former is not None:
                old = former.scores[name]
                assert score[~alive].tobytes() == old[~alive].tobytes()
                if method != "u-ticket":
                    carried = ticket.pruned.carried[name]
                    assert not (carried & ~former.pruned.carried[name]).any()
        former = ticket


def test_outcomes_are_those_of_the_tickets(finished):
    """Result, tickets and report tell the same; the log has every epoch and round."""
    result = finished("optimal-order")
    known = [load_ticket(result.ticket(number)).outcome for number in range(4)]
    assert tuple(known) == result.outcomes
    assert result.dense == known[0]
    assert result.ticket().name == "round-03.safetensors"
    report = json.loads((result.folder / "report.json").read_text())
    assert report["rounds"][-1]["accuracy"] == result.last.accuracy
    assert report["tickets"][-1] == result.ticket().name
    log = (result.folder / "log.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in log]
    assert events.count("epoch") == 3 + 3 * 2
    assert events.count("round") == 4
    assert {path.suffix for path in result.folder.iterdir()} == {
        ".json",
        ".jsonl",
        ".safetensors",
        "",
    }


def test_published_behaviour(root):
    """LTH idles more the sparser it is; u-Ticket does not, and its code is sparser."""
    fields = {
        "network": "32c3-mp2-32c3-mp2-fc10",
        "timesteps": 1,
        "learning_rate": 0.2,
        "pes": 8,
        "sparsities": None,
        "rounds": 6,
        "prune_rate": 0.4,
        "budgets": "layer",
    }
    runs = {
        method: run_lottery(config(**fields, method=method), root=root).outcomes
        for method in ("lth", "u-ticket", "u-ticket-code")
    }
    utilization = [outcome.utilization for outcome in runs["lth"]]
    assert utilization == sorted(utilization, reverse=True)
    assert utilization[-1] < 0.8
    assert {outcome.utilization for outcome in runs["u-ticket"]} == {1.0}
    assert runs["u-ticket-code"][-1].utilization > utilization[-1]
    lth, balanced = runs["lth"][-1], runs["u-ticket"][-1]
    assert balanced.cycles < lth.cycles
    assert balanced.idle_cycles < lth.idle_cycles
    assert balanced.energy < lth.energy
    carried = load_ticket(
        RunFolder.of(config(**fields, method="u-ticket-code"), root).ticket_path(6)
    ).pruned.carried
    left = sum(int(np.count_nonzero(mask)) for mask in carried.values())
    assert left < lth.nonzeros


class Stop(Watcher):
    """Interrupts a run at its n-th event, counted over epochs and rounds."""

    def __init__(self, events):
        self.left = events

    def epoch(self, number, report):
        self._event()

    def round(self, outcome):
        self._event()

    def _event(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["optimal-order", "u-ticket-code"])
def test_interrupted_anywhere_it_ends_the_same(finished, tmp_path, method):
    """Stopped after each epoch and round, and resumed as often: the same tickets."""
    config_ = config(method=method)
    for stops in range(100):
        # Rounds that are done are events again.
        done = RunFolder.of(config_, tmp_path).rounds_done
        try:
            resumed = run_lottery(
                config_,
                root=tmp_path,
                resume=stops > 0,
                watcher=Stop(done + 2),
                checkpoint_seconds=0,
            )
            break
        except KeyboardInterrupt:
            continue
    assert stops > 4
    assert tickets(resumed) == tickets(finished(method))
    epochs = [
        (event["round"], event["epoch"])
        for event in map(
            json.loads, (resumed.folder / "log.jsonl").read_text().splitlines()
        )
        if event["event"] == "epoch"
    ]
    assert epochs == [(0, 1), (0, 2), (0, 3)] + [
        (number, epoch) for number in (1, 2, 3) for epoch in (2, 3)
    ]


SCRIPT = """
import json, os, signal, sys
from snn import LotteryConfig, Watcher, run_lottery

fields, root, event = sys.argv[1:]

class Stop(Watcher):
    def epoch(self, number, report):
        self.happened(f"epoch {report.epoch} of round {number}")

    def round(self, outcome):
        self.happened(f"round {outcome.round}")

    def happened(self, what):
        if what == event:
            os.kill(os.getpid(), signal.SIGSTOP)

run_lottery(
    LotteryConfig.of(json.loads(fields)),
    root=root,
    resume=True,
    watcher=Stop(),
    checkpoint_seconds=0,
)
"""


def killed_at(event, root):
    """Start or resume a run in a process that stops at an event, and kill it there.

    Before it is dead nobody else can work on the run.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(SMALL), str(root), event],
        env=environment,
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        with pytest.raises(StoreError, match="another process works on this run"):
            run_lottery(config(), root=root, resume=True)
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="signals and locks of POSIX")
def test_killed_it_ends_the_same(finished, tmp_path):
    """After SIGKILL in a round and between two, resuming ends in the same bytes."""
    straight = finished("optimal-order")
    folder = RunFolder.of(config(), tmp_path)
    killed_at("epoch 3 of round 1", tmp_path)
    assert folder.rounds_done == 1
    assert (folder.path / "checkpoint.pt").exists()
    killed_at("round 1", tmp_path)
    assert not (folder.path / "checkpoint.pt").exists()
    with pytest.raises(StoreError, match=r"unfinished run of 2 rounds.*--resume"):
        run_lottery(config(), root=tmp_path)
    resumed = run_lottery(config(), root=tmp_path, resume=True)
    assert tickets(resumed) == tickets(straight)
    assert sorted(path.name for path in resumed.folder.iterdir()) == sorted(
        path.name for path in straight.folder.iterdir()
    )


def test_a_finished_run_returns_at_once(finished, root):
    """Nothing is written again, and the watcher still hears of all rounds."""
    result = finished("lth")
    before = {path.name: path.stat().st_mtime_ns for path in result.folder.iterdir()}
    heard = []

    class Ears(Watcher):
        def begin(self, folder, config):
            heard.append(folder)

        def round(self, outcome):
            heard.append(outcome)

    again = run_lottery(config(method="lth"), root=root, watcher=Ears())
    assert again == result
    assert heard == [result.folder, *result.outcomes]
    after = {path.name: path.stat().st_mtime_ns for path in result.folder.iterdir()}
    del before["lock"], after["lock"]
    assert after == before


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped in its first round, with a checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        run_lottery(config(), root=tmp_path, watcher=Stop(6), checkpoint_seconds=0)
    return RunFolder.of(config(), tmp_path)


def test_an_unfinished_run_wants_an_answer(stopped, tmp_path):
    """Neither resumed nor begun again, it is an error that names both ways."""
    with pytest.raises(
        StoreError, match=r"1 rounds; go on with --resume, or.*--restart"
    ):
        run_lottery(config(), root=tmp_path)
    assert stopped.rounds_done == 1


def test_restart_begins_again(stopped, tmp_path):
    """What was there is thrown away, whatever state it is in."""
    stopped.ticket_path(0).write_bytes(b"damaged")
    (stopped.path / "checkpoint.pt").write_bytes(b"damaged")
    seen = []

    class Epochs(Watcher):
        def epoch(self, number, report):
            seen.append((number, report.epoch))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_lottery(config(), root=tmp_path, restart=True, watcher=Epochs())
    assert seen == [(0, 1)]
    assert stopped.rounds_done == 0


@pytest.mark.parametrize("name", ["round-00.safetensors", "rewind.pt"])
@pytest.mark.parametrize("content", [b"", b"damaged", b"PK\x03\x04 and no more"])
def test_damaged_files_are_named(stopped, tmp_path, name, content):
    """A file that cannot be read is an error of one line that names it."""
    (stopped.path / name).write_bytes(content)
    if name == "rewind.pt":
        (stopped.path / "checkpoint.pt").unlink()
    with pytest.raises(BalancerError, match=name) as error:
        run_lottery(config(), root=tmp_path, resume=True)
    assert "\n" not in str(error.value)


CHECKPOINTS = {
    "epoch": lambda known: known["trainer"].update(epoch=91),
    "network": lambda known: known["trainer"].update(network=torch.ones(2)),
    "weights": lambda known: known["trainer"]["network"].popitem(),
    "optimizer": lambda known: known["trainer"]["optimizer"]["param_groups"][0].update(
        momentum="much"
    ),
    "state": lambda known: known["trainer"]["optimizer"]["state"][0].update(
        momentum_buffer=torch.ones(7)
    ),
    "best": lambda known: known["trainer"].update(best=[[]]),
    "layers": lambda known: [known[part].popitem() for part in _OF_LAYERS],
}
_OF_LAYERS = ("masks", "carried", "orders", "axes")


@pytest.mark.parametrize("change", CHECKPOINTS)
def test_a_checkpoint_of_another_training_is_named(stopped, tmp_path, change):
    """Whoever wrote it, what does not fit the run ends in one line with its name."""
    path = stopped.path / "checkpoint.pt"
    known = torch.load(path, weights_only=True)
    CHECKPOINTS[change](known)
    torch.save(known, path)
    with pytest.raises(BalancerError, match=r"checkpoint\.pt: ") as error:
        run_lottery(config(), root=tmp_path, resume=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("state", [torch.ones(2), {}, {"x": 1}])
def test_weights_to_rewind_to_of_another_network_are_named(stopped, tmp_path, state):
    """What is no state of the network is one line with the file's name."""
    torch.save(state, stopped.path / "rewind.pt")
    (stopped.path / "checkpoint.pt").unlink()
    with pytest.raises(BalancerError, match=r"rewind\.pt: weights of another network"):
        run_lottery(config(), root=tmp_path, resume=True)


def flipped(path):
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["checkpoint.pt", "round-01.safetensors"])
@pytest.mark.parametrize("damage", [flipped, lambda path: path.write_bytes(b"")])
def test_what_is_damaged_and_can_be_done_again_is(finished, tmp_path, name, damage):
    """A changed bit costs a round and a warning, and no ticket is another one."""
    with pytest.raises(KeyboardInterrupt):
        run_lottery(config(), root=tmp_path, watcher=Stop(9), checkpoint_seconds=0)
    path = RunFolder.of(config(), tmp_path).path / name
    damage(path)
    damaged = path.read_bytes()
    with pytest.warns(UserWarning, match=rf"{name} is damaged; its round is done"):
        result = run_lottery(config(), root=tmp_path, resume=True)
    assert tickets(result) == tickets(finished("optimal-order"))
    assert path.with_name(f"damaged-{name}").read_bytes() == damaged


@pytest.mark.parametrize("damage", [flipped, Path.unlink])
def test_a_finished_run_without_its_ticket_is_refused(finished, tmp_path, damage):
    """The path of a ticket is not told if it is damaged or gone."""
    folder = finished("lth").folder
    copy = shutil.copytree(folder, tmp_path / folder.name)
    damage(copy / "round-03.safetensors")
    with pytest.raises(StoreError, match=r"finished, but .*round-03.*--restart"):
        run_lottery(config(method="lth"), root=tmp_path, resume=True)


def test_missing_weights_to_rewind_to_are_named(stopped, tmp_path):
    """The message says what is gone and how to begin again."""
    (stopped.path / "rewind.pt").unlink()
    (stopped.path / "checkpoint.pt").unlink()
    with pytest.raises(StoreError, match=r"rewind\.pt.*is gone.*--restart"):
        run_lottery(config(), root=tmp_path, resume=True)


def test_early_time_tickets(tmp_path):
    """All rounds but the last search with fewer time steps."""
    fields = {"timesteps": 3, "sparsities": (0.5, 0.8)}
    fewer = run_lottery(config(**fields, search_timesteps=2), root=tmp_path)
    assert [outcome.timesteps for outcome in fewer.outcomes] == [2, 2, 3]
    rates = load_ticket(fewer.ticket(1)).rates
    assert {len(rate) for rate in rates.values()} == {2}
    auto = config(**fields, search_timesteps="auto", early_time_threshold=1.0)
    with pytest.raises(KeyboardInterrupt):
        run_lottery(auto, root=tmp_path, watcher=Stop(6), checkpoint_seconds=0)
    chosen = run_lottery(auto, root=tmp_path, resume=True)
    assert [outcome.timesteps for outcome in chosen.outcomes] == [3, 1, 3]


def test_balancing_can_wait(tmp_path):
    """Below `balance_from` rounds prune as lth does."""
    result = run_lottery(config(balance_from=0.8, sparsities=(0.5, 0.8)), root=tmp_path)
    utilizations = [outcome.utilization for outcome in result.outcomes]
    assert utilizations[1] < 1
    assert utilizations[2] == 1.0


def test_revival(tmp_path):
    """Weights may return with `revive`, with the magnitude that they had."""
    fields = {"sparsities": (0.5, 0.5), "learning_rate": 0.2, "revive": True}
    result = run_lottery(config(**fields), root=tmp_path)
    first, second = (load_ticket(result.ticket(number)) for number in (1, 2))
    returned = {
        name: mask & ~first.pruned.masks[name]
        for name, mask in second.pruned.masks.items()
    }
    assert any(mask.any() for mask in returned.values())


@pytest.mark.parametrize("pe_map", ["input_channel", "banked"])
def test_other_maps(tmp_path, pe_map):
    """Any PE map can be balanced; without an accelerator there are no cycles."""
    fields = {"map": pe_map, "sparsities": (0.5,), "method": "optimal"}
    result = run_lottery(config(**fields), root=tmp_path)
    assert {layer.utilization for layer in result.last.layers} == {1.0}
    assert result.last.sparsity == pytest.approx(0.5, abs=0.05)


def test_any_module_can_be_run(tmp_path):
    """Without spiking neurons or time steps, on data of the caller's own."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
    )
    fields = {"sparsities": (0.5,), "epochs": 2, "rewind": 0}
    result = run_lottery(
        config(**fields), root=tmp_path, network=network, data=tiny_data()
    )
    assert [layer.name for layer in result.last.layers] == ["0", "3"]
    assert result.last.utilization == 1.0
    state = load_ticket(result.ticket()).state
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[name])


def test_modules_that_do_not_spike(tmp_path):
    """Negative inputs have no rates, and are no obstacle."""
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, 3)
    )
    fields = {"sparsities": (0.5,), "epochs": 2, "rewind": 0}
    result = run_lottery(
        config(**fields), root=tmp_path, network=network, data=tiny_data()
    )
    assert result.last.spike_rate is None
    assert result.last.cycles > 0


def test_other_data_are_another_run(tmp_path):
    """Data of the caller are told apart by their images and labels."""
    fields = {"network": "4c3-fc3", "rounds": 0, "sparsities": None, "epochs": 1}
    fields |= {"rewind": 0, "timesteps": 1}
    data = tiny_data()
    first = run_lottery(config(**fields), root=tmp_path, data=data)
    data.train.images[0, 0, 0, 0] += 1
    second = run_lottery(config(**fields), root=tmp_path, data=data)
    assert first.folder != second.folder


@pytest.mark.parametrize("fields", [{"dataset": "none.npz"}, {"accelerator": "none"}])
def test_what_cannot_be_run_has_not_begun(tmp_path, fields):
    """Asked again, it says the same, and not that a run is unfinished."""
    for _ in range(2):
        with pytest.raises(ValueError, match="none") as error:
            run_lottery(config(**fields), root=tmp_path)
        assert not isinstance(error.value, StoreError)


def test_networks_of_the_caller(tmp_path):
    """A spiking network can be given; its time steps are those of the configuration."""
    network = tiny_net(dropout=0.0)
    fields = {"sparsities": (0.5,), "epochs": 2, "rewind": 0, "timesteps": 3}
    result = run_lottery(
        config(**fields), root=tmp_path, network=network, data=tiny_data()
    )
    assert result.last.timesteps == 3
    assert load_ticket(result.ticket()).rates["head"].shape == (3, 8 * 6 * 6)
    assert network.timesteps == 2


def random_images(shape, images=8, classes=2):
    """Images without meaning, [images, *shape]."""
    generator = torch.Generator().manual_seed(0)
    splits = [
        Split(
            torch.rand(images, *shape, generator=generator),
            torch.arange(images) % classes,
        )
        for _ in range(3)
    ]
    ones = torch.ones(shape[-3])
    return ImageData("random", *splits, classes, 0 * ones, ones, "none")


def test_events(tmp_path):
    """Sequences of frames [N, T, C, H, W] are trained on and evaluated."""
    fields = {"network": "6c3-mp2-fc2", "sparsities": (0.5,), "epochs": 2, "rewind": 0}
    result = run_lottery(
        config(**fields, search_timesteps=1, record_images=3),
        root=tmp_path,
        data=random_images((2, 2, 8, 8)),
    )
    assert [outcome.timesteps for outcome in result.outcomes] == [1, 2]
    assert result.last.utilization == 1.0
    layers = open_ticket(result.ticket()).metadata["layers"]
    assert [layer["analog"] for layer in layers] == [False, False]
    assert result.last.layers[0].spike_rate > 0.9  # of random pixels


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("vgg16", {32: 2, 16: 2, 8: 3, 4: 3, 2: 3}),
        ("resnet19", {32: 7, 16: 7, 8: 5}),
    ],
)
def test_networks_of_the_paper(tmp_path, architecture, sizes):
    """One round, balanced; the ticket is evaluated with the true sizes of inputs."""
    result = run_lottery(
        LotteryConfig.of(
            {
                "network": architecture,
                "timesteps": 1,
                "epochs": 1,
                "batch_size": 8,
                "sparsities": (0.98,),
                "method": "optimal",
                "rewind": 0,
                "validation": 0,
            }
        ),
        root=tmp_path,
        data=random_images((3, 32, 32)),
    )
    assert result.last.utilization == pytest.approx(1.0)
    assert result.last.sparsity == pytest.approx(0.98, abs=1e-3)
    ticket = open_ticket(result.ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    workloads, assumption = network_workloads(masks, ticket.metadata)
    assert assumption is None
    assert sum(one.input_shape is not None for one in workloads) == len(masks)
    outputs = Counter(one.output_size[0] for one in workloads if one.mask.ndim == 4)
    assert outputs == sizes
    report = evaluate(workloads, Accelerator.load("u-ticket"))
    assert len(report.layers) == len(masks)
    assert report.cycles == result.last.cycles


def test_spikes_are_recorded(tmp_path):
    """The spikes of some test images can be read and evaluated, at the rates told."""
    result = run_lottery(config(record_images=5, sparsities=(0.5,)), root=tmp_path)
    spikes = load_spikes(result.folder / "spikes.npz")
    assert {array.shape[:2] for array in spikes.values()} == {(2, 5)}
    ticket = open_ticket(result.ticket())
    assert set(spikes) == set(ticket.metadata["spike_rates"])
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    workloads = network_workloads(masks, ticket.metadata, spikes=spikes).workloads
    assert evaluate(workloads, Accelerator.load("u-ticket")).cycles > 0
    assert cli.main(["evaluate", str(result.ticket()), "--json"]) == 0


def test_the_ticket_can_be_balanced_again(finished, capsys):
    """`balance` reads a run's ticket; that of a balanced run loses nothing."""
    path = finished("optimal").ticket()
    solved = balance_network(open_ticket(path), pes=4, nested=True)
    masks = load_ticket(path).pruned.masks
    assert {layer.name for layer in solved.layers} == set(masks)
    for layer in solved.layers:
        np.testing.assert_array_equal(layer.solution.mask, masks[layer.name])
    assert cli.main(["balance", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert {row["name"] for row in rows} == set(masks)
