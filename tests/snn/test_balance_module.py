"""Any module in one call: which layers, whose inputs, and what they keep."""

import copy
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from torch import nn  # noqa: E402

from balancer import BalancerError, PEMap, RetentionProblem, solve  # noqa: E402
from snn import balance_module, score_of  # noqa: E402
from snn.networks.axes import as_stored, outputs_first  # noqa: E402


class ResNet18(nn.Module):
    """The layers of the ImageNet network, with fewer channels."""

    def __init__(self, width=8):
        super().__init__()

        def block(inputs, outputs, stride):
            return nn.ModuleList(
                [
                    nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                    if stride > 1
                    else nn.Identity(),
                ]
            )

        self.stem = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        sizes = [(1, 1, 1), (1, 1, 1), (1, 2, 2), (2, 2, 1)]
        sizes += [(2, 4, 2), (4, 4, 1), (4, 8, 2), (8, 8, 1)]
        self.blocks = nn.ModuleList(
            block(i * width, o * width, stride) for i, o, stride in sizes
        )
        self.fc = nn.Linear(8 * width, 10)

    def forward(self, x):
        x = self.stem(x).relu()
        for one, norm_one, two, norm_two, shortcut in self.blocks:
            y = norm_two(two(norm_one(one(x)).relu()))
            x = (y + shortcut(x)).relu()
        return self.fc(x.mean((2, 3)))


def fitting(name):
    """Import what needs a torchvision that fits torch, or skip."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        return pytest.skip(f"needs a torchvision that fits torch: {error}")


def imagenet_resnet18():
    vision = fitting("torchvision")
    return vision.models.resnet18(num_classes=10), torch.rand(1, 3, 64, 64)


def sew_resnet18():
    from spikingjelly.activation_based import neuron

    models = fitting("spikingjelly.activation_based.model.sew_resnet")
    module = models.sew_resnet18(
        cnf="ADD", spiking_neuron=neuron.IFNode, num_classes=10
    )
    return module, torch.rand(1, 3, 64, 64)


def transformer():
    layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)
    return nn.Sequential(
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 4)
    ), torch.rand(1, 5, 16)


NETWORKS = {
    "torchvision": imagenet_resnet18,
    "same shape": lambda: (ResNet18(), torch.rand(1, 3, 32, 32)),
    "spikingjelly": sew_resnet18,
    "transformer": transformer,
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_three_lines_balance_a_network_that_people_have(make):
    """All PEs of every tile of every layer have equal loads, and the network runs."""
    torch.manual_seed(0)
    network, x = make()
    masks = balance_module(network, sparsity=0.9, pes=8)
    assert masks.sparsity == pytest.approx(0.9, abs=0.01)
    for name, mask in masks.items():
        layer = network.get_submodule(name)
        weight = layer.weight.detach().numpy()
        assert np.array_equal(weight != 0, mask)
        loads = outputs_first(layer, mask).reshape(len(mask), -1).sum(1)
        assert all(len(set(loads[k : k + 8])) == 1 for k in range(0, len(loads), 8))
    before = copy.deepcopy(network.state_dict())
    network.eval()(x)
    masks.remove()
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


@st.composite
def convolutions(draw):
    """Any kind, with groups from one to all channels."""
    groups = draw(st.sampled_from([1, 2, 4]))
    inputs = groups * draw(st.integers(1, 3))
    outputs = groups * draw(st.integers(1, 4))
    kinds = [nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d]
    kind = draw(st.sampled_from(kinds))
    return kind(inputs, outputs, draw(st.integers(1, 3)), groups=groups)


def reads(module, inputs):
    """Which input channels reach which output channels, as the module computes."""
    ndim = module.weight.ndim - 2
    plain = copy.deepcopy(module)
    plain.bias = None
    with torch.no_grad():
        x = torch.eye(inputs).reshape(inputs, inputs, *(1,) * ndim)
        made = plain(x.expand(-1, -1, *(5,) * ndim).contiguous())
    return (made.flatten(2) != 0).any(2).T.numpy()  # [outputs, inputs]


@given(convolutions(), st.integers(1, 5))
def test_outputs_of_a_layer_are_those_of_what_it_computes(module, pes):
    """Rows are output channels: one alone writes to its own channel and no other."""
    weight = module.weight.detach().numpy()
    rows = outputs_first(module, weight)
    assert len(rows) == module.out_channels
    assert np.array_equal(as_stored(module, rows), weight)
    groups, inputs = module.groups, rows.shape[1]
    for row in range(len(rows)):
        alone = np.zeros_like(rows)
        alone[row, 0] = 1
        twin = copy.deepcopy(module)
        twin.weight.data = torch.from_numpy(as_stored(module, alone))
        wanted = np.zeros((module.out_channels, module.in_channels), bool)
        wanted[row, row // (len(rows) // groups) * inputs] = True
        assert np.array_equal(reads(twin, module.in_channels), wanted)


@given(convolutions(), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=25)
def test_a_layer_in_groups_is_a_dense_one_with_zeros(module, pes, tenths):
    """Masks keep as much as those of the dense layer that it stands for, on any map."""
    sparsity = tenths / 4
    rows = np.abs(outputs_first(module, module.weight.detach().numpy()))
    outputs, inputs = rows.shape[:2]
    first = np.arange(outputs) // (outputs // module.groups) * inputs
    columns = first[:, None] + np.arange(inputs)
    dense = np.zeros((outputs, inputs * module.groups, *rows.shape[2:]), np.float32)
    allowed = np.zeros(dense.shape, bool)
    dense[np.arange(outputs)[:, None], columns] = rows
    allowed[np.arange(outputs)[:, None], columns] = True
    for text in ("output_channel", "input_channel", "banked", "grid:2x2"):
        twin = nn.Sequential(copy.deepcopy(module))
        made = balance_module(
            twin, sparsity=sparsity, pe_map=text, pes=pes, allow_empty=True
        )
        mine = made.solution.layers[0].solution
        budget = mine.nonzeros + mine.remainder
        pe_map = PEMap.parse(text, dense.shape, pes)
        # PEs that a group leaves without weights take no part, so labels say the rest.
        labels = (label[allowed].reshape(rows.shape) for label in pe_map.labels())
        known = solve(RetentionProblem(rows, PEMap.from_labels(*labels), budget))
        assert made.solution.kept == pytest.approx(known.kept)
        assert mine.loads.max(initial=0) == known.loads.max(initial=0)


def test_depthwise_inputs_are_dealt_as_channels_of_the_network():
    """Each channel of a depthwise layer is an input of its own, not all of them one."""
    network = nn.Sequential(nn.Conv2d(16, 16, 3, groups=16))
    masks = balance_module(network, sparsity=0.5, pe_map="input_channel", pes=4)
    pes = [masks["0"][4 * k : 4 * k + 4].sum() for k in range(4)]
    assert masks["0"].sum() == 72
    assert max(pes) < 72


def test_blocks_of_n_m_may_not_lie_in_two_groups():
    """2:4 works where a group has whole blocks, and is refused where it has not."""
    whole = nn.Sequential(nn.Conv2d(16, 8, 3, groups=2))
    masks = balance_module(whole, pe_map="2:4")
    assert masks.sparsity == 0.5
    assert (masks["0"].reshape(8, 2, 4, 9).sum(2) == 2).all()
    depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8))
    assert balance_module(depthwise, pe_map="2:4").sparsity == 0  # one of four inputs
    cut = nn.Sequential(nn.Conv2d(12, 8, 3, groups=2))
    with pytest.raises(
        BalancerError, match="layer 0: 2 groups of 6 input channels cut"
    ):
        balance_module(cut, pe_map="2:4")


def test_layers_of_one_shape_and_other_groups_are_told_apart_or_refused():
    """A map of inputs cannot give two maps to one shape; one of outputs can."""
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=2))
    assert balance_module(network, sparsity=0.5, pes=4).sparsity == 0.5
    with pytest.raises(BalancerError, match="layers 0 and 1 have weights of one shape"):
        balance_module(network, sparsity=0.5, pe_map="input_channel", pes=4)


def test_what_is_skipped_stays():
    """A layer or a module with all layers inside keeps its weights."""
    network = ResNet18()
    before = copy.deepcopy(network.state_dict())
    masks = balance_module(network, sparsity=0.9, skip=("stem", "fc", "blocks.7"))
    skipped = [n for n in before if n.startswith(("stem", "fc", "blocks.7"))]
    assert all(torch.equal(network.state_dict()[n], before[n]) for n in skipped)
    assert not any(name.startswith(("stem", "fc", "blocks.7")) for name in masks)


def test_a_network_under_one_budget_by_scores_of_gradients():
    """Requests and scores are those of `balance_network` and `score_of`."""
    network = ResNet18()
    batches = [(torch.rand(4, 3, 32, 32), torch.arange(4)) for _ in range(2)]
    scores = score_of(network, batches, nn.functional.cross_entropy)
    masks = balance_module(
        network, scores=scores, sparsity=0.95, budgets="lamp", order="optimized",
        work_limit=0.1,
    )  # fmt: skip
    assert masks.solution.kept == pytest.approx(
        sum(float(scores[name][mask].sum()) for name, mask in masks.items()), rel=1e-5
    )
    assert masks.schedules.keys() == masks.keys()


def test_a_module_is_balanced_again_in_one_line():
    """Sparser masks replace those that it has, and weights of both are trained on."""
    network = ResNet18()
    balance_module(network, sparsity=0.5)
    masks = balance_module(network, sparsity=0.9)
    adam = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    adam.step()
    for name, mask in masks.items():
        assert not network.get_submodule(name).weight.detach().numpy()[~mask].any()
    assert all(len(m._forward_pre_hooks) <= 1 for m in network.modules())


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (lambda: nn.LSTM(3, 4), {}, "LSTM has no layer to prune; accepted: "),
        (ResNet18, {"skip": "body"}, "`skip` names 'body', which holds no layer; acc"),
        (ResNet18, {"scores": {}}, "`scores`: arrays of exactly stem, "),
        (ResNet18, {"sparsity": 2}, "sparsity"),
        (
            lambda: nn.Sequential(
                nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
            ),
            {},
            "0 computes its weights; remove the parametrization first",
        ),
    ],
)
def test_what_cannot_be_balanced_is_refused_in_one_line(make, given, said):
    """Errors say what was given and what is accepted; nothing is pruned."""
    network = make()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(BalancerError, match=said) as error:
        balance_module(network, **{"sparsity": 0.5, **given})
    assert "\n" not in str(error.value)
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
