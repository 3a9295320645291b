"""State dicts of torch are tickets; what else a file may hold is never run."""

import numpy as np
import pytest

import cli
import snn
from balancer import TicketError, open_ticket

torch = pytest.importorskip("torch")


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 4)
    )


def optimizer_state():
    """What Adam keeps of a network after one step: tensors by number."""
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


CHECKPOINTS = {
    "bare": lambda state: state,
    "lightning": lambda state: {"state_dict": state, "epoch": 3},
    "tutorial": lambda state: {
        "model_state_dict": state,
        "optimizer_state_dict": optimizer_state(),
    },
    "model_state": lambda state: {"model_state": state, "step": 7},
    "ema": lambda state: {"ema": {"0.weight": torch.zeros(2, 2)}, "model": state},
    "in each other": lambda state: {"net": {"state_dict": state}},
    "unusual": lambda state: {"weights": state, "loss": torch.tensor(0.5)},
    "extra state": lambda state: {**state, "_extra_state": {"x": torch.ones(2, 2)}},
}


@pytest.mark.parametrize("wrap", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_state_dicts_are_tickets(tmp_path, wrap):
    """Convolutions and linear layers are found, alone or in any kind of checkpoint."""
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


def saved(tmp_path, tensor):
    """The layers of a file with one dense layer, and one with a given tensor."""
    path = tmp_path / "w.pt"
    torch.save({"a.weight": torch.ones(4, 4), "b.weight": tensor}, path)
    return open_ticket(path).layers


SPARSE = torch.tensor([[1.5, 0.0, 0.0, -2.0], [0.0, 0.0, 0.25, 0.0]])
QUIET = (
    "ignore::UserWarning"  # torch says that sparse and quantized tensors are new, old
)
KINDS = {
    "bfloat16": lambda t: t.bfloat16(),
    "float16": lambda t: t.half(),
    "fp8 e4m3": lambda t: t.to(torch.float8_e4m3fn),
    "fp8 e5m2": lambda t: t.to(torch.float8_e5m2),
    "quantized": lambda t: torch.quantize_per_tensor(t, 0.25, 0, torch.qint8),
    "quantized by channel": lambda t: torch.quantize_per_channel(
        t, torch.tensor([0.5, 0.25]), torch.tensor([0, 0]), 0, torch.qint8
    ),
    "COO": lambda t: t.to_sparse(),
    "COO of bfloat16": lambda t: t.bfloat16().to_sparse(),
    "CSR": lambda t: t.to_sparse_csr(),
    "CSC": lambda t: t.to_sparse_csc(),
    "BSR": lambda t: t.to_sparse_bsr((2, 2)),
    "conjugate": lambda t: torch.complex(t, torch.zeros(2, 4)).conj(),
    "negative": lambda t: torch.complex(torch.zeros(2, 4), t).conj().imag,
    "transposed": lambda t: t.t().contiguous().t(),
    "parameter": torch.nn.Parameter,
}


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tensor_is_read(tmp_path, kind):
    """What NumPy lacks is widened, dequantized or made dense: the numbers stay."""
    layers = saved(tmp_path, KINDS[kind](SPARSE))
    assert [layer.name for layer in layers] == ["a", "b"]
    read = layers[1].read()
    np.testing.assert_array_equal(read.scores, SPARSE.abs().numpy())
    np.testing.assert_array_equal(read.mask, SPARSE.numpy() != 0)
    assert read.scores.flags.c_contiguous


def test_expanded_tensors_are_read(tmp_path):
    """A tensor whose rows share their memory has as many weights as it shows."""
    read = saved(tmp_path, torch.arange(4.0).expand(3, 4))[1].read()
    np.testing.assert_array_equal(read.scores, np.tile(np.arange(4.0), (3, 1)))


@pytest.mark.filterwarnings(QUIET)
def test_quantized_networks_are_read(tmp_path):
    """Quantized linear layers, which torch packs into tuples, are layers as others."""
    from torch.ao.nn import quantized

    model = torch.nn.Sequential(quantized.Linear(8, 4), quantized.Conv2d(3, 4, 3))
    torch.save(model.state_dict(), tmp_path / "net.pt")
    layers = open_ticket(tmp_path / "net.pt").layers
    assert [(x.name, x.shape) for x in layers] == [("0", (4, 8)), ("1", (4, 3, 3, 3))]
    expected = model[0].weight().dequantize().abs().numpy()
    np.testing.assert_array_equal(layers[0].read().scores, expected)


@pytest.mark.filterwarnings(QUIET)
def test_tensors_without_numbers_are_named(tmp_path):
    """A meta tensor spoils its own layer alone, in a line with file and name."""
    first, second = saved(tmp_path, torch.empty(4, 4, device="meta"))
    assert first.read().mask.all()
    with pytest.raises(TicketError, match=r"w\.pt: b\.weight is a meta tensor"):
        second.read()
    parts = [torch.ones(2, 2), torch.ones(3, 2)]
    with pytest.raises(TicketError, match=r"w\.pt: b\.weight is a nested tensor"):
        saved(tmp_path, torch.nested.nested_tensor(parts))


def test_sparse_tensors_that_point_outside_are_refused(tmp_path):
    """Indices beyond the shape are one line: written densely, they break memory."""
    path = tmp_path / "w.pt"
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        beyond = torch.sparse_coo_tensor([[10**9], [0]], [1.0], (4, 4))
    torch.save({"a.weight": beyond}, path)
    with pytest.raises(TicketError, match=r"w\.pt: no readable torch file .*indices"):
        open_ticket(path)


@pytest.mark.skipif(
    not hasattr(torch, "float4_e2m1fn_x2"), reason="a newer torch has this format"
)
def test_formats_without_a_meaning_here_are_named(tmp_path):
    """4-bit numbers are refused in a line with file, name and kind."""
    packed = torch.zeros(4, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(TicketError, match=r"w\.pt: b\.weight is torch\.float4_e2m1fn"):
        saved(tmp_path, packed)[1].read()


@pytest.mark.parametrize("names", [("generator", "critic"), ("model", "state_dict")])
def test_several_mappings_of_tensors_are_named(tmp_path, names):
    """Which of two networks is meant is not guessed."""
    torch.save(dict.fromkeys(names, net().state_dict()), tmp_path / "two.pt")
    with pytest.raises(TicketError, match="several mappings of tensors") as caught:
        open_ticket(tmp_path / "two.pt")
    assert all(name in str(caught.value) for name in ("two.pt", *names))


def test_arrays_by_layer_are_layers(tmp_path):
    """A mapping for each layer, as tools store masks, is one ticket."""
    mask = torch.eye(4).bool()
    content = {"conv": {"weight": mask, "bias": None}, "fc": {"weight": ~mask}}
    torch.save(content, tmp_path / "masks.pt")
    layers = open_ticket(tmp_path / "masks.pt").layers
    assert [layer.name for layer in layers] == ["conv", "fc"]
    np.testing.assert_array_equal(layers[1].read_mask(), ~mask.numpy())


def test_checkpoints_without_weights_say_what_they_hold(tmp_path):
    """Without a mapping of tensors the error says which keys there are and are read."""
    torch.save({"epoch": 3, "optimizer": optimizer_state()}, tmp_path / "c.pt")
    with pytest.raises(TicketError, match=r"model_state_dict.*its keys: epoch, optim"):
        open_ticket(tmp_path / "c.pt")
    endless = {}
    endless["model"] = {"state_dict": endless, "w": torch.ones(2, 2)}
    torch.save(endless, tmp_path / "endless.pt")
    with pytest.raises(TicketError, match="mappings deep"):
        open_ticket(tmp_path / "endless.pt")


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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_transposed_convolution_is_read_by_its_inputs_and_outputs(
    tmp_path, bias, dims
):
    """The module tells the axes of its weights, and so does a bias, if it has one."""
    nn = torch.nn
    kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](4, 8, 3)
    network = nn.Sequential(conv, kinds[dims - 1](8, 4, 2, bias=bias))
    path = tmp_path / "net.pt"
    torch.save(network.state_dict(), path)
    told = open_ticket(path, snn.weight_axes(network))
    assert [layer.shape[:2] for layer in told.layers] == [(8, 4), (4, 8)]
    assert told.remarks == ()
    guessed = open_ticket(path)
    assert guessed.layers[1].shape[:2] == ((4, 8) if bias else (8, 4))
    assert bool(guessed.remarks) == bias
