"""Scores follow their formulas, and measuring them leaves no trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from tiny_spiking import random_masks, tiny_data, tiny_net  # noqa: E402
from torch import nn  # noqa: E402

from balancer import BalancerError  # noqa: E402
from snn import TrainingConfig  # noqa: E402
from snn.data.image_data import ImageData, Split  # noqa: E402
from snn.lottery.saliency import SCORES, Trained, get_score, grown  # noqa: E402
from snn.training.gradients import GradientMoments, gradient_moments  # noqa: E402
from snn.training.masking import apply_masks  # noqa: E402
from snn.training.trainer import Trainer  # noqa: E402


def trained(rates=None):
    rng = np.random.default_rng(0)
    weights = {"a": rng.random((4, 3), np.float32), "b": rng.random((4, 2, 3, 3))}
    moments = {n: GradientMoments(w + 1, w + 2) for n, w in weights.items()}
    return Trained(weights, rates or {}, lambda: moments)


def test_scores_follow_their_formulas():
    """Magnitude times what each of them weighs it by."""
    known = trained()
    for name, weights in known.magnitudes.items():
        assert np.array_equal(SCORES["magnitude"](known)[name], weights)
        found = SCORES["gradient"](known)[name]
        assert found == pytest.approx(weights * (weights + 2))
        assert SCORES["taylor"](known)[name] == pytest.approx(weights * (weights + 1))
        assert np.array_equal(SCORES["rate"](known)[name], weights)


def test_rates_weigh_the_inputs_of_each_group():
    """A grouped convolution's second half reads the second half of the channels."""
    rates = {"b": np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.8]], np.float32)}
    known = trained(rates)
    weighed = SCORES["rate"](known)["b"] / known.magnitudes["b"]
    expected = np.array([[0.2, 0.2]] * 2 + [[0.2, 0.6]] * 2)
    assert weighed == pytest.approx(
        np.broadcast_to(expected[:, :, None, None], (4, 2, 3, 3))
    )


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_growth_follows_its_formula(seed, scale):
    """Kept scores stay; a pruned weight with a typical gradient has a typical score."""
    rng = np.random.default_rng(seed)
    shape = (4, 3, 2)
    mask = rng.random(shape) < 0.5
    mask.flat[:2] = True, False
    scores = rng.random(shape).astype(np.float32)
    sizes = (scale * rng.random(shape)).astype(np.float32)
    mean = sizes[mask].mean()
    sizes.flat[1] = mean
    moments = {"a": GradientMoments(sizes + 1, sizes)}
    found = grown({"a": scores}, {"a": mask}, moments)["a"]
    assert found.dtype == np.float32
    assert np.array_equal(found[mask], scores[mask])
    assert found.flat[1] == pytest.approx(scores[mask].mean(), rel=1e-5)
    assert found[~mask] == pytest.approx(
        scores[mask].mean() * sizes[~mask] / mean, rel=1e-5
    )


@pytest.mark.parametrize("case", ["empty", "without gradient", "dense"])
def test_growth_leaves_a_layer_without_a_measure_as_it_is(case):
    """Nothing kept, or kept without any gradient, gives no scale; no NaN either."""
    scores = np.arange(6, dtype=np.float32)
    mask = np.array([True, True, False, False, True, False])
    mask = {"empty": mask & False, "dense": mask | True}.get(case, mask)
    sizes = np.where(mask & (case != "dense"), 0, 1).astype(np.float32)
    moments = {"a": GradientMoments(sizes, sizes)}
    assert np.array_equal(grown({"a": scores}, {"a": mask}, moments)["a"], scores)


def test_only_scores_that_need_gradients_take_the_pass():
    """Magnitude and rate cost nothing."""

    def refuse():
        raise AssertionError

    known = Trained(trained().magnitudes, {}, refuse)
    SCORES["magnitude"](known)
    SCORES["rate"](known)
    for name in ("gradient", "taylor"):
        with pytest.raises(AssertionError):
            SCORES[name](known)


def test_an_unknown_score_is_named():
    """With those that there are."""
    with pytest.raises(BalancerError, match=r"'best'.*magnitude"):
        get_score("best")


def test_gradients_are_those_of_the_batches():
    """Of a linear network and one batch, by hand: also of pruned weights."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 1, 1, 3, generator=generator)
    labels = torch.randint(0, 2, (8,), generator=generator)
    split = Split(images, labels)
    data = ImageData(
        name="rows",
        train=split,
        validation=split,
        test=split,
        classes=2,
        mean=torch.zeros(1),
        std=torch.ones(1),
        augmentation="none",
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    mask = np.array([[True, False, True], [False, False, True]])
    apply_masks(network, {"1": mask})
    trainer = Trainer(network, data, TrainingConfig(batch_size=8, precision="float32"))
    found = gradient_moments(trainer, seed=0)["1"]
    loss = nn.functional.cross_entropy(network(images), labels)
    (expected,) = torch.autograd.grad(loss, [network[1].weight])
    assert found.mean == pytest.approx(expected.abs().numpy(), rel=1e-4)
    assert found.root_mean_square == pytest.approx(expected.abs().numpy(), rel=1e-4)


def test_measuring_gradients_changes_nothing_and_repeats():
    """Weights, statistics and mode are as before; the seed decides the rest."""
    network = tiny_net()
    masks = random_masks(network)
    apply_masks(network, masks)
    trainer = Trainer(network, tiny_data(), TrainingConfig(batch_size=16))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    first, again, other = (gradient_moments(trainer, seed=s) for s in (0, 0, 1))
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(torch.get_rng_state(), drawn)
    assert network.training
    for name in masks:
        ones, twos = first[name].root_mean_square, again[name].root_mean_square
        assert np.array_equal(ones, twos)
        assert not np.array_equal(ones, other[name].root_mean_square)
        assert (first[name].mean <= ones * (1 + 1e-5)).all()
        assert ones[~masks[name]].any()
