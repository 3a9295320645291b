"""State dicts of torch are tickets; what else a file may hold is never run."""

import numpy as np
import pytest

import cli
from balancer import TicketError, open_ticket

torch = pytest.importorskip("torch")


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 4)
    )


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
def test_state_dicts_are_tickets(tmp_path, wrap):
    """Convolutions and linear layers are found, alone or in a checkpoint."""
    model = net()
    torch.save(wrap(model.state_dict()), tmp_path / "net.pt")
    layers = {layer.name: layer for layer in open_ticket(tmp_path / "net.pt").layers}
    assert list(layers) == ["0", "2"]
    expected = model[0].weight.detach().abs().numpy()
    np.testing.assert_array_equal(layers["0"].read().scores, expected)


def test_pruned_modules_keep_their_scores(tmp_path):
    """`torch.nn.utils.prune` leaves mask and unpruned weights, which are both used."""
    from torch.nn.utils import prune

    model = net()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    torch.save(model.state_dict(), tmp_path / "net.pth")
    layer = open_ticket(tmp_path / "net.pth").layers[0]
    read = layer.read()
    np.testing.assert_array_equal(read.mask, model[0].weight_mask.bool().numpy())
    assert (read.scores[~read.mask] > 0).all()


def test_bfloat16_is_read(tmp_path):
    """Half-precision weights are scored as float32."""
    torch.save({"w": torch.full((4, 4), 1.5, dtype=torch.bfloat16)}, tmp_path / "w.pt")
    scores = open_ticket(tmp_path / "w.pt").layers[0].read().scores
    np.testing.assert_array_equal(scores, np.full((4, 4), 1.5, dtype=np.float32))


def test_code_in_a_file_is_never_run(tmp_path):
    """A pickle that would run code is refused in one line, and does not run."""
    marker = tmp_path / "ran"

    class Malice:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({"w": torch.ones(4, 4), "evil": Malice()}, tmp_path / "evil.pt")
    with pytest.raises(TicketError, match=r"evil\.pt: holds more than tensors"):
        open_ticket(tmp_path / "evil.pt")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04cut", None])
def test_damaged_files_are_refused(tmp_path, content):
    """A file that torch cannot read is refused by name."""
    path = tmp_path / "bad.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TicketError, match=r"bad\.pt"):
        open_ticket(path)


def test_lists_and_empty_dicts_are_no_state_dicts(tmp_path):
    """Only a mapping with at least one matrix is a ticket."""
    torch.save([torch.ones(2, 2)], tmp_path / "list.pt")
    with pytest.raises(TicketError, match="a state dict is needed"):
        open_ticket(tmp_path / "list.pt")
    torch.save({"bias": torch.ones(2)}, tmp_path / "bias.pt")
    with pytest.raises(TicketError, match="no weights or masks"):
        open_ticket(tmp_path / "bias.pt")


def test_the_command_line_reads_state_dicts(tmp_path, monkeypatch, capsys):
    """`balance net.pt` prunes a torch network."""
    monkeypatch.chdir(tmp_path)
    torch.save(net().state_dict(), "net.pt")
    assert cli.main(["balance", "net.pt", "--sparsity", "0.5", "--pes", "4"]) == 0
    assert "optimal" in capsys.readouterr().out
