"""A score of one's own ranks the rounds of a run; any network is scored outside one."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from spikingjelly.activation_based.functional import reset_net  # noqa: E402
from tiny_spiking import random_masks, tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from balancer import BalancerError, balance_network, open_ticket  # noqa: E402
from snn import (  # noqa: E402
    LotteryConfig,
    TrainingConfig,
    Watcher,
    input_rates,
    run_lottery,
    score_of,
)
from snn.lottery.round_tickets import load_ticket  # noqa: E402
from snn.lottery.saliency import SCORES, Trained, checked_layers  # noqa: E402
from snn.lottery.store import StoreError  # noqa: E402
from snn.training.epoch_random import epoch_random  # noqa: E402
from snn.training.gradients import gradient_moments  # noqa: E402
from snn.training.masking import apply_masks  # noqa: E402
from snn.training.trainer import Trainer  # noqa: E402

DATA = tiny_data(train=30, validation=0)


def run(score, root, **more):
    config = LotteryConfig(
        sparsities=(0.5, 0.8),
        epochs=1,
        rewind=0,
        validation=0,
        timesteps=2,
        pes=4,
        precision="float32",
        method="optimal",
        budgets="layer",  # each of them loses some
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_lottery(
            config, root=root, network=tiny_net(), data=DATA, score=score, **more
        )


def opposite(trained):
    """Keep the smallest weights."""
    return {name: 1 / (1 + array) for name, array in trained.magnitudes.items()}


def everything(trained):
    """Use all that there is, and return tensors of double precision."""
    moments = trained.gradients()
    assert trained.rates.keys() == {"body.1", "head"}  # without the analog layer
    return {
        name: torch.from_numpy(
            array.astype(np.float64)
            * moments[name].mean
            * (1 + trained.rates.get(name, np.zeros(1)).mean())
        )
        for name, array in trained.magnitudes.items()
    }


def test_a_score_of_ones_own_ranks_the_rounds(tmp_path):
    """Masks keep what it says, tickets hold it with its name and the magnitudes."""
    result = run(opposite, tmp_path)
    first, second = (result.ticket(number) for number in (0, 1))
    assert open_ticket(second).about["score"] == "opposite"
    assert open_ticket(second).ranked_by == "NAME.score (opposite)"
    ticket = load_ticket(first)
    for name, ranked in ticket.ranking.items():
        assert np.array_equal(ranked, 1 / (1 + ticket.scores[name]))
    assert load_ticket(second).pruned.masks.keys() == ticket.ranking.keys()
    kept = [
        ticket.ranking[name][mask].mean() > ticket.ranking[name].mean()
        for name, mask in load_ticket(second).pruned.masks.items()
    ]
    assert all(kept)


def test_a_score_may_use_gradients_and_rates(tmp_path):
    """Rates are those of training images; tensors do as well as arrays."""
    result = run(everything, tmp_path)
    arrays = load_ticket(result.ticket()).ranking
    assert all(array.dtype == np.float32 for array in arrays.values())
    assert result.last.utilization == 1


def test_a_run_with_a_score_goes_on_to_the_same_bits(tmp_path):
    """Stopped after a round and resumed; another score is another run."""

    class Stopped(Watcher):
        def round(self, outcome):
            if outcome.round == 1:
                raise KeyboardInterrupt

    whole = run(opposite, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(opposite, tmp_path / "cut", watcher=Stopped())
    with pytest.raises(StoreError):
        run(opposite, tmp_path / "cut")
    again = run(opposite, tmp_path / "cut", resume=True)
    assert again.folder.name == whole.folder.name
    assert again.ticket().read_bytes() == whole.ticket().read_bytes()
    assert run(everything, tmp_path / "cut").folder != again.folder


MAGNITUDES = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 2), np.float32)}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([1], "list is no mapping"),
        ({}, "missing: a, b; unknown: none"),
        (MAGNITUDES | {"c": 1}, "missing: none; unknown: c"),
        (MAGNITUDES | {"a": np.ones((3, 2))}, r"layer a: .*\(3, 2\); .*\(2, 3\)"),
        (MAGNITUDES | {"b": -MAGNITUDES["b"]}, "layer b: .*at least 0"),
        (MAGNITUDES | {"b": MAGNITUDES["b"] * np.nan}, "layer b: .*is nan"),
        (MAGNITUDES | {"b": np.full((2, 2), 1e300)}, "layer b: .*is inf"),
        (MAGNITUDES | {"b": np.full((2, 2), "x")}, "layer b: .*real numbers"),
        (MAGNITUDES | {"b": np.ones((2, 2), complex)}, "layer b: .*real numbers"),
    ],
)
def test_scores_that_are_none_are_refused(made, said):
    """In one line that says which layer, and what is needed."""
    with pytest.raises(BalancerError, match=said) as caught:
        checked_layers(made, MAGNITUDES, "`score` mine")
    assert str(caught.value).startswith("`score` mine: ")
    assert "\n" not in str(caught.value)


def test_a_wrong_score_ends_a_run_with_its_name(tmp_path):
    """Before the ticket of its round is written."""

    def halved(trained):
        return {name: array[:1] for name, array in trained.magnitudes.items()}

    with pytest.raises(BalancerError, match=r"`score` halved: layer stem\.0: "):
        run(halved, tmp_path)


def loss_of_steps(logits, labels):
    """Mean over images and time steps, as the trainer has it."""
    return cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))


@pytest.mark.parametrize("kind", SCORES)
def test_outside_of_a_run_scores_are_the_same(kind):
    """Of the trainer's batches with the trainer's loss, also of pruned weights."""
    network = tiny_net(dropout=0.0)
    masks = random_masks(network)
    apply_masks(network, masks)
    training = TrainingConfig(batch_size=16, precision="float32", augment=False)
    trainer = Trainer(network, DATA, training)
    magnitudes = {
        name: np.random.default_rng(0).random(mask.shape, np.float32)
        for name, mask in masks.items()
    }
    moments = gradient_moments(trainer, seed=3)
    with epoch_random(3, training.epochs, trainer.processes) as generator:
        batches = list(trainer.evaluator.batches(DATA.train, None, generator))
    rates = input_rates(network, (x for x, _ in batches))
    expected = SCORES[kind](Trained(magnitudes, rates, lambda: moments))
    found = score_of(network, batches, loss_of_steps, kind, magnitudes=magnitudes)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-9)


def test_scoring_leaves_no_trace():
    """Weights, statistics, modes, gradients, frozen weights and random numbers."""
    network = tiny_net()
    network.stem[1].eval()
    network.head.weight.requires_grad_(False)
    network.register_buffer("scratch", torch.zeros(1), persistent=False)
    loss_of_steps(
        network(DATA.train.images[:4].float()), DATA.train.labels[:4]
    ).backward()
    reset_net(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    gradients = {n: p.grad for n, p in network.named_parameters()}
    modes = [module.training for module in network.modules()]
    drawn = torch.get_rng_state()
    batches = (
        (DATA.train.images[k : k + 8].float(), DATA.train.labels[k : k + 8])
        for k in (0, 8)
    )
    with torch.no_grad():
        scores = score_of(network, batches, loss_of_steps)
    assert scores["head"].any()  # although it is frozen
    assert not network.head.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in network.modules()] == modes
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    for name, parameter in network.named_parameters():
        assert parameter.grad is gradients[name]


@given(seed=st.integers(0, 10**6), batch=st.integers(1, 5))
def test_gradients_are_those_of_each_batch(seed, batch):
    """Of a linear network by hand: the root of the mean of the squares."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, batch, 4, generator=generator)
    y = torch.randn(3, batch, 2, generator=generator)
    network = nn.Sequential(nn.Linear(4, 2, bias=False))
    weight = network[0].weight
    found = score_of(network, zip(x, y, strict=True), lambda a, b: (a * b).sum())
    each = torch.einsum("nbo,nbi->noi", y, x)
    expected = weight.abs() * each.square().mean(0).sqrt()
    np.testing.assert_allclose(found["0"], expected.detach(), rtol=1e-4, atol=1e-6)


def test_scores_go_on_to_the_solver():
    """A loop of one's own needs neither a trainer nor a ticket."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4))
    images, labels = DATA.train.images.float(), DATA.train.labels
    scores = score_of(network, [(images, labels)], cross_entropy)
    solution = balance_network(scores, budgets="lamp", sparsity=0.5, pes=4)
    assert list(solution.masks) == ["1", "3"]


def nothing(trained):
    return {}


@pytest.mark.parametrize(
    ("batches", "loss", "more", "said"),
    [
        ([], cross_entropy, {}, "no batches"),
        (None, lambda a, b: 1.0, {}, "`loss` returned float"),
        (None, lambda a, b: a, {}, r"`loss` returned a tensor of shape \(30, 3\)"),
        (None, lambda a, b: (a * torch.inf).sum(), {}, "`score` gradient: layer 1: "),
        (None, cross_entropy, {"kind": "best"}, "'best'; accepted: magnitude"),
        (None, cross_entropy, {"kind": nothing}, "`score` nothing: .*missing: 1"),
        (None, cross_entropy, {"magnitudes": {}}, "`magnitudes`: .*missing: 1"),
    ],
)
def test_what_gives_no_scores_is_refused(batches, loss, more, said):
    """In one line; the network is as it was all the same."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    before = network[1].weight.detach().clone()
    if batches is None:
        batches = [(DATA.train.images.float(), DATA.train.labels)]
    with pytest.raises(BalancerError, match=said) as caught:
        score_of(network, batches, loss, **more)
    assert "\n" not in str(caught.value)
    assert torch.equal(network[1].weight, before)
    assert network[1].weight.grad is None
