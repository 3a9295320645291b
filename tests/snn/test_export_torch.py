"""Checkpoints of torch that exports write load into networks of torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra snn")

from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from balancer import (  # noqa: E402
    ExportError,
    Schedule,
    balance_ticket,
    open_ticket,
    save_masks,
    shipped_ticket,
)
from snn import (  # noqa: E402
    MaskedNetwork,
    Standardization,
    build_network,
    export_state_dict,
    export_torch,
    load_data,
    prunable_layers,
)
from snn.networks.inference import inference  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The shipped ticket with balanced masks, in an order of its channels."""
    report = balance_ticket(shipped_ticket(), order="optimized")
    masks = report.save(tmp_path_factory.mktemp("balanced")).masks
    return MaskedNetwork.of(shipped_ticket(), masks)


def a_network():
    return build_network("conv3", (1, 8, 8), classes=10, timesteps=4)


def logits(network, count=50):
    standardize = Standardization.of(open_ticket(shipped_ticket()).about)
    with inference(network):
        return network(standardize(load_data("digits").test.images[:count]))


def load(path):
    return torch.load(path, weights_only=True)


def test_a_dense_checkpoint_loads_into_the_network(source, tmp_path):
    """Pruned weights are zero in it, and it returns the same scores, to the bit."""
    export_torch(tmp_path / "net.pt", source)
    network = a_network()
    network.load_state_dict(load(tmp_path / "net.pt")["state_dict"])
    assert torch.equal(logits(network), logits(source.network))
    for name, mask in source.masks.items():
        weight = network.get_submodule(name).weight.detach().numpy()
        assert not weight[~mask].any()


def test_prune_keys_load_into_a_pruned_network(source, tmp_path):
    """`torch.nn.utils.prune` finds the names that it gives itself."""
    export_torch(tmp_path / "net.pt", source, form="prune")
    network = a_network()
    for layer in prunable_layers(network).values():
        prune.identity(layer, "weight")
    network.load_state_dict(load(tmp_path / "net.pt")["state_dict"])
    assert torch.equal(logits(network), logits(source.network))
    for name, mask in source.masks.items():
        layer = network.get_submodule(name)
        assert np.array_equal(layer.weight_mask.numpy() != 0, mask)
        prune.remove(layer, "weight")
    assert torch.equal(logits(network), logits(source.network))


@pytest.mark.parametrize("form", ["dense", "prune"])
def test_a_checkpoint_is_a_ticket(source, form, tmp_path):
    """`open_ticket` reads its layers; with the keys of prune also kept zeros."""
    export_torch(tmp_path / "net.pt", source, form=form)
    layers = {layer.name: layer for layer in open_ticket(tmp_path / "net.pt").layers}
    assert layers.keys() == source.masks.keys()
    for name, mask in source.masks.items():
        read = layers[name].read_mask()
        weight = source.network.get_submodule(name).weight.detach().numpy()
        assert np.array_equal(read, mask if form == "prune" else weight != 0)


@pytest.mark.parametrize("form", ["dense", "prune"])
def test_permuted_channels_need_no_order(source, form, tmp_path):
    """In the order of the PEs, tiles of consecutive channels have equal loads."""
    kept = export_torch(tmp_path / "net.pt", source, form=form, permute=True)
    checkpoint = load(tmp_path / "net.pt")
    assert kept.keys() == checkpoint["metadata"]["orders"].keys() <= {"classifier"}
    network = a_network()
    if form == "prune":
        for layer in prunable_layers(network).values():
            prune.identity(layer, "weight")
    network.load_state_dict(checkpoint["state_dict"])
    assert torch.allclose(logits(network), logits(source.network), atol=1e-4)
    for name in ("features.0", "features.3", "features.7"):
        if form == "prune":
            mask = network.get_submodule(name).weight_mask.numpy() != 0
            loads = mask.reshape(-1, 16, mask[0].size).sum(axis=2)
            assert (loads == loads[:, :1]).all()
        assert source.schedules[name] != Schedule.natural(source.masks[name].shape)


def test_orders_that_the_weights_are_not_in_are_recorded(source, tmp_path):
    """Without permutation all orders stand in the metadata, with the preprocessing."""
    assert export_torch(tmp_path / "net.pt", source) == {}
    metadata = load(tmp_path / "net.pt")["metadata"]
    assert metadata["timesteps"] == 4
    about = open_ticket(shipped_ticket()).about
    assert metadata["preprocessing"] == about["preprocessing"]
    orders = {
        name: Schedule(known["axis"], known["order"])
        for name, known in metadata["orders"].items()
    }
    assert orders == {n: s for n, s in source.schedules.items() if not s.is_natural}


def test_an_order_of_inputs_follows_the_permuted_channels(tmp_path):
    """An order of input channels names the channels where they stand now."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    schedules = {"0": Schedule(0, [2, 0, 3, 1]), "2": Schedule(1, [3, 1, 0, 2])}
    masked = MaskedNetwork(network, (3,), schedules=schedules)
    kept = export_torch(tmp_path / "net.pt", masked, permute=True)
    checkpoint = load(tmp_path / "net.pt")
    order = checkpoint["metadata"]["orders"]["2"]["order"]
    moved = checkpoint["state_dict"]["2.weight"][:, order]
    assert kept.keys() == {"2"}
    assert torch.equal(moved, network[2].weight[:, [3, 1, 0, 2]])


def test_layers_that_share_channels_follow_the_first(tmp_path):
    """Where a residual sum joins layers, one order is applied, the other recorded."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            return self.c(self.a(x) + self.b(x))

    network, images = Residual(), torch.randn(4, 3)
    schedules = {"a": Schedule(0, [2, 0, 1]), "b": Schedule(0, [1, 0, 2])}
    masked = MaskedNetwork(network, (3,), schedules=schedules)
    kept = export_torch(tmp_path / "net.pt", masked, permute=True)
    other = Residual()
    other.load_state_dict(load(tmp_path / "net.pt")["state_dict"])
    assert torch.allclose(other(images), network(images), atol=1e-6)
    assert kept.keys() == {"b"}


@pytest.mark.parametrize("form", ["dense", "prune"])
def test_any_file_becomes_a_checkpoint(source, form, tmp_path):
    """Without its network a file gives the same state dict as with it."""
    masks = save_masks_of(source, tmp_path / "masks.npz")
    export_state_dict(tmp_path / "file.pt", shipped_ticket(), masks, form=form)
    export_torch(tmp_path / "net.pt", source, form=form)
    one, other = load(tmp_path / "file.pt"), load(tmp_path / "net.pt")
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name])
        assert tensor.dtype == other["state_dict"][name].dtype
    assert one["metadata"] == other["metadata"]


def test_a_state_dict_keeps_the_axes_of_its_file(tmp_path):
    """Transposed convolutions stay as torch has them, and biases where they were."""
    network = nn.Sequential(nn.ConvTranspose2d(3, 5, 2), nn.Linear(4, 4))
    torch.save(network.state_dict(), tmp_path / "net.pt")
    ticket = open_ticket(tmp_path / "net.pt", {"0": "iohw"})
    mask = np.random.default_rng(0).random((5, 3, 2, 2)) < 0.5
    save_masks(tmp_path / "masks.npz", {"0": mask}, {})
    export_state_dict(tmp_path / "out.pt", ticket, tmp_path / "masks.npz", form="prune")
    state = load(tmp_path / "out.pt")["state_dict"]
    assert np.array_equal(state["0.weight_mask"].numpy(), mask.swapaxes(0, 1))
    assert torch.equal(state["0.bias"], network[0].bias)
    assert torch.equal(state["1.weight_orig"], network[1].weight)


def save_masks_of(source, path):
    save_masks(path, dict(source.masks), {}, source.schedules)
    return path


def test_another_form_is_refused(source, tmp_path):
    """One line says which there are; no file is left."""
    with pytest.raises(ExportError, match="accepted are 'dense' and 'prune'"):
        export_torch(tmp_path / "net.pt", source, form="2:4")
    assert list(tmp_path.iterdir()) == []
