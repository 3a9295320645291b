"""A renumbered network computes what it computed, or says what it left alone."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.nn.utils import parametrize, prune  # noqa: E402

from balancer import Schedule  # noqa: E402
from snn import OrderError, apply_order  # noqa: E402
from snn.channels.graph import channel_graph  # noqa: E402


def rng_orders(network, seed=0, skip=()):
    """One random order for every group of layers, under each member's name."""
    rng = np.random.default_rng(seed)
    orders = {}
    for group in channel_graph(network).groups():
        order = rng.permutation(network.get_submodule(group[0]).weight.shape[0])
        orders |= {name: order for name in group if name not in skip}
    return orders


def unlike(network, seed=0):
    """Give normalizations statistics and parameters that differ by channel."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.data.uniform_(-0.2, 0.2, generator=generator)
    return network.eval()


def exact(network):
    """Round weights to 1/64, so that sums over spikes and pixels are never rounded."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.data.mul_(64).round_().div_(64)
            if module.bias is not None:
                module.bias.data.mul_(64).round_().div_(64)
    return network


def assert_moved(network, result, orders, fixed=()):
    """Weights are the old ones in the order asked for, except where it is fixed."""
    assert {n for n, layer in result.layers.items() if not layer.applied} == set(fixed)
    for name, layer in result.layers.items():
        if name not in fixed:
            np.testing.assert_array_equal(layer.outputs, orders[name])
        old = network.get_submodule(name).weight.detach()
        new = result.network.get_submodule(name).weight.detach()
        assert torch.equal(new, old[layer.outputs.tolist()][:, layer.inputs.tolist()])


class SpikingVGG(nn.Module):
    def __init__(self, time_steps=3):
        super().__init__()
        from spikingjelly.activation_based import layer, neuron

        def lif():
            return neuron.LIFNode(tau=2.0, v_threshold=0.25, step_mode="m")

        self.time_steps = time_steps
        self.stem = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.features = nn.Sequential(
            lif(),
            layer.Conv2d(6, 8, 3, padding=1, bias=False, step_mode="m"),
            layer.BatchNorm2d(8, step_mode="m"),
            lif(),
            layer.MaxPool2d(2, step_mode="m"),
            layer.Conv2d(8, 10, 3, padding=1, step_mode="m"),
            layer.BatchNorm2d(10, step_mode="m"),
            lif(),
            layer.AvgPool2d(2, step_mode="m"),
            layer.Flatten(step_mode="m"),
            layer.Linear(40, 12, step_mode="m"),
            lif(),
            layer.Linear(12, 3, step_mode="m"),
        )

    def forward(self, x):
        x = self.stem(x)
        x = x.unsqueeze(0).expand(self.time_steps, *x.shape)
        return self.features(x).mean(0)


class Sequences(nn.Module):
    """Containers that join time and batch, as older spiking networks have them."""

    def __init__(self):
        super().__init__()
        from spikingjelly.activation_based import layer, neuron

        def lif():
            return neuron.ParametricLIFNode(v_threshold=0.25, step_mode="m")

        self.layers = nn.Sequential(
            layer.SeqToANNContainer(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8)),
            lif(),
            layer.SeqToANNContainer(nn.Conv2d(8, 6, 3), nn.MaxPool2d(2), nn.Flatten()),
            lif(),
            layer.Linear(24, 7, step_mode="m"),
            lif(),
            nn.Linear(7, 3),
        )

    def forward(self, x):
        return self.layers(x.repeat(3, 1, 1, 1, 1)).sum(0)


class Unrolled(nn.Module):
    """A loop over time around layers in single-step mode."""

    def __init__(self):
        super().__init__()
        from spikingjelly.activation_based import neuron

        self.conv, self.head = nn.Conv2d(2, 8, 3), nn.Linear(8, 3)
        self.one, self.two = neuron.IFNode(0.25), neuron.IFNode(0.25)
        self.middle = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = torch.stack([self.one(self.conv(x)) for _ in range(3)])
        logits = 0
        for step in range(3):
            spikes = self.two(self.middle(x[step]))
            logits = logits + self.head(spikes.sum((2, 3)))
        return logits


class Block(nn.Module):
    def __init__(self, inputs, outputs, act, stride=1):
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.two = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.act1, self.act2 = act(), act()
        self.short = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.short = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x):
        y = self.act1(self.bn1(self.one(x)))
        return self.act2(self.bn2(self.two(y)) + self.short(x))


class Residual(nn.Module):
    def __init__(self, act=nn.ReLU):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.act = act()
        self.blocks = nn.Sequential(
            Block(6, 6, act), Block(6, 6, act), Block(6, 9, act, 2), Block(9, 9, act)
        )
        self.head = nn.Linear(9, 4)

    def forward(self, x):
        x = self.blocks(self.act(self.stem(x)))
        x = functional.adaptive_avg_pool2d(x, 1)
        return self.head(x.view(x.size(0), -1))


@pytest.mark.parametrize(
    ("build", "head"),
    [
        (SpikingVGG, "features.12"),
        (Sequences, "layers.6"),
        (Unrolled, "head"),
    ],
)
def test_a_spiking_network_computes_the_same(build, head):
    """Without rounding in the sums, a spiking VGG and others give the same bits."""
    pytest.importorskip("spikingjelly")
    torch.manual_seed(0)
    network = exact(unlike(build()))
    orders = rng_orders(network)
    result = apply_order(network, orders)
    assert_moved(network, result, orders, fixed=[head])
    assert "network's output" in result.layers[head].reason
    x = torch.randint(-64, 64, (5, 2, 8, 8)) / 64
    before, after = network(x), result.network(x)
    assert before.std() > 0.01
    assert torch.equal(before, after)


def test_a_spiking_residual_network_computes_the_same():
    """Residual sums of spikes agree to the last bit where no sum is rounded."""
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import neuron

    torch.manual_seed(0)
    network = Residual(lambda: neuron.IFNode(v_threshold=0.25))
    network = exact(unlike(network))
    orders = rng_orders(network)
    result = apply_order(network, orders)
    assert_moved(network, result, orders, fixed=["head"])
    x = torch.randint(-64, 64, (5, 2, 8, 8)) / 64
    before, after = network(x), result.network(x)
    assert before.std() > 0.01
    assert torch.equal(before, after)


def test_a_residual_network_is_equal_to_rounding():
    """In float32 the permuted sums differ from the old ones by rounding only."""
    torch.manual_seed(0)
    network = unlike(Residual())
    assert channel_graph(network).groups() == (
        ("stem", "blocks.0.two", "blocks.1.two"),
        ("blocks.0.one",),
        ("blocks.1.one",),
        ("blocks.2.one",),
        ("blocks.2.two", "blocks.2.short.0", "blocks.3.two"),
        ("blocks.3.one",),
        ("head",),
    )
    orders = rng_orders(network)
    result = apply_order(network, orders)
    assert_moved(network, result, orders, fixed=["head"])
    x = torch.randn(5, 2, 8, 8)
    torch.testing.assert_close(result.network(x), network(x), rtol=1e-5, atol=1e-6)


class Random(nn.Module):
    """Stages of convolutions, normalizations, pools and shortcuts, as drawn."""

    def __init__(self, stages, pixels, hidden):
        super().__init__()
        self.layers = nn.ModuleList()
        self.kinds = []
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        channels = 4
        for kind, width, bias in stages:
            if kind in ("conv", "grouped"):
                groups = 2 if kind == "grouped" and channels % 2 == 0 else 1
                width += width % groups
                made = nn.Conv2d(channels, width, 3, 1, 1, bias=bias, groups=groups)
                channels = width
            elif kind == "depthwise":
                made = nn.Conv2d(channels, channels, 3, 1, 1, 1, channels, bias)
            elif kind == "residual":
                made = Block(channels, width if bias else channels, nn.ReLU)
                channels = width if bias else channels
            elif kind == "norm":
                made = nn.BatchNorm2d(channels)
            elif kind == "pool" and pixels > 1:
                made = nn.MaxPool2d(2) if bias else nn.AvgPool2d(2)
                pixels //= 2
            else:
                made = nn.Tanh()
            self.kinds.append(kind)
            self.layers.append(made)
        self.hidden = nn.Linear(channels * pixels**2, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        x = self.stem(x)
        for kind, made in zip(self.kinds, self.layers, strict=True):
            x = x * made(x).sigmoid() if kind == "depthwise" else made(x)
        return self.head(self.norm(self.hidden(torch.flatten(x, 1))))


STAGES = st.tuples(
    st.sampled_from(
        ["conv", "conv", "depthwise", "grouped", "residual", "norm", "pool", "act"]
    ),
    st.integers(1, 6),
    st.booleans(),
)


@given(st.lists(STAGES, max_size=7), st.integers(1, 5), st.integers(0, 2**16))
def test_random_networks_compute_the_same(stages, hidden, seed):
    """Any mix of layers computes the same in float64, with weights really moved."""
    torch.manual_seed(seed)
    network = unlike(Random(stages, 4, hidden).double(), seed)
    orders = rng_orders(network, seed)
    result = apply_order(network, orders)
    kept = {name for name, layer in result.layers.items() if not layer.applied}
    assert_moved(network, result, orders, fixed=kept)
    assert result.layers["hidden"].applied
    for name in kept:
        assert result.layers[name].reason
        np.testing.assert_array_equal(
            result.tables.get(name, np.arange(len(orders[name]))), orders[name]
        )
    if "grouped" not in network.kinds:
        assert kept == {"head"}
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(result.network(x), network(x), rtol=1e-9, atol=1e-9)


def test_the_original_is_left_alone():
    """Only the copy is permuted."""
    network = unlike(Residual())
    before = copy.deepcopy(network.state_dict())
    apply_order(network, rng_orders(network))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def chain(*modules):
    return nn.Sequential(nn.Conv2d(2, 4, 1), *modules, nn.Conv2d(4, 3, 1)).eval()


REVERSED = np.arange(4)[::-1]


class Mixer(nn.Module):
    def forward(self, x):
        return torch.roll(x, 1, dims=1)


class Tokens(nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2).flatten(1).view(x.size(0), 4, 3, 3)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.arange(4.0).view(4, 1, 1))

    def forward(self, x):
        return x * self.scale


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Concatenated(nn.Module):
    def forward(self, x):
        return torch.cat([x[:, :2], x[:, 2:]], 1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Mixer(), "roll"),
        (Tokens(), "transpose"),
        (Scale(), "fixed numbering"),
        (Branching(), "cannot be traced"),
        (Concatenated(), "selects"),
        (nn.Conv2d(4, 4, 1, groups=2), "2 groups"),
        (nn.GroupNorm(2, 4), "2 groups"),
        (nn.Softmax(1), "1 is a Softmax"),
        (nn.LocalResponseNorm(2), "1 is a LocalResponseNorm"),
        (nn.ConvTranspose2d(4, 4, 1), "1 is a ConvTranspose2d"),
    ],
)
def test_what_is_not_understood_keeps_its_order(module, reason):
    """Where channels cannot be followed, the order stays a table with a reason."""
    network = chain(module)
    result = apply_order(network, {"0": REVERSED})
    assert reason in result.layers["0"].reason
    np.testing.assert_array_equal(result.tables["0"], REVERSED)
    x = torch.randn(2, 2, 3, 3)
    assert torch.equal(result.network(x), network(x))


@pytest.mark.parametrize(
    "module",
    [
        nn.GroupNorm(1, 4),
        nn.GroupNorm(4, 4),
        nn.LayerNorm([4, 3, 3]),
        nn.LayerNorm([3]),
        nn.InstanceNorm2d(4, affine=True),
        nn.PReLU(4),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
    ],
)
def test_parameters_of_channels_move_along(module):
    """Whatever has one parameter for each channel is permuted with them."""
    network = chain(module)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    result = apply_order(network, {"0": REVERSED})
    assert result.layers["0"].applied
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(result.network(x), network(x))


class Steps(nn.Module):
    """A convolution, steps as given, and a linear layer."""

    def __init__(self, steps, features, module=None):
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 1), nn.Linear(features, 3)
        self.steps, self.module = steps, module

    def forward(self, x):
        x = self.steps(self.conv(x))
        return self.head(x if self.module is None else self.module(x))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Steps(lambda x: (x * x.sum(1, True)).flatten(1), 64), "joins the channels"),
        (Steps(lambda x: x.flatten(0, 1).flatten(1), 16), "with the axes in front"),
        (Steps(lambda x: x.flatten(2), 16), "reads another axis"),
        (Steps(lambda x: x + x.mean((2, 3)), 4), "channels on different axes"),
        (Steps(lambda x: x.view(x.size(1), -1), 64), "reshapes in a way"),
        (
            Steps(lambda x: (y := x.unsqueeze(0)).reshape(y.size(0), -1), 256),
            "reshapes in a way",
        ),
        (Steps(lambda x: x.unsqueeze(4).squeeze(4), 4), "axis behind the channels"),
        (Steps(lambda x: x.repeat(1, 2, 1, 1).flatten(1), 128), "may repeat channels"),
        (Steps(lambda x: torch.stack([x, x], 2).flatten(1), 128), "among the others"),
        (
            Steps(lambda x: functional.max_pool2d(x.mean(3), 3, 1, 1).flatten(1), 16),
            "pools other axes",
        ),
        (
            Steps(lambda x: x.unsqueeze(0).flatten(2), 64, nn.BatchNorm1d(4)),
            "module works on another axis",
        ),
    ],
)
def test_other_axes_keep_the_order(network, reason):
    """Steps that mix the channels' axis with another one leave the order a table."""
    network.eval()
    result = apply_order(network, {"conv": REVERSED})
    assert reason in result.layers["conv"].reason
    x = torch.randn(4, 2, 4, 4)
    assert torch.equal(result.network(x), network(x))


def test_weights_shared_out_of_reach_stay():
    """A layer whose weights are also those of an uncalled module keeps its order."""
    network = Steps(lambda x: x.flatten(1), 64)
    network.spare = nn.Conv2d(2, 4, 1)
    network.spare.weight = network.conv.weight
    result = apply_order(network, {"conv": REVERSED})
    assert "conv.weight is also spare.weight" in result.layers["conv"].reason
    assert torch.equal(result.network.spare.weight, network.conv.weight)


def test_elementwise_modules_may_be_declared():
    """A module of one's own keeps an order a table, unless declared harmless."""
    network = chain(Scale())
    assert not apply_order(network, {"0": REVERSED}).layers["0"].applied
    result = apply_order(network, {"0": REVERSED}, elementwise=(Scale,))
    assert result.layers["0"].applied
    scale = result.network[1].scale.flatten()
    assert scale.tolist() == [3.0, 2.0, 1.0, 0.0]


def test_a_state_is_refused():
    """A network that remembers its last input has to be reset first."""
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional as spiking
    from spikingjelly.activation_based import neuron

    network = chain(neuron.IFNode())
    network(torch.randn(2, 2, 3, 3))
    with pytest.raises(OrderError, match="1 holds the state of an earlier run"):
        apply_order(network, {"0": REVERSED})
    spiking.reset_net(network)
    assert apply_order(network, {"0": REVERSED}).layers["0"].applied


def test_pruned_layers_keep_their_masks():
    """Masks of `torch.nn.utils.prune` are permuted with the weights that they prune."""
    network = chain(nn.ReLU())
    prune.l1_unstructured(network[0], "weight", amount=0.5)
    prune.l1_unstructured(network[2], "weight", amount=0.5)
    result = apply_order(network, {"0": REVERSED})
    copied = result.network
    assert torch.equal(copied[0].weight_mask, network[0].weight_mask.flip(0))
    assert torch.equal(copied[2].weight_mask, network[2].weight_mask.flip(1))
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(copied(x), network(x))


class Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


class Summed(nn.Module):
    def forward(self, weight):
        return weight.cumsum(0)


def test_parametrized_weights_follow_or_are_refused():
    """A masking parametrization moves along; one that mixes rows is refused."""
    network = chain(nn.ReLU())
    mask = torch.rand_like(network[0].weight) < 0.5
    parametrize.register_parametrization(network[0], "weight", Masked(mask))
    result = apply_order(network, {"0": REVERSED})
    assert result.layers["0"].applied
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(result.network(x), network(x))
    parametrize.register_parametrization(network[2], "weight", Summed())
    network[2].bias = None
    assert apply_order(network, {"0": REVERSED}).layers["0"].applied
    parametrize.register_parametrization(network[0], "weight", Summed())
    with pytest.raises(OrderError, match="0 computes its weights"):
        apply_order(network, {"0": REVERSED})


class Tied(nn.Module):
    """One layer called twice, and another that shares its weights."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(2, 4)
        self.again = nn.Linear(4, 4)
        self.same = nn.Linear(4, 4, bias=False)
        self.same.weight = self.again.weight
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.again(self.again(self.stem(x)))
        return self.head(self.same(x))


def test_shared_weights_share_one_order():
    """Layers that are called twice, or share weights, have one order everywhere."""
    network = Tied()
    assert channel_graph(network).groups()[0] == ("stem", "again", "same")
    result = apply_order(network, {"stem": REVERSED})
    assert result.layers["again"].outputs.tolist() == REVERSED.tolist()
    assert result.network.same.weight is result.network.again.weight
    x = torch.randn(5, 2)
    torch.testing.assert_close(result.network(x), network(x))


class Borrowed(nn.Module):
    """The weights of a layer are read without calling it."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return functional.linear(self.two(self.one(x)), self.one.weight)


def test_borrowed_weights_stay():
    """A layer whose weights are read behind its back keeps its order."""
    network = Borrowed()
    result = apply_order(network, {"one": REVERSED, "two": REVERSED})
    assert "used by itself" in result.layers["one"].reason
    assert "linear" in result.layers["two"].reason
    assert torch.equal(result.network.one.weight, network.one.weight)


def test_a_hook_keeps_the_order():
    """What a hook does is not known, so channels do not pass it."""
    network = chain(nn.ReLU())
    network[1].register_forward_hook(lambda module, args, output: output.roll(1, 1))
    assert "hooks" in apply_order(network, {"0": REVERSED}).layers["0"].reason


def test_disagreeing_layers_follow_the_leader_that_is_named():
    """Of different orders in one group a leader's is taken; the others keep tables."""
    network = unlike(Residual())
    rng = np.random.default_rng(1)
    orders = {name: rng.permutation(6) for name in ("stem", "blocks.0.two")}
    result = apply_order(network, orders, leaders=["blocks.0.two"])
    follower = result.layers["stem"]
    assert not follower.applied
    assert "leader" in follower.reason
    np.testing.assert_array_equal(follower.outputs[follower.table], orders["stem"])
    assert list(result.tables) == ["stem"]
    with pytest.raises(OrderError, match=r"leaders stem and blocks\.0\.two share"):
        apply_order(network, orders, leaders=list(orders))


@given(
    asked=st.dictionaries(
        st.sampled_from(["stem", "blocks.0.two", "blocks.1.two"]), st.integers(0, 2)
    )
)
def test_a_leader_is_found_that_leaves_fewest_tables(asked):
    """No other order of the group would leave fewer, and the network stays the same."""
    network = unlike(Residual())
    choices = [[5, 4, 3, 2, 1, 0], [1, 0, 2, 3, 5, 4], [0, 2, 1, 4, 3, 5]]
    result = apply_order(network, {n: choices[one] for n, one in asked.items()})
    given_orders = list(asked.values())
    most = max(map(given_orders.count, given_orders), default=0)
    assert len(result.tables) == len(asked) - most
    led = [name for name in asked if result.layers[name].applied]
    assert len({asked[name] for name in led}) <= 1
    images = torch.rand(2, 2, 8, 8)
    assert torch.allclose(result.network(images), network(images), atol=1e-5)


def test_of_leaders_with_as_many_layers_the_one_with_more_weights_is_taken():
    """Where two orders have one layer each, the larger layer keeps no table."""
    network = unlike(Residual())
    layers = ("stem", "blocks.0.two")
    sizes = {name: network.get_submodule(name).weight.numel() for name in layers}
    assert sizes["stem"] < sizes["blocks.0.two"]
    orders = {"stem": [5, 4, 3, 2, 1, 0], "blocks.0.two": [1, 0, 2, 3, 5, 4]}
    assert list(apply_order(network, orders).tables) == ["stem"]


@pytest.mark.parametrize(
    ("orders", "leaders", "message"),
    [
        ({"conv": [0]}, [], "names conv, but the layers are 0, 2"),
        ({"0": [0, 1, 2]}, [], "no permutation of its 4 channels"),
        ({"0": Schedule(0, [0, 1])}, [], "no permutation of its 4 channels"),
        ({"0": Schedule(1, [0, 1, 2, 3])}, [], "a schedule of input channels"),
        ({"0": [0, 1, 2, 2]}, [], "no permutation of its 4 channels"),
        ({"0": [0.0, 1.0, 2.0, 3.0]}, [], "no permutation of its 4 channels"),
        ({"0": [0, 1, 2, 3]}, ["2"], "`leaders` names 2"),
    ],
)
def test_orders_that_do_not_fit_are_refused(orders, leaders, message):
    """Wrong names and wrong numbers are refused in one line that says what fits."""
    with pytest.raises(OrderError, match=message):
        apply_order(chain(nn.ReLU()), orders, leaders=leaders)
