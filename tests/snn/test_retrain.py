"""Retraining gives a ticket with the masks that were asked for, and what it can do."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

import cli  # noqa: E402
from balancer import (  # noqa: E402
    BalancerError,
    TicketError,
    balance_ticket,
    open_ticket,
    save_masks,
    shipped_ticket,
)
from snn import (  # noqa: E402
    LotteryConfig,
    StoreError,
    TicketAccuracy,
    Watcher,
    live_weights,
    retrain,
    run_lottery,
)
from snn.lottery.configured import configured_network  # noqa: E402
from snn.lottery.round_tickets import load_ticket  # noqa: E402
from snn.retraining.recorded_run import RecordedRun  # noqa: E402

CONFIG = LotteryConfig(
    network="8c3-mp2-12c3-mp2-fc10",
    timesteps=2,
    epochs=4,
    train_size=150,
    sparsities=(0.5, 0.8),
    pes=4,
    rewind=1,
    method="lth",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ticket(root):
    """The last ticket of a short run."""
    return run_lottery(CONFIG, root=root).ticket()


@pytest.fixture(scope="module")
def masks(root, ticket):
    """Balanced masks of that ticket, which lies elsewhere."""
    return balance_ticket(ticket, pes=4).save(root / "balanced").masks


@pytest.fixture(scope="module")
def retrained(root, ticket, masks):
    return retrain(masks, ticket, root=root)


def load_masks(path):
    return {layer.name: layer.read_mask() for layer in open_ticket(path).layers}


class Stopping(Watcher):
    """Stops after an epoch, as a kill would."""

    def __init__(self, epoch):
        self.last = epoch

    def epoch(self, number, report):
        if report.epoch == self.last:
            raise KeyboardInterrupt


def test_own_masks_and_rewound_weights_repeat_the_round(root, ticket):
    """A ticket that is trained as in its run ends with the bits of its run."""
    again = retrain(ticket, root=root)
    before, after = load_ticket(ticket), load_ticket(again.ticket)
    assert before.state.keys() == after.state.keys()
    for name, array in before.state.items():
        assert np.array_equal(array, after.state[name]), name
    assert again.before.accuracy == again.balanced == again.after.accuracy


def test_the_new_ticket_has_the_masks_and_no_weight_beside_them(retrained, masks):
    """Masks and orders are those of the file; what they prune is zero."""
    ticket = load_ticket(retrained.ticket)
    for name, mask in load_masks(masks).items():
        assert np.array_equal(ticket.pruned.masks[name], mask)
        assert not ticket.state[f"{name}.weight"][~mask].any()
    assert retrained.after.utilization == 1.0
    assert retrained.after.epochs == CONFIG.epochs - CONFIG.rewind_epoch


def test_accuracies_are_of_the_ticket_and_of_the_masks_alone(retrained, ticket, masks):
    """What is said of the time before training is what the network does then."""
    accuracy = TicketAccuracy(ticket)
    assert retrained.before.accuracy == accuracy() == accuracy(None)
    assert retrained.before.accuracy == load_ticket(ticket).outcome.accuracy
    assert retrained.balanced == accuracy(load_masks(masks))
    assert accuracy() == retrained.before.accuracy  # nothing sticks


def test_effective_weights_are_those_on_paths(retrained, ticket, masks):
    """Every layer has its count, of the kept weights that are on a path."""
    run = RecordedRun.open(ticket)
    live = live_weights(run.network, load_masks(masks), torch.zeros(1, 1, 8, 8))
    counts = {n: int((m & live[n]).sum()) for n, m in load_masks(masks).items()}
    assert TicketAccuracy(ticket).effective(load_masks(masks)) == counts
    assert {x.name: x.effective for x in retrained.after.layers} == counts
    assert retrained.after.effective == sum(counts.values())


def test_a_stopped_training_goes_on_to_the_same_bits(root, ticket, masks, retrained):
    """Stopped after any epoch and resumed, it ends with the same file."""
    for epoch in (2, 3):
        place = root / f"stopped-{epoch}"
        with pytest.raises(KeyboardInterrupt):
            retrain(
                masks,
                ticket,
                root=place,
                watcher=Stopping(epoch),
                checkpoint_seconds=0.0,
            )
        with pytest.raises(StoreError, match="--resume"):
            retrain(masks, ticket, root=place)
        resumed = retrain(masks, ticket, root=place, resume=True)
        assert resumed.ticket.read_bytes() == retrained.ticket.read_bytes()


def test_a_finished_training_is_not_done_again(root, ticket, masks, retrained):
    """The same question gets the answer that is there."""
    assert retrain(masks, ticket, root=root, watcher=Stopping(2)) == retrained


def test_a_given_network_comes_back_trained(root, ticket, masks, retrained):
    """Whether it is trained now or was before, it has the weights of the new ticket."""
    run = RecordedRun.open(ticket)
    after = load_ticket(retrained.ticket).state
    for _ in range(2):
        network = configured_network(run.config, run.data)
        retrain(masks, ticket, root=root, network=network, data=run.data)
        for name, value in network.state_dict().items():
            assert np.array_equal(value.numpy(), after[name]), name


def test_another_array_is_another_result(root, ticket, tmp_path):
    """The same masks on other PEs take other cycles, and get another folder."""
    masks = {name: mask for name, mask in load_ticket(ticket).pruned.masks.items()}
    found = []
    for pes in (2, 4):
        about = {"map": "output_channel", "pes": pes}
        save_masks(tmp_path / f"m{pes}.npz", masks, about)
        found.append(retrain(tmp_path / f"m{pes}.npz", ticket, root=root, epochs=2))
    assert found[0].folder != found[1].folder
    assert found[0].after.cycles > found[1].after.cycles


def test_what_changes_the_result_changes_the_folder(root, ticket, masks, retrained):
    """Another start, seed, length or mask is another training."""
    plain = retrain(ticket, root=root)
    others = [
        retrain(masks, ticket, root=root, start="present"),
        retrain(masks, ticket, root=root, seed=1),
        retrain(masks, ticket, root=root, epochs=5),
    ]
    folders = {result.folder for result in (retrained, plain, *others)}
    assert len(folders) == 5
    weights = [load_ticket(result.ticket).state for result in (retrained, *others)]
    first = [state["features.0.weight"].tobytes() for state in weights]
    assert len(set(first)) == 4


def test_present_weights_start_where_the_ticket_ends(root, ticket):
    """With no step to take, the ticket's own weights come back."""
    result = retrain(ticket, root=root, start="present", learning_rate=1e-30)
    weights = load_ticket(result.ticket).state["features.0.weight"]
    assert np.allclose(weights, load_ticket(ticket).state["features.0.weight"])


def test_the_shipped_ticket_needs_no_name(tmp_path):
    """Masks of the ticket of the package find it; they prune to equal loads."""
    masks = balance_ticket(shipped_ticket()).save(tmp_path).masks
    result = retrain(masks, root=tmp_path, epochs=1, train_size=20)
    assert result.after.nonzeros == 1150
    assert result.before.accuracy == pytest.approx(0.9387, abs=0.02)


def test_layers_that_were_not_balanced_keep_their_own_masks(root, ticket, tmp_path):
    """Masks of some layers leave the others as the ticket has them."""
    masks = balance_ticket(ticket, pes=4, layers="features.0").save(tmp_path).masks
    result = retrain(masks, ticket, root=root)
    own, new = load_ticket(ticket).pruned.masks, load_ticket(result.ticket).pruned.masks
    assert [name for name in own if not np.array_equal(own[name], new[name])] == [
        "features.0"
    ]


def test_masks_of_another_network_are_refused(root, ticket, tmp_path):
    """Unknown layers and other shapes are named, and nothing is written."""
    for name, shape, said in (
        ("other", (4, 4), "no layer of"),
        ("features.0", (4, 4), r"\[4, 4\]"),
    ):
        save_masks(tmp_path / "m.npz", {name: np.ones(shape, np.bool_)}, {})
        with pytest.raises(TicketError, match=said):
            retrain(tmp_path / "m.npz", ticket, root=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_whose_ticket_is_gone_say_so(masks, tmp_path, monkeypatch):
    """The ticket is looked for where it may be, and asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "masks.safetensors").write_bytes(masks.read_bytes())
    with pytest.raises(TicketError, match=r"round-02.safetensors.*--ticket"):
        retrain("masks.safetensors")


def test_another_ticket_of_the_same_name_is_told_apart(masks, root, tmp_path):
    """What is beside the masks must be the ticket that they were chosen for."""
    (tmp_path / "m.safetensors").write_bytes(masks.read_bytes())
    (folder,) = (path for path in root.glob("lottery-*") if path.is_dir())
    other = (folder / "round-01.safetensors").read_bytes()
    (tmp_path / "round-02.safetensors").write_bytes(other)
    with pytest.raises(TicketError, match="is another one than"):
        retrain(tmp_path / "m.safetensors")


def test_a_file_without_a_run_is_refused(tmp_path):
    """Weights alone do not say how they were trained."""
    np.savez(tmp_path / "w.npz", **{"fc.weight": np.ones((4, 4), np.float32)})
    with pytest.raises(TicketError, match="how its network is trained"):
        retrain(tmp_path / "w.npz", root=tmp_path)
    with pytest.raises(TicketError, match="how its network is trained"):
        TicketAccuracy(tmp_path / "w.npz")


@pytest.mark.parametrize("wrong", [{"start": "here"}, {"seed": -1}, {"epochs": 0}])
def test_wrong_settings_are_named(root, ticket, wrong):
    """A value that is not accepted is in the message."""
    with pytest.raises(BalancerError, match=f"{next(iter(wrong))}.*is "):
        retrain(ticket, root=root, **wrong)


def test_several_processes_are_refused(ticket, monkeypatch):
    """Under torchrun each would train the same."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BalancerError, match="torchrun"):
        retrain(ticket)


def test_the_command_line_says_what_the_function_returns(
    root, ticket, masks, retrained, capsys
):
    """Table and JSON hold the three accuracies, and the path of the ticket."""
    given = ["retrain", str(masks), "--ticket", str(ticket), "--out", str(root)]
    assert cli.main(given) == 0
    said = capsys.readouterr().out
    for value in (retrained.before.accuracy, retrained.balanced):
        assert f"{value:.2%}" in said
    assert f"{retrained.after.accuracy:.2%}" in said
    assert str(retrained.ticket) in said
    assert cli.main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(
        json.dumps(retrained.to_dict())
    )


def test_balance_measures_a_ticket_when_asked(ticket, tmp_path, capsys):
    """Accuracy before and after stands in the report, the note and the JSON."""
    out = tmp_path / "m.npz"
    given = ["balance", str(ticket), "--pes", "4", "--out", str(out), "--evaluate"]
    assert cli.main([*given, "--json"]) == 0
    network = json.loads(capsys.readouterr().out)["network"]
    accuracy = TicketAccuracy(ticket)
    assert network["accuracy_before"] == accuracy()
    assert network["accuracy"] == accuracy(load_masks(out))
    assert network["effective"] == accuracy.effective(load_masks(out))
    assert network["effective_before"] == accuracy.effective()
    assert cli.main(given) == 0
    said = capsys.readouterr().out
    assert f"{network['accuracy_before']:.2%} → {network['accuracy']:.2%}" in said
    assert f"retrain {out} --ticket {ticket}" in said
    before, after = (
        sum(network[name].values()) for name in ("effective_before", "effective")
    )
    assert f"{before:,} → {after:,}." in said


def test_balance_cannot_measure_what_says_nothing_of_its_run(tmp_path, capsys):
    """The file is named, and no masks are written."""
    np.savez(tmp_path / "w.npz", **{"fc.weight": np.ones((4, 4), np.float32)})
    given = ["balance", str(tmp_path / "w.npz"), "--evaluate", "--out"]
    assert cli.main([*given, str(tmp_path / "o")]) == 1
    assert "w.npz" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
