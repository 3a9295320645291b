"""Any torch module in a lottery run: what it calls, what it is, and what comes back."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from spikingjelly.activation_based import functional, layer, neuron  # noqa: E402
from tiny_spiking import tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402

from balancer import BalancerError, TicketError, open_ticket, shipped_ticket  # noqa: E402
from hwmodel import Accelerator, evaluate, network_workloads  # noqa: E402
from snn import (  # noqa: E402
    ConfigError,
    LotteryConfig,
    Standardization,
    TicketAccuracy,
    Watcher,
    load_data,
    load_network,
    retrain,
    run_lottery,
)
from snn.data.image_data import ImageData, Split  # noqa: E402
from snn.lottery.round_tickets import load_ticket  # noqa: E402

DATA = tiny_data(train=30, validation=0)
SMALL = {
    "sparsities": (0.5,),
    "epochs": 1,
    "rewind": 0,
    "method": "optimal",
    "pes": 4,
    "validation": 0,
    "learning_rate": 0.01,
}


def run(module, root, data=DATA, **fields):
    config = LotteryConfig.of(SMALL | fields)
    return run_lottery(config, root=root, network=module, data=data)


def evaluated(result):
    """Evaluate the ticket of a run as the command `evaluate` does."""
    ticket = open_ticket(result.ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    orders = {layer.name: layer.read_schedules() for layer in ticket.layers}
    network = network_workloads(masks, ticket.about, schedules=orders)
    report = evaluate(network.workloads, Accelerator.load("u-ticket").on_map(
        result.config.map, result.config.pes
    ))  # fmt: skip
    return report, network.assumption


def agrees(result):
    """Whether the run and `evaluate` of its ticket tell the same."""
    report, _ = evaluated(result)
    last = result.last
    assert report.cycles == last.cycles
    assert report.energy_pj == pytest.approx(last.energy)
    assert sum(one.cycles * one.calls for one in last.layers) == last.cycles
    assert {one.name: one.calls for one in last.layers} == {
        one.name: one.calls for one in report.layers
    }
    return True


class Drawn(nn.Module):
    """Convolutions of one width in any order: shared, repeated, residual or unused."""

    def __init__(self, kinds, shared, steps, timesteps):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, k, padding=k // 2) for k in kinds)
        for one, other in shared:
            if kinds[one] == kinds[other]:
                self.layers[one].weight = self.layers[other].weight
        self.stem, self.head = nn.Conv2d(1, 4, 1), nn.Linear(4 * 36, 3)
        self.neurons = neuron.IFNode(0.3) if timesteps > 1 else nn.ReLU()
        self.steps, self.repeats = steps, timesteps

    def forward(self, x):
        x = self.stem(x)
        found = []
        for _ in range(self.repeats):
            y = self.neurons(x)
            for number, residual in self.steps:
                z = self.layers[number](y).relu()
                y = y + z if residual else z
            found.append(self.head(y.flatten(1)))
        return torch.stack(found).mean(0)


@st.composite
def drawn_networks(draw):
    kinds = draw(st.lists(st.sampled_from([1, 3]), min_size=1, max_size=3))
    number = st.integers(0, len(kinds) - 1)
    torch.manual_seed(draw(st.integers(0, 99)))
    return Drawn(
        kinds,
        draw(st.lists(st.tuples(number, number), max_size=1)),
        draw(st.lists(st.tuples(number, st.booleans()), max_size=4)),
        draw(st.sampled_from([1, 3])),
    )


@given(drawn_networks())
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_a_run_and_its_ticket_count_the_same(tmp_path_factory, network):
    """Cycles and energy of any network are those of `evaluate`, call by call."""
    first, calls = {}, {}
    for number, one in enumerate(network.layers):
        owner = first.setdefault(id(one.weight), f"layers.{number}")
        used = sum(step == number for step, _ in network.steps)
        calls[owner] = calls.get(owner, 0) + used
    result = run(network, tmp_path_factory.mktemp("run"), timesteps=1)
    assert agrees(result)
    found = {one.name: one.calls for one in result.last.layers}
    assert found == {**calls, "stem": 1, "head": 1}
    assert result.last.timesteps == network.repeats
    idle = [name for name, count in calls.items() if not count]
    said = evaluated(result)[1] or "never run, and take no cycles: "
    assert said.partition(": ")[2] == ", ".join(idle)
    assert any("never run" in note for note in result.notes) == bool(idle)


def test_a_layer_that_runs_twice_is_charged_twice(tmp_path):
    """Its first call sees the image, its second the hidden layer; both count."""
    twice = nn.Linear(36, 36)
    network = nn.Sequential(
        nn.Flatten(), twice, nn.ReLU(), twice, nn.ReLU(), nn.Linear(36, 3)
    )
    result = run(network, tmp_path)
    assert agrees(result)
    layers = {one.name: one for one in result.last.layers}
    assert layers["1"].calls == 2
    assert result.last.cycles == 2 * layers["1"].cycles + layers["5"].cycles
    assert open_ticket(result.ticket()).unlisted == ("3",)


class Spare(nn.Module):
    def __init__(self, spare):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(288, 3)
        if spare:
            self.spare = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def test_a_layer_that_never_runs_is_named(tmp_path):
    """The others cost what they cost without it, and every output says its name."""
    results = []
    for spare in (False, True):  # each layer loses half, whatever the others are
        torch.manual_seed(0)
        results.append(run(Spare(spare), tmp_path, budgets="layer"))
    cycles = [one.last.layers[0].cycles for one in results]
    assert cycles[0] == cycles[1] > 36
    assert results[0].notes == results[1].notes[1:]
    assert "never run, and take no cycles: spare." in results[1].notes[0]
    assert evaluated(results[1])[1] == "never run, and take no cycles: spare"
    assert agrees(results[1])


def test_modules_that_are_not_pruned_are_named(tmp_path):
    """Transposed convolutions, recurrent modules and attention are no layers."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.up = nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 4, 3)
            self.lstm = nn.LSTM(24, 8, batch_first=True)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(48, 3)

        def forward(self, x):
            x = self.up(torch.relu(self.conv(x))).transpose(1, 2).flatten(2)
            x, _ = self.lstm(x)
            x, _ = self.attention(x, x, x)
            return self.head(x.flatten(1))

    result = run(Mixed(), tmp_path)
    assert agrees(result)
    assert [one.name for one in result.last.layers] == ["conv", "head"]
    assert result.notes[0] == (
        "Not pruned, and not counted in cycles and energy: up (ConvTranspose2d), lstm "
        "(LSTM), attention (MultiheadAttention), attention.out_proj "
        "(NonDynamicallyQuantizableLinear)."
    )
    assert set(open_ticket(result.ticket()).unlisted) == {
        "up", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "attention.in_proj_weight",
        "attention.out_proj",
    }  # fmt: skip


class Gated(nn.Module):
    """Refuses values that it never sees in life."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3), nn.Linear(128, 3)

    def forward(self, x):
        x = self.conv(x)
        if bool((x == x.round()).all()):
            raise ValueError("whole numbers")
        return self.head(torch.relu(x).flatten(1))


def test_paths_that_cannot_be_followed_are_done_without_and_said(tmp_path):
    """Unless live paths were asked for: then the run does not begin."""
    result = run(Gated(), tmp_path)
    assert result.last.effective is None
    assert any("paths of this network cannot be followed" in n for n in result.notes)
    with pytest.raises(BalancerError, match=r"Gated cannot be followed \(whole"):
        run(Gated(), tmp_path / "asked", live_paths=True)
    assert not list((tmp_path / "asked").glob("*/round-*"))


def test_shared_weights_have_one_mask(tmp_path):
    """Two modules with one weight are one layer, pruned once and charged twice."""
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36), nn.Linear(36, 3)
    )
    network[3].weight = network[1].weight
    result = run(network, tmp_path)
    assert agrees(result)
    assert [(one.name, one.calls) for one in result.last.layers] == [("1", 2), ("4", 1)]
    assert any("3 those of 1" in note for note in result.notes)
    masks = load_ticket(result.ticket()).pruned.masks
    for place in (1, 3):
        assert not network[place].weight.detach().numpy()[~masks["1"]].any()
    assert result.last.nonzeros == masks["1"].sum() + masks["4"].sum()


class Looped(nn.Module):
    """Repeats the image by itself, for a number of steps that is its own."""

    def __init__(self, steps, multi):
        super().__init__()
        self.steps, self.multi = steps, multi
        self.one = layer.Linear(36, 8, step_mode="m" if multi else "s")
        self.lif = neuron.IFNode(0.2, step_mode="m" if multi else "s")
        self.two = nn.Linear(8, 3)

    def forward(self, x):
        x = x.flatten(1)
        if self.multi:
            return self.two(self.lif(self.one(x.expand(self.steps, *x.shape)))).mean(0)
        return sum(self.two(self.lif(self.one(x))) for _ in range(self.steps))


@pytest.mark.parametrize("multi", [False, True])
def test_time_steps_are_those_of_the_neurons(tmp_path, multi):
    """Of a network that repeats its images, in either way, the steps are counted."""
    result = run(Looped(3, multi), tmp_path)
    assert agrees(result)
    assert result.last.timesteps == 3
    ticket = load_ticket(result.ticket())
    assert {rate.shape[0] for rate in ticket.rates.values()} == {3}
    assert open_ticket(result.ticket()).about["timesteps"] == 3
    layers = {one.name: one for one in result.last.layers}
    mask = ticket.pruned.masks["two"]
    assert layers["two"].cycles == 3 * mask.sum(1).max()
    assert any("3 time steps of its own" in note for note in result.notes)


def test_neurons_of_one_step_want_an_answer(tmp_path):
    """A network that waits for a loop around it is not silently run for one step."""
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8), neuron.IFNode(0.2), nn.Linear(8, 3)
    )
    with pytest.raises(ConfigError, match=r"run one time step .* timesteps is 4"):
        run(network, tmp_path)
    assert not list(tmp_path.iterdir())
    functional.reset_net(network)
    assert run(network, tmp_path, timesteps=1).last.timesteps == 1


def frames(count):
    images = torch.rand(24, count, 1, 6, 6)
    split = Split(images, torch.arange(24) % 3)
    return ImageData(
        "events", split, split.take(torch.arange(0)), split, 3,
        torch.zeros(1), torch.ones(1), "none",
    )  # fmt: skip


def test_frames_of_events_are_not_cut_unasked(tmp_path):
    """Events of more frames than time steps are cut only if that is said."""
    network = {"network": "4c3-fc3", "search_timesteps": None}
    six = frames(6)
    with pytest.raises(ConfigError, match=r"6 frames, but timesteps is 4; set .* to 6"):
        run(None, tmp_path, six, **network)
    with pytest.raises(ConfigError, match=r"6 frames, but timesteps is 7"):
        run(None, tmp_path, six, **network, timesteps=7)
    for asked in (4, 6):
        result = run(None, tmp_path, six, **network, timesteps=asked)
        assert result.last.timesteps == asked


def test_two_networks_are_two_runs(tmp_path):
    """Other activations, weights, settings or code are never taken for finished."""

    class Scaled(nn.Module):
        def __init__(self, scale, one):
            super().__init__()
            self.scale, self.one = scale, one

        def forward(self, x):
            return self.one(x.flatten(1) * self.scale)

    class Doubled(nn.Module):
        def __init__(self, scale, one):
            super().__init__()
            self.scale, self.one = scale, one

        def forward(self, x):
            return self.one(x.flatten(1) * self.scale * 2)

    Doubled.__name__, Doubled.__qualname__ = "Scaled", Scaled.__qualname__

    def linear(seed):
        torch.manual_seed(seed)
        return nn.Linear(36, 3)

    def net(activation):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(36, 3), activation, nn.Linear(3, 3)
        )

    networks = [
        net(nn.ReLU()), net(nn.Sigmoid()), net(nn.LeakyReLU(0.5)), net(nn.LeakyReLU()),
        Scaled(1.0, linear(0)), Scaled(2.0, linear(0)), Scaled(1.0, linear(1)),
        Doubled(1.0, linear(0)),
    ]  # fmt: skip
    folders = set()
    for network in networks:
        result = run(network, tmp_path)
        assert result.folder.name.startswith(
            f"lottery-rows-{type(network).__name__}-optimal-s0-"
        )
        folders.add(result.folder)
    assert len(folders) == len(networks)
    other = run(Scaled(1.0, linear(0)), tmp_path, replace(DATA, mean=DATA.mean + 1))
    assert other.folder not in folders


def test_a_finished_run_hands_back_a_trained_network(tmp_path):
    """Asked again, it returns at once, and the network has the ticket's weights."""
    first, again = tiny_net(), tiny_net()
    result = run(first, tmp_path, timesteps=2)
    assert run(again, tmp_path, timesteps=2) == result
    state = load_ticket(result.ticket()).state
    for name, tensor in again.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[name])
        assert torch.equal(tensor, first.state_dict()[name])


def test_a_network_of_a_stopped_run_can_go_on(tmp_path):
    """After an interrupt it has its first weights, so that the run knows it again."""

    class Stop(Watcher):
        def epoch(self, number, report):
            if number == 1:
                raise KeyboardInterrupt

    config = LotteryConfig.of(SMALL | {"timesteps": 2, "epochs": 2})
    network, straight = tiny_net(), tiny_net()
    common = {"root": tmp_path, "data": DATA, "network": network}
    with pytest.raises(KeyboardInterrupt):
        run_lottery(config, **common, watcher=Stop(), checkpoint_seconds=0)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
    resumed = run_lottery(config, **common, resume=True)
    assert len(list(tmp_path.iterdir())) == 1
    other = run_lottery(config, root=tmp_path / "x", data=DATA, network=straight)
    assert resumed.ticket().read_bytes() == other.ticket().read_bytes()


def test_preprocessing_is_recorded_and_used(tmp_path):
    """A ticket says what is done to images, and is evaluated so on any data."""
    data = tiny_data(train=200, validation=0)
    network = tiny_net()
    result = run(network, tmp_path, data, timesteps=2, epochs=6)
    about = open_ticket(result.ticket()).about
    used = Standardization.of(about)
    images = data.test.images
    expected = (images - data.mean[:, None, None]) / data.std[:, None, None]
    assert torch.equal(used(images), expected)
    assert about["dataset"] == "rows"
    other = replace(data, mean=data.mean + 5, std=data.std * 3)
    accuracy = TicketAccuracy(result.ticket(), network=tiny_net(seed=1), data=other)
    assert accuracy() == result.last.accuracy
    loaded = load_network(result.ticket(), tiny_net(seed=1)).eval()
    with torch.no_grad():
        logits = loaded(used(images)).mean(0)
        functional.reset_net(loaded)
        otherwise = loaded((images - other.mean[:, None, None]) / other.std).mean(0)
    hits = (logits.argmax(-1) == data.test.labels).float().mean().item()
    assert hits == pytest.approx(result.last.accuracy)
    assert not torch.equal(logits, otherwise)


def test_a_network_without_its_code_is_asked_for(tmp_path):
    """A ticket of a network that was given says so; with it, its weights are loaded."""
    result = run(Spare(False), tmp_path)
    for use in (load_network, TicketAccuracy):
        with pytest.raises(ValueError, match=r"its network, Spare, was given to the"):
            use(result.ticket())
    network = load_network(result.ticket(), Spare(False))
    state = load_ticket(result.ticket()).state
    np.testing.assert_array_equal(network.conv.weight.detach(), state["conv.weight"])


def test_a_network_by_name_is_made_anew(tmp_path):
    """The ticket alone gives a network that computes what the run's computed."""
    result = run(None, tmp_path, timesteps=2, network="4c3-fc3")
    network = load_network(result.ticket()).eval()
    assert network.timesteps == 2
    images = Standardization.of(open_ticket(result.ticket()).about)(DATA.test.images)
    with torch.no_grad(), warnings.catch_warnings():
        hits = network(images).mean(0).argmax(-1) == DATA.test.labels
    assert hits.float().mean().item() == pytest.approx(result.last.accuracy)


def test_the_shipped_ticket_comes_with_its_preprocessing():
    """By its file alone it classifies as well as it says, and without it far worse."""
    pytest.importorskip("sklearn")
    about = open_ticket(shipped_ticket()).about
    network, test = load_network(shipped_ticket()).eval(), load_data("digits").test

    def accuracy(images):
        with torch.no_grad():
            chosen = network(images).mean(0).argmax(-1)
        return (chosen == test.labels).double().mean().item()

    assert accuracy(Standardization.of(about)(test.images)) == about["accuracy"]
    assert accuracy(test.images.float()) < 0.7


def test_a_ticket_without_preprocessing_says_so():
    """The message says what is missing and where it can be had."""
    for about in ({}, {"preprocessing": 5}, {"preprocessing": {"mean": [0.0]}}):
        with pytest.raises(TicketError, match=r"no `preprocessing` .*`ImageData.mean"):
            Standardization.of(about)


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (lambda: Spare(True), {}),
        (lambda: Looped(3, True), {}),
        (lambda: None, {"network": "4c3-fc3", "timesteps": 2, "search_timesteps": 1}),
    ],
)
def test_a_ticket_trained_again_with_its_own_masks_is_the_same(tmp_path, make, fields):
    """From the rewound weights, whoever knows the time steps of the dense network."""
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(make())
    result = run(networks[0], tmp_path, epochs=2, rewind=1, **fields)
    again = retrain(result.ticket(), network=networks[1], data=DATA, root=tmp_path)
    assert again.before.cycles == again.after.cycles == result.last.cycles
    then, now = load_ticket(result.ticket()).state, load_ticket(again.ticket).state
    assert {k: v.tobytes() for k, v in now.items()} == {
        k: v.tobytes() for k, v in then.items()
    }
